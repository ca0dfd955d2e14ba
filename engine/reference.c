/* reference.c - the ops as formulas (see reference.h). Read these to learn what an op computes, and kernels.c to learn
 * how it is computed fast. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"

/* Reading guide: `const float (*x)[IC][H][W] = (const void *)x_` lets the formula below it be written with indices. */

void ref_conv2d_forward(float *y_, const float *x_, const float *w_, const float *bias, int N, int IC, int H, int W,
                        int OC, int OH, int OW, const window *win)
{
    const int KH = win->kernel[0], KW = win->kernel[1];
    const float(*x)[IC][H][W] = (const void *)x_;
    const float(*w)[IC][KH][KW] = (const void *)w_;
    float(*y)[OC][OH][OW] = (void *)y_;
    for (int n = 0; n < N; n++)
        for (int oc = 0; oc < OC; oc++)
            for (int oh = 0; oh < OH; oh++)
                for (int ow = 0; ow < OW; ow++) {
                    double sum = bias ? (double)bias[oc] : 0.0;
                    for (int ic = 0; ic < IC; ic++)
                        for (int kh = 0; kh < KH; kh++)
                            for (int kw = 0; kw < KW; kw++) {
                                int ih = oh * win->stride[0] - win->pad[0] + kh * win->dilation[0];
                                int iw = ow * win->stride[1] - win->pad[1] + kw * win->dilation[1];
                                if (ih >= 0 && ih < H && iw >= 0 && iw < W)
                                    sum += (double)x[n][ic][ih][iw] * (double)w[oc][ic][kh][kw];
                            }
                    y[n][oc][oh][ow] = (float)sum;
                }
}

void ref_conv2d_backward(float *dx_, const float *dy_, const float *w_, int N, int IC, int H, int W, int OC, int OH,
                         int OW, const window *win)
{
    const int KH = win->kernel[0], KW = win->kernel[1];
    const float(*dy)[OC][OH][OW] = (const void *)dy_;
    const float(*w)[IC][KH][KW] = (const void *)w_;
    float(*dx)[IC][H][W] = (void *)dx_;
    for (int n = 0; n < N; n++)
        for (int ic = 0; ic < IC; ic++)
            for (int ih = 0; ih < H; ih++)
                for (int iw = 0; iw < W; iw++) {
                    double sum = 0.0;
                    for (int kh = 0; kh < KH; kh++)
                        for (int kw = 0; kw < KW; kw++) {
                            /* forward: ih == oh * stride - pad + kh * dilation; solve it for oh */
                            int top = ih + win->pad[0] - kh * win->dilation[0];
                            int left = iw + win->pad[1] - kw * win->dilation[1];
                            int oh = top / win->stride[0], ow = left / win->stride[1];
                            if (top < 0 || left < 0 || top % win->stride[0] != 0 || left % win->stride[1] != 0 || oh >= OH ||
                                ow >= OW)
                                continue; /* no output reads this pixel through this tap */
                            for (int oc = 0; oc < OC; oc++)
                                sum += (double)dy[n][oc][oh][ow] * (double)w[oc][ic][kh][kw];
                        }
                    dx[n][ic][ih][iw] = (float)sum;
                }
}

void ref_conv2d_backward_weight(float *dw_, float *dbias, const float *dy_, const float *x_, int N, int IC, int H, int W,
                                int OC, int OH, int OW, const window *win)
{
    const int KH = win->kernel[0], KW = win->kernel[1];
    const float(*x)[IC][H][W] = (const void *)x_;
    const float(*dy)[OC][OH][OW] = (const void *)dy_;
    float(*dw)[IC][KH][KW] = (void *)dw_;
    for (int oc = 0; oc < OC; oc++) {
        for (int ic = 0; ic < IC; ic++)
            for (int kh = 0; kh < KH; kh++)
                for (int kw = 0; kw < KW; kw++) {
                    double sum = 0.0;
                    for (int n = 0; n < N; n++)
                        for (int oh = 0; oh < OH; oh++)
                            for (int ow = 0; ow < OW; ow++) {
                                int ih = oh * win->stride[0] - win->pad[0] + kh * win->dilation[0];
                                int iw = ow * win->stride[1] - win->pad[1] + kw * win->dilation[1];
                                if (ih >= 0 && ih < H && iw >= 0 && iw < W)
                                    sum += (double)x[n][ic][ih][iw] * (double)dy[n][oc][oh][ow];
                            }
                    dw[oc][ic][kh][kw] = (float)sum;
                }
        double sum = 0.0;
        for (int n = 0; n < N; n++)
            for (int oh = 0; oh < OH; oh++)
                for (int ow = 0; ow < OW; ow++)
                    sum += (double)dy[n][oc][oh][ow];
        if (dbias)
            dbias[oc] = (float)sum;
    }
}

void ref_batchnorm_forward(float *y_, const float *x_, const float *gamma, const float *beta, const float *mean,
                           const float *var, float eps, int N, int C, int HW)
{
    const float(*x)[C][HW] = (const void *)x_;
    float(*y)[C][HW] = (void *)y_;
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            for (int i = 0; i < HW; i++)
                y[n][c][i] = (float)(((double)x[n][c][i] - (double)mean[c]) / sqrt((double)var[c] + (double)eps) *
                                     (double)gamma[c] + (double)beta[c]);
}

void ref_batchnorm_backward(float *dx_, const float *dy_, const float *gamma, const float *var, float eps, int N, int C,
                            int HW)
{
    const float(*dy)[C][HW] = (const void *)dy_;
    float(*dx)[C][HW] = (void *)dx_;
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            for (int i = 0; i < HW; i++)
                dx[n][c][i] = (float)((double)dy[n][c][i] * (double)gamma[c] / sqrt((double)var[c] + (double)eps));
}

void ref_batchnorm_backward_weight(float *dgamma, float *dbeta, const float *dy_, const float *x_, const float *mean,
                                   const float *var, float eps, int N, int C, int HW)
{
    const float(*dy)[C][HW] = (const void *)dy_, (*x)[C][HW] = (const void *)x_;
    for (int c = 0; c < C; c++) {
        double gamma_sum = 0.0, beta_sum = 0.0;
        for (int n = 0; n < N; n++)
            for (int i = 0; i < HW; i++) {
                double xhat = ((double)x[n][c][i] - (double)mean[c]) / sqrt((double)var[c] + (double)eps);
                gamma_sum += (double)dy[n][c][i] * xhat;
                beta_sum += (double)dy[n][c][i];
            }
        dgamma[c] = (float)gamma_sum;
        dbeta[c] = (float)beta_sum;
    }
}

void ref_batchnorm_train_forward(float *y, float *mean, float *var, const float *x_, const float *gamma, const float *beta,
                                 float eps, int N, int C, int HW)
{
    const float(*x)[C][HW] = (const void *)x_;
    for (int c = 0; c < C; c++) {
        double sum = 0.0, squares = 0.0, m = (double)N * HW;
        for (int n = 0; n < N; n++)
            for (int i = 0; i < HW; i++)
                sum += (double)x[n][c][i];
        for (int n = 0; n < N; n++)
            for (int i = 0; i < HW; i++)
                squares += ((double)x[n][c][i] - sum / m) * ((double)x[n][c][i] - sum / m);
        mean[c] = (float)(sum / m);
        var[c] = (float)(squares / m);
    }
    ref_batchnorm_forward(y, x_, gamma, beta, mean, var, eps, N, C, HW);
}

/* forward: y = xhat * gamma + beta, xhat = (x - mean) * s, s = (var + eps)^(-1/2). Let g = dL/dxhat = dy * gamma; sums are
 * over the channel's m elements. x reaches the loss directly, through mean and through var:
 *     dL/dvar  = sum(g * (x - mean)) * (-1/2) s^3 = -1/2 s^2 sum(g * xhat)
 *     dL/dmean = -s sum(g)                                     (var's part is 0: the sum of x - mean is)
 *     dL/dx    = g s + dL/dvar * 2 (x - mean) / m + dL/dmean / m = s (g - xhat sum(g * xhat) / m - sum(g) / m) */
void ref_batchnorm_train_backward(float *dx_, const float *dy_, const float *x_, const float *gamma, const float *mean,
                                  const float *var, float eps, int N, int C, int HW)
{
    const float(*dy)[C][HW] = (const void *)dy_, (*x)[C][HW] = (const void *)x_;
    float(*dx)[C][HW] = (void *)dx_;
    const double m = (double)N * HW;
    for (int c = 0; c < C; c++) {
        const double s = 1.0 / sqrt((double)var[c] + (double)eps);
        double sum = 0.0, product = 0.0;
        for (int n = 0; n < N; n++)
            for (int i = 0; i < HW; i++) {
                sum += (double)dy[n][c][i];
                product += (double)dy[n][c][i] * ((double)x[n][c][i] - (double)mean[c]) * s;
            }
        for (int n = 0; n < N; n++)
            for (int i = 0; i < HW; i++) {
                const double xhat = ((double)x[n][c][i] - (double)mean[c]) * s;
                dx[n][c][i] = (float)((double)gamma[c] * s * ((double)dy[n][c][i] - sum / m - xhat * product / m));
            }
    }
}

void ref_relu_forward(float *y, const float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

void ref_relu_backward(float *dx, const float *dy, const float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

void ref_relu_backward_guided(float *dx, const float *dy, const float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 && !(dy[i] < 0) ? dy[i] : 0;
}

void ref_relu_backward_deconv(float *dx, const float *dy, int64_t count)
{
    ref_relu_forward(dx, dy, count);
}

void ref_maxpool_forward(float *y_, uint8_t *argmax_, const float *x_, int NC, int H, int W, int OH, int OW,
                         const window *win)
{
    const float(*x)[H][W] = (const void *)x_;
    float(*y)[OH][OW] = (void *)y_;
    uint8_t(*argmax)[OH][OW] = (void *)argmax_;
    for (int c = 0; c < NC; c++)
        for (int oh = 0; oh < OH; oh++)
            for (int ow = 0; ow < OW; ow++) {
                float best = -INFINITY;
                int at = -1;
                for (int kh = 0; kh < win->kernel[0]; kh++)
                    for (int kw = 0; kw < win->kernel[1]; kw++) {
                        int ih = oh * win->stride[0] - win->pad[0] + kh * win->dilation[0];
                        int iw = ow * win->stride[1] - win->pad[1] + kw * win->dilation[1];
                        if (ih < 0 || ih >= H || iw < 0 || iw >= W)
                            continue;
                        if (at < 0 || x[c][ih][iw] > best || isnan(x[c][ih][iw])) {
                            best = x[c][ih][iw];
                            at = kh * win->kernel[1] + kw;
                        }
                    }
                y[c][oh][ow] = best;
                argmax[c][oh][ow] = (uint8_t)at;
            }
}

void ref_maxpool_backward(float *dx_, const float *dy_, const uint8_t *argmax_, int NC, int H, int W, int OH, int OW,
                          const window *win)
{
    const float(*dy)[OH][OW] = (const void *)dy_;
    const uint8_t(*argmax)[OH][OW] = (const void *)argmax_;
    float(*dx)[H][W] = (void *)dx_;
    memset(dx_, 0, sizeof(float) * (size_t)NC * (size_t)H * (size_t)W);
    for (int c = 0; c < NC; c++)
        for (int oh = 0; oh < OH; oh++)
            for (int ow = 0; ow < OW; ow++) {
                int kh = argmax[c][oh][ow] / win->kernel[1], kw = argmax[c][oh][ow] % win->kernel[1];
                int ih = oh * win->stride[0] - win->pad[0] + kh * win->dilation[0];
                int iw = ow * win->stride[1] - win->pad[1] + kw * win->dilation[1];
                dx[c][ih][iw] += dy[c][oh][ow];
            }
}

void ref_avgpool_forward(float *y_, const float *x_, int NC, int H, int W, int OH, int OW, const window *win)
{
    const float(*x)[H][W] = (const void *)x_;
    float(*y)[OH][OW] = (void *)y_;
    for (int c = 0; c < NC; c++)
        for (int oh = 0; oh < OH; oh++)
            for (int ow = 0; ow < OW; ow++) {
                double sum = 0.0;
                for (int kh = 0; kh < win->kernel[0]; kh++)
                    for (int kw = 0; kw < win->kernel[1]; kw++) {
                        int ih = oh * win->stride[0] - win->pad[0] + kh;
                        int iw = ow * win->stride[1] - win->pad[1] + kw;
                        if (ih >= 0 && ih < H && iw >= 0 && iw < W)
                            sum += (double)x[c][ih][iw];
                    }
                y[c][oh][ow] = (float)(sum / (win->kernel[0] * win->kernel[1]));
            }
}

void ref_avgpool_backward(float *dx_, const float *dy_, int NC, int H, int W, int OH, int OW, const window *win)
{
    const float(*dy)[OH][OW] = (const void *)dy_;
    float(*dx)[H][W] = (void *)dx_;
    memset(dx_, 0, sizeof(float) * (size_t)NC * (size_t)H * (size_t)W);
    for (int c = 0; c < NC; c++)
        for (int oh = 0; oh < OH; oh++)
            for (int ow = 0; ow < OW; ow++)
                for (int kh = 0; kh < win->kernel[0]; kh++)
                    for (int kw = 0; kw < win->kernel[1]; kw++) {
                        int ih = oh * win->stride[0] - win->pad[0] + kh;
                        int iw = ow * win->stride[1] - win->pad[1] + kw;
                        if (ih >= 0 && ih < H && iw >= 0 && iw < W)
                            dx[c][ih][iw] += dy[c][oh][ow] / (float)(win->kernel[0] * win->kernel[1]);
                    }
}

/* floor(o * size / count) and ceil((o + 1) * size / count) */
static int bin_start(int o, int size, int count)
{
    return (int)((int64_t)o * size / count);
}

static int bin_end(int o, int size, int count)
{
    return (int)((((int64_t)o + 1) * size + count - 1) / count);
}

void ref_adaptive_avgpool_forward(float *y_, const float *x_, int NC, int H, int W, int OH, int OW)
{
    const float(*x)[H][W] = (const void *)x_;
    float(*y)[OH][OW] = (void *)y_;
    for (int c = 0; c < NC; c++)
        for (int oh = 0; oh < OH; oh++)
            for (int ow = 0; ow < OW; ow++) {
                int top = bin_start(oh, H, OH), bottom = bin_end(oh, H, OH);
                int left = bin_start(ow, W, OW), right = bin_end(ow, W, OW);
                double sum = 0.0;
                for (int ih = top; ih < bottom; ih++)
                    for (int iw = left; iw < right; iw++)
                        sum += (double)x[c][ih][iw];
                y[c][oh][ow] = (float)(sum / ((bottom - top) * (right - left)));
            }
}

void ref_adaptive_avgpool_backward(float *dx_, const float *dy_, int NC, int H, int W, int OH, int OW)
{
    const float(*dy)[OH][OW] = (const void *)dy_;
    float(*dx)[H][W] = (void *)dx_;
    memset(dx_, 0, sizeof(float) * (size_t)NC * (size_t)H * (size_t)W);
    for (int c = 0; c < NC; c++)
        for (int oh = 0; oh < OH; oh++)
            for (int ow = 0; ow < OW; ow++) {
                int top = bin_start(oh, H, OH), bottom = bin_end(oh, H, OH);
                int left = bin_start(ow, W, OW), right = bin_end(ow, W, OW);
                for (int ih = top; ih < bottom; ih++)
                    for (int iw = left; iw < right; iw++)
                        dx[c][ih][iw] += dy[c][oh][ow] / (float)((bottom - top) * (right - left));
            }
}

void ref_linear_forward(float *y_, const float *x_, const float *w_, const float *bias, int N, int I, int O)
{
    const float(*x)[I] = (const void *)x_;
    const float(*w)[I] = (const void *)w_;
    float(*y)[O] = (void *)y_;
    for (int n = 0; n < N; n++)
        for (int o = 0; o < O; o++) {
            double sum = bias ? (double)bias[o] : 0.0;
            for (int i = 0; i < I; i++)
                sum += (double)x[n][i] * (double)w[o][i];
            y[n][o] = (float)sum;
        }
}

void ref_linear_backward(float *dx_, const float *dy_, const float *w_, int N, int I, int O)
{
    const float(*dy)[O] = (const void *)dy_;
    const float(*w)[I] = (const void *)w_;
    float(*dx)[I] = (void *)dx_;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < I; i++) {
            double sum = 0.0;
            for (int o = 0; o < O; o++)
                sum += (double)dy[n][o] * (double)w[o][i];
            dx[n][i] = (float)sum;
        }
}

void ref_linear_backward_weight(float *dw_, float *dbias, const float *dy_, const float *x_, int N, int I, int O)
{
    const float(*dy)[O] = (const void *)dy_, (*x)[I] = (const void *)x_;
    float(*dw)[I] = (void *)dw_;
    for (int o = 0; o < O; o++) {
        double bias_sum = 0.0;
        for (int n = 0; n < N; n++)
            bias_sum += (double)dy[n][o];
        dbias[o] = (float)bias_sum;
        for (int i = 0; i < I; i++) {
            double sum = 0.0;
            for (int n = 0; n < N; n++)
                sum += (double)dy[n][o] * (double)x[n][i];
            dw[o][i] = (float)sum;
        }
    }
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void ref_dropout(float *y, const float *x, float p, uint64_t seed, int node, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const uint64_t z = mix(mix(seed) + (uint64_t)node + ((uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15));
        const double u = (double)(z >> 40) / (1 << 24);
        y[i] = u < (double)p ? 0.0f : (float)((double)x[i] / (1.0 - (double)p));
    }
}

void ref_add_forward(float *y, const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}
