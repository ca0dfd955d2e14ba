/* pack.c - weights in the order in which the convolution's register tile reads them, with batchnorm folded in:
 * (OC/oc_tile, IC/block, taps, block, oc_tile), zeros where channels are padded. The output channels of a backward are the
 * convolution's input channels. */
#include <stdlib.h>
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

/* All taps of one pair of channels. */
static void pack_pair(float *to, ptrdiff_t tap_step, const weight_view *v, int out, int in, const conv_part *part)
{
    const float *from = v->w + out * v->out_step + in * v->in_step;
    const float scale = !v->scale ? 1.0f : v->scale[v->scale_by_in ? in : out];
    for (int h = 0; h < part->taps[0]; h++)
        for (int w = 0; w < part->taps[1]; w++, to += tap_step)
            *to = from[part->k[0][h] * v->KW + part->k[1][w]] * scale;
}

/* One tile of output channels. The loops walk through the source in its own order, and scatter within a block. */
static void pack_tile(float *packed, const weight_view *v, int tile, int oc_tile, int in_block, const conv_part *part)
{
    const int out0 = tile * oc_tile, outs = v->outs - out0 < oc_tile ? v->outs - out0 : oc_tile;
    const ptrdiff_t tap_step = (ptrdiff_t)in_block * oc_tile, block = tap_step * part->taps[0] * part->taps[1];
    for (int in0 = 0; in0 < v->ins; in0 += in_block, packed += block) {
        const int ins = v->ins - in0 < in_block ? v->ins - in0 : in_block;
        if (outs < oc_tile || ins < in_block) /* padding channels */
            memset(packed, 0, sizeof *packed * (size_t)block);
        if (v->out_step > v->in_step)
            for (int o = 0; o < outs; o++)
                for (int i = 0; i < ins; i++)
                    pack_pair(packed + (ptrdiff_t)i * oc_tile + o, tap_step, v, out0 + o, in0 + i, part);
        else
            for (int i = 0; i < ins; i++)
                for (int o = 0; o < outs; o++)
                    pack_pair(packed + (ptrdiff_t)i * oc_tile + o, tap_step, v, out0 + o, in0 + i, part);
    }
}

/* Fills a part's tap offsets and weights. x: the tensor that the taps step through. */
static bool pack_part(cr_plan *plan, conv_part *part, const weight_view *v, const tensor *x)
{
    const int oc_tile = plan->k->oc_tile, tiles = (v->outs + oc_tile - 1) / oc_tile;
    const size_t taps = (size_t)part->taps[0] * (size_t)part->taps[1];
    const size_t tile_size = (size_t)x->blocks * (size_t)x->block * taps * (size_t)oc_tile;
    part->tap = calloc(taps + 1, sizeof *part->tap);
    part->w = aligned_floats((size_t)tiles * tile_size);
    if (!part->tap || !part->w)
        return false;
    plan->packed += (size_t)tiles * tile_size * sizeof *part->w;
    for (int h = 0; h < part->taps[0]; h++)
        for (int w = 0; w < part->taps[1]; w++)
            part->tap[h * part->taps[1] + w] =
                (int32_t)(part->offset[0][h] * x->row + part->offset[1][w] * (ptrdiff_t)x->block);
#pragma omp parallel for schedule(static)
    for (int tile = 0; tile < tiles; tile++)
        pack_tile(part->w + (size_t)tile * tile_size, v, tile, oc_tile, x->block, part);
    return true;
}

bool conv_pack(cr_plan *plan, step *s, cr_error *err)
{
    const cr_net *net = plan->net;
    const cr_node *n = &net->nodes[s->node];
    const cr_param *weight = &net->params[n->param];
    const int OC = weight->dim[0], IC = weight->dim[1], KH = n->kernel[0], KW = n->kernel[1];
    const int tiles = (OC + plan->k->oc_tile - 1) / plan->k->oc_tile;

    float *scale = NULL;
    s->bias = aligned_zeros((size_t)tiles * (size_t)plan->k->oc_tile);
    bool done = s->bias != NULL;
    if (done && s->batchnorm >= 0) {
        scale = aligned_zeros((size_t)OC);
        done = scale != NULL;
        if (done)
            batchnorm_affine(net, s->batchnorm, scale, s->bias);
    }
    if (done && n->n_params > 1) /* y = (conv + bias) * scale + shift */
        for (int oc = 0; oc < OC; oc++)
            s->bias[oc] += net->params[n->param + 1].data[oc] * (scale ? scale[oc] : 1.0f);
    if (done) {
        const ptrdiff_t out_step = (ptrdiff_t)IC * KH * KW, in_step = (ptrdiff_t)KH * KW;
        const weight_view forward = {weight->data, scale, OC, IC, out_step, in_step, KW, false};
        const weight_view backward = {weight->data, scale, IC, OC, in_step, out_step, KW, true};
        done = pack_part(plan, &s->forward, &forward, &plan->value[s->x]);
        for (int i = 0; done && i < s->n_backward; i++)
            done = pack_part(plan, &s->backward[i], &backward, &plan->grad[s->last]);
    }
    free(scale);
    return done || cr_fail(err, "out of memory for the packed weights of %s", n->name);
}
