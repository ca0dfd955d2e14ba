/* kernels.c - the fast kernels, written once with the compilers' vector extensions.
 *
 * The Makefile compiles this file once per instruction set, with KERNELS=<name of the table>, VEC_BYTES=<vector size>,
 * OC_VECS and TILE_PIXELS=<register tile> and the flags that enable the set. A vec holds VL channels of one pixel.
 *
 * The one idea of the convolution is its register tile: OC_VECS vectors of output channels times TILE_PIXELS pixels are
 * accumulated in registers over all taps and input channels; each step loads OC_VECS vectors of weights, which
 * every pixel shares, and broadcasts one input value per pixel. AVX-512 has 32 registers: 2 x 14 accumulators + 2
 * weights. Each output is one sum in a fixed order, whatever tile it falls in, so bits do not depend on threads or
 * batch. */
#include "kernels.h"
#include "linear_kernels.h"
#include "pool_kernels.h"
#include "vec.h"
#include "winograd_kernels.h"

enum { NEAR = 8 }; /* steps of a direct tile, of one input channel and tap each */

/* ---- convolution ---- */

/* What a tile fetches into the cache for those behind it. */
typedef struct fetched {
    const float *w; /* weights, a cache line for each input channel and tap */
    const float *x; /* the next tile's pixels */
} fetched;

/* R rows x P pixels x OC_TILE channels. R and P are constants in every call, so the loops over them unroll and acc lives in
 * registers. So are col (x.col), and in_block (x.block) and n_taps where they are 1: then there is no such loop.
 *
 * Weights come from the second-level cache, pixels often from further away, and a core looks only a few steps ahead: so each
 * step fetches the weights of the step NEAR steps later, and a pixel of the next tap or block. */
INLINE void conv_tile(const conv_task *task, const float *w, const float *x, fetched ahead, float *y, const float *add,
                      int oc0, int R, int P, int in_block, int n_taps, ptrdiff_t col)
{
    vec acc[MOST_PIXELS][OC_VECS];
    for (int v = 0; v < OC_VECS; v++)
        for (int p = 0; p < R * P; p++)
            acc[p][v] = (vec){0};
    if (task->bias)
        for (int v = 0; v < OC_VECS; v++)
            for (int p = 0; p < R * P; p++)
                acc[p][v] = load(task->bias + oc0 + v * VL);

    for (int block = 0; block < task->n_in; block++) {
        const float *next_block = block + 1 < task->n_in ? x + task->x.block : ahead.x;
        for (int t = 0; t < n_taps; t++) {
            const float *at = x + task->tap[t];
            const float *next = t + 1 < n_taps ? x + task->tap[t + 1] : next_block + task->tap[0];
            for (int ic = 0; ic < in_block; ic++, at++, w += OC_TILE, ahead.w += BLOCK, next += col) {
                __builtin_prefetch(ahead.w);
                for (int line = 0; line < OC_TILE; line += BLOCK)
                    __builtin_prefetch(w + NEAR * OC_TILE + line);
                if (in_block > 1)
                    __builtin_prefetch(next);
                vec weight[OC_VECS];
                for (int v = 0; v < OC_VECS; v++)
                    weight[v] = load(w + v * VL);
                for (int r = 0; r < R; r++)
                    for (int p = 0; p < P; p++) {
                        float value = at[r * task->x.row + p * col];
                        for (int v = 0; v < OC_VECS; v++)
                            acc[r * P + p][v] += weight[v] * value;
                    }
            }
        }
        x = next_block;
    }

    /* Three loops, each so short that compilers unroll it and keep acc in registers. */
    const ptrdiff_t y_block = task->y.block, y_row = task->y.row, y_col = task->y.col;
    const int vecs = (task->out_blocks * BLOCK - oc0) / VL; /* fewer than OC_VECS behind the last channel */
    y += oc0 / BLOCK * y_block;
    if (add) {
        const ptrdiff_t add_block = task->add.block, add_row = task->add.row, add_col = task->add.col;
        add += oc0 / BLOCK * add_block;
        for (int v = 0; v < OC_VECS; v++)
            if (v < vecs)
                for (int r = 0; r < R; r++)
                    for (int p = 0; p < P; p++)
                        acc[r * P + p][v] += load(add + v * VL / BLOCK * add_block + r * add_row + p * add_col + v * VL % BLOCK);
    }
    if (task->relu)
        for (int v = 0; v < OC_VECS; v++)
            for (int p = 0; p < R * P; p++)
                acc[p][v] = relu_vec(acc[p][v]);
    for (int v = 0; v < OC_VECS; v++)
        if (v < vecs)
            for (int r = 0; r < R; r++)
                for (int p = 0; p < P; p++)
                    store(y + v * VL / BLOCK * y_block + r * y_row + p * y_col + v * VL % BLOCK, acc[r * P + p][v]);
}

#define TILE_CASE(R, P)                                                             \
    case P:                                                                         \
        if (P * R <= TILE_PIXELS)                                                   \
            conv_tile(task, w, x, ahead, y, add, oc0, R, P, in_block, n_taps, col); \
        break;

/* One tile of R rows x width pixels, width <= TILE_PIXELS / R. */
INLINE void conv_width(const conv_task *task, const float *w, const float *x, fetched ahead, float *y, const float *add,
                       int oc0, int R, int width, int in_block, int n_taps, ptrdiff_t col)
{
    switch (width) {
        TILE_CASE(R, 1) TILE_CASE(R, 2) TILE_CASE(R, 3) TILE_CASE(R, 4) TILE_CASE(R, 5) TILE_CASE(R, 6) TILE_CASE(R, 7)
        TILE_CASE(R, 8) TILE_CASE(R, 9) TILE_CASE(R, 10) TILE_CASE(R, 11) TILE_CASE(R, 12) TILE_CASE(R, 13)
        TILE_CASE(R, 14)
    }
}

/* The weights that a tile fetches: the first tiles of a call those of the next tile of channels, from memory. */
INLINE const float *next_weights(const conv_task *task, const float *w, int pass)
{
    const ptrdiff_t steps = (ptrdiff_t)task->n_in * task->n_taps * task->in_block;
    const ptrdiff_t from = pass * steps * BLOCK, end = steps * OC_TILE;
    return from < end ? w + end + from : w;
}

/* Rows are cut into tiles of nearly equal width; narrow maps take two rows in one tile. */
INLINE void conv_rows(const conv_task *task, int tile, int row0, int row1, int in_block, int n_taps, ptrdiff_t col)
{
    const float *w = task->w + tile * task->w_tile;
    const int oc0 = tile * OC_TILE, OW = task->OW, tiles = (OW + TILE_PIXELS - 1) / TILE_PIXELS;
    const int narrow = OW / tiles, wide = OW % tiles; /* so many tiles are one pixel wider */
    const map *mx = &task->x, *my = &task->y, *ma = &task->add;
    int pass = 0;
    for (int oh = row0; oh < row1;) {
        const bool two = 2 * OW <= TILE_PIXELS && oh + 1 < row1;
        const int next_row = oh + (two ? 2 : 1);
        const float *x = mx->p + oh * mx->row, *add = ma->p ? ma->p + oh * ma->row : NULL;
        float *y = my->p + oh * my->row;
        for (int i = 0; i < tiles; i++) {
            const int width = narrow + (i < wide);
            const float *next = i + 1 < tiles ? x + width * col : mx->p + next_row * mx->row;
            const fetched ahead = {next_weights(task, w, pass++), next};
            if (two)
                conv_width(task, w, x, ahead, y, add, oc0, 2, width, in_block, n_taps, col);
            else
                conv_width(task, w, x, ahead, y, add, oc0, 1, width, in_block, n_taps, col);
            x += width * col;
            y += width * my->col;
            add = add ? add + width * ma->col : NULL;
        }
        oh = next_row;
    }
}

enum { ANY_STEP_PIXELS = TILE_PIXELS < 4 ? TILE_PIXELS : 4 };

/* Any step between columns: tiles so narrow that the addresses stay in registers. */
static void conv_any_step(const conv_task *task, int tile, int row0, int row1)
{
    const float *w = task->w + tile * task->w_tile;
    const map *mx = &task->x, *my = &task->y, *ma = &task->add;
    for (int oh = row0; oh < row1; oh++)
        for (int ow = 0; ow < task->OW;) {
            const float *x = mx->p + oh * mx->row + ow * mx->col;
            const float *add = ma->p ? ma->p + oh * ma->row + ow * ma->col : NULL;
            float *y = my->p + oh * my->row + ow * my->col;
            const fetched ahead = {w, x};
            if (ow + ANY_STEP_PIXELS <= task->OW) {
                conv_tile(task, w, x, ahead, y, add, tile * OC_TILE, 1, ANY_STEP_PIXELS, task->in_block, task->n_taps, mx->col);
                ow += ANY_STEP_PIXELS;
            } else {
                conv_tile(task, w, x, ahead, y, add, tile * OC_TILE, 1, 1, task->in_block, task->n_taps, mx->col);
                ow++;
            }
        }
}

/* conv_rows for the steps that networks have. Functions of their own: in one, the compiler is short of registers for all of
 * them, and keeps the innermost loops' counters in memory. */
#define ROWS_OF(name, in_block, n_taps, col)                                                        \
    __attribute__((noinline)) static void name(const conv_task *task, int tile, int row0, int row1) \
    {                                                                                               \
        conv_rows(task, tile, row0, row1, in_block, n_taps, col);                                   \
    }
ROWS_OF(pointwise_rows_of_stride_1, BLOCK, 1, BLOCK)
ROWS_OF(pointwise_rows_of_stride_2, BLOCK, 1, 2 * BLOCK)
ROWS_OF(rows_of_stride_1, BLOCK, task->n_taps, BLOCK)
ROWS_OF(rows_of_stride_2, BLOCK, task->n_taps, 2 * BLOCK)
ROWS_OF(plain_rows_of_stride_1, 1, task->n_taps, 1) /* plain input: VGG's first layer */
ROWS_OF(plain_rows_of_stride_2, 1, task->n_taps, 2) /* ResNet's */
ROWS_OF(plain_rows_of_stride_4, 1, task->n_taps, 4) /* AlexNet's */

static void conv(const conv_task *task, int tile, int row0, int row1)
{
    const ptrdiff_t stride = task->x.col / task->in_block;
    const bool plain = task->in_block == 1;
    if (task->in_block == BLOCK && stride == 1 && task->n_taps == 1)
        pointwise_rows_of_stride_1(task, tile, row0, row1);
    else if (task->in_block == BLOCK && stride == 2 && task->n_taps == 1)
        pointwise_rows_of_stride_2(task, tile, row0, row1);
    else if (task->in_block == BLOCK && stride == 1)
        rows_of_stride_1(task, tile, row0, row1);
    else if (task->in_block == BLOCK && stride == 2)
        rows_of_stride_2(task, tile, row0, row1);
    else if (plain && stride == 1)
        plain_rows_of_stride_1(task, tile, row0, row1);
    else if (plain && stride == 2)
        plain_rows_of_stride_2(task, tile, row0, row1);
    else if (plain && stride == 4)
        plain_rows_of_stride_4(task, tile, row0, row1);
    else
        conv_any_step(task, tile, row0, row1);
}

const kernels KERNELS = {
    .name = KERNELS_NAME,
    .oc_tile = OC_TILE,
    .few_tiles = FEW_TILES,
    .conv = conv,
    .winograd_input = winograd_input,
    .winograd_multiply = winograd_multiply,
    .winograd_output = winograd_output,
    .linear = linear,
    .linear_backward = linear_backward,
    .relu = relu_rows,
    .add = add_rows,
    .relu_mask = relu_mask,
    .maxpool = maxpool,
    .training = &TRAINING_KERNELS,
};
