/* random.h - random numbers that depend on a seed and a place in a sequence alone, so that they are the same on every
 * machine, for any number of threads and in any order. */
#ifndef CAMRUN_RANDOM_H
#define CAMRUN_RANDOM_H

#include <math.h>
#include <stdint.h>

/* SplitMix64 (Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014): the i-th of a sequence's 64 bits
 * are random_mix(seed + (i + 1) * RANDOM_STEP). */
#define RANDOM_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in [0,1): the upper 53 of 64 random bits. */
static inline double random_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

/* The i-th number of sequence `seed`, uniform in [0,1). */
static inline double random_at(uint64_t seed, uint64_t i)
{
    return random_unit(random_mix(seed + (i + 1) * RANDOM_STEP));
}

/* The i-th number of sequence `seed`, normal with mean 0 and standard deviation 1 (Box and Muller 1958). */
static inline double random_normal_at(uint64_t seed, uint64_t i)
{
    const double two_pi = 6.283185307179586;
    return sqrt(-2 * log(1 - random_at(seed, 2 * i))) * cos(two_pi * random_at(seed, 2 * i + 1));
}

#endif
