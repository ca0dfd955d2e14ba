/* pool.c - pooling over blocked feature maps. Max-pool forward is a fast kernel; the rest moves few bytes and is plain
 * loops over the 16 channels of a block. Work is cut into (image, channel block) pieces. */
#include <string.h>

#include "ops.h"

window node_window(const cr_node *n)
{
    window win;
    memcpy(win.kernel, n->kernel, sizeof win.kernel);
    memcpy(win.stride, n->stride, sizeof win.stride);
    memcpy(win.pad, n->pad, sizeof win.pad);
    memcpy(win.dilation, n->dilation, sizeof win.dilation);
    return win;
}

/* Channel block b of image n. */
static map block_map(float *arena, const tensor *t, int n, int b)
{
    map m = tensor_map(arena, t, n);
    m.p += b * t->plane;
    return m;
}

/* ---- max ---- */

static uint8_t *argmax_block(float *arena, const tensor *argmax, int n, int b)
{
    size_t plane = (size_t)argmax->H * (size_t)argmax->W * BLOCK;
    return (uint8_t *)(arena + argmax->offset) + ((size_t)n * (size_t)argmax->blocks + (size_t)b) * plane;
}

/* Shared out by rows, as convolutions are: most of x then lies in the cache of the core that wrote it. */
void maxpool_forward(const cr_plan *plan, const step *s, float *arena)
{
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last];
    const window win = node_window(&plan->net->nodes[s->node]);
    const int parts = smaller(plan->threads, y->H);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * parts * y->blocks; i++) {
        const int n = i / (parts * y->blocks), part = i / y->blocks % parts, b = i % y->blocks;
        uint8_t *argmax = tensor_exists(&s->argmax) ? argmax_block(arena, &s->argmax, n, b) : NULL;
        plan->k->maxpool(block_map(arena, y, n, b), argmax, block_map(arena, x, n, b), x->H, x->W, y->W,
                         part_start(y->H, parts, part), part_start(y->H, parts, part + 1), &win);
    }
}

void maxpool_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const tensor *dx = &plan->grad[s->x];
    const window win = node_window(&plan->net->nodes[s->node]);
    if (s->first_x)
        zero_all(plan, dx, arena);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * dy->blocks; i++) {
        const int n = i / dy->blocks, b = i % dy->blocks;
        const map mdx = block_map(arena, dx, n, b), mdy = block_map(arena, dy, n, b);
        const uint8_t *argmax = argmax_block(arena, &s->argmax, n, b);
        for (int oh = 0; oh < dy->H; oh++)
            for (int ow = 0; ow < dy->W; ow++, argmax += BLOCK)
                for (int c = 0; c < BLOCK; c++) {
                    int kh = argmax[c] / win.kernel[1], kw = argmax[c] % win.kernel[1];
                    int ih = oh * win.stride[0] - win.pad[0] + kh * win.dilation[0];
                    int iw = ow * win.stride[1] - win.pad[1] + kw * win.dilation[1];
                    mdx.p[ih * mdx.row + iw * mdx.col + c] += mdy.p[oh * mdy.row + ow * mdy.col + c];
                }
    }
}

/* ---- average ---- */

/* The input rows or columns that output position o averages, clipped to the picture, and the full length to divide by. */
typedef struct bin {
    int start, end, length;
} bin;

static bin bin_of(const cr_node *node, int axis, int o, int size, int count)
{
    bin r;
    if (node->op == CR_ADAPTIVE_AVGPOOL) {
        r.start = (int)((int64_t)o * size / count);
        r.end = (int)((((int64_t)o + 1) * size + count - 1) / count);
        r.length = r.end - r.start;
    } else {
        r.start = o * node->stride[axis] - node->pad[axis];
        r.end = r.start + node->kernel[axis];
        r.length = node->kernel[axis];
        r.start = r.start < 0 ? 0 : r.start;
        r.end = r.end > size ? size : r.end;
    }
    return r;
}

void avgpool_forward(const cr_plan *plan, const step *s, float *arena)
{
    const cr_node *node = &plan->net->nodes[s->node];
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last];
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * y->blocks; i++) {
        const map mx = block_map(arena, x, i / y->blocks, i % y->blocks);
        const map my = block_map(arena, y, i / y->blocks, i % y->blocks);
        for (int oh = 0; oh < y->H; oh++)
            for (int ow = 0; ow < y->W; ow++) {
                const bin h = bin_of(node, 0, oh, x->H, y->H), w = bin_of(node, 1, ow, x->W, y->W);
                float sum[BLOCK] = {0};
                for (int ih = h.start; ih < h.end; ih++)
                    for (int iw = w.start; iw < w.end; iw++)
                        for (int c = 0; c < BLOCK; c++)
                            sum[c] += mx.p[ih * mx.row + iw * mx.col + c];
                for (int c = 0; c < BLOCK; c++)
                    my.p[oh * my.row + ow * my.col + c] = sum[c] / ((float)h.length * (float)w.length);
            }
    }
}

void avgpool_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const cr_node *node = &plan->net->nodes[s->node];
    const tensor *dx = &plan->grad[s->x];
    if (s->first_x)
        zero_all(plan, dx, arena);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * dy->blocks; i++) {
        const map mdx = block_map(arena, dx, i / dy->blocks, i % dy->blocks);
        const map mdy = block_map(arena, dy, i / dy->blocks, i % dy->blocks);
        for (int oh = 0; oh < dy->H; oh++)
            for (int ow = 0; ow < dy->W; ow++) {
                const bin h = bin_of(node, 0, oh, dx->H, dy->H), w = bin_of(node, 1, ow, dx->W, dy->W);
                for (int ih = h.start; ih < h.end; ih++)
                    for (int iw = w.start; iw < w.end; iw++)
                        for (int c = 0; c < BLOCK; c++)
                            mdx.p[ih * mdx.row + iw * mdx.col + c] +=
                                mdy.p[oh * mdy.row + ow * mdy.col + c] / ((float)h.length * (float)w.length);
            }
    }
}
