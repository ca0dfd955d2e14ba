/* dropout.c - dropout in training (Srivastava et al., JMLR 15, 2014): an element is dropped with probability p, and what
 * stays is divided by 1 - p, so that its mean is the same. reference.h defines the mask, a function of seed, node and
 * element: the backward makes it again instead of reading it, and threads cannot change it. */
#include <math.h>
#include <string.h>

#include "ops.h"

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* to = from under the mask, or to += where `add` is set. Two tensors of one shape, elements numbered in (N,C,H,W). */
static void apply(const cr_plan *plan, const step *s, float *arena, const tensor *to, const tensor *from, bool add)
{
    const double p = (double)plan->net->nodes[s->node].p;
    const float scale = (float)(1.0 / (1.0 - p));
    const uint64_t least = (uint64_t)ceil(p * (1 << 24)); /* u >= p where its 24 bits are at least this */
    uint64_t seed;
    memcpy(&seed, arena + plan->seed.offset, sizeof seed);
    const uint64_t key = mix(seed) + (uint64_t)s->node;
    const int channels = to->blocks * to->block;
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * channels; i++) {
        const int n = i / channels, c = i % channels;
        const map a = tensor_map(arena, to, n), b = tensor_map(arena, from, n);
        uint64_t element = ((uint64_t)n * (uint64_t)to->C + (uint64_t)c) * (uint64_t)to->H * (uint64_t)to->W;
        for (int h = 0; h < to->H; h++)
            for (int w = 0; w < to->W; w++) {
                const ptrdiff_t lane = c % to->block;
                float *y = a.p + c / to->block * a.block + h * a.row + w * a.col + lane;
                const float x = b.p[c / to->block * b.block + h * b.row + w * b.col + lane];
                const bool keep = mix(key + ++element * UINT64_C(0x9e3779b97f4a7c15)) >> 40 >= least;
                const float value = keep && c < to->C ? x * scale : 0.0f;
                *y = add ? *y + value : value;
            }
    }
}

void dropout_forward(const cr_plan *plan, const step *s, float *arena)
{
    apply(plan, s, arena, &plan->value[s->last], &plan->value[s->x], false);
}

void dropout_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    apply(plan, s, arena, &plan->grad[s->x], dy, !s->first_x);
}
