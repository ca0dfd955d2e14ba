/* ceilings.h - what this machine can do at most: loops that do nothing else. */
#ifndef CAMRUN_CEILINGS_H
#define CAMRUN_CEILINGS_H

#include <stddef.h>

typedef struct ceilings {
    const char *isa; /* as cr_isa() names it */
    /* Runs `rounds` rounds of independent multiply-adds in registers on the calling thread; returns the number of floating-
     * point operations (2 per multiply-add). *sink takes a result, so that nothing can be left out. */
    double (*burn_fma)(long rounds, float *sink);
    /* Adds up `count` floats, a multiple of 64, 64-byte aligned. */
    float (*read_floats)(const float *p, size_t count);
} ceilings;

extern const ceilings ceilings_portable, ceilings_avx2, ceilings_avx512, ceilings_neon;

#endif
