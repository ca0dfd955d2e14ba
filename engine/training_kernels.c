/* training_kernels.c - see training_kernels.h; the Makefile compiles it as it does kernels.c, with TRAINING_KERNELS=<name
 * of the table>. */
#include <string.h>

#include "kernels.h"
#include "vec.h"
#include "winograd_transforms.h"

/* ---- batchnorm: each element is read from memory once per pass, so these run as fast as memory does ---- */

/* Half as many floats as a vec holds, which become a vec of doubles. */
enum { HALF = VL / 2 };

typedef float half_vec __attribute__((vector_size(VEC_BYTES / 2), may_alias));
typedef int32_t half_ivec __attribute__((vector_size(VEC_BYTES / 2), may_alias));
typedef double dvec __attribute__((vector_size(VEC_BYTES), may_alias));
typedef double dvec_unaligned __attribute__((vector_size(VEC_BYTES), may_alias, aligned(8)));

INLINE dvec load_double(const double *p)
{
    return *(const dvec_unaligned *)p;
}

INLINE void store_double(double *p, dvec v)
{
    *(dvec_unaligned *)p = v;
}

static void moments(double *sum, double *squares, const float *x, int W)
{
    for (int h = 0; h < BLOCK; h += HALF) {
        dvec s = load_double(sum + h), q = load_double(squares + h);
        for (int p = 0; p < W; p++) {
            const dvec v = __builtin_convertvector(*(const half_vec *)(x + p * BLOCK + h), dvec);
            s += v;
            q += v * v;
        }
        store_double(sum + h, s);
        store_double(squares + h, q);
    }
}

static void normalize(float *y, const float *x, const float *add, const float *scale, const float *shift, bool relu, int W)
{
    for (int v = 0; v < BLOCK; v += VL) {
        const vec a = *(const vec_unaligned *)(scale + v), b = *(const vec_unaligned *)(shift + v);
        for (int p = 0; p < W; p++) {
            vec sum = load(x + p * BLOCK + v) * a + b;
            if (add)
                sum += load(add + p * BLOCK + v);
            store(y + p * BLOCK + v, relu ? relu_vec(sum) : sum);
        }
    }
}

static void batchnorm_sums(double *sum, double *product, float *add, bool first, const float *dy, const float *y,
                           const float *x, int W)
{
    for (int h = 0; h < BLOCK; h += HALF) {
        dvec s = load_double(sum + h), q = load_double(product + h);
        for (int p = 0; p < W; p++) {
            const int at = p * BLOCK + h;
            half_vec g = *(const half_vec *)(dy + at);
            if (y)
                g = (half_vec)((half_ivec)g & (*(const half_vec *)(y + at) > 0.0f));
            if (add && first)
                *(half_vec *)(add + at) = g;
            else if (add)
                *(half_vec *)(add + at) += g;
            const dvec wide = __builtin_convertvector(g, dvec);
            s += wide;
            if (x)
                q += wide * __builtin_convertvector(*(const half_vec *)(x + at), dvec);
        }
        store_double(sum + h, s);
        store_double(product + h, q);
    }
}

static void batchnorm_input(float *dx, bool first, const float *dy, const float *y, const float *x, const float *a_,
                            const float *b_, const float *c_, const float *mean, int W)
{
    for (int v = 0; v < BLOCK; v += VL) {
        const vec a = *(const vec_unaligned *)(a_ + v), b = *(const vec_unaligned *)(b_ + v);
        const vec c = *(const vec_unaligned *)(c_ + v), m = *(const vec_unaligned *)(mean + v);
        for (int p = 0; p < W; p++) {
            const int at = p * BLOCK + v;
            vec g = load(dy + at);
            if (y)
                g = (vec)((ivec)g & (load(y + at) > 0.0f));
            vec d = g * a;
            if (x)
                d += (load(x + at) - m) * b + c;
            if (!first)
                d += load(dx + at);
            store(dx + at, d);
        }
    }
}

/* ---- gradients of weights ---- */

/* The register tile of the convolution with pixels in the place of input channels: OC_VECS vectors of dy times so many
 * values of x are accumulated in registers over all pixels. */
enum { VALUES = TILE_PIXELS < 8 ? TILE_PIXELS : 8 };

/* count is a constant in every call. */
INLINE void gradient_tile(float *sums, const gradient_task *task, const float *x, const float *dy, int count, int rows)
{
    vec acc[VALUES][OC_VECS];
    for (int i = 0; i < count; i++)
        for (int v = 0; v < OC_VECS; v++)
            acc[i][v] = (vec){0};
    for (int r = 0; r < rows; r++) {
        const float *at = x + r * task->x_row, *g = dy + r * task->dy_row;
        for (int p = 0; p < task->OW; p++, at += task->x_col, g += BLOCK) {
            vec wide[OC_VECS];
            for (int v = 0; v < OC_VECS; v++)
                wide[v] = load(g + v * VL / BLOCK * task->dy_block + v * VL % BLOCK);
            for (int i = 0; i < count; i++)
                for (int v = 0; v < OC_VECS; v++)
                    acc[i][v] += wide[v] * at[i];
        }
    }
    for (int i = 0; i < count; i++)
        for (int v = 0; v < OC_VECS; v++)
            store(sums + i * OC_TILE + v * VL, load(sums + i * OC_TILE + v * VL) + acc[i][v]);
}

#define REST(COUNT)                                       \
    case COUNT:                                           \
        if (COUNT < VALUES)                               \
            gradient_tile(sums, task, x, dy, COUNT, rows);\
        break;

static void weight_gradient(float *sums, const gradient_task *task, const float *x, const float *dy, int count, int rows)
{
    for (; count >= VALUES; count -= VALUES, x += VALUES, sums += VALUES * OC_TILE)
        gradient_tile(sums, task, x, dy, VALUES, rows);
    switch (count) {
        REST(1) REST(2) REST(3) REST(4) REST(5) REST(6) REST(7)
    }
}

/* m, rows and cols are constants in every call that matters. */
INLINE void transform_dy(float *Y, ptrdiff_t point, const float *dy, ptrdiff_t row, int rows, int cols, int m)
{
    for (int v = 0; v < BLOCK; v += VL) {
        vec half[4][SIDE]; /* [column][row of G dy] */
        for (int j = 0; j < m; j++) {
            vec g[4];
            for (int i = 0; i < m; i++)
                g[i] = (i < rows && j < cols ? load(dy + i * row + j * BLOCK + v) : (vec){0}) * WINOGRAD_POWERS[i];
            apply_G(half[j], g, m);
        }
        for (int i = 0; i < SIDE; i++) {
            vec g[4], r[SIDE];
            for (int j = 0; j < m; j++)
                g[j] = WINOGRAD_POWERS[j] * half[j][i];
            apply_G(r, g, m);
            for (int j = 0; j < SIDE; j++)
                store(Y + (i * SIDE + j) * point + v, r[j]);
        }
    }
}

static void winograd_gradient_input(float *Y, ptrdiff_t point, const float *dy, ptrdiff_t row, int rows, int cols, int m)
{
    if (m == 4 && rows >= 4 && cols >= 4)
        transform_dy(Y, point, dy, row, 4, 4, 4);
    else if (m == 4)
        transform_dy(Y, point, dy, row, rows, cols, 4);
    else
        transform_dy(Y, point, dy, row, rows, cols, 2);
}

/* taps is a constant in every call. */
INLINE void transform_dU(float *dw, const float *dU, int taps)
{
    const ptrdiff_t point = BLOCK * OC_TILE;
    for (int at = 0; at < BLOCK * OC_TILE; at += VL) {
        vec half[SIDE][MOST_TAPS]; /* [column][row of A^T dU] */
        for (int j = 0; j < SIDE; j++) {
            vec r[SIDE];
            for (int i = 0; i < SIDE; i++)
                r[i] = load(dU + (i * SIDE + j) * point + at);
            apply_A(half[j], r, SIDE, taps);
        }
        for (int i = 0; i < taps; i++) {
            vec r[SIDE], out[MOST_TAPS];
            for (int j = 0; j < SIDE; j++)
                r[j] = half[j][i];
            apply_A(out, r, SIDE, taps);
            for (int j = 0; j < taps; j++)
                store(dw + (i * taps + j) * point + at, output_scale(SIDE, SIDE, taps, taps) * out[j]);
        }
    }
}

static void winograd_gradient_output(float *dw, const float *dU, int taps)
{
    if (taps == 3)
        transform_dU(dw, dU, 3);
    else
        transform_dU(dw, dU, 5);
}

/* `rows` rows of dw from column i on, `width` floats: the sum over images in registers. rows and width are constants in
 * every call, and width is VL or 1. */
INLINE void linear_rows(float *dw, const float *dy, ptrdiff_t dy_step, const float *x, ptrdiff_t x_step, int N, int I, int i,
                        int rows, int width)
{
    enum { MOST_ROWS = 4 };
    vec acc[MOST_ROWS];
    float single[MOST_ROWS];
    for (int r = 0; r < rows; r++) {
        acc[r] = (vec){0};
        single[r] = 0.0f;
    }
    for (int n = 0; n < N; n++)
        for (int r = 0; r < rows; r++)
            if (width == VL)
                acc[r] += *(const vec_unaligned *)(x + n * x_step + i) * dy[n * dy_step + r];
            else
                single[r] += x[n * x_step + i] * dy[n * dy_step + r];
    for (int r = 0; r < rows; r++)
        if (width == VL)
            *(vec_unaligned *)(dw + (ptrdiff_t)r * I + i) = acc[r];
        else
            dw[(ptrdiff_t)r * I + i] = single[r];
}

INLINE void linear_row_group(float *dw, const float *dy, ptrdiff_t dy_step, const float *x, ptrdiff_t x_step, int N, int I,
                             int rows)
{
    int i = 0;
    for (; i + VL <= I; i += VL)
        linear_rows(dw, dy, dy_step, x, x_step, N, I, i, rows, VL);
    for (; i < I; i++)
        linear_rows(dw, dy, dy_step, x, x_step, N, I, i, rows, 1);
}

static void linear_weight_gradient(float *dw, const float *dy, ptrdiff_t dy_step, const float *x, ptrdiff_t x_step, int N,
                                   int I, int o0, int o1)
{
    int o = o0;
    for (; o + 4 <= o1; o += 4)
        linear_row_group(dw + (ptrdiff_t)o * I, dy + o, dy_step, x, x_step, N, I, 4);
    for (; o < o1; o++)
        linear_row_group(dw + (ptrdiff_t)o * I, dy + o, dy_step, x, x_step, N, I, 1);
}

const training_kernels TRAINING_KERNELS = {
    .moments = moments,
    .normalize = normalize,
    .batchnorm_sums = batchnorm_sums,
    .batchnorm_input = batchnorm_input,
    .weight_gradient = weight_gradient,
    .winograd_gradient_input = winograd_gradient_input,
    .winograd_gradient_output = winograd_gradient_output,
    .linear_weight_gradient = linear_weight_gradient,
};
