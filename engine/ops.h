/* ops.h - what a plan calls to prepare its steps, and a tape to run them.
 *
 * Every op has the same two functions, tabled in tape.c: forward writes the value of the step's last node from its
 * inputs' values; backward gets dy, the gradient of that value (behind a fused ReLU), and overwrites or adds to the
 * gradient of x as step.first_x says. An op with parameters has a third, which gets the same dy and writes those of their
 * gradients that the plan was asked for. */
#ifndef CAMRUN_OPS_H
#define CAMRUN_OPS_H

#ifdef _OPENMP
#include <omp.h>
#endif

#include "plan.h"
#include "shares.h"

/* Which thread of a parallel region runs this: 0 to plan->threads - 1. */
static inline int thread_index(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* arena.c, in the order a plan calls them, with by_image.c's between: lifetimes, which sums take the place of what was added,
 * zeros around, layouts and places. false: out of memory; of lay_out_all: too large to address. */
void find_lifetimes(cr_plan *plan);
void add_in_place(cr_plan *plan);
bool plan_halos(cr_plan *plan);
bool is_plain(const cr_plan *plan, int node);
bool lay_out_all(cr_plan *plan);
bool place_tensors(cr_plan *plan);

/* by_image.c, in the order a plan calls them: how many steps run image by image; what that means for lifetimes and places;
 * once all is packed, the views. */
void choose_by_image(cr_plan *plan);
void share_images(cr_plan *plan);
bool make_views(cr_plan *plan);
void free_views(cr_plan *plan);

/* ---- sharing out work: `count` things in `parts` nearly equal pieces ---- */

static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* The largest piece. */
static inline int largest_part(int count, int parts)
{
    return (count + parts - 1) / parts;
}

/* Where piece i begins. */
static inline int part_start(int count, int parts, int i)
{
    return (int)((int64_t)count * i / parts);
}

static inline int part_size(int count, int parts, int i)
{
    return part_start(count, parts, i + 1) - part_start(count, parts, i);
}

/* One convolution, forward or backward: y = epilogue(sum over taps of x * w). add may be NULL, or y itself. */
typedef struct conv_call {
    const conv_part *part;
    const tensor *x, *add, *y;
    const float *bias; /* padded to whole blocks, or NULL */
    bool relu;
    bool pooled; /* y is the output's maximum over windows: winograd.c's are 2x2 */
    float *arena;
} conv_call;

/* winograd.c: runs a part whose `winograd` is set, in so many floats of scratch. */
/* "F(4x4,3x3)", and how many multiply-adds it makes, for the benchmark. */
const char *winograd_name(const conv_part *part);
int64_t winograd_macs(const cr_plan *plan, const conv_part *part, const tensor *x, int OC);
/* Depth of a forward's sums: by the map and its channels alone, so that bits do not depend on the batch or the threads. */
int winograd_depth(const cr_plan *plan, const conv_part *part, const tensor *x);
size_t winograd_scratch(const cr_plan *plan, const conv_part *part, const tensor *x, int OC, int N);
void winograd_run(const cr_plan *plan, const conv_call *call, float *scratch);

/* conv.c, in the order a plan calls them: whether it pays to pool the output as it is made; taps, and the halos they need around x and dy; once layouts are final, which
 * kernel runs and its scratch. */
bool conv_can_pool(const cr_plan *plan, const step *s, int pool);
bool conv_plan_halos(cr_plan *plan, step *s);
void conv_plan_kernels(cr_plan *plan, step *s, int forward_N);
/* pack.c: how many floats a step's packed parameters take; packs them, batchnorm folded in, and returns what lies behind
 * them. */
size_t conv_packed_size(const cr_plan *plan, const step *s);
float *conv_pack(const cr_plan *plan, step *s, float *packed);
void conv_release(step *s);
void conv_forward(const cr_plan *plan, const step *s, float *arena);
void conv_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);

/* pool.c */
window node_window(const cr_node *n);
void maxpool_forward(const cr_plan *plan, const step *s, float *arena);
void maxpool_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
void avgpool_forward(const cr_plan *plan, const step *s, float *arena);
void avgpool_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);

/* batchnorm.c; the backward does the fused addition, ReLU and the parameters' gradients too. */
/* Evaluation-mode batchnorm is y = x * scale + shift: C floats each, from the node's parameters. scale may be NULL. */
void batchnorm_affine(const cr_net *net, int node, float *scale, float *shift);
size_t batchnorm_packed_size(const cr_plan *plan, const step *s);
float *batchnorm_pack(const cr_plan *plan, step *s, float *packed);
void batchnorm_plan_kernels(cr_plan *plan, step *s);
void batchnorm_forward(const cr_plan *plan, const step *s, float *arena);
void batchnorm_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
void batchnorm_update_running(const cr_plan *plan, const step *s, const float *arena, float momentum, float *mean, float *var);

/* weight_gradient.c: the parameters' gradients that the plan was asked for. scatter_weights: of a tile of output channels,
 * some runs of weights (weight_gradient.c says what they are) to where they lie in dw. */
void weight_gradient_plan_kernels(cr_plan *plan, step *s);
void scatter_weights(const cr_plan *plan, const step *s, float *dw, const float *sums, int tile, int first, int end);
void conv_weight_gradient(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
void linear_weight_gradient(const cr_plan *plan, const step *s, const tensor *dy, float *arena);

/* winograd_gradient.c: whether it is faster than the direct sums; it runs in so many floats of backward_scratch. */
bool winograd_gradient_pays(const cr_plan *plan, const step *s);
size_t winograd_gradient_scratch(const cr_plan *plan, const step *s);
void winograd_gradient(const cr_plan *plan, const step *s, const tensor *dy, float *arena, float *dw);

/* dropout.c */
void dropout_forward(const cr_plan *plan, const step *s, float *arena);
void dropout_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);

/* ops.c */
void relu_forward(const cr_plan *plan, const step *s, float *arena);
void relu_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
void linear_forward(const cr_plan *plan, const step *s, float *arena);
void linear_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
void add_forward(const cr_plan *plan, const step *s, float *arena);
void add_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
void flatten_forward(const cr_plan *plan, const step *s, float *arena);
void flatten_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena);

/* A ReLU's backward by the plan's rule: writes dx, which may be dy, or adds to it where it is not the first to write. All
 * three have the same shape; y is not read where the rule is CR_RELU_DECONV. */
void relu_gradient(const cr_plan *plan, const tensor *dx, const tensor *dy, const tensor *y, bool first, float *arena);
/* dx = dy, or dx += dy where it is not the first to write. */
void pass_gradient(const cr_plan *plan, const tensor *dx, const tensor *dy, bool first, float *arena);
void zero_halo(const cr_plan *plan, const tensor *t, float *arena);
void zero_all(const cr_plan *plan, const tensor *t, float *arena);

/* tape.c: one step of a run alone, but for the input's, for the benchmark and for tests of batches that do not run by image. */
void tape_forward_step(cr_tape *tape, int i);
void tape_backward_step(cr_tape *tape, int i);
/* The plan's arena, for tests that poison what is dead. */
float *tape_arena(cr_tape *tape);

/* One image between the arena's layout and plain (C,H,W). */
void unblock(float *plain, map m, const tensor *t, int threads);
void block(map m, const tensor *t, const float *plain, bool add, int threads);

#endif
