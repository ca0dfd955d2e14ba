/* linear_kernels.h - the fast kernels of linear layers, y = W x + b, which kernels.c compiles once per instruction set.
 *
 * Vectors lie along the inputs: a dot product adds up PARITIES vectors of products, and their lanes at its end. One image alone
 * waits for W to come from memory: what each row holds NEAR_INPUTS later is fetched, as the hardware alone does not ask for
 * enough at once. For several, each vector of W that was loaded is multiplied by as many as registers can add up. However
 * rows and images are grouped, each sum has the one order. */
#ifndef CAMRUN_LINEAR_KERNELS_H
#define CAMRUN_LINEAR_KERNELS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "vec.h"

/* How many rows of W and images are taken together. */
typedef struct linear_tile {
    int rows, images;
    int parities; /* sums over even and over odd vectors of inputs: both at once, or in turn */
    int chunk;    /* inputs at a time */
    int ahead;    /* so many inputs ahead in its row lies what is fetched of W */
} linear_tile;

enum {
    PARITIES = 2,
    FEW_ROWS = 4,
    MANY_ROWS = OC_VECS * TILE_PIXELS < 24 ? 4 : 8,
    LINEAR_IMAGES = 2,
    MANY_IMAGES = 8,
    MOST_IMAGES = 16,
    NEAR_INPUTS = 256,
    CHUNK_INPUTS = 1024,
};

/* Few images wait for rows that come from memory, best in long pieces. Of many, a chunk of the rows stays in the first-level
 * cache for all of them, and the next one in the second. It is 4 KB, as rows often lie a multiple of that apart: shorter pieces
 * would share a few of the cache's sets. */
static const linear_tile few_images = {FEW_ROWS, MANY_ROWS == FEW_ROWS ? 1 : LINEAR_IMAGES, PARITIES, INT_MAX, NEAR_INPUTS},
                         many_images = {MANY_ROWS, LINEAR_IMAGES, 1, CHUNK_INPUTS, CHUNK_INPUTS};

typedef vec linear_sums[MANY_ROWS][PARITIES]; /* of an image */

/* sums += the products of a tile's rows of w and vectors x, inputs i0 <= i < i1, from vector `parity` on. Meanwhile what lies
 * at `ahead` is fetched: so many rows of as many inputs. */
INLINE void add_products(linear_sums *sums, const float *x, ptrdiff_t x_image, const float *w, int I, linear_tile tile,
                         int parity, int i0, int i1, const float *ahead, int ahead_rows)
{
    vec acc[LINEAR_IMAGES][MANY_ROWS][PARITIES];
    for (int n = 0; n < tile.images; n++)
        for (int r = 0; r < tile.rows; r++)
            for (int p = 0; p < tile.parities; p++)
                acc[n][r][p] = sums[n][r][parity + p];
    for (int i = i0 + parity * VL; i < i1; i += PARITIES * VL)
        for (int p = 0; p < tile.parities; p++) {
            for (int r = 0; r < ahead_rows; r++)
                if (tile.ahead < tile.chunk) /* soon to be used */
                    __builtin_prefetch(ahead + (ptrdiff_t)r * I + i - i0 + p * VL, 0, 3);
                else
                    __builtin_prefetch(ahead + (ptrdiff_t)r * I + i - i0 + p * VL, 0, 2);
            vec xi[LINEAR_IMAGES];
            for (int n = 0; n < tile.images; n++)
                xi[n] = *(const vec_unaligned *)(x + n * x_image + i + p * VL);
            for (int r = 0; r < tile.rows; r++) {
                vec wi = *(const vec_unaligned *)(w + (ptrdiff_t)r * I + i + p * VL);
                if (tile.images > 1)
                    IN_REGISTER(wi);
                for (int n = 0; n < tile.images; n++)
                    acc[n][r][p] += xi[n] * wi;
            }
        }
    for (int n = 0; n < tile.images; n++)
        for (int r = 0; r < tile.rows; r++)
            for (int p = 0; p < tile.parities; p++)
                sums[n][r][parity + p] = acc[n][r][p];
}

/* The first row of a share; of those behind the last, none are left. */
INLINE int share_start(int rows, int shares, int share)
{
    return smaller(share, shares) * rows / shares;
}

/* The dot products of a tile's rows of w with N <= MOST_IMAGES vectors x, vectors first and the rest one by one: one order for
 * any tile. */
INLINE void dot_rows(float *y, ptrdiff_t y_image, const float *x, ptrdiff_t x_image, int N, const float *w, int I,
                     linear_tile tile)
{
    linear_sums sums[MOST_IMAGES];
    memset(sums, 0, sizeof sums[0] * (size_t)N);
    const int vectors = I / (PARITIES * VL) * (PARITIES * VL);
    /* Each tile of images fetches its share of the rows, or all of them the first one, which waits for them. */
    const int shares = tile.ahead < tile.chunk ? 1 : N / tile.images;
    const linear_tile single = {tile.rows, 1, PARITIES, tile.chunk, tile.ahead};
    for (int i0 = 0, i1; i0 < vectors; i0 = i1) {
        i1 = smaller(tile.chunk, vectors - i0) + i0;
        const float *ahead = i0 + tile.ahead < vectors ? w + i0 + tile.ahead : w + (ptrdiff_t)tile.rows * I; /* w may end there */
        int n = 0, share = 0;
        for (; n + tile.images <= N; n += tile.images, share++) {
            const int r0 = share_start(tile.rows, shares, share), r1 = share_start(tile.rows, shares, share + 1);
            for (int parity = 0; parity < PARITIES; parity += tile.parities)
                add_products(sums + n, x + n * x_image, x_image, w, I, tile, parity, i0, i1, ahead + (ptrdiff_t)r0 * I, r1 - r0);
        }
        for (; n < N; n++, share++)
            add_products(sums + n, x + n * x_image, x_image, w, I, single, 0, i0, i1, ahead, share == 0 ? tile.rows : 0);
    }
    for (int n = 0; n < N; n++)
        for (int r = 0; r < tile.rows; r++) {
            const vec lanes = sums[n][r][0] + sums[n][r][1];
            float sum = 0.0f;
            for (int l = 0; l < VL; l++)
                sum += lanes[l];
            for (int i = vectors; i < I; i++)
                sum += x[n * x_image + i] * w[(ptrdiff_t)r * I + i];
            y[n * y_image + r] = sum;
        }
}

INLINE void dot_all_rows(float *y, ptrdiff_t y_image, const float *x, ptrdiff_t x_image, int N, const float *w, int I, int o0,
                         int o1, linear_tile tile)
{
    int o = o0;
    for (; o + tile.rows <= o1; o += tile.rows)
        dot_rows(y + o, y_image, x, x_image, N, w + (ptrdiff_t)o * I, I, tile);
    tile.rows = 1;
    for (; o < o1; o++)
        dot_rows(y + o, y_image, x, x_image, N, w + (ptrdiff_t)o * I, I, tile);
}

static void linear(float *y, ptrdiff_t y_image, const float *x, ptrdiff_t x_image, int N, const float *w, const float *bias,
                   bool relu, int I, int o0, int o1)
{
    for (int n = 0; n < N; n += MOST_IMAGES) {
        const int images = smaller(MOST_IMAGES, N - n);
        if (images < MANY_IMAGES)
            dot_all_rows(y + n * y_image, y_image, x + n * x_image, x_image, images, w, I, o0, o1, few_images);
        else
            dot_all_rows(y + n * y_image, y_image, x + n * x_image, x_image, images, w, I, o0, o1, many_images);
    }
    for (int n = 0; n < N; n++)
        for (int o = o0; o < o1; o++) {
            float *to = &y[n * y_image + o];
            *to += bias ? bias[o] : 0.0f;
            *to = relu && *to < 0.0f ? 0.0f : *to;
        }
}

/* dx += the rows of w times their dy, one after the other: the order of a sum does not depend on how rows are grouped. */
INLINE void add_rows_of(float *dx, const float *const *w, const float *g, int rows, int count)
{
    int i = 0;
    for (; i + VL <= count; i += VL) {
        vec sum = *(const vec_unaligned *)(dx + i);
        for (int r = 0; r < rows; r++) {
            if (i + NEAR_INPUTS < count)
                __builtin_prefetch(w[r] + i + NEAR_INPUTS);
            sum += g[r] * *(const vec_unaligned *)(w[r] + i);
        }
        *(vec_unaligned *)(dx + i) = sum;
    }
    for (; i < count; i++)
        for (int r = 0; r < rows; r++)
            dx[i] += g[r] * w[r][i];
}

static void linear_backward(float *dx, const float *dy, const float *w, int I, int O, int i0, int i1)
{
    enum { GROUP = 4 };
    const float *row[GROUP];
    float g[GROUP];
    int rows = 0;
    for (int o = 0; o < O; o++) {
        if (dy[o] != 0.0f) { /* most are 0 behind a ReLU, and a row is many bytes */
            row[rows] = w + (ptrdiff_t)o * I + i0;
            g[rows++] = dy[o];
        }
        if (rows == GROUP) {
            add_rows_of(dx + i0, row, g, GROUP, i1 - i0);
            rows = 0;
        }
    }
    for (int r = 0; r < rows; r++)
        add_rows_of(dx + i0, row + r, g + r, 1, i1 - i0);
}

#endif
