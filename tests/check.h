/* check.h - what the tests share: comparing arrays, seeded random numbers, little nets and the list of instruction
 * sets.
 *
 * A comparison that fails, and an allocation that fails, end the running test through cmocka. */
#ifndef CAMRUN_TESTS_CHECK_H
#define CAMRUN_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "builder.h"

/* ---- comparing ---- */

/* The element that is furthest off: by error, where allowed would have been good enough. */
typedef struct mismatch {
    size_t index;
    double error, allowed;
} mismatch;

/* |found - expected| <= tol * max|expected| for every element, the maximum taken over the whole array's finite
 * elements: rounding errors of a sum are as large as its terms, however small the sum. Where a NaN or an infinity is
 * expected, exactly that must be found. */
bool is_close(const float *found, const float *expected, size_t count, double tol, mismatch *worst);
/* The rest of the arguments says what is compared. */
void check_close(const float *found, const float *expected, size_t count, double tol, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void check_same_bits(const float *found, const float *expected, size_t count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* That an error's text holds every one of these words; the list ends with NULL. */
void check_message(const cr_error *err, ...) __attribute__((sentinel));

/* ---- memory and random numbers ---- */

/* Zeros; never NULL. */
void *zeros(size_t count, size_t size);
/* What every test's random numbers start from; main() prints it. */
enum { SEED = 20240229 };
/* Uniform in [low, high). The state is any number; the same one gives the same sequence everywhere. */
float random_uniform(uint64_t *state, float low, float high);
void fill_random(float *x, size_t count, float low, float high, uint64_t *state);
float *new_random(size_t count, float low, float high, uint64_t *state);

/* ---- nets ---- */

/* An empty net for builder.h's functions. */
builder new_net(const char *name);
/* Random weights that keep a deep net's values of order 1 (He et al., arXiv:1502.01852: variance 2 / fan-in), and
 * batchnorm statistics far from the identity. Returns the memory the parameters point to, to be freed after the net. */
float *bind_random(cr_net *net, uint64_t *state);
/* For a request: true for every parameter but running statistics; to be freed. */
bool *learned_params(const cr_net *net);

/* ---- instruction sets ---- */

/* For loops over all kernels that this machine runs, or the one that CAMRUN_ISA named at the start: makes the i-th the one in
 * use, or returns false past the last. */
bool use_isa(int i);
/* What a test's main() says first: its seed, and which instruction sets it runs and which it must skip. */
void print_setup(void);

#endif
