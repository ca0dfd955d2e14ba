/* explain_report.h - what camrun tells on standard output, as text for people or as JSON for programs. It knows nothing but the
 * facts below, and the words are nowhere else. Times are in milliseconds. */
#ifndef CAMRUN_EXPLAIN_REPORT_H
#define CAMRUN_EXPLAIN_REPORT_H

#include <stdio.h>

#include "classes.h"
#include "explain.h"
#include "json_writer.h"
#include "transform.h"

/* About the run as a whole. */
typedef struct run_facts {
    const char *weights;           /* path */
    const cr_net *net;
    const cr_labels *labels;
    const cr_method *const *methods;
    int n_methods;
    const int *layers;             /* nodes */
    int n_layers;
    const cr_transform *transform; /* NULL for a tensor */
    double load_ms;                /* from opening the weights file to a net */
    int repeat;                    /* times are medians of so many runs; 0: there was one */
} run_facts;

/* About one method's map of one class. */
typedef struct map_facts {
    int class_index;
    const cr_explanation *result; /* its arrays hold the last class's maps: only what they are maps of is read */
    double backward_ms;  /* negative: no method needs one. This and map_ms are of all methods together */
    double map_ms;       /* from values and gradients to the finished maps; with aug_smooth everything but the forward */
    float (*range)[2];   /* of each raw map: smallest and largest value */
    bool empty;          /* the finished map is zero everywhere */
    const char *picture; /* path; NULL where none is written */
} map_facts;

/* About one image, or one of a batch. */
typedef struct image_facts {
    const char *source;            /* path */
    int index;                     /* in its batch, -1 where there is none */
    int photo_w, photo_h;          /* 0 for a tensor */
    const cr_explainer *explainer;
    const float *logits;           /* (classes) */
    const float *probabilities;    /* (classes) */
    double plan_ms;                /* the plan and its buffers; negative where an earlier image's served */
    double forward_ms;
    double scores_ms;              /* the forwards for every channel; negative where no method needs them */
    const map_facts *maps;
    int n_maps;
    const char *sheet;             /* path; NULL where none is written */
} image_facts;

/* About the end. */
typedef struct end_facts {
    const char *map, *raw, *logits; /* paths of arrays; NULL where none was asked for */
    size_t peak_bytes;              /* of the process's memory */
} end_facts;

typedef struct report {
    FILE *out;
    bool as_json;
    const run_facts *run;
    int images;
    json_writer j;
} report;

/* In this order, report_image once for each. run must outlive the report. */
void report_begin(report *r, FILE *out, bool as_json, const run_facts *run);
void report_image(report *r, const image_facts *image);
void report_end(report *r, const end_facts *end);

/* For --list-methods. */
void report_methods(FILE *out, bool as_json);

/* For --list-layers. dims: as cr_net_shapes fills them. */
void report_layers(FILE *out, bool as_json, const cr_net *net, int (*dims)[3]);

#endif
