/* training_kernels.h - the fast kernels that only a training runs: batchnorm over a batch, and gradients of weights.
 *
 * training_kernels.c is compiled once per instruction set, as kernels.c is. Layouts are those of kernels.h; "pixels" are
 * W contiguous pixels of one block of 16 channels. */
#ifndef CAMRUN_TRAINING_KERNELS_H
#define CAMRUN_TRAINING_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/* What the rows of one image's weight gradient share: steps in floats. */
typedef struct gradient_task {
    ptrdiff_t x_row, x_col;   /* from one output pixel to the next, in x */
    ptrdiff_t dy_row, dy_block;
    int OW;
} gradient_task;

typedef struct training_kernels {
    /* sum[c] += sum_p x[p][c]; squares[c] += sum_p x[p][c]^2: in double, where the difference of large sums that a
     * variance is does no harm. */
    void (*moments)(double *sum, double *squares, const float *x, int W);
    /* y = relu?( x * scale + shift + add ); add may be NULL */
    void (*normalize)(float *y, const float *x, const float *add, const float *scale, const float *shift, bool relu, int W);
    /* With g = dy where y > 0, else 0 (y NULL: g = dy): sum[c] += sum_p g; product[c] += sum_p g * x (x NULL: not). The
     * fused addition's other side gets g too: add = g, or add += g where it is not the first to write (add NULL: not). */
    void (*batchnorm_sums)(double *sum, double *product, float *add, bool first, const float *dy, const float *y,
                           const float *x, int W);
    /* dx = g * a + (x - mean) * b + c (x NULL: dx = g * a), or dx += ... where it is not the first to write; a, b, c and
     * mean of 16 channels, g as above. */
    void (*batchnorm_input)(float *dx, bool first, const float *dy, const float *y, const float *x, const float *a,
                            const float *b, const float *c, const float *mean, int W);

    /* sums[v][o] += sum over rows x OW pixels of x[pixel][v] * dy[o][pixel], for `count` contiguous floats v of x and
     * oc_tile channels o of dy, 16 to a block. sums (count, oc_tile). */
    void (*weight_gradient)(float *sums, const gradient_task *task, const float *x, const float *dy, int count, int rows);
    /* The same sums by Winograd: winograd_gradient.c. m: a side of the tile of dy, taps = 7 - m: of the kernel. */
    /* Y[p] = (G dy G^T)[p] of 16 channels of one m x m tile at dy; rows, cols: how much of it lies inside the picture, the
     * rest counts as zeros */
    void (*winograd_gradient_input)(float *Y, ptrdiff_t point, const float *dy, ptrdiff_t row, int rows, int cols, int m);
    /* dw[t][i][o] = (A^T dU[.][i][o] A)[t]; dU (points, 16, oc_tile), dw (taps * taps, 16, oc_tile) */
    void (*winograd_gradient_output)(float *dw, const float *dU, int taps);

    /* dw[o][i] = sum_n dy[n][o] * x[n][i] for o0 <= o < o1; dw (O,I) row-major, any alignment; steps from image to image */
    void (*linear_weight_gradient)(float *dw, const float *dy, ptrdiff_t dy_step, const float *x, ptrdiff_t x_step, int N,
                                   int I, int o0, int o1);
} training_kernels;

#endif
