/* ceilings.c - compiled once per instruction set, as engine/kernels.c is, with CEILINGS=<name of the table>. */
#include "ceilings.h"

enum {
    WIDTH = VEC_BYTES / 4,
    ACCUMULATORS = 12, /* SSE and AVX2 have 16 registers */
    STREAMS = 4,       /* read at once, and each fetched AHEAD floats ahead: fastest of what was tried */
    AHEAD = 256,
};

typedef float vec __attribute__((vector_size(4 * WIDTH), may_alias));

static double burn_fma(long rounds, float *sink)
{
    vec acc[ACCUMULATORS];
    vec factor = (vec){0} + *sink, term = (vec){0} + 1e-3f;
    for (int i = 0; i < ACCUMULATORS; i++)
        acc[i] = (vec){0} + (float)i;
    for (long r = 0; r < rounds; r++)
        for (int i = 0; i < ACCUMULATORS; i++)
            acc[i] = acc[i] * factor + term;
    for (int i = 1; i < ACCUMULATORS; i++)
        acc[0] += acc[i];
    *sink = acc[0][0];
    return 2.0 * WIDTH * ACCUMULATORS * (double)rounds;
}

static float read_floats(const float *p, size_t count)
{
    vec acc[STREAMS] = {0};
    const size_t stream = count / STREAMS;
    for (size_t i = 0; i < stream; i += WIDTH)
        for (size_t k = 0; k < STREAMS; k++) {
            __builtin_prefetch(p + k * stream + i + AHEAD);
            acc[k] += *(const vec *)(p + k * stream + i);
        }
    vec sum = acc[0] + acc[1] + acc[2] + acc[3];
    float total = 0.0f;
    for (int l = 0; l < WIDTH; l++)
        total += sum[l];
    return total;
}

const ceilings CEILINGS = {KERNELS_NAME, burn_fma, read_floats};
