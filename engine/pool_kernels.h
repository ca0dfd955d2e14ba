/* pool_kernels.h - the fast kernels of max-pool and of single elements, which kernels.c compiles once per instruction set. */
#ifndef CAMRUN_POOL_KERNELS_H
#define CAMRUN_POOL_KERNELS_H

#include <math.h>

#include "kernels.h"
#include "vec.h"

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

#endif
