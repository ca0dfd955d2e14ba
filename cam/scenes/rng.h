/* rng.h - random numbers that are the same on every machine: splitmix64 (Steele, Lea, Flood, OOPSLA 2014), and the few
 * distributions that a scene needs, in integers and in float operations that IEEE 754 rounds correctly.
 *
 * Each number needs a statement or declarator of its own: in which order C evaluates the arguments of a call, the items
 * of an initializer or the operands of + is the compiler's choice. */
#ifndef CAMRUN_SCENES_RNG_H
#define CAMRUN_SCENES_RNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rng {
    uint64_t state; /* any number; the same one gives the same sequence */
} rng;

static inline uint64_t rng_bits(rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A generator of its own for one part of a whole: how much that part draws changes nothing in the others. */
static inline rng rng_fork(rng *r)
{
    return (rng){rng_bits(r)};
}

/* Uniform in [0, 1), in steps of 2^-24. */
static inline float rng_unit(rng *r)
{
    return (float)(rng_bits(r) >> 40) * 0x1p-24f;
}

static inline float rng_range(rng *r, float low, float high)
{
    return low + (high - low) * rng_unit(r);
}

/* 0 <= result < n. */
static inline int rng_below(rng *r, int n)
{
    return (int)((rng_bits(r) >> 32) * (uint64_t)n >> 32);
}

static inline bool rng_chance(rng *r, float probability)
{
    return rng_unit(r) < probability;
}

/* Mean 0, deviation 1, at most 3.5 away: the sum of four uniform numbers of 16 bits. */
static inline float rng_bell(rng *r)
{
    uint64_t z = rng_bits(r);
    int sum = (int)(z & 0xffff) + (int)(z >> 16 & 0xffff) + (int)(z >> 32 & 0xffff) + (int)(z >> 48);
    return (float)(sum - 131070) * (1 / 37837.2f);
}

#endif
