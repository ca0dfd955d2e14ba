/* perturb.h - a network's input with what a map says is relevant left, taken away, or filled in: the inputs whose scores
 * tell whether the map is right (metrics.h).
 *
 * x is one input (c,h,w), normalised: 0 is the mean colour. A map is (h,w) in [0,1]. */
#ifndef CAMRUN_PERTURB_H
#define CAMRUN_PERTURB_H

#include <stdint.h>

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = x * map, after normalising as pytorch-grad-cam and torchcam do. */
void cr_mask_input(float *out, const float *x, const float *map, int c, int h, int w);

/* out = x under a Gaussian of standard deviation 5 on 11 x 11 pixels, zeros beyond the border: what RISE's insertion game
 * (Petsiuk et al., BMVC 2018, and its code) begins with. out is not x. */
bool cr_blur_input(float *out, const float *x, int c, int h, int w, cr_error *err);

/* order (n): the pixels from the map's highest to its lowest, equal ones as they lie. */
bool cr_relevance_order(int *order, const float *map, size_t n, cr_error *err);

/* out = from, with the first `count` pixels of order taken from `to`; a NULL stands for zeros. Deletion goes from x to NULL,
 * insertion from the blurred x to x. */
void cr_replace_pixels(float *out, const float *from, const float *to, const int *order, size_t count, int c, size_t n);

/* removed (n): 1 for the pixels that ROAD (Rong et al., A consistent and efficient evaluation strategy for attribution
 * methods, ICML 2022) takes away at a percentile, 0 to 100, as pytorch-grad-cam does:
 *     most relevant first:   map >= its percentile        80 takes away the most relevant 20 %
 *     least relevant first:  1 - map >= its percentile
 * Percentiles are linear between ranks, as numpy's. order is cr_relevance_order's. */
void cr_road_removed(unsigned char *removed, const float *map, const int *order, size_t n, double percentile,
                     bool least_first);

/* ROAD's noisy linear imputation: each removed pixel becomes the weighted mean of its eight neighbours, 1/6 for those
 * beside it and 1/12 for diagonal ones, those beyond the border left out; so all of them together solve a sparse system of
 * linear equations, here by conjugate gradients with multigrid up to a residual of 1e-5 of the first. Then comes normal noise
 * of this standard deviation (the paper's: 0.01). Where nothing is left to fill in from, zeros. out may be x. */
bool cr_road_impute(float *out, const float *x, const unsigned char *removed, int c, int h, int w, double noise,
                    uint64_t seed, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
