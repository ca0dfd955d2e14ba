/* saliency.h - how much each value of the input matters to a score, from gradients at the input.
 *
 *   cr_saliency *s = cr_saliency_create(net, &request, &err);      any number of runs
 *   cr_saliency_run(s, x, k, attribution, &facts, &err);           attribution (C,H,W)
 *   cr_saliency_heat(map, attribution, c, h, w);                   and as a picture: in [0,1], grey
 *
 * f is the score: the logit of a class or, where the request names a node to end at, the mean of channel k of its output. */
#ifndef CAMRUN_SALIENCY_H
#define CAMRUN_SALIENCY_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How attributions are best looked at. */
typedef enum cr_saliency_style {
    CR_STYLE_HEAT,   /* cr_saliency_heat */
    CR_STYLE_COLOR,  /* cr_saliency_color */
    CR_STYLE_SIGNED, /* cr_saliency_signed */
} cr_saliency_style;

typedef struct cr_saliency_method cr_saliency_method;

/* All methods, in the order --help lists them. Returns NULL past the end. */
const cr_saliency_method *cr_saliency_at(int i);
/* NULL with a message that lists the known names, where the name is unknown. */
const cr_saliency_method *cr_saliency_find(const char *name, cr_error *err);
const char *cr_saliency_name(const cr_saliency_method *method);  /* "smoothgrad" */
const char *cr_saliency_title(const cr_saliency_method *method); /* "SmoothGrad" */
cr_saliency_style cr_saliency_usual_style(const cr_saliency_method *method);
/* Whether it is made of noisy inputs; of steps from a baseline; with a class activation map, which needs a class. */
bool cr_saliency_has_noise(const cr_saliency_method *method);
bool cr_saliency_has_steps(const cr_saliency_method *method);
bool cr_saliency_has_cam(const cr_saliency_method *method);

typedef struct cr_saliency_request {
    const cr_saliency_method *method;
    int h, w;                /* input size */
    int end;                 /* the node whose channel is the score; 0: the last, f is a logit */
    int cam_layer;           /* of guided Grad-CAM */
    int samples;             /* of SmoothGrad */
    double noise;            /* its standard deviation, in parts of the input's largest value minus its smallest */
    uint64_t seed;           /* of the noise */
    int steps;               /* of integrated gradients */
    const float *baseline;   /* (C): the colour that they begin with, as the network sees it */
    void (*progress)(void *owner, int done, int all); /* after every batch of runs, where there are several; or NULL */
    void *progress_owner;
} cr_saliency_request;

/* What came out beside the attribution. */
typedef struct cr_saliency_facts {
    double score;          /* f(x) */
    double baseline_score; /* f(x') of integrated gradients */
    double sum;            /* of all attributions: integrated gradients' is f(x) - f(x') but for the error of the steps */
} cr_saliency_facts;

typedef struct cr_saliency cr_saliency;

/* NULL where the input is too small, the CAM's layer has no maps, or memory is short. net must outlive it, the request need
 * not, but for the baseline. */
cr_saliency *cr_saliency_create(const cr_net *net, const cr_saliency_request *request, cr_error *err);
void cr_saliency_free(cr_saliency *s);

/* x and attribution: (C,H,W). k: the class, or the channel. False where a score is not finite. */
bool cr_saliency_run(cr_saliency *s, const float *x, int k, float *attribution, cr_saliency_facts *facts, cr_error *err);

/* What the scores are chosen from: the end's value for x, in its shape; without an end, the logits (classes). */
bool cr_saliency_value(cr_saliency *s, const float *x, float *value, cr_error *err);

/* map (h,w) in [0,1]: the largest |attribution| over channels, divided by the 99th percentile of those and cut at 1, so that
 * single pixels do not leave all else black (Smilkov et al., arXiv:1706.03825, section 3.1). All 0 where the attribution is. */
bool cr_saliency_heat(float *map, const float *attribution, int c, int h, int w, cr_error *err);
/* map (h,w) in [0,1]: the sum over channels, with 0 at 0.5 and the 99th percentile of its absolute values at 0 and 1. */
bool cr_saliency_signed(float *map, const float *attribution, int c, int h, int w, cr_error *err);
/* planes (c,h,w) in [0,1]: (a - mean) / (std + 1e-5) * 0.1 + 0.5, cut, mean and std over all of it: how guided
 * backpropagation is usually shown. */
void cr_saliency_color(float *planes, const float *attribution, int c, int h, int w);

#ifdef __cplusplus
}
#endif
#endif
