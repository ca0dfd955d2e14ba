/* random.h - random numbers that depend on a seed and a place in a sequence alone, so that they are the same on every
 * machine, for any number of threads and in any order. */
#ifndef CAMRUN_RANDOM_H
#define CAMRUN_RANDOM_H

#include <stdint.h>

/* The i-th number of sequence `seed`, uniform in [0,1): SplitMix64 (Steele et al., Fast splittable pseudorandom number
 * generators, OOPSLA 2014), of whose 64 bits the upper 53 are used. */
static inline double random_at(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0; /* 2^53 */
}

#endif
