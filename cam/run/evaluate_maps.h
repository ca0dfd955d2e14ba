/* evaluate_maps.h - batches of subjects whose inputs have one size, and the maps of all candidates for them. */
#ifndef CAMRUN_EVALUATE_MAPS_H
#define CAMRUN_EVALUATE_MAPS_H

#include "evaluate.h"
#include "explain.h"

enum { MOST_BATCH = 16 };

/* Zeroed: empty. */
typedef struct batch {
    int first, n, h, w;
    float *x;              /* (n,C,h,w) */
    cr_geometry *geometry; /* (n) */
} batch;

/* Reads subjects from `first` on, as many as one batch holds, into an empty *b. False, naming the picture or the line of the
 * CSV file, where one is no picture or a box lies outside of it. */
bool batch_read(batch *b, const evaluation *e, int first, cr_error *err);
void batch_free(batch *b);

/* Methods that explain the same layers share an explainer: those that need a CAM head explain the last layer alone. The first
 * is there in any case, for its logits. */
enum { ANY_LAYER, LAST_LAYER, GROUPS };

/* What makes the maps of one network's batches. Zeroed: of none. */
typedef struct mapper {
    int n, h, w;
    cr_explainer *explainers[GROUPS];
} mapper;

/* Makes *m fit the batch. To be called before each. */
bool mapper_fit(mapper *m, const evaluation *e, const cr_net *net, const batch *b, cr_error *err);
void mapper_free(mapper *m);
bool mapper_forward(const mapper *m, const batch *b, cr_error *err);
/* classes (n). */
bool mapper_explain(const mapper *m, const int *classes, cr_error *err);
/* maps (candidates,h,w) of image i. */
bool mapper_maps(const mapper *m, float *maps, const evaluation *e, const batch *b, int i, cr_error *err);

#endif
