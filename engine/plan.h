/* plan.h - what a plan consists of: tensors with a place in the arena, and steps in execution order.
 *
 * The first steps stand for values that are given: the input's, or that of the node where runs start. Every other
 * step runs a node and what was fused behind it: convolution [+ batchnorm] [+ residual add] [+ ReLU], or, where no backward
 * comes and conv_can_pool says so, convolution [+ batchnorm] [+ ReLU] + max-pool; batchnorm [+ residual add] [+ ReLU, where
 * its backward is the plain one]; or linear [+ ReLU]; or one node alone. It writes the value of its last node. Values
 * inside a fused step do not exist; nodes asked for by name are never inside one. A batchnorm is folded into the
 * convolution before it where neither's parameters get gradients. Outside of training dropout is the identity: its node
 * shares its input's value and gradient.
 *
 * Time, for liveness: with S steps, forward of step i is time i and its backward time 2S - 1 - i. */
#ifndef CAMRUN_PLAN_H
#define CAMRUN_PLAN_H

#include "engine.h"
#include "kernels.h"
#include "memory.h"

/* A value or gradient in the arena: N images of `blocks` channel blocks of (H,W,block), each plane inside a halo of zeros.
 * Plain vectors are C blocks of 1 channel, 1 x 1. Steps and offset are counted in floats. */
typedef struct tensor {
    int C, H, W;
    int block, blocks;
    int halo[2];
    ptrdiff_t row, plane, image;
    size_t size;      /* of all images */
    size_t offset;    /* of the first float, halo included */
    int start, end;   /* lifetime, both inclusive; end < start: there is no such tensor */
    bool in_place;    /* the value of a convolution that writes it over what it adds */
    bool one_image;   /* has a place for one image at a time (by_image.c); image is 0 */
} tensor;

/* One convolution in terms of taps. A forward is one; a backward is one per residue of the input pixel modulo the
 * stride (see conv.c). Pairs are {height, width}; the taps are the pairs of one of each axis. */
typedef struct conv_part {
    int taps[2];
    int *k[2];      /* of each tap: its place in the kernel */
    int *offset[2]; /* and the row or column it reads, relative to the output pixel (times the forward's stride) */
    int first[2];   /* first output pixel */
    int count[2];   /* output rows and columns */
    bool winograd;  /* runs by winograd.c, else directly */
    int depth;      /* of winograd.c's sums, 1 to WINOGRAD_DEPTH */
    int32_t *tap;   /* offsets of all taps in floats */
    float *w;       /* packed weights, in plan->packed */
} conv_part;

typedef struct step {
    int node, last;        /* first and last node of the chain */
    int x, add;            /* nodes read: the input, or -1 where the value is given; the fused addition's other side or -1 */
    bool relu;             /* ends in a fused ReLU */
    int batchnorm;         /* node of the folded batchnorm, or -1 */
    int pool;              /* node of the fused max-pool, or -1 */
    conv_part forward;     /* CR_CONV2D */
    conv_part *backward;   /* CR_CONV2D with need_x: stride[0] * stride[1] parts */
    int n_backward;
    float *bias;           /* CR_CONV2D: folded, padded; CR_BATCHNORM: the shift. In plan->packed */
    float *scale;          /* CR_BATCHNORM, padded to whole blocks. In plan->packed */
    bool active;           /* takes part in the backward */
    bool train;            /* CR_BATCHNORM: normalises by the batch's own statistics */
    bool winograd_gradient; /* CR_CONV2D: the weights' gradient runs by winograd_gradient.c */
    bool need_params;      /* computes gradients of its node's parameters: plan->param_grad says of which */
    bool need_x, need_add; /* whose gradient it computes */
    bool first_x, first_add; /* it is that gradient's first writer: it overwrites, later ones add */
    tensor argmax;         /* CR_MAXPOOL with need_x: bytes, (N,C/16,OH,OW,16), kept in the arena */
    tensor statistics;     /* CR_BATCHNORM with train: of this batch (batchnorm.c) */
    tensor scratch, backward_scratch; /* of Winograd convolutions and batchnorms */
    tensor masked;         /* the gradient behind the ReLU, where the gradient before it is kept */
} step;

struct cr_plan {
    const cr_net *net;
    const kernels *k;
    int N;
    int threads;
    bool direct;      /* no Winograd */
    bool train;       /* what the request says; a step knows whether it means it */
    cr_relu_rule relu;
    int n_steps;
    step *steps;
    int by_image;     /* so many of them run image by image: image n's as views[n] (by_image.c) */
    struct cr_plan *views;
    int *source;      /* per node: itself, or for dropout the node whose value it shares */
    int start;        /* the node whose value a forward is given */
    int end;          /* the node where it ends */
    bool *used;       /* per node: the end depends on its value */
    bool *given;      /* per node: start, and those of cr_net_crossing, which stay as they were given */
    bool *kept;       /* per node: its value was asked for (or is the end's) */
    bool *kept_grad;
    tensor *value;    /* per node */
    tensor *grad;     /* per node */
    tensor *param_grad; /* per parameter: plain, in the parameter's shape; there is none where it was not asked for */
    tensor seed;      /* of the dropouts' masks: a uint64_t that the tape writes, where there are dropouts that drop */
    int (*shape)[3];  /* per node */
    size_t arena;     /* floats */
    float *packed;    /* all packed weights, in one piece */
    size_t packed_size; /* floats */
    float *scales;    /* of one step's folded batchnorm, while it is packed */
};

/* net.c: cr_net_shapes of nodes 0 to `last` alone, which asks nothing of the layers behind. */
bool net_shapes_to(const cr_net *net, int last, int h, int w, int (*dims)[3], cr_error *err);

/* What a step runs; CR_INPUT where its value is given and nothing runs. */
static inline cr_op step_op(const cr_plan *plan, const step *s)
{
    return s->x < 0 ? CR_INPUT : plan->net->nodes[s->node].op;
}

static inline bool tensor_exists(const tensor *t)
{
    return t->end >= t->start;
}

/* Image n of a tensor, as kernels want it. */
static inline map tensor_map(float *arena, const tensor *t, int n)
{
    float *first = arena + t->offset + n * t->image + t->halo[0] * t->row + t->halo[1] * t->block;
    return (map){first, t->plane, t->row, t->block};
}


#endif
