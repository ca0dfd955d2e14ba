/* randomize.h - a network that forgets what it learned, layer by layer from the top: the cascading parameter randomisation of
 * Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018. A map that does not change with it does not show what the
 * network learned.
 *
 * A stage is a residual block, or else a convolution or linear layer, with the batchnorm behind it. Forgetting puts the
 * values of each of its parameters into a random order, so that they stay as large as they were (a batchnorm's parameters
 * all into the same one, so that each scale stays with its variance). */
#ifndef CAMRUN_RANDOMIZE_H
#define CAMRUN_RANDOMIZE_H

#include <stdint.h>

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_randomized {
    cr_net net;                     /* the network; its nodes are the original's, its parameters' data its own */
    int n_stages;
    char (*stages)[CR_NAME_SIZE];   /* names from the top: "fc", "layer4.1", ..., "conv1" */
    int *stage_of;                  /* by node; -1 where it has no parameters */
    int done;                       /* stages that have forgotten */
    uint64_t seed;
    float *data;
} cr_randomized;

/* A copy of net, with all parameters bound, nothing forgotten. net must outlive it. What is made is freed by
 * cr_randomized_free whether this succeeds or not. */
bool cr_randomized_create(cr_randomized *r, const cr_net *net, uint64_t seed, cr_error *err);
void cr_randomized_free(cr_randomized *r);

/* The next stage forgets; done < n_stages. Plans made before do not know of it. The same seed gives the same values. */
void cr_randomized_next(cr_randomized *r);

#ifdef __cplusplus
}
#endif
#endif
