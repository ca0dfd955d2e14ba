/* explain.h - from a network's input to maps: the pipeline net -> plan -> tape -> method -> map in three calls.
 *
 *   cr_explainer *e = cr_explainer_create(net, method, layers, n_layers, 1, 224, 224, &err);
 *   cr_explainer_forward(e, x, &err);            e->logits
 *   cr_explainer_backward(e, classes, &err);     one class for each image of the batch; any number of times
 *   cr_explainer_maps(e, &err);                  e->layers[i].raw, e->maps
 *
 * Everything a run needs is allocated by cr_explainer_create: a second run with inputs of the same size allocates
 * nothing. */
#ifndef CAMRUN_EXPLAIN_H
#define CAMRUN_EXPLAIN_H

#include "engine.h"
#include "methods.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a node's output still has rows and columns: nothing before it was flattened. */
bool cr_is_feature_map(const cr_net *net, int node);

/* Whether the method can explain these nodes of this network. */
bool cr_method_fits(const cr_method *method, const cr_net *net, const int *layers, int n_layers, cr_error *err);

/* A layer whose output is explained. All arrays are the explainer's. */
typedef struct cr_explained_layer {
    int node;
    int c, h, w;  /* of its output */
    float *value; /* (N,C,H,W) */
    float *grad;  /* (N,C,H,W), of the explained logits; NULL where the method needs none */
    float *raw;   /* (N,H,W): the method's signed maps */
} cr_explained_layer;

/* For reading only. */
typedef struct cr_explainer {
    const cr_net *net;
    const cr_method *method;
    int n, h, w;                /* batch and input size */
    int n_layers;
    cr_explained_layer *layers;
    float *logits;              /* (N,classes) */
    int *classes;               /* (N): the explained ones */
    float *maps;                /* (N,h,w) in [0,1]: raw maps normalised, resized and, of several layers, averaged */

    int head;                   /* the linear node whose weight CR_FC_WEIGHT methods read, else -1 */
    cr_plan *plan;
    cr_tape *tape;
    float *seed;                /* (N,classes) */
    double *sum;                /* one map of the largest layer */
    float *parts;               /* (n_layers,h,w): one image's maps before they are averaged */
} cr_explainer;

/* NULL where the method does not fit, the input is too small, or memory is short. net must outlive the explainer. */
cr_explainer *cr_explainer_create(const cr_net *net, const cr_method *method, const int *layers, int n_layers, int n,
                                  int h, int w, cr_error *err);
void cr_explainer_free(cr_explainer *e);

/* x: (N,C,h,w). False where a logit is not finite, naming the cause: the input, the weights, or an overflow. */
bool cr_explainer_forward(cr_explainer *e, const float *x, cr_error *err);
/* Explains classes[i] in image i from here on. Methods that need no gradient only remember the classes. */
bool cr_explainer_backward(cr_explainer *e, const int *classes, cr_error *err);
bool cr_explainer_maps(cr_explainer *e, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
