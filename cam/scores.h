/* scores.h - the network's logits with one channel of a layer left alone or taken away, for every channel: many forwards,
 * in batches. */
#ifndef CAMRUN_SCORES_H
#define CAMRUN_SCORES_H

#include "engine.h"

/* Called after every batch, where it is not NULL: so many of all channels are done. */
typedef struct channel_progress {
    void (*report)(void *owner, int done, int all);
    void *owner;
    int done, all;
} channel_progress;

/* Runs the network from a node on, many images at a time. */
typedef struct scorer scorer;

/* h x w is the network's input size; direct as in cr_request. NULL with a message where memory is short. */
scorer *scorer_create(const cr_net *net, int start, int h, int w, bool direct, cr_error *err);
void scorer_free(scorer *s);

/* The value of a node that crosses the scorer's start (cr_net_crossing), of one image, for all runs from then on. */
bool scorer_give(scorer *s, int node, const float *value, cr_error *err);

/* Writes one image, number k, of what the scorer starts with; on any thread, several at once. */
typedef bool (*scorer_make)(float *image, const void *owner, int k, cr_error *err);

/* logits (.,classes): row which[i] for image which[i], for i from 0 to n - 1; a NULL stands for i itself. */
bool scorer_run(scorer *s, float *logits, const int *which, int n, scorer_make make, const void *owner,
                channel_progress *progress, cr_error *err);

/* logits (c,classes): row k for the input x (C,H,W) of which A_k, channel k of a (c,h,w), lets something through:
 *     x * mask,  mask = (u - min(u)) / (max(u) - min(u) + 1e-8),  u = A_k resized to H x W, corner pixels on corner pixels.
 * The scorer starts at the input. Channels that are the same everywhere let nothing through, and are one run. */
bool scorer_masked(scorer *s, float *logits, const float *x, const float *a, int c, int h, int w,
                   channel_progress *progress, cr_error *err);

/* logits (c,classes): row k for the layer's output a (c,h,w) with channel k set to 0. The scorer starts at the layer. A
 * channel that is 0 already has the logits `clean` (classes). */
bool scorer_ablated(scorer *s, float *logits, const float *clean, const float *a, int c, int h, int w,
                    channel_progress *progress, cr_error *err);

/* The same at the last feature map of a network that ends in a global average pool and one linear layer, without any run:
 * there logit j is linear in A, and loses W_jk mean(A_k). */
void ablate_cam_head(float *logits, const cr_net *net, const float *clean, const float *a, int c, int h, int w,
                     channel_progress *progress);

#endif
