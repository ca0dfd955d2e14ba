/* vec.h - what kernels.c and training_kernels.c, which are compiled once per instruction set, write vectors with. */
#ifndef CAMRUN_VEC_H
#define CAMRUN_VEC_H

#include <stdint.h>
#if defined __AVX512F__ && VEC_BYTES == 64
#include <immintrin.h>
#endif

enum {
    VL = VEC_BYTES / 4,
    OC_TILE = OC_VECS * VL,
    MOST_PIXELS = 14, /* the largest TILE_PIXELS of any instruction set: all widths up to it are compiled, wider ones unused */
};

typedef float vec __attribute__((vector_size(VEC_BYTES), may_alias));
typedef float vec_unaligned __attribute__((vector_size(VEC_BYTES), may_alias, aligned(4)));
typedef int32_t ivec __attribute__((vector_size(VEC_BYTES), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* Keeps v in a register: gcc would rather load a value from memory again for each of its uses. */
#if defined __x86_64__
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined __aarch64__
#define IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define IN_REGISTER(v) ((void)0)
#endif

INLINE int smaller(int a, int b)
{
    return a < b ? a : b;
}

INLINE vec load(const float *p)
{
    return *(const vec *)p;
}

INLINE void store(float *p, vec v)
{
    *(vec *)p = v;
}

/* mask ? a : b, lane by lane; mask lanes are 0 or -1. */
INLINE vec choose(ivec mask, vec a, vec b)
{
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

/* a > b ? a : b, lane by lane: b where either is a NaN. gcc 12 makes a mask and two instructions of what is one. */
INLINE vec max_vec(vec a, vec b)
{
#if defined __AVX512F__ && VEC_BYTES == 64
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return choose(a > b, a, b);
#endif
}

/* max(v, 0) that keeps NaN. */
INLINE vec relu_vec(vec v)
{
    return max_vec((vec){0}, v);
}

#endif
