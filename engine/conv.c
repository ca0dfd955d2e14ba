/* conv.c - convolution as sums over taps: which taps, packed weights, and how the work is cut for threads.
 *
 * Forward. Output pixel oh reads input rows oh * stride - pad + kh * dilation, so every (kh,kw) is one tap at a fixed
 * offset from that pixel.
 *
 * Backward to the input. Input row ih was read by output row oh through tap kh where
 *     oh * stride = ih + pad - kh * dilation.
 * For the input rows ih = a + stride * i with one residue a, the taps that can satisfy this are those with
 * (a + pad - kh * dilation) divisible by stride, and then oh = i + (a + pad - kh * dilation) / stride: again a fixed offset
 * from i. So the backward is one convolution of dy per residue (a, b), with input and output channels swapped, and writes
 * every stride-th pixel of dx. With stride 1 that is the kernel rotated by 180 degrees; a residue that no tap reaches gets
 * zeros. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

/* ---- geometry ---- */

/* Largest number of taps along one axis that anything here meets is the kernel's size. */
typedef struct axis_taps {
    int count;
    int *k;      /* kernel index */
    int *offset; /* rows or columns from the output pixel */
} axis_taps;

/* The backward's taps along one axis for input positions of residue a. k and offset have room for the whole kernel. */
static void backward_taps(const cr_node *n, int axis, int a, axis_taps *taps)
{
    taps->count = 0;
    for (int k = 0; k < n->kernel[axis]; k++) {
        int distance = a + n->pad[axis] - k * n->dilation[axis];
        if (distance % n->stride[axis] == 0) {
            taps->k[taps->count] = k;
            taps->offset[taps->count++] = distance / n->stride[axis];
        }
    }
}

void conv_forward_halo(const cr_node *n, int halo[2])
{
    halo[0] = n->pad[0];
    halo[1] = n->pad[1];
}

void conv_backward_halo(const cr_node *n, const int x_shape[3], const int y_shape[3], int halo[2])
{
    for (int axis = 0; axis < 2; axis++) {
        const int size = x_shape[1 + axis], out = y_shape[1 + axis];
        halo[axis] = 0;
        for (int k = 0; k < n->kernel[axis]; k++)
            for (int a = 0; a < n->stride[axis] && a < size; a++) {
                int distance = a + n->pad[axis] - k * n->dilation[axis];
                if (distance % n->stride[axis] != 0)
                    continue;
                int first = distance / n->stride[axis], last = first + (size - 1 - a) / n->stride[axis];
                if (-first > halo[axis])
                    halo[axis] = -first;
                if (last - (out - 1) > halo[axis])
                    halo[axis] = last - (out - 1);
            }
    }
}

/* ---- packing ---- */

/* Where the weights come from: element (out, in, kh, kw) of the sum is w[out * out_step + in * in_step + kh * KW + kw]
 * times scale[oc], where oc is `in` for a backward and `out` for a forward. */
typedef struct weight_view {
    const float *w, *scale; /* scale may be NULL */
    int outs, ins;
    ptrdiff_t out_step, in_step;
    int KW;
    bool scale_by_in;
} weight_view;

static void pack_tile(float *packed, const weight_view *v, int tile, int oc_tile, int in_block, const axis_taps taps[2])
{
    for (int in0 = 0; in0 < v->ins; in0 += in_block)
        for (int h = 0; h < taps[0].count; h++)
            for (int k = 0; k < taps[1].count; k++)
                for (int in = in0; in < in0 + in_block; in++, packed += oc_tile) {
                    if (in >= v->ins)
                        continue; /* the packed array starts as zeros */
                    const float *from = v->w + in * v->in_step + taps[0].k[h] * v->KW + taps[1].k[k];
                    for (int o = 0; o < oc_tile && tile * oc_tile + o < v->outs; o++) {
                        int out = tile * oc_tile + o;
                        float scale = !v->scale ? 1.0f : v->scale[v->scale_by_in ? in : out];
                        packed[o] = from[out * v->out_step] * scale;
                    }
                }
}

/* Fills a part's taps and weights. x: the tensor that the taps step through. */
static bool pack_part(cr_plan *plan, conv_part *part, const weight_view *v, const tensor *x, const axis_taps taps[2])
{
    const int oc_tile = plan->k->oc_tile, tiles = (v->outs + oc_tile - 1) / oc_tile;
    part->n_taps = taps[0].count * taps[1].count;
    const size_t tile_size = (size_t)x->blocks * (size_t)x->block * (size_t)part->n_taps * (size_t)oc_tile;
    part->tap = calloc((size_t)part->n_taps + 1, sizeof *part->tap);
    part->w = aligned_zeros((size_t)tiles * tile_size, sizeof *part->w);
    if (!part->tap || !part->w)
        return false;
    plan->packed += (size_t)tiles * tile_size * sizeof *part->w;
    for (int h = 0; h < taps[0].count; h++)
        for (int k = 0; k < taps[1].count; k++)
            part->tap[h * taps[1].count + k] =
                (int32_t)(taps[0].offset[h] * x->row + taps[1].offset[k] * (ptrdiff_t)x->block);
#pragma omp parallel for schedule(static)
    for (int tile = 0; tile < tiles; tile++)
        pack_tile(part->w + (size_t)tile * tile_size, v, tile, oc_tile, x->block, taps);
    return true;
}

static bool pack_forward(cr_plan *plan, step *s, const weight_view *v, axis_taps taps[2])
{
    const cr_node *n = &plan->net->nodes[s->node];
    for (int axis = 0; axis < 2; axis++) {
        taps[axis].count = n->kernel[axis];
        for (int k = 0; k < n->kernel[axis]; k++) {
            taps[axis].k[k] = k;
            taps[axis].offset[k] = k * n->dilation[axis] - n->pad[axis];
        }
        s->forward.count[axis] = plan->shape[s->last][1 + axis];
    }
    return pack_part(plan, &s->forward, v, &plan->value[s->x], taps);
}

static bool pack_backward(cr_plan *plan, step *s, const weight_view *forward, axis_taps taps[2])
{
    const cr_node *n = &plan->net->nodes[s->node];
    const int *x_shape = plan->shape[s->x];
    const weight_view v = {.w = forward->w,
                           .scale = forward->scale,
                           .outs = forward->ins,
                           .ins = forward->outs,
                           .out_step = forward->in_step,
                           .in_step = forward->out_step,
                           .KW = forward->KW,
                           .scale_by_in = true};
    s->backward = calloc((size_t)n->stride[0] * (size_t)n->stride[1], sizeof *s->backward);
    if (!s->backward)
        return false;
    s->n_backward = n->stride[0] * n->stride[1];
    for (int a = 0; a < n->stride[0]; a++)
        for (int b = 0; b < n->stride[1]; b++) {
            conv_part *part = &s->backward[a * n->stride[1] + b];
            const int residue[2] = {a, b};
            for (int axis = 0; axis < 2; axis++) {
                int rest = x_shape[1 + axis] - residue[axis];
                part->first[axis] = residue[axis];
                part->count[axis] = rest > 0 ? (rest + n->stride[axis] - 1) / n->stride[axis] : 0;
                backward_taps(n, axis, residue[axis], &taps[axis]);
            }
            if (!pack_part(plan, part, &v, &plan->grad[s->last], taps))
                return false;
        }
    return true;
}

bool conv_prepare(cr_plan *plan, step *s, cr_error *err)
{
    const cr_net *net = plan->net;
    const cr_node *n = &net->nodes[s->node];
    const cr_param *weight = &net->params[n->param];
    const int OC = weight->dim[0], IC = weight->dim[1], KH = n->kernel[0], KW = n->kernel[1];
    const int tiles = (OC + plan->k->oc_tile - 1) / plan->k->oc_tile;

    float *scale = NULL;
    int *indices = calloc(2 * ((size_t)KH + (size_t)KW), sizeof *indices);
    s->bias = aligned_zeros((size_t)tiles * (size_t)plan->k->oc_tile, sizeof *s->bias);
    bool done = indices && s->bias;
    if (done && s->batchnorm >= 0) {
        scale = aligned_zeros((size_t)OC, sizeof *scale);
        done = scale != NULL;
        if (done)
            batchnorm_affine(net, s->batchnorm, scale, s->bias);
    }
    if (done && n->n_params > 1) /* y = (conv + bias) * scale + shift */
        for (int oc = 0; oc < OC; oc++)
            s->bias[oc] += net->params[n->param + 1].data[oc] * (scale ? scale[oc] : 1.0f);
    if (done) {
        axis_taps taps[2] = {{0, indices, indices + KH}, {0, indices + 2 * KH, indices + 2 * KH + KW}};
        const weight_view v = {weight->data, scale, OC, IC, (ptrdiff_t)IC * KH * KW, (ptrdiff_t)KH * KW, KW, false};
        done = pack_forward(plan, s, &v, taps) && (!s->need_x || pack_backward(plan, s, &v, taps));
    }
    free(indices);
    free(scale);
    return done || cr_fail(err, "out of memory for the packed weights of %s", n->name);
}

static void release_part(conv_part *part)
{
    free(part->tap);
    free(part->w);
}

void conv_release(step *s)
{
    release_part(&s->forward);
    for (int i = 0; i < s->n_backward; i++)
        release_part(&s->backward[i]);
    free(s->backward);
}

/* ---- running ---- */

/* Cuts a convolution into (image, tile of output channels, chunk of rows) and runs the pieces on all threads. Either the
 * weights or the rows of x should stay in a core's second-level cache while the other streams by: the larger of the two
 * is walked through once. */
static void run(const kernels *k, const conv_task *task, int out_channels, int OH, int N, const tensor *x,
                const tensor *y, const tensor *add)
{
    const int tiles = (out_channels + k->oc_tile - 1) / k->oc_tile;
    const size_t weight_size = (size_t)tiles * (size_t)k->oc_tile * (size_t)x->C * (size_t)task->n_taps;
    const bool tiles_outer = weight_size > (size_t)x->image;
    const int row_chunk = tiles_outer ? (OH + 1) / 2 : 4;
    const int chunks = (OH + row_chunk - 1) / row_chunk;
    const int pieces = tiles * chunks;

#pragma omp parallel for schedule(static)
    for (int i = 0; i < N * pieces; i++) {
        const int n = i / pieces, piece = i % pieces;
        const int tile = tiles_outer ? piece / chunks : piece % tiles;
        const int row0 = (tiles_outer ? piece % chunks : piece / tiles) * row_chunk;
        conv_task part = *task;
        part.x.p += n * x->image;
        part.y.p += n * y->image;
        if (add)
            part.add.p += n * add->image;
        k->conv(&part, tile, row0, row0 + row_chunk < OH ? row0 + row_chunk : OH);
    }
}

void conv_forward(const cr_plan *plan, const step *s, float *arena)
{
    const cr_node *n = &plan->net->nodes[s->node];
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last], *add = s->add >= 0 ? &plan->value[s->add] : NULL;
    conv_task task = {
        .x = tensor_map(arena, x, 0),
        .in_block = x->block,
        .n_in = x->blocks,
        .tap = s->forward.tap,
        .n_taps = s->forward.n_taps,
        .w = s->forward.w,
        .bias = s->bias,
        .y = tensor_map(arena, y, 0),
        .out_blocks = y->blocks,
        .OW = y->W,
        .relu = s->relu,
    };
    task.x.row *= n->stride[0];
    task.x.col *= n->stride[1];
    if (add)
        task.add = tensor_map(arena, add, 0);
    run(plan->k, &task, y->C, y->H, plan->N, x, y, add);
}

void conv_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const cr_node *n = &plan->net->nodes[s->node];
    const tensor *dx = &plan->grad[s->x];
    for (int i = 0; i < s->n_backward; i++) {
        const conv_part *part = &s->backward[i];
        if (part->count[0] == 0 || part->count[1] == 0 || (part->n_taps == 0 && !s->first_x))
            continue; /* no such pixels, or nothing to add to them */
        conv_task task = {
            .x = tensor_map(arena, dy, 0),
            .in_block = dy->block,
            .n_in = dy->blocks,
            .tap = part->tap,
            .n_taps = part->n_taps,
            .w = part->w,
            .y = tensor_map(arena, dx, 0),
            .out_blocks = dx->blocks,
            .OW = part->count[1],
        };
        task.y.p += part->first[0] * dx->row + part->first[1] * dx->block;
        task.y.row *= n->stride[0];
        task.y.col *= n->stride[1];
        if (!s->first_x)
            task.add = task.y;
        run(plan->k, &task, dx->C, part->count[0], plan->N, dy, dx, s->first_x ? NULL : dx);
    }
}
