/* explain.h - from a network's input to maps: the pipeline net -> plan -> tape -> methods -> maps in three calls.
 *
 *   cr_explainer *e = cr_explainer_create(net, &request, &err);
 *   cr_explainer_forward(e, x, &err);            e->logits
 *   cr_explainer_backward(e, classes, &err);     one class for each image of the batch; any number of times
 *   cr_explainer_maps(e, &err);                  e->results[i].maps, e->results[i].raw[layer]
 *
 * Any number of methods and layers share one forward and, for each explained score, one backward. What is large is
 * allocated by cr_explainer_create, for any number of runs. */
#ifndef CAMRUN_EXPLAIN_H
#define CAMRUN_EXPLAIN_H

#include "engine.h"
#include "methods.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_explain_request {
    const cr_method *const *methods;
    int n_methods;
    const int *layers;  /* nodes whose outputs are explained; may be none where every method explains all together */
    int n_layers;
    int n, h, w;        /* batch and input size */
    bool direct;        /* no Winograd: every convolution sums in the order of its formula */
    uint64_t seed;      /* of the methods' random numbers */
    bool eigen_smooth;  /* the first principal component of a method's terms in place of their sum (cr_method_map) */
    bool aug_smooth;    /* cr_explainer_smooth will be called */
    /* Called while a method has a forward run for every channel, `done` of `all` of which are behind it; or NULL. */
    void (*progress)(void *owner, int done, int all);
    void *progress_owner;
} cr_explain_request;

/* Whether a node's output still has rows and columns: nothing before it was flattened. */
bool cr_is_feature_map(const cr_net *net, int node);

/* Whether the method can explain these nodes of this network. */
bool cr_method_fits(const cr_method *method, const cr_net *net, const int *layers, int n_layers, cr_error *err);

/* What is known of a layer whose output is explained. */
typedef struct cr_explained_layer {
    int node;
    int c, h, w;  /* of its output */
    float *value; /* (N,C,H,W) */
    float *grad;  /* (scores,N,C,H,W): of each score that a method explains; NULL where none does */
    float *noisy; /* (3,N,C,H,W): means over noisy inputs of the logit's gradient, its square and its cube; or NULL */
    float *masked, *ablated; /* (N,C,classes): logits with each channel left alone, and taken away (scores.h); or NULL */
} cr_explained_layer;

/* One signed map of every image. */
typedef struct cr_raw_map {
    int node;      /* the layer it explains; 0, the input, where the method explains all layers together */
    int h, w;
    float *values; /* (N,h,w) */
} cr_raw_map;

/* What one method gives. */
typedef struct cr_explanation {
    const cr_method *method;
    int score;       /* which of a layer's gradients it is shown */
    int n_raw;
    cr_raw_map *raw; /* one for each layer, or one alone */
    float *maps;     /* (N,H,W) in [0,1] at input size: raw maps normalised, resized, averaged over layers and normalised again */
} cr_explanation;

/* For reading only; all arrays are the explainer's. */
typedef struct cr_explainer {
    const cr_net *net;
    int n, h, w;             /* batch and input size */
    int n_layers;
    cr_explained_layer *layers;
    int n_results;
    cr_explanation *results; /* in the order of the request's methods */
    float *logits;           /* (N,classes) */
    int *classes;            /* (N): the explained ones */

    bool needs_backward, needs_scores;
    bool eigen_smooth;
    cr_plan *plan;
    struct evidence *evidence; /* evidence.h */
    double *sum;             /* one map of the largest node */
    float *layer_map;        /* the same */
    float *shares;           /* (n_layers + 1,H,W): each layer's of one image's map */
    float *plain_x, *means;  /* (N,C,H,W) and (n_results,N,H,W), with aug_smooth */
} cr_explainer;

/* NULL where a method does not fit, the input is too small, or memory is short. net must outlive the explainer; the
 * request need not. */
cr_explainer *cr_explainer_create(const cr_net *net, const cr_explain_request *request, cr_error *err);
void cr_explainer_free(cr_explainer *e);

/* x: (N,C,h,w). False where a logit is not finite, naming the cause: the input, the weights, or an overflow. */
bool cr_explainer_forward(cr_explainer *e, const float *x, cr_error *err);
/* After a forward: runs the network once for every channel, where a method needs that (e->needs_scores). It serves all
 * classes. If it is not called, the next backward calls it. */
bool cr_explainer_score(cr_explainer *e, cr_error *err);
/* Explains classes[i] in image i from here on. Where no method needs a gradient it only remembers the classes. */
bool cr_explainer_backward(cr_explainer *e, const int *classes, cr_error *err);
bool cr_explainer_maps(cr_explainer *e, cr_error *err);

/* out (H,W): image n's finished map of the i-th layer alone, made of raw[i]. */
bool cr_explanation_layer_map(float *out, const cr_explainer *e, const cr_explanation *r, int i, int n, cr_error *err);

/* In place of the last two, for maps of several classes together: each raw map becomes the mean of those of the classes, and
 * finished maps are made of these. classes: (n_classes,N). At a head of global average pool and one linear layer CAM's is
 * the map that the mean of the classes' weights gives. */
bool cr_explainer_mean(cr_explainer *e, const int *classes, int n_classes, cr_error *err);

/* In place of backward and maps: each finished map becomes the mean of those of six versions of the input, as it is and mirrored,
 * times 0.9, 1 and 1.1 each; mirrored maps are mirrored back. Raw maps are those of the input as it is. The classes are the
 * same in all versions. As pytorch-grad-cam's aug_smooth. */
bool cr_explainer_smooth(cr_explainer *e, const int *classes, cr_error *err);

/* What to say of the maps behind their method's title: " (eigen-smooth)", " (aug-smooth)", both, or "". */
const char *cr_explainer_smoothing(const cr_explainer *e);

#ifdef __cplusplus
}
#endif
#endif
