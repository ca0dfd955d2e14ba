/* metrics.h - how good a map is: whether it points at the object, what its evidence is worth to the network, and how alike
 * two maps are. Numbers about maps and scores alone; perturb.h makes the inputs whose scores these are.
 *
 * A map is (geometry->h, geometry->w) over the network's input, in [0,1] as map.h leaves it; boxes are on the photograph.
 * A map that holds a NaN gives NaN. */
#ifndef CAMRUN_METRICS_H
#define CAMRUN_METRICS_H

#include "transform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- boxes ---- */

/* Whether the centre of a pixel of the network's input lies in one of n boxes. */
bool cr_boxes_seen(const cr_rect *boxes, int n, const cr_geometry *geometry);

/* The pointing game (Zhang et al., Top-down neural attention by excitation backprop, IJCV 2018, 4.1): 1 where the map's
 * highest pixel lies in a box or, on the photograph, no further than `tolerance` pixels from one, else 0. Where several
 * pixels are the highest (at the border a coarse map is flat), the share of them that do. A map that is 0 everywhere points
 * nowhere: 0. */
double cr_pointing(const float *map, const cr_geometry *geometry, const cr_rect *boxes, int n, double tolerance);

/* The energy-based pointing game (Wang et al., Score-CAM, CVPRW 2020, 4.3):
 *     sum of the map inside the boxes / sum of the map
 * over the pixels that show the photograph, none of them counted twice. 0 for a map that is 0 everywhere. */
double cr_box_energy(const float *map, const cr_geometry *geometry, const cr_rect *boxes, int n);

/* ---- scores ---- */

/* Average drop and increase in confidence (Chattopadhay et al., Grad-CAM++, WACV 2018, 4.1), of one image: score is the
 * class's probability for the input, masked that for input * map.
 *     drop = max(0, score - masked) / (score + 1e-7)     as torchcam; pytorch-grad-cam's DropInConfidence does not divide
 *     increase = 1 where masked > score, else 0          as both */
double cr_drop(double score, double masked);
double cr_increase(double score, double masked);

/* The area under n >= 2 scores at equal distances over [0,1], by trapezoids: of the insertion and deletion games (Petsiuk et
 * al., RISE, BMVC 2018, 3.4). */
double cr_curve_area(const double *scores, int n);

/* ---- two maps (h, w) of one image, as Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, compare them ---- */

/* Spearman's rank correlation, equal values having the mean of their ranks. 0 where a map is the same everywhere: nothing
 * can vary with it. False where memory is short. */
bool cr_rank_correlation(double *correlation, const float *a, const float *b, size_t n, cr_error *err);

/* Structural similarity (Wang et al., IEEE TIP 2004): the mean over all windows inside the maps, 11 x 11 pixels (a smaller
 * map: as large as it is, an odd number) under a Gaussian of standard deviation 1.5, with K1 = 0.01, K2 = 0.03, L = 1. */
bool cr_structural_similarity(double *similarity, const float *a, const float *b, int h, int w, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
