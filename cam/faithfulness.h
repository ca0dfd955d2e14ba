/* faithfulness.h - what becomes of a class's probability where a map's evidence is left, taken away or filled in: many
 * forwards of inputs that perturb.h makes, in batches, for several maps of one input at once. */
#ifndef CAMRUN_FAITHFULNESS_H
#define CAMRUN_FAITHFULNESS_H

#include <stdint.h>

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is to be found, each with its forwards. */
enum {
    CR_FAITH_DROP = 1,      /* one */
    CR_FAITH_INSERTION = 2, /* one for each step but the last */
    CR_FAITH_DELETION = 4,  /* one for each step */
    CR_FAITH_ROAD = 8,      /* one for each of CR_ROAD_PERCENTILES, twice */
};

/* 20, 40, 60 and 80. */
enum { CR_ROAD_PERCENTILES = 4 };

typedef struct cr_faith_request {
    unsigned metrics;  /* CR_FAITH_... */
    int h, w;          /* the network's input size */
    int steps;         /* of insertion and deletion, in equal parts of the pixels */
    double road_noise; /* standard deviation, in units of the network's input */
} cr_faith_request;

/* Of one map. What was not asked for is NaN. All scores are the class's probability (softmax). */
typedef struct cr_faith_scores {
    double drop, increase;       /* metrics.h */
    double insertion, deletion;  /* area under the scores, the first with none and the last with all pixels replaced */
    double road_most, road_least; /* the mean over percentiles of the score's change, pytorch-grad-cam's
                                     ROADMostRelevantFirstAverage and ROADLeastRelevantFirstAverage */
    double road;                 /* (least - most) / 2, its ROADCombined: large where the map is right */
} cr_faith_scores;

typedef struct cr_faith cr_faith;

/* net must outlive it. NULL with a message where the input is too small or memory is short. */
cr_faith *cr_faith_create(const cr_net *net, const cr_faith_request *request, cr_error *err);
void cr_faith_free(cr_faith *f);

/* x: one input (C,h,w); class_index: whose probability; maps (n,h,w) in [0,1]. Fills scores (n), and *score with the class's
 * probability for x itself. seed: of ROAD's noise, which is the same for all maps. */
bool cr_faith_judge(cr_faith *f, cr_faith_scores *scores, double *score, const float *x, int class_index,
                    const float *maps, int n, uint64_t seed, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
