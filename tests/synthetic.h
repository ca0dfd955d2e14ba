/* synthetic.h - weights and inputs from a formula, the same bits in C and in Python (synthetic.py): what lets the
 * golden files hold a network's results without its weights.
 *
 * Element i of the tensor called name is
 *     shift + scale * u,  u = (z >> 40) / 2^23 - 1,  z = mix(fnv1a(name) + (i + 1) * 0x9e3779b97f4a7c15)
 * with 64-bit unsigned arithmetic; fnv1a is the 64-bit FNV-1a hash, mix the last three lines of SplitMix64 (Steele et
 * al., Fast splittable pseudorandom number generators, OOPSLA 2014). u has 24 bits, so scale * u is exact in double:
 * the sum is rounded once to double and once to float, and compilers that fuse the two change nothing. */
#ifndef CAMRUN_TESTS_SYNTHETIC_H
#define CAMRUN_TESTS_SYNTHETIC_H

#include "engine.h"

/* Uniform in [shift - scale, shift + scale). */
void synthetic_fill(float *out, size_t count, const char *name, float scale, float shift);

/* Gives every parameter of the net values that keep a deep net's activations of order 1: matrices variance 2 / fan-in
 * (He et al., arXiv:1502.01852), vectors by their names' last parts. Returns the memory the parameters point to, to be
 * freed after the net; NULL where there is none. */
float *synthetic_bind(cr_net *net);

#endif
