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
    int class_index;     /* -1: the map is the mean of several classes' */
    int n_classes;       /* of how many, if so */
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

/* How many pictures of many there were, and what became of them. */
typedef struct counts {
    int pictures;     /* all of them */
    int before;       /* done by the runs that this one goes on with */
    int done, failed; /* in this run */
    double ms;        /* of this run */
} counts;

/* About the end. */
typedef struct end_facts {
    const counts *counts;           /* NULL for one picture */
    const char *results;            /* path; NULL where there are none */
    const char *map, *raw, *logits; /* paths of arrays; NULL where none was asked for */
    size_t peak_bytes;              /* of the process's memory */
} end_facts;

typedef enum report_style {
    REPORT_TEXT,
    REPORT_LINES,   /* one line for each image, and the end */
    REPORT_END,     /* the end alone */
    REPORT_JSON
} report_style;

typedef struct report {
    FILE *out;
    report_style style;
    const run_facts *run;
    int images;
    json_writer j;
} report;

/* First begin, last end; run must outlive the report. What is between them is made and put apart from each other: a picture
 * is told of once all its files are written. */
void report_begin(report *r, FILE *out, report_style style, const run_facts *run);
void report_end(report *r, const end_facts *end);
/* Writes what report_put takes to `to`: of an image, or of one that failed. */
void report_image(report *r, FILE *to, const image_facts *image);
void report_failure(report *r, FILE *to, const char *source, const char *why);
void report_put(report *r, const char *text);

/* The same as a line of JSON (results.h), without what differs from run to run: times, which --timing adds, and memory.
 * bytes: of the source. */
void report_line(const report *r, FILE *to, const image_facts *image, int64_t bytes);
void report_failure_line(FILE *to, const char *source, const char *why);

/* The member "preprocessing". */
void json_transform(json_writer *j, const cr_transform *t);

/* For --list-methods. */
void report_methods(FILE *out, bool as_json);

/* For --list-layers. dims: as cr_net_shapes fills them. */
void report_layers(FILE *out, bool as_json, const cr_net *net, int (*dims)[3]);

#endif
