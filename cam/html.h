/* html.h - a report to look at in a browser: one HTML file, with the pictures inside, that reads nothing from anywhere.
 *
 *   cr_html *html = cr_html_create("report.html", &run, &err);
 *   for each picture, after the explainer's forward:
 *       cr_html_picture(html, &picture, &err);
 *       for each of its classes, after backward and maps:
 *           cr_html_maps(html, explainer, k, &err);
 *   cr_html_finish(html, &err);
 *
 * On each photograph lies one of its maps, which the reader chooses: class, method and layer, the strength of its colours and
 * the colours themselves. Maps are stored as grey pictures of at most 160 pixels a side. All text is escaped. */
#ifndef CAMRUN_HTML_H
#define CAMRUN_HTML_H

#include "classes.h"
#include "colormap.h"
#include "explain.h"
#include "image.h"
#include "transform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* About the run; it must outlive the report. */
typedef struct cr_html_run {
    const char *weights; /* path */
    const cr_net *net;
    const cr_labels *labels;
    const cr_transform *transform;
    const cr_method *const *methods;
    int n_methods;
    const int *layers; /* nodes; of several each map is shown, and their average */
    int n_layers;
    bool only_average; /* the explainer's finished maps alone count: they were smoothed */
    float alpha;       /* the strength of the colours to begin with, 0 to 1 */
    const cr_colormap *colormap;
} cr_html_run;

typedef struct cr_html_picture_facts {
    const char *name;
    const cr_image *photo;
    const cr_geometry *geometry;
    const float *logits, *probabilities; /* (classes) */
    const int *classes;                  /* (n_classes): the explained ones; read by cr_html_maps, too */
    int n_classes;
} cr_html_picture_facts;

typedef struct cr_html cr_html;

/* NULL where the file cannot be made. It is there under its name after cr_html_finish alone. */
cr_html *cr_html_create(const char *path, const cr_html_run *run, cr_error *err);
bool cr_html_picture(cr_html *html, const cr_html_picture_facts *picture, cr_error *err);
/* What e holds: all methods' maps of the k-th explained class of image 0. */
bool cr_html_maps(cr_html *html, const cr_explainer *e, int k, cr_error *err);
bool cr_html_finish(cr_html *html, cr_error *err);
/* Leaves path as it was. Harmless on NULL. */
void cr_html_discard(cr_html *html);

#ifdef __cplusplus
}
#endif
#endif
