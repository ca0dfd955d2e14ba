/* evidence.h - finding what methods are shown (cr_evidence): the part of an explainer that runs the network.
 *
 * In this order: evidence_create; then evidence_forward, and after it evidence_backward, each any number of times. */
#ifndef CAMRUN_EVIDENCE_H
#define CAMRUN_EVIDENCE_H

#include "explain.h"
#include "scores.h"

/* The score whose gradient a method needs, as a row of the methods' table names it; NULL: the logit. */
typedef void (*score_gradient)(float *dz, const float *z, int classes, int c);

struct evidence {
    unsigned needs;          /* of all methods together: CR_NEEDS_... */
    uint64_t seed;           /* of random numbers */
    int n_scores;
    score_gradient *scores;  /* all different, the logit last: so it is the tape's last backward */
    cr_tape *tape, *noisy_tape;
    float *x;                /* (N,C,H,W): the input; NULL where nothing needs it again */
    float *noisy_x;          /* (N,C,H,W) */
    float *dz;               /* (N,classes): what a backward starts from */
    int n_biased;
    int *biased;             /* with CR_NEEDS_BIASES: the input, and the nodes that add a bias to a feature map */
    float *bias;             /* (C) of the last one read */
    float *scratch;          /* (N,C,H,W): a gradient that is read and not kept */
    scorer *masked;
    scorer **ablated;        /* (n_layers); NULL for the layer before a CAM head */
    channel_progress progress;
    bool scored;             /* since the last forward */
    float *channel_scores[2]; /* (C) each: masked and ablated of the class last asked for */
};

/* Makes e->plan and e->evidence, and fills e->layers and each e->results[i].score; e->net, sizes and methods are set. What
 * it made is freed by evidence_free whether it succeeds or not. */
bool evidence_create(cr_explainer *e, const cr_explain_request *request, cr_error *err);
void evidence_free(cr_explainer *e);

/* Runs x; fills e->logits and the layers' values. */
bool evidence_forward(cr_explainer *e, const float *x, cr_error *err);
/* Finds the logits of masked inputs and ablated layers. */
bool evidence_score(cr_explainer *e, cr_error *err);
/* Finds what depends on the explained classes, and what evidence_score finds if that has not been called. */
bool evidence_backward(cr_explainer *e, cr_error *err);

/* What is known of a layer in image n, for a method that explains score number `score`; until the next call. */
cr_evidence evidence_of(const cr_explainer *e, const cr_explained_layer *layer, size_t n, int score);

/* What is known of biased node i: reads its bias and its gradient in all images, of which evidence_of_biased gives one. */
bool evidence_read_biased(cr_explainer *e, int i, cr_error *err);
cr_evidence evidence_of_biased(const cr_explainer *e, int i, size_t n);

/* calloc of a * b * c * d elements; NULL also where that is more than memory can count. */
void *allocate(size_t element, int a, int b, int c, int d);

#endif
