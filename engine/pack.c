/* pack.c - parameters as the kernels read them. Weights lie in the order in which the convolution's register tile reads them, with batchnorm folded in:
 * (OC/oc_tile, IC/block, taps, block, oc_tile), zeros where channels are padded. The output channels of a backward are the
 * convolution's input channels. Taps of Winograd's convolutions are multiplied by WINOGRAD_POWERS. */
#include <string.h>

#include "ops.h"

/* Element (out, in, kh, kw) of the sum is w[out * out_step + in * in_step + kh * KW + kw] * scale[oc], where oc is `out`
 * in a forward and `in` in a backward. */
typedef struct weight_view {
    const float *w, *scale; /* scale may be NULL */
    int outs, ins;
    ptrdiff_t out_step, in_step;
    int KW;
    bool scale_by_in;
} weight_view;

/* One tap of outs x ins channels. The loops walk through the source in its own order, and scatter within a block that
 * stays in the first-level cache. */
static void pack_tap(float *packed, const weight_view *v, const float *from, float power, int out0, int outs, int in0, int ins,
                     int oc_tile)
{
    if (!v->scale_by_in)
        for (int o = 0; o < outs; o++) {
            const float scale = v->scale ? v->scale[out0 + o] : 1.0f;
            for (int i = 0; i < ins; i++)
                packed[i * oc_tile + o] = from[o * v->out_step + i * v->in_step] * scale * power;
        }
    else
        for (int i = 0; i < ins; i++) {
            const float scale = v->scale ? v->scale[in0 + i] : 1.0f;
            for (int o = 0; o < outs; o++)
                packed[i * oc_tile + o] = from[o * v->out_step + i * v->in_step] * scale * power;
        }
}

static void pack_tile(float *packed, const weight_view *v, int tile, int oc_tile, int in_block, const conv_part *part)
{
    const int out0 = tile * oc_tile, outs = v->outs - out0 < oc_tile ? v->outs - out0 : oc_tile;
    const ptrdiff_t tap_size = (ptrdiff_t)in_block * oc_tile;
    for (int in0 = 0; in0 < v->ins; in0 += in_block) {
        const int ins = v->ins - in0 < in_block ? v->ins - in0 : in_block;
        const float *pair = v->w + out0 * v->out_step + in0 * v->in_step;
        for (int h = 0; h < part->taps[0]; h++)
            for (int w = 0; w < part->taps[1]; w++, packed += tap_size) {
                if (outs < oc_tile || ins < in_block) /* padding channels */
                    memset(packed, 0, sizeof *packed * (size_t)tap_size);
                const float power = part->winograd ? WINOGRAD_POWERS[h] * WINOGRAD_POWERS[w] : 1.0f;
                pack_tap(packed, v, pair + part->k[0][h] * v->KW + part->k[1][w], power, out0, outs, in0, ins, oc_tile);
            }
    }
}

static int oc_tiles(const cr_plan *plan, int channels)
{
    return (channels + plan->k->oc_tile - 1) / plan->k->oc_tile;
}

/* Floats of one tile of output channels. x: the tensor that the taps step through. */
static size_t tile_size(const cr_plan *plan, const conv_part *part, const tensor *x)
{
    return (size_t)x->blocks * (size_t)x->block * (size_t)(part->taps[0] * part->taps[1]) * (size_t)plan->k->oc_tile;
}

static size_t packed_floats(const cr_plan *plan, const conv_part *part, const tensor *x, int outs)
{
    return (size_t)oc_tiles(plan, outs) * tile_size(plan, part, x);
}

size_t conv_packed_size(const cr_plan *plan, const step *s)
{
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last], *dy = &plan->grad[s->last];
    size_t size = (size_t)oc_tiles(plan, y->C) * (size_t)plan->k->oc_tile; /* bias */
    size += packed_floats(plan, &s->forward, x, y->C);
    for (int i = 0; i < s->n_backward; i++)
        size += packed_floats(plan, &s->backward[i], dy, x->C);
    return size;
}

/* Fills a part's tap offsets and weights; returns what lies behind them. */
static float *pack_part(const cr_plan *plan, conv_part *part, const weight_view *v, const tensor *x, float *packed)
{
    for (int h = 0; h < part->taps[0]; h++)
        for (int w = 0; w < part->taps[1]; w++)
            part->tap[h * part->taps[1] + w] =
                (int32_t)(part->offset[0][h] * x->row + part->offset[1][w] * (ptrdiff_t)x->block);
    part->w = packed;
    const size_t size = tile_size(plan, part, x);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int tile = 0; tile < oc_tiles(plan, v->outs); tile++)
        pack_tile(packed + (size_t)tile * size, v, tile, plan->k->oc_tile, x->block, part);
    return packed + (size_t)oc_tiles(plan, v->outs) * size;
}

/* Fills bias and scales, so that y = conv * scale + bias; returns scales, or NULL where every scale is 1. */
static const float *fold(const cr_net *net, const step *s, float *bias, float *scales)
{
    const cr_node *n = &net->nodes[s->node];
    if (s->batchnorm >= 0)
        batchnorm_affine(net, s->batchnorm, scales, bias);
    if (n->n_params > 1)
        for (int oc = 0; oc < n->channels; oc++)
            bias[oc] += net->params[n->param + 1].data[oc] * (s->batchnorm >= 0 ? scales[oc] : 1.0f);
    return s->batchnorm >= 0 ? scales : NULL;
}

float *conv_pack(const cr_plan *plan, step *s, float *packed)
{
    const cr_net *net = plan->net;
    const cr_node *n = &net->nodes[s->node];
    const cr_param *weight = &net->params[n->param];
    const int OC = weight->dim[0], IC = weight->dim[1], KH = n->kernel[0], KW = n->kernel[1];
    const size_t padded = (size_t)oc_tiles(plan, OC) * (size_t)plan->k->oc_tile;

    s->bias = memset(packed, 0, padded * sizeof *packed);
    const float *scale = fold(net, s, s->bias, plan->scales);
    const ptrdiff_t out_step = (ptrdiff_t)IC * KH * KW, in_step = (ptrdiff_t)KH * KW;
    const weight_view forward = {weight->data, scale, OC, IC, out_step, in_step, KW, false};
    const weight_view backward = {weight->data, scale, IC, OC, in_step, out_step, KW, true};
    packed = pack_part(plan, &s->forward, &forward, &plan->value[s->x], packed + padded);
    for (int i = 0; i < s->n_backward; i++)
        packed = pack_part(plan, &s->backward[i], &backward, &plan->grad[s->last], packed);
    return packed;
}

bool cr_node_bias(const cr_net *net, int node, float *bias)
{
    const cr_node *n = &net->nodes[node];
    if (n->op == CR_BATCHNORM) {
        batchnorm_affine(net, node, NULL, bias);
        return true;
    }
    if ((n->op != CR_CONV2D && n->op != CR_LINEAR) || n->n_params < 2)
        return false;
    memcpy(bias, net->params[n->param + 1].data, (size_t)n->channels * sizeof *bias);
    return true;
}
