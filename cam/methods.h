/* methods.h - class activation mapping: from a layer's output to the signed map of what in it speaks for a class.
 *
 * Notation, here and in methods.c: A is the layer's output and g the gradient of the explained score with respect to it,
 * both (C,H,W) of one image; k counts channels, p pixels. The score is the class's logit, unless the method says
 * otherwise. A map is (H,W), signed: what follows (no negatives, scaling, resizing) is map.h's.
 *
 * Every method makes its map of one term (H,W) for each channel, and most often a term is the channel times a weight:
 *     map[p] = sum_k term_k[p],   term_k[p] = w_k A_k[p]
 * (a few take the terms' first principal component in place of their sum). So a method is one short function, which gives
 * the weights or the terms, and a row of the table in methods.c, which says what the function must be shown. Finding that
 * is the explainer's work (explain.h), once for all methods of a run. */
#ifndef CAMRUN_METHODS_H
#define CAMRUN_METHODS_H

#include <stdint.h>

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a method needs beside A. */
enum {
    CR_NEEDS_GRADIENT = 1,
    CR_NEEDS_FC_WEIGHT = 2, /* so it explains the last feature map of networks that end in global average pool + linear */
    CR_NEEDS_SEED = 4,      /* of random numbers */
    CR_NEEDS_NOISE = 8,     /* gradients for noisy copies of the input */
    CR_NEEDS_BIASES = 16,   /* it explains the input and every layer that adds a bias, all together */
    CR_NEEDS_MASKED = 32,   /* a forward for every channel */
    CR_NEEDS_ABLATED = 64,  /* the same, from the layer on */
};

/* Noisy copies of an input: as many, with normal noise of this standard deviation in the units of the network's input. */
enum { CR_NOISY_COPIES = 4 };
#define CR_NOISE 0.3

/* What is known of one layer and one image. What no method of a run needs is NULL or 0. */
typedef struct cr_evidence {
    int c, h, w;
    const float *a;         /* A (C,H,W) */
    const float *g;         /* g (C,H,W) */
    const float *fc_weight; /* (C): the class's row of the linear layer behind the global average pool */
    uint64_t seed;
    const float *noisy[3];  /* (C,H,W): means of g, g^2 and g^3 over noisy copies of the input */
    const float *bias;      /* (C) of the layer; NULL: A is the input */
    float score;            /* the class's logit */
    const float *masked;    /* (C): the logit for the input as far as A_k lets it through (scores.h) */
    const float *ablated;   /* (C): the logit with A_k set to 0 */
} cr_evidence;

typedef struct cr_method {
    const char *name;  /* "gradcam" */
    const char *title; /* "Grad-CAM" */
    const char *about; /* one line: the formula in words, and the paper */
    const char *formula; /* the map, in the notation above; z are logits, p probabilities */
    unsigned needs;    /* CR_NEEDS_... */
    /* One of the two: all w_k (C), or term_k (H,W). */
    void (*weights)(double *w, const cr_evidence *e);
    void (*term)(double *term, const cr_evidence *e, int k);
    bool principal;    /* the map is the terms' first principal component */
    /* dz (classes): the gradient of the score with respect to the logits z (classes), for class c. NULL: the score is
     * logit c. */
    void (*score)(float *dz, const float *z, int classes, int c);
} cr_method;

/* All methods, the default first. Returns NULL past the end. */
const cr_method *cr_method_at(int i);
/* NULL with a message listing the known names where the name is unknown. */
const cr_method *cr_method_find(const char *name, cr_error *err);

/* map (H,W) = sum_k term_k, in double, because thousands of terms of both signs cancel. With eigen_smooth, or where the
 * method says so, the terms' first principal component in place of their sum: each term's mean over pixels is taken off,
 * the matrix (pixels, channels) multiplied by its first right singular vector, and the sign so chosen that
 * |min(map)| <= |max(map)|.
 * A NaN or infinity in what the method reads gets into the map, where map.h finds it. False where memory is short. */
bool cr_method_map(double *map, const cr_method *method, const cr_evidence *e, bool eigen_smooth, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
