/* maximise.h - inputs that excite a filter or a class, and pictures that excite a whole layer: gradient ascent on the input.
 *
 * Inputs are as the network sees them, normalised; they stay within the colours that a picture can have. */
#ifndef CAMRUN_MAXIMISE_H
#define CAMRUN_MAXIMISE_H

#include "engine.h"
#include "transform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Told after every step, `done` of `all`; false ends the ascent with what there is. */
typedef bool cr_go_on(void *owner, int done, int all);

typedef struct cr_ascent_options {
    int steps;
    double lr;               /* how far a step goes: the root mean square of what it adds */
    int jitter;              /* every step sees the input moved by up to so many pixels, around its borders */
    double blur;             /* standard deviation, in pixels, of the blur after every fourth step; 0: none */
    double decay;            /* how much of itself the input loses in a step, towards the mean colour */
    uint64_t seed;           /* of the first noise and of the jitter */
    const cr_transform *transform; /* mean and std say which colours there are */
    cr_go_on *go_on;         /* or NULL */
    void *owner;
} cr_ascent_options;

/* Activation maximisation (Erhan et al., Visualizing higher-layer features of a deep network, 2009; Simonyan et al.,
 * arXiv:1312.6034, section 2): x[i] (C,h,w) of n begins as noise about grey and climbs
 *     mean over pixels of channel channels[i] of the node's output,
 * of the last node: the class's logit, by
 *     x += lr * g / (rms(g) + 1e-8),  g the gradient,
 * under jitter (Mordvintsev et al., Inceptionism, 2015), blur and decay (Yosinski et al., arXiv:1506.06579, section 4).
 * scores[i]: before the first step and behind the last one. An image does not depend on which others are made with it. */
bool cr_maximise(float *x, double (*scores)[2], const cr_net *net, int node, const int *channels, int n, int h, int w,
                 const cr_ascent_options *o, cr_error *err);

typedef struct cr_dream_octaves {
    int n;         /* sizes, from small to full */
    double scale;  /* from one to the next, above 1 */
} cr_dream_octaves;

/* DeepDream (Mordvintsev et al., Inceptionism, 2015): x (C,h,w), a picture, climbs half the mean square of the node's output,
 * or of some of its channels (n_channels may be 0: all). First at the smallest size; what a size has added is laid over the
 * next. Sizes at which the node has no output are left out. scores: the mean square before and after, at full size. */
bool cr_dream(float *x, double scores[2], const cr_net *net, int node, const int *channels, int n_channels, int h, int w,
              const cr_dream_octaves *octaves, const cr_ascent_options *o, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
