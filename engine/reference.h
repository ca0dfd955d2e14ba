/* reference.h - every op as its formula: the specification that the fast kernels are tested against.
 *
 * Plain C arrays in NCHW order, one image after the other, double accumulators, no tricks. Forward and backward stand
 * side by side with the same argument order: outputs, inputs, saved values, sizes. The gradient of the loss with respect
 * to x is dx; a backward writes dx (it does not add to it).
 *
 * Names: N images; C channels, or IC and OC; H, W input size; OH, OW output size; KH, KW kernel size. Sizes in a
 * `window`: kernel, stride, pad and dilation as {height, width}. */
#ifndef CAMRUN_REFERENCE_H
#define CAMRUN_REFERENCE_H

#include <stdint.h>

typedef struct window {
    int kernel[2], stride[2], pad[2], dilation[2];
} window;

/* y[n][oc][oh][ow] = bias[oc] + sum_{ic,kh,kw} x[n][ic][oh*s - p + kh*d][ow*s - p + kw*d] * w[oc][ic][kh][kw]
 * x (N,IC,H,W), w (OC,IC,KH,KW), bias (OC) or NULL, y (N,OC,OH,OW). */
void ref_conv2d_forward(float *y, const float *x, const float *w, const float *bias, int N, int IC, int H, int W, int OC,
                        int OH, int OW, const window *win);
/* dx[n][ic][ih][iw] = sum over all (oc,kh,kw,oh,ow) that read that element of dy[n][oc][oh][ow] * w[oc][ic][kh][kw] */
void ref_conv2d_backward(float *dx, const float *dy, const float *w, int N, int IC, int H, int W, int OC, int OH, int OW,
                         const window *win);
/* dw[oc][ic][kh][kw] = sum over all (n,oh,ow) of dy[n][oc][oh][ow] * the x element that it read there;
 * dbias[oc] = sum over all (n,oh,ow) of dy[n][oc][oh][ow], or dbias NULL */
void ref_conv2d_backward_weight(float *dw, float *dbias, const float *dy, const float *x, int N, int IC, int H, int W,
                                int OC, int OH, int OW, const window *win);

/* y = (x - mean[c]) / sqrt(var[c] + eps) * gamma[c] + beta[c]; x, y (N,C,HW). Evaluation mode: mean and var are the
 * running statistics, constants, so the op is affine (Ioffe & Szegedy, arXiv:1502.03167, algorithm 2). */
void ref_batchnorm_forward(float *y, const float *x, const float *gamma, const float *beta, const float *mean,
                           const float *var, float eps, int N, int C, int HW);
/* dx = dy * gamma[c] / sqrt(var[c] + eps) */
void ref_batchnorm_backward(float *dx, const float *dy, const float *gamma, const float *var, float eps, int N, int C,
                            int HW);
/* dgamma[c] = sum_{n,i} dy * (x - mean[c]) / sqrt(var[c] + eps), dbeta[c] = sum_{n,i} dy: in training too, where mean and
 * var are the batch's */
void ref_batchnorm_backward_weight(float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean,
                                   const float *var, float eps, int N, int C, int HW);
/* Training: mean[c] and var[c], the latter over N * HW (biased), are those of x over images and pixels, and y as above
 * (Ioffe & Szegedy, algorithm 1). */
void ref_batchnorm_train_forward(float *y, float *mean, float *var, const float *x, const float *gamma, const float *beta,
                                 float eps, int N, int C, int HW);
/* With m = N * HW and xhat = (x - mean[c]) / sqrt(var[c] + eps), which depend on all of the channel's x:
 * dx = gamma[c] / sqrt(var[c] + eps) * (dy - sum(dy) / m - xhat * sum(dy * xhat) / m), sums over n and i */
void ref_batchnorm_train_backward(float *dx, const float *dy, const float *x, const float *gamma, const float *mean,
                                  const float *var, float eps, int N, int C, int HW);

/* y = max(x, 0), and NaN stays NaN */
void ref_relu_forward(float *y, const float *x, int64_t count);
/* dx = dy where y > 0, else 0 */
void ref_relu_backward(float *dx, const float *dy, const float *y, int64_t count);
/* Guided backpropagation (Springenberg et al., arXiv:1412.6806, section 3.4): dx = dy where y > 0 and dy > 0, else 0 */
void ref_relu_backward_guided(float *dx, const float *dy, const float *y, int64_t count);
/* The deconvolutional network (Zeiler & Fergus, arXiv:1311.2901, section 2.1): dx = max(dy, 0) */
void ref_relu_backward_deconv(float *dx, const float *dy, int64_t count);

/* y = the largest x in the window, NaN if one is there; padding never wins. argmax: its place in the window,
 * kh * KW + kw, the first of equals, the last of NaNs (as in PyTorch). x (NC,H,W), y and argmax (NC,OH,OW). */
void ref_maxpool_forward(float *y, uint8_t *argmax, const float *x, int NC, int H, int W, int OH, int OW,
                         const window *win);
/* dx = sum of the dy of the windows whose maximum that element is */
void ref_maxpool_backward(float *dx, const float *dy, const uint8_t *argmax, int NC, int H, int W, int OH, int OW,
                          const window *win);

/* y = sum over the window / (KH*KW): zero padding counts. x (NC,H,W), y (NC,OH,OW). */
void ref_avgpool_forward(float *y, const float *x, int NC, int H, int W, int OH, int OW, const window *win);
void ref_avgpool_backward(float *dx, const float *dy, int NC, int H, int W, int OH, int OW, const window *win);

/* y[oh][ow] = mean of x over rows floor(oh*H/OH) .. ceil((oh+1)*H/OH) - 1 and the like columns */
void ref_adaptive_avgpool_forward(float *y, const float *x, int NC, int H, int W, int OH, int OW);
void ref_adaptive_avgpool_backward(float *dx, const float *dy, int NC, int H, int W, int OH, int OW);

/* y[n][o] = bias[o] + sum_i x[n][i] * w[o][i]; x (N,I), w (O,I), y (N,O) */
void ref_linear_forward(float *y, const float *x, const float *w, const float *bias, int N, int I, int O);
/* dx[n][i] = sum_o dy[n][o] * w[o][i] */
void ref_linear_backward(float *dx, const float *dy, const float *w, int N, int I, int O);
/* dw[o][i] = sum_n dy[n][o] * x[n][i], dbias[o] = sum_n dy[n][o] */
void ref_linear_backward_weight(float *dw, float *dbias, const float *dy, const float *x, int N, int I, int O);

/* y = x / (1 - p) where the element is kept, else 0; so dx comes from dy by the same function. Element i of node `node` is
 * kept where u >= p, u = floor(z / 2^40) / 2^24 uniform in [0,1): z = mix(mix(seed) + node + (i + 1) * 0x9e3779b97f4a7c15),
 * mix the last three lines of SplitMix64 (Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014),
 * 64-bit unsigned arithmetic. */
void ref_dropout(float *y, const float *x, float p, uint64_t seed, int node, int64_t count);

/* y = a + b; the gradient of both is dy */
void ref_add_forward(float *y, const float *a, const float *b, int64_t count);

#endif
