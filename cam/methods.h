/* methods.h - class activation mapping: from a layer's output to the signed map of what in it speaks for a class.
 *
 * Notation, here and in methods.c: A is the layer's output and g the gradient of the explained class's logit with
 * respect to it, both (C,H,W) of one image; k counts channels, p pixels. A map is (H,W), signed: what follows (no
 * negatives, scaling, resizing) is map.h's. Sums are kept in double, because thousands of terms of both signs cancel.
 *
 * A new method is a function and a row of the table in methods.c. */
#ifndef CAMRUN_METHODS_H
#define CAMRUN_METHODS_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a method reads beside A. */
typedef enum cr_evidence {
    CR_GRADIENT,  /* g (C,H,W) */
    CR_FC_WEIGHT, /* (C): the class's row of the linear layer behind a global average pool */
} cr_evidence;

typedef struct cr_method {
    const char *name;  /* "gradcam" */
    const char *title; /* "Grad-CAM" */
    cr_evidence evidence;
    void (*map)(double *map, const float *a, const float *evidence, int c, int h, int w);
    const char *about; /* one line: the formula in words, and the paper */
} cr_method;

/* All methods, the default first. Returns NULL past the end. */
const cr_method *cr_method_at(int i);
/* NULL with a message listing the known names where the name is unknown. */
const cr_method *cr_method_find(const char *name, cr_error *err);

/* Grad-CAM: map[p] = sum_k w_k A_k[p] with w_k = mean_p g_k[p].
 * Selvaraju et al., ICCV 2017 (arXiv:1610.02391), equations 1 and 2 without the ReLU. */
void cr_gradcam(double *map, const float *a, const float *g, int c, int h, int w);

/* LayerCAM: map[p] = sum_k max(g_k[p], 0) A_k[p].
 * Jiang et al., IEEE Transactions on Image Processing 2021 (doi:10.1109/TIP.2021.3089943), without the last ReLU. */
void cr_layercam(double *map, const float *a, const float *g, int c, int h, int w);

/* CAM: map[p] = sum_k weight_k A_k[p]; weight (C) is the class's row of the last linear layer, which reads the mean
 * over pixels of each A_k. The map's mean plus the class's bias is the logit.
 * Zhou et al., CVPR 2016 (arXiv:1512.04150), equation 2. */
void cr_cam(double *map, const float *a, const float *weight, int c, int h, int w);

#ifdef __cplusplus
}
#endif
#endif
