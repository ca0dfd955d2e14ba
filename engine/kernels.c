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
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "linear_kernels.h"
#include "vec.h"
#include "winograd_transforms.h"

enum {
    MOST_PIXELS = 14,
    U_POINT = BLOCK * OC_TILE + BLOCK, /* an odd number of cache lines, as in winograd.c */
    NEAR = 8,                          /* steps of a direct tile, of one input channel and tap each */
    AHEAD = OC_TILE / 4,               /* lines fetched for each of the 36 points: together a block of a 3x3 kernel's weights */
};

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

/* ---- max-pool ---- */

/* One window of 16 channels at x, taps kh0 <= kh < kh1 and likewise kw. argmax may be NULL, a constant in every call. */
INLINE void maxpool_window(float *y, uint8_t *argmax, const float *x, ptrdiff_t row, ptrdiff_t col, int kh0, int kh1,
                           int kw0, int kw1, int KW)
{
    for (int v = 0; v < BLOCK; v += VL) {
        vec best = (vec){0} - INFINITY;
        ivec at = (ivec){0} + (kh0 * KW + kw0);
        for (int kh = kh0; kh < kh1; kh++)
            for (int kw = kw0; kw < kw1; kw++) {
                const vec value = load(x + kh * row + kw * col + v);
                /* A NaN stays: nothing is greater than it. Of several the last one does, as in PyTorch. */
                const ivec nan = value != value;
                if (argmax) {
                    const ivec wins = (value > best) | nan;
                    at = (wins & (kh * KW + kw)) | (~wins & at);
                }
                best = choose(nan, value, max_vec(value, best));
            }
        store(y + v, best);
        if (argmax)
            for (int l = 0; l < VL; l++)
                argmax[v + l] = (uint8_t)at[l];
    }
}

/* First tap inside the picture, and the first behind it, of a window that starts at `start`. They divide at borders alone. */
INLINE int first_tap(int start, int dilation)
{
    return start < 0 ? (-start + dilation - 1) / dilation : 0;
}

INLINE int end_tap(int start, int dilation, int taps, int size)
{
    return start + (taps - 1) * dilation < size ? taps : (size - start + dilation - 1) / dilation;
}

static void maxpool(map y, uint8_t *argmax, map x, int H, int W, int OW, int row0, int row1, const window *win)
{
    const ptrdiff_t row = win->dilation[0] * x.row, col = win->dilation[1] * x.col;
    for (int oh = row0; oh < row1; oh++) {
        const int top = oh * win->stride[0] - win->pad[0], kh0 = first_tap(top, win->dilation[0]);
        const int kh1 = end_tap(top, win->dilation[0], win->kernel[0], H), KW = win->kernel[1];
        for (int ow = 0; ow < OW; ow++) {
            const int left = ow * win->stride[1] - win->pad[1], kw0 = first_tap(left, win->dilation[1]);
            const int kw1 = end_tap(left, win->dilation[1], KW, W);
            float *to = y.p + oh * y.row + ow * y.col;
            const float *from = x.p + top * x.row + left * x.col;
            if (argmax)
                maxpool_window(to, argmax + (oh * OW + ow) * BLOCK, from, row, col, kh0, kh1, kw0, kw1, KW);
            else if (kh0 == 0 && kh1 == 3 && kw0 == 0 && kw1 == 3) /* most: constants, so that its loops unroll */
                maxpool_window(to, NULL, from, row, col, 0, 3, 0, 3, 3);
            else
                maxpool_window(to, NULL, from, row, col, kh0, kh1, kw0, kw1, KW);
        }
    }
}

/* ---- elementwise: plain loops, which the compiler vectorises ---- */

static void relu_rows(float *y, const float *x, int count)
{
    for (int i = 0; i < count; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

static void add_rows(float *y, const float *a, const float *b, int count)
{
    for (int i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

static void relu_mask(float *dx, const float *dy, const float *y, int count)
{
    for (int i = 0; i < count; i++)
        dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}

/* ---- Winograd's minimal filtering: winograd_transforms.h has the mathematics ---- */

/* n, k: rows and columns of points */
INLINE void transform_input(float *V, ptrdiff_t point, const float *x, ptrdiff_t row, int n, int k, int rows, int cols)
{
    for (int v = 0; v < BLOCK; v += VL) {
        vec half[SIDE][SIDE]; /* [column][row of B^T d] */
        for (int j = 0; j < k; j++) {
            vec d[SIDE] = {0};
            for (int i = 0; i < n; i++)
                if (i < rows && j < cols)
                    d[i] = load(x + i * row + j * BLOCK + v);
            apply_B(half[j], d, n);
        }
        for (int i = 0; i < n; i++) {
            vec d[SIDE], r[SIDE];
            for (int j = 0; j < k; j++)
                d[j] = half[j][i];
            apply_B(r, d, k);
            for (int j = 0; j < k; j++)
                store(V + (i * SIDE + j) * point + v, r[j]);
        }
    }
}

static void winograd_input(float *V, ptrdiff_t point, const float *x, ptrdiff_t row, const int points[2], int rows, int cols)
{
    if (points[0] < SIDE || points[1] < SIDE)
        transform_input(V, point, x, row, points[0], points[1], points[0], points[1]);
    else if (rows >= SIDE && cols >= SIDE)
        transform_input(V, point, x, row, SIDE, SIDE, SIDE, SIDE);
    else
        transform_input(V, point, x, row, SIDE, SIDE, rows, cols);
}

/* Row i of U = G g G^T for VL output channels; i and taps are constants in every call. */
INLINE void weights_row(vec u[SIDE], const float *w, int taps, int i)
{
    enum { TAP = BLOCK * OC_TILE };
    vec row[MOST_TAPS];
    for (int kw = 0; kw < taps; kw++) {
        vec g[MOST_TAPS], column[SIDE]; /* of G g, of which one element is used and computed */
        for (int kh = 0; kh < taps; kh++)
            g[kh] = load(w + (kh * taps + kw) * TAP);
        apply_G(column, g, taps);
        row[kw] = column[i];
    }
    apply_G(u, row, taps);
}

/* The same for a block of input channels and OC_TILE output channels. */
INLINE void weights_block(float *U, const float *w, int taps, int i)
{
    for (int at = 0; at < BLOCK * OC_TILE; at += VL) {
        vec u[SIDE];
        weights_row(u, w + at, taps, i);
        for (int j = 0; j < SIDE; j++)
            store(U + j * U_POINT + at, u[j]);
    }
}

#define WEIGHTS_CASE(i)               \
    case i:                           \
        weights_block(U, w, taps, i); \
        break;

INLINE void weights_any_row(float *U, const float *w, int taps, int i)
{
    switch (i) {
        WEIGHTS_CASE(0) WEIGHTS_CASE(1) WEIGHTS_CASE(2) WEIGHTS_CASE(3) WEIGHTS_CASE(4) WEIGHTS_CASE(5)
    }
}

/* Q points of P tiles and OC_TILE channels; Q and P are constants in every call. One long chain of additions loses more to
 * rounding than the sum of short ones, and the output's transform magnifies it: so one block of input channels at a time.
 * ahead: what to fetch meanwhile, AHEAD lines for each point. */
INLINE void products_tile(const winograd_products *task, float *M, const float *V, const float *U, const float *ahead,
                          bool more, int Q, int P)
{
    const ptrdiff_t M_point = task->M_point, M_block = task->M_block, V_point = task->V_point;
    vec acc[MOST_PIXELS][OC_VECS];
    for (int q = 0; q < Q; q++)
        for (int p = 0; p < P; p++) {
            if (Q > 1)
                __builtin_prefetch(V + (Q + q) * V_point + p * BLOCK);
            for (int v = 0; v < OC_VECS; v++)
                acc[q * P + p][v] = (vec){0};
        }
    /* A line of weights is fetched every STEP channels, and where there is one point (else V was above), `lines` of V for the next
     * one and of M, which many tiles push out of the first-level cache. */
    enum { STEP = BLOCK / AHEAD };
    const int lines = Q > 1 ? 0 : (P + AHEAD - 1) / AHEAD;
    ptrdiff_t next = 0;
    for (int ic0 = 0; ic0 < BLOCK; ic0 += STEP) {
        for (int q = 0; q < Q; q++, ahead += BLOCK)
            __builtin_prefetch(ahead);
        for (int l = 0; l < lines; l++, next += BLOCK) {
            __builtin_prefetch(V + V_point + next);
            for (int v = 0; v < OC_TILE; v += BLOCK)
                __builtin_prefetch(M + v / BLOCK * M_block + next, 1);
        }
        for (int ic = ic0; ic < ic0 + STEP; ic++)
            for (int q = 0; q < Q; q++) {
                vec weight[OC_VECS];
                for (int v = 0; v < OC_VECS; v++)
                    weight[v] = load(U + q * U_POINT + ic * OC_TILE + v * VL);
                for (int p = 0; p < P; p++)
                    for (int v = 0; v < OC_VECS; v++)
                        acc[q * P + p][v] += weight[v] * V[q * V_point + p * BLOCK + ic];
            }
    }
    for (int q = 0; q < Q; q++)
        for (int v = 0; v < OC_VECS; v++) {
            float *to = M + q * M_point + v * VL / BLOCK * M_block + v * VL % BLOCK;
            if (more)
                for (int p = 0; p < P; p++)
                    acc[q * P + p][v] += load(to + p * BLOCK);
            for (int p = 0; p < P; p++)
                store(to + p * BLOCK, acc[q * P + p][v]);
        }
}

/* Points j0 <= j < j1 of a row, of P tiles: where they are few, as many points at once as there are registers for. */
INLINE void products_row(const winograd_products *task, float *M, const float *V, const float *U, const float *ahead,
                         bool more, int j0, int j1, int P)
{
    const int Q = 6 * P <= TILE_PIXELS ? 6 : 3 * P <= TILE_PIXELS ? 3 : 2 * P <= TILE_PIXELS ? 2 : 1;
    int j = j0;
    for (; j + Q <= j1; j += Q)
        products_tile(task, M + j * task->M_point, V + j * task->V_point, U + j * U_POINT, ahead + j * AHEAD * BLOCK, more, Q,
                      P);
    for (; Q > 1 && j < j1; j++)
        products_tile(task, M + j * task->M_point, V + j * task->V_point, U + j * U_POINT, ahead + j * AHEAD * BLOCK, more, 1,
                      P);
}

#define ROW_CASE(P)                                              \
    case P:                                                      \
        if (P <= TILE_PIXELS)                                    \
            products_row(task, M, V, U, ahead, more, j0, j1, P); \
        break;

/* Points j0 <= j < j1 of a row, of some tiles. A function of its own: else constants of the weights' transform take registers
 * from the sums. */
__attribute__((noinline)) static void products(const winograd_products *task, float *M, const float *V, const float *U,
                                               const float *ahead, bool more, int j0, int j1, int begin, int end)
{
    const int tiles = end - begin;
    if (tiles == 0 || j0 == j1)
        return;
    const int passes = (tiles + TILE_PIXELS - 1) / TILE_PIXELS, narrow = tiles / passes;
    const int wide = tiles % passes; /* so many are one tile wider */
    M += begin * BLOCK;
    V += begin * BLOCK;
    for (int i = 0; i < passes; i++) {
        const int width = narrow + (i < wide);
        switch (width) {
            ROW_CASE(1) ROW_CASE(2) ROW_CASE(3) ROW_CASE(4) ROW_CASE(5) ROW_CASE(6) ROW_CASE(7) ROW_CASE(8) ROW_CASE(9)
            ROW_CASE(10) ROW_CASE(11) ROW_CASE(12) ROW_CASE(13) ROW_CASE(14)
        }
        V += width * BLOCK;
        M += width * BLOCK;
    }
}

/* So few tiles that the sums of a row of points, for VL output channels, leave registers for the weights. */
enum { FEW_TILES = OC_VECS * TILE_PIXELS / SIDE };
_Static_assert(FEW_TILES <= 4, "few_tiles() has cases for up to 4");

/* Row i of points of P tiles; P and i are constants in every call. Each weight serves P products, too few to pay for writing
 * U and reading it again: it is used as it is made. */
INLINE void few_tiles_row(const winograd_products *task, float *M, const float *V, const float *w, const float *ahead,
                          bool more, int P, int i)
{
    const ptrdiff_t M_point = task->M_point, M_block = task->M_block, V_point = task->V_point;
    /* So many lines of weights are fetched for every STEP channels. */
    enum { STEP = 2, STEPS = OC_VECS * BLOCK / STEP, LINES = (SIDE * AHEAD + STEPS - 1) / STEPS };
    for (int v = 0; v < OC_VECS; v++) {
        vec acc[SIDE][MOST_PIXELS];
        for (int j = 0; j < SIDE; j++)
            for (int p = 0; p < P; p++)
                acc[j][p] = (vec){0};
        for (int ic0 = 0; ic0 < BLOCK; ic0 += STEP) {
            for (int l = 0; l < LINES; l++, ahead += BLOCK)
                __builtin_prefetch(ahead);
            for (int ic = ic0; ic < ic0 + STEP; ic++) {
                vec u[SIDE];
                weights_row(u, w + ic * OC_TILE + v * VL, 3, i);
                for (int j = 0; j < SIDE; j++)
                    for (int p = 0; p < P; p++)
                        acc[j][p] += u[j] * V[j * V_point + p * BLOCK + ic];
            }
        }
        for (int j = 0; j < SIDE; j++)
            for (int p = 0; p < P; p++) {
                float *to = M + j * M_point + v * VL / BLOCK * M_block + v * VL % BLOCK + p * BLOCK;
                if (more)
                    acc[j][p] += load(to);
                store(to, acc[j][p]);
            }
    }
}

#define FEW_CASE(P, i)                                       \
    case (P) * SIDE + (i):                                   \
        if (P <= FEW_TILES)                                  \
            few_tiles_row(task, M, V, w, ahead, more, P, i); \
        break;
#define FEW_CASES(P) FEW_CASE(P, 0) FEW_CASE(P, 1) FEW_CASE(P, 2) FEW_CASE(P, 3) FEW_CASE(P, 4) FEW_CASE(P, 5)

/* Row i of points of all tiles, for kernels of 3x3 taps. */
__attribute__((noinline)) static void few_tiles(const winograd_products *task, float *M, const float *V, const float *w,
                                                const float *ahead, bool more, int i)
{
    switch (task->tiles * SIDE + i) {
        FEW_CASES(1) FEW_CASES(2) FEW_CASES(3) FEW_CASES(4)
    }
}

/* M += partial, row i of points. */
static void add_partial(const winograd_products *task, float *M, const float *partial, int i)
{
    for (int j = 0; j < SIDE; j++) {
        const tile_range *with = &task->with[i >= task->points[0]];
        const int tiles = (j < task->points[1] ? with->end : with->whole) - with->begin;
        for (int v = 0; v < OC_TILE / BLOCK; v++) {
            const ptrdiff_t at = j * task->M_point + v * task->M_block + with->begin * BLOCK;
            add_rows(M + at, M + at, partial + at, tiles * BLOCK);
        }
    }
}

/* A row of points and a block of input channels at a time: their U, made when it is needed, never leaves the first-level
 * cache. */
static void winograd_multiply(const winograd_products *task)
{
    float U[SIDE * U_POINT] __attribute__((aligned(64)));
    const ptrdiff_t w_block = task->taps * task->taps * BLOCK * OC_TILE;
    const int *points = task->points;
    const bool few = task->taps == 3 && task->tiles <= FEW_TILES && points[0] == SIDE && points[1] == SIDE;
    for (int b = 0; b < task->n_in; b++) {
        const bool more = b % SUM_BLOCKS > 0, apart = b >= SUM_BLOCKS;
        const bool last = b % SUM_BLOCKS == SUM_BLOCKS - 1 || b == task->n_in - 1;
        for (int i = 0; i < SIDE; i++) {
            const ptrdiff_t row = i * SIDE * task->M_point;
            float *M = (apart ? task->partial : task->M) + row;
            const float *V = task->V + i * SIDE * task->V_point + b * task->V_block, *w = task->w + b * w_block;
            /* The weights of the block after the next come from memory while this one's products keep the core busy. */
            const float *ahead = w + 2 * w_block + i * SIDE * AHEAD * BLOCK;
            if (few)
                few_tiles(task, M, V, w, ahead, more, i);
            else {
                if (task->taps == 3)
                    weights_any_row(U, w, 3, i);
                else
                    weights_any_row(U, w, 5, i);
                const tile_range *with = &task->with[i >= points[0]];
                products(task, M, V, U, ahead, more, 0, points[1], with->begin, with->end);
                products(task, M, V, U, ahead, more, points[1], SIDE, with->begin, with->whole);
            }
            if (apart && last)
                add_partial(task, task->M + row, task->partial + row, i);
        }
    }
}

/* n, k: rows and columns of points */
INLINE void transform_output(const winograd_output_task *task, const float *M, float *y, const float *add, int n, int k,
                             int taps, int rows, int cols)
{
    const vec scale = (vec){0} + output_scale(n, k);
    for (int v = 0; v < BLOCK; v += VL) {
        vec half[SIDE][MOST_TAPS]; /* [column][row of A^T M] */
        for (int j = 0; j < k; j++) {
            vec r[SIDE];
            for (int i = 0; i < n; i++)
                r[i] = load(M + (i * SIDE + j) * task->point + v);
            apply_A(half[j], r, n, n + 1 - taps);
        }
        const vec bias = task->bias ? load(task->bias + v) : (vec){0};
        for (int i = 0; i < n + 1 - taps; i++) {
            vec r[SIDE], out[MOST_TAPS];
            for (int j = 0; j < k; j++)
                r[j] = half[j][i];
            apply_A(out, r, k, k + 1 - taps);
            for (int j = 0; j < k + 1 - taps; j++)
                if (i < rows && j < cols) {
                    vec sum = scale * out[j] + bias;
                    if (add)
                        sum += load(add + i * task->add_row + j * BLOCK + v);
                    store(y + i * task->y_row + j * BLOCK + v, task->relu ? relu_vec(sum) : sum);
                }
        }
    }
}

static void winograd_tile(const winograd_output_task *task, const float *M, float *y, const float *add, const int points[2],
                          int rows, int cols)
{
    if (points[0] < SIDE || points[1] < SIDE)
        transform_output(task, M, y, add, points[0], points[1], task->taps, rows, cols);
    else if (task->taps == 5)
        transform_output(task, M, y, add, SIDE, SIDE, 5, rows, cols);
    else if (rows >= 4 && cols >= 4)
        transform_output(task, M, y, add, SIDE, SIDE, 3, 4, 4);
    else
        transform_output(task, M, y, add, SIDE, SIDE, 3, rows, cols);
}

static void winograd_output(const winograd_output_task *task, const float *M, float *y, const float *add, const int points[2],
                            int rows, int cols)
{
    if (!task->pooled) {
        winograd_tile(task, M, y, add, points, rows, cols);
        return;
    }
    const int m = SIDE + 1 - task->taps;
    enum { ROW = 4 * BLOCK };
    float tile[4 * ROW] __attribute__((aligned(64)));
    winograd_output_task apart = *task;
    apart.y_row = ROW;
    winograd_tile(&apart, M, tile, NULL, points, rows, cols);
    for (int i = 0; i < smaller(m, rows) / 2; i++)
        for (int j = 0; j < smaller(m, cols) / 2; j++)
            maxpool_window(y + i * task->y_row + j * BLOCK, NULL, tile + 2 * i * ROW + 2 * j * BLOCK, ROW, BLOCK, 0, 2, 0, 2, 2);
}

const kernels KERNELS = {
    .name = KERNELS_NAME,
    .oc_tile = OC_TILE,
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
