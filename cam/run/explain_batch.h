/* explain_batch.h - explaining one picture, or a batch of ready inputs: from the network's input to drawings, arrays and what is
 * told of them. */
#ifndef CAMRUN_EXPLAIN_BATCH_H
#define CAMRUN_EXPLAIN_BATCH_H

#include "camrun.h"
#include "drawings.h"
#include "explain_report.h"
#include "options.h"
#include "series.h"
#include "stack.h"

/* What a run needs from its first picture to its last. */
typedef struct run {
    const options *o;
    const series *series;        /* of a tensor, without pictures */
    network network;
    int *layers, n_layers;       /* nodes */
    cr_target *targets;
    int n_targets;
    int n_explained;             /* maps of a picture and method: n_targets, or 1 where classes are averaged */
    int repeat;                  /* runs that are timed, of which the median counts */
    double *times;               /* (repeat) */
    cr_explainer *explainer;     /* of the last input size */
    void (*show_channels)(void *owner, int done, int all); /* progress; owner is the run */
    struct passage *passage;     /* for it */
    stack maps, raws, logits;    /* for --save-... */
    drawings drawings;           /* pictures not yet written */
    run_facts facts;
    report report;
} run;

/* What is explained: a photograph the network saw through geometry, or (NULL) a tensor. */
typedef struct subject {
    const char *source;
    const char *stem;            /* what its files are named after */
    int64_t bytes;               /* of the source */
    const cr_image *photo;
    cr_geometry geometry;
} subject;

/* What comes of it, to be told and saved once its pictures are written. Zeroed: nothing. */
typedef struct outcome {
    char *text;                  /* for report_put */
    char *line;                  /* with --jsonl */
    block maps, raws, logits;
    cr_error failure;            /* why a picture could not be written; empty where all could */
} outcome;

/* x: (n,C,h,w), one image where it is a photograph. Where it fails, pictures that were drawn before are written all the same.
 * out must not move until drawings_write. */
bool explain_batch(run *r, const subject *s, const float *x, int n, int h, int w, outcome *out, cr_error *err);
void outcome_free(outcome *out);

#endif
