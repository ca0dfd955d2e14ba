/* test_reference.c - the reference ops, on which every other test rests: small cases worked out by hand, and each
 * backward against central differences of its forward in double. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "reference.h"

/* ---- gradients ---- */

/* One op on one geometry, as what its forward and backward need beside x and dy. */
typedef struct op_case {
    const char *name;
    void (*forward)(float *y, const float *x, const struct op_case *c);
    void (*backward)(float *dx, const float *dy, const float *x, const struct op_case *c);
    int N, C, H, W, OC, OH, OW;
    window win;
    float *w; /* the parameters; several behind each other */
} op_case;

/* Sizes of a convolution's and a linear layer's parameters: the bias lies behind the weight. */
static int weight_size(const op_case *c)
{
    return c->OC * c->C * c->win.kernel[0] * c->win.kernel[1];
}

static size_t input_size(const op_case *c)
{
    return (size_t)(c->N * c->C * c->H * c->W);
}

static size_t output_size(const op_case *c)
{
    return (size_t)(c->N * c->OC * c->OH * c->OW);
}

/* Multiples of 1/8, with which sums and products in these sizes are exact in float: where the op itself divides by
 * nothing, the difference quotient is the exact derivative. */
static void fill_eighths(float *x, size_t count, uint64_t *state)
{
    for (size_t i = 0; i < count; i++)
        x[i] = floorf(random_uniform(state, -32.0f, 32.0f)) / 8.0f;
}

/* sum(seed * forward(x)) with one element of x or of the parameters moved to either side: the difference over the way.
 * The rounding of y to float is all that is inexact. */
static double central_difference(const op_case *c, const float *x, const float *seed, float *y, float *element, double step)
{
    const float middle = *element;
    double difference = 0.0;
    for (int side = -1; side <= 1; side += 2) {
        *element = (float)((double)middle + side * step);
        c->forward(y, x, c);
        for (size_t k = 0; k < output_size(c); k++)
            difference += side * (double)seed[k] * (double)y[k];
    }
    *element = middle;
    return difference / (2.0 * step);
}

/* The gradient of sum(seed * forward(x)) with respect to `count` elements from `at` on, x's own or a parameter's, which
 * backward writes. Two steps together, (4 D(h/2) - D(h)) / 3, leave an error of order h^4 (Richardson). */
static void check_gradient_at(const op_case *c, const float *x, float *at, size_t count, double step, double tol,
                              uint64_t *state)
{
    float *y = zeros(output_size(c), sizeof *y), *seed = zeros(output_size(c), sizeof *seed);
    float *found = zeros(count, sizeof *found), *expected = zeros(count, sizeof *expected);
    fill_eighths(seed, output_size(c), state);
    for (size_t i = 0; i < count; i++) {
        const double whole = central_difference(c, x, seed, y, &at[i], step);
        const double halves = central_difference(c, x, seed, y, &at[i], step / 2);
        expected[i] = (float)((4.0 * halves - whole) / 3.0);
        found[i] = NAN; /* a backward overwrites */
    }
    c->backward(found, seed, x, c);
    check_close(found, expected, count, tol, "gradient of %s", c->name);
    free(y);
    free(seed);
    free(found);
    free(expected);
}

static void check_gradient(const op_case *c, float *x, double step, uint64_t *state)
{
    check_gradient_at(c, x, x, input_size(c), step, 1e-6, state);
}

static void conv_forward(float *y, const float *x, const op_case *c)
{
    ref_conv2d_forward(y, x, c->w, c->w + weight_size(c), c->N, c->C, c->H, c->W, c->OC, c->OH, c->OW, &c->win);
}

static void conv_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    (void)x;
    ref_conv2d_backward(dx, dy, c->w, c->N, c->C, c->H, c->W, c->OC, c->OH, c->OW, &c->win);
}

/* Weight and bias, as they lie in c->w. */
static void conv_backward_weight(float *dw, const float *dy, const float *x, const op_case *c)
{
    ref_conv2d_backward_weight(dw, dw + weight_size(c), dy, x, c->N, c->C, c->H, c->W, c->OC, c->OH, c->OW, &c->win);
}

static void batchnorm_forward(float *y, const float *x, const op_case *c)
{
    ref_batchnorm_forward(y, x, c->w, c->w + c->C, c->w + 2 * c->C, c->w + 3 * c->C, 1e-3f, c->N, c->C, c->H * c->W);
}

static void batchnorm_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    (void)x;
    ref_batchnorm_backward(dx, dy, c->w, c->w + 3 * c->C, 1e-3f, c->N, c->C, c->H * c->W);
}

static void batchnorm_backward_weight(float *dw, const float *dy, const float *x, const op_case *c)
{
    ref_batchnorm_backward_weight(dw, dw + c->C, dy, x, c->w + 2 * c->C, c->w + 3 * c->C, 1e-3f, c->N, c->C, c->H * c->W);
}

enum { MOST_CHANNELS = 8 };

static void train_forward(float *y, const float *x, const op_case *c)
{
    float mean[MOST_CHANNELS], var[MOST_CHANNELS];
    ref_batchnorm_train_forward(y, mean, var, x, c->w, c->w + c->C, 1e-3f, c->N, c->C, c->H * c->W);
}

static void train_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    float mean[MOST_CHANNELS], var[MOST_CHANNELS];
    float *y = zeros(output_size(c), sizeof *y);
    ref_batchnorm_train_forward(y, mean, var, x, c->w, c->w + c->C, 1e-3f, c->N, c->C, c->H * c->W);
    ref_batchnorm_train_backward(dx, dy, x, c->w, mean, var, 1e-3f, c->N, c->C, c->H * c->W);
    free(y);
}

static void train_backward_weight(float *dw, const float *dy, const float *x, const op_case *c)
{
    float mean[MOST_CHANNELS], var[MOST_CHANNELS];
    float *y = zeros(output_size(c), sizeof *y);
    ref_batchnorm_train_forward(y, mean, var, x, c->w, c->w + c->C, 1e-3f, c->N, c->C, c->H * c->W);
    ref_batchnorm_backward_weight(dw, dw + c->C, dy, x, mean, var, 1e-3f, c->N, c->C, c->H * c->W);
    free(y);
}

static void relu_forward(float *y, const float *x, const op_case *c)
{
    ref_relu_forward(y, x, (int64_t)input_size(c));
}

static void relu_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    float *y = zeros(output_size(c), sizeof *y);
    relu_forward(y, x, c);
    ref_relu_backward(dx, dy, y, (int64_t)input_size(c));
    free(y);
}

static uint8_t *maxpool(float *y, const float *x, const op_case *c)
{
    uint8_t *argmax = zeros(output_size(c), 1);
    ref_maxpool_forward(y, argmax, x, c->N * c->C, c->H, c->W, c->OH, c->OW, &c->win);
    return argmax;
}

static void maxpool_forward(float *y, const float *x, const op_case *c)
{
    free(maxpool(y, x, c));
}

static void maxpool_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    float *y = zeros(output_size(c), sizeof *y);
    uint8_t *argmax = maxpool(y, x, c);
    ref_maxpool_backward(dx, dy, argmax, c->N * c->C, c->H, c->W, c->OH, c->OW, &c->win);
    free(argmax);
    free(y);
}

static void avgpool_forward(float *y, const float *x, const op_case *c)
{
    ref_avgpool_forward(y, x, c->N * c->C, c->H, c->W, c->OH, c->OW, &c->win);
}

static void avgpool_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    (void)x;
    ref_avgpool_backward(dx, dy, c->N * c->C, c->H, c->W, c->OH, c->OW, &c->win);
}

static void adaptive_forward(float *y, const float *x, const op_case *c)
{
    ref_adaptive_avgpool_forward(y, x, c->N * c->C, c->H, c->W, c->OH, c->OW);
}

static void adaptive_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    (void)x;
    ref_adaptive_avgpool_backward(dx, dy, c->N * c->C, c->H, c->W, c->OH, c->OW);
}

static void linear_forward(float *y, const float *x, const op_case *c)
{
    ref_linear_forward(y, x, c->w, c->w + weight_size(c), c->N, c->C, c->OC);
}

static void linear_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    (void)x;
    ref_linear_backward(dx, dy, c->w, c->N, c->C, c->OC);
}

static void linear_backward_weight(float *dw, const float *dy, const float *x, const op_case *c)
{
    ref_linear_backward_weight(dw, dw + weight_size(c), dy, x, c->N, c->C, c->OC);
}

static void dropout(float *y, const float *x, const op_case *c)
{
    ref_dropout(y, x, 0.5f, SEED, 3, (int64_t)input_size(c));
}

static void dropout_backward(float *dx, const float *dy, const float *x, const op_case *c)
{
    (void)x;
    dropout(dx, dy, c);
}

static int positions(const op_case *c, int axis, int size)
{
    return (size + 2 * c->win.pad[axis] - c->win.dilation[axis] * (c->win.kernel[axis] - 1) - 1) / c->win.stride[axis] +
           1;
}

/* Every op but max-pool and ReLU is linear in x: the quotient has no truncation error, so the step may be wide. */
static void test_gradients_of_linear_ops(void **state)
{
    (void)state;
    static const window windows[] = {
        {{3, 3}, {1, 1}, {1, 1}, {1, 1}}, {{3, 3}, {2, 2}, {1, 1}, {1, 1}}, {{1, 1}, {2, 3}, {0, 0}, {1, 1}},
        {{2, 3}, {1, 2}, {1, 0}, {1, 1}}, {{3, 2}, {1, 2}, {2, 1}, {2, 2}}, {{1, 3}, {3, 1}, {0, 2}, {1, 2}},
        {{5, 2}, {2, 1}, {3, 0}, {1, 3}},
    };
    uint64_t random = SEED;
    float w[4 * 30 * 10];
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        op_case c = {"convolution", conv_forward, conv_backward, 2, 3, 5, 6, 4, 0, 0, windows[i], w};
        c.OH = positions(&c, 0, c.H);
        c.OW = positions(&c, 1, c.W);
        float *x = zeros(input_size(&c), sizeof *x);
        fill_eighths(w, sizeof w / sizeof w[0], &random);
        fill_eighths(x, input_size(&c), &random);
        check_gradient(&c, x, 1.0, &random);
        c.name = "convolution's parameters";
        c.backward = conv_backward_weight;
        check_gradient_at(&c, x, w, (size_t)(weight_size(&c) + c.OC), 1.0, 1e-6, &random);

        c.name = "average pool";
        c.forward = avgpool_forward;
        c.backward = avgpool_backward;
        c.OC = c.C;
        if (windows[i].dilation[0] == 1 && windows[i].dilation[1] == 1)
            check_gradient(&c, x, 1.0, &random);
        free(x);
    }

    static const int sizes[][4] = {{5, 6, 2, 4}, {5, 6, 1, 1}, {3, 2, 6, 6}, {4, 4, 4, 4}, {7, 1, 3, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const op_case c = {.name = "adaptive average pool",
                           .forward = adaptive_forward,
                           .backward = adaptive_backward,
                           .N = 2,
                           .C = 2,
                           .H = sizes[i][0],
                           .W = sizes[i][1],
                           .OC = 2,
                           .OH = sizes[i][2],
                           .OW = sizes[i][3]};
        float *x = new_random(input_size(&c), -1.0f, 1.0f, &random);
        check_gradient(&c, x, 1.0, &random);
        free(x);
    }

    op_case c = {"batch normalisation", batchnorm_forward, batchnorm_backward, 2, 3, 2, 4, 3, 2, 4, windows[2], w};
    float x[2 * 30];
    fill_random(w, sizeof w / sizeof w[0], 0.5f, 2.0f, &random);
    fill_eighths(x, sizeof x / sizeof x[0], &random);
    check_gradient(&c, x, 1.0, &random);
    c.name = "batch normalisation's parameters";
    c.backward = batchnorm_backward_weight;
    check_gradient_at(&c, x, w, (size_t)(2 * c.C), 1.0, 1e-6, &random);
    c = (op_case){"dropout", dropout, dropout_backward, 2, 3, 2, 4, 3, 2, 4, windows[2], w};
    check_gradient(&c, x, 1.0, &random);
    c = (op_case){"linear", linear_forward, linear_backward, 2, 30, 1, 1, 7, 1, 1, windows[2], w};
    fill_eighths(w, sizeof w / sizeof w[0], &random);
    check_gradient(&c, x, 1.0, &random);
    c.name = "linear layer's parameters";
    c.backward = linear_backward_weight;
    check_gradient_at(&c, x, w, (size_t)(weight_size(&c) + c.OC), 1.0, 1e-6, &random);
}

/* Batch statistics depend on every x of a channel, and y on them, which is not linear: steps that are small beside x's
 * deviation of about 2, and so more of y's rounding in the quotient. */
static void test_gradients_of_training_batchnorm(void **state)
{
    (void)state;
    static const int sizes[][3] = {{2, 2, 4}, {1, 3, 3}, {5, 1, 1}, {3, 1, 2}}; /* N, H, W */
    uint64_t random = SEED;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        op_case c = {"training batch normalisation", train_forward, train_backward, sizes[i][0], 3, sizes[i][1], sizes[i][2],
                     3, sizes[i][1], sizes[i][2], {{0}, {0}, {0}, {0}}, NULL};
        c.w = new_random(4 * (size_t)c.C, 0.5f, 2.0f, &random);
        float *x = new_random(input_size(&c), -4.0f, 4.0f, &random);
        check_gradient_at(&c, x, x, input_size(&c), 1.0 / 8, 5e-5, &random);
        c.name = "training batch normalisation's parameters";
        c.backward = train_backward_weight;
        check_gradient_at(&c, x, c.w, (size_t)(2 * c.C), 1.0 / 8, 5e-5, &random);
        free(x);
        free(c.w);
    }
}

/* ReLU and max-pool are linear as long as no value crosses zero or overtakes another: values a multiple of 1/4
 * apart, and 1/8 from zero, moved by 1/16. */
static void test_gradients_of_kinked_ops(void **state)
{
    (void)state;
    static const window windows[] = {
        {{2, 2}, {2, 2}, {0, 0}, {1, 1}}, {{3, 3}, {2, 2}, {1, 1}, {1, 1}}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {{2, 3}, {3, 1}, {0, 1}, {2, 1}}, {{3, 2}, {1, 2}, {1, 0}, {1, 2}},
    };
    uint64_t random = SEED;
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        op_case c = {"max-pool", maxpool_forward, maxpool_backward, 2, 2, 6, 7, 2, 0, 0, windows[i], NULL};
        c.OH = positions(&c, 0, c.H);
        c.OW = positions(&c, 1, c.W);
        const size_t count = input_size(&c);
        float *x = zeros(count, sizeof *x);
        for (size_t k = 0; k < count; k++) { /* distinct values in random order (Fisher and Yates) */
            size_t place = (size_t)random_uniform(&random, 0.0f, (float)k + 1.0f);
            x[k] = x[place];
            x[place] = 0.25f * ((float)k - (float)count / 2) + 0.125f;
        }
        check_gradient(&c, x, 1.0 / 16, &random);
        c.name = "ReLU";
        c.forward = relu_forward;
        c.backward = relu_backward;
        c.OH = c.H;
        c.OW = c.W;
        check_gradient(&c, x, 1.0 / 16, &random);
        free(x);
    }
}

/* ---- by hand ---- */

#define CHECK_EQUAL(found, ...)                                                                                        \
    do {                                                                                                               \
        const float by_hand[] = __VA_ARGS__;                                                                           \
        check_close(found, by_hand, sizeof by_hand / sizeof by_hand[0], 0.0, "line %d", __LINE__);                     \
    } while (0)

static void test_convolution_by_hand(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6}, w[] = {1, 10, 100, 1000}, bias[] = {0.5f};
    const window plain = {{2, 2}, {1, 1}, {0, 0}, {1, 1}};
    const window padded = {{2, 2}, {2, 2}, {1, 1}, {1, 1}};
    const window wide = {{1, 2}, {1, 1}, {0, 0}, {1, 2}};
    float y[8], dx[6];

    /* [1 2 3; 4 5 6] * [1 10; 100 1000]: a correlation, the kernel is not turned */
    ref_conv2d_forward(y, x, w, bias, 1, 1, 2, 3, 1, 1, 2, &plain);
    CHECK_EQUAL(y, {5421.5f, 6532.5f});
    ref_conv2d_backward(dx, (const float[]){1, 2}, w, 1, 1, 2, 3, 1, 1, 2, &plain);
    CHECK_EQUAL(dx, {1, 12, 20, 100, 1200, 2000});
    float dw[4], dbias[1];
    ref_conv2d_backward_weight(dw, dbias, (const float[]){1, 10}, x, 1, 1, 2, 3, 1, 1, 2, &plain);
    CHECK_EQUAL(dw, {21, 32, 54, 65});
    CHECK_EQUAL(dbias, {11});

    /* stride 2 in a border of zeros: the windows start at (-1,-1), (-1,1), (1,-1) and (1,1) */
    ref_conv2d_forward(y, x, w, NULL, 1, 1, 2, 3, 1, 2, 2, &padded);
    CHECK_EQUAL(y, {1000, 3200, 40, 65});

    /* dilation 2: taps two columns apart */
    ref_conv2d_forward(y, x, (const float[]){1, 10}, NULL, 1, 1, 2, 3, 1, 2, 1, &wide);
    CHECK_EQUAL(y, {31, 64});

    /* channels: two images of two channels of 1x1, to three */
    const window point = {{1, 1}, {1, 1}, {0, 0}, {1, 1}};
    const float w2[] = {1, 2, 10, 20, 100, 200};
    ref_conv2d_forward(y, (const float[]){1, 2, 3, 4}, w2, (const float[]){0, 0, 1}, 2, 2, 1, 1, 3, 1, 1, &point);
    CHECK_EQUAL(y, {5, 50, 501, 11, 110, 1101});
    ref_conv2d_backward(dx, (const float[]){1, 1, 0, 0, 0, 1}, w2, 2, 2, 1, 1, 3, 1, 1, &point);
    CHECK_EQUAL(dx, {11, 22, 100, 200});
}

static void test_batchnorm_by_hand(void **state)
{
    (void)state;
    /* mean 1 and 2, variance + eps 4 and 0.25: (x - 1) / 2 * 3 + 10 and (x - 2) / 0.5 * -1 */
    const float gamma[] = {3, -1}, beta[] = {10, 0}, mean[] = {1, 2}, var[] = {3, -0.75f};
    float y[4];
    ref_batchnorm_forward(y, (const float[]){1, 3, 2, 3}, gamma, beta, mean, var, 1.0f, 1, 2, 2);
    CHECK_EQUAL(y, {10, 13, 0, -2});
    ref_batchnorm_backward(y, (const float[]){1, 2, 3, 4}, gamma, var, 1.0f, 1, 2, 2);
    CHECK_EQUAL(y, {1.5f, 3, -6, -8});
}

static void test_training_batchnorm_by_hand(void **state)
{
    (void)state;
    /* channel 0: 1 3 3 5, mean 3, variance 2; channel 1: 0 0 0 4, mean 1, variance 3; eps makes deviations of 1.5 and 2 */
    const float x[] = {1, 3, 0, 0, 3, 5, 0, 4}, gamma[] = {3, 2}, beta[] = {0, 10};
    float y[8], mean[2], var[2], dgamma[2], dbeta[2];
    ref_batchnorm_train_forward(y, mean, var, x, gamma, beta, 0.25f, 2, 2, 2);
    CHECK_EQUAL(mean, {3, 1});
    CHECK_EQUAL(var, {2, 3});
    ref_batchnorm_train_forward(y, mean, var, x, gamma, beta, 1.0f, 2, 2, 2);
    const float channel1[] = {y[2], y[3], y[6], y[7]};
    CHECK_EQUAL(channel1, {9, 9, 9, 13});
    /* xhat of channel 1 is -1/2 -1/2 -1/2 3/2 */
    const float dy[] = {0, 0, 1, 2, 0, 0, 3, 4};
    ref_batchnorm_backward_weight(dgamma, dbeta, dy, x, mean, var, 1.0f, 2, 2, 2);
    CHECK_EQUAL(dgamma, {0, 3});
    CHECK_EQUAL(dbeta, {0, 10});
    /* dx = 2/2 (dy - 10/4 - xhat 3/4) */
    ref_batchnorm_train_backward(y, dy, x, gamma, mean, var, 1.0f, 2, 2, 2);
    CHECK_EQUAL(y, {0, 0, -1.125f, -0.125f, 0, 0, 0.875f, 0.375f});
}

static void test_dropout_by_hand(void **state)
{
    (void)state;
    /* SplitMix64 from state 0 begins e220a8397b1dcdaf 6e789e6aa1b965f4 06c45d188009454f f88bb8a8724c81ec: u = .88 .43 .03 .97 */
    float y[4];
    ref_dropout(y, (const float[]){1, 2, 3, 4}, 0.5f, 0, 0, 4);
    CHECK_EQUAL(y, {2, 0, 0, 8});
    ref_dropout(y, (const float[]){3, 6, 9, 12}, 0.25f, 0, 0, 4);
    CHECK_EQUAL(y, {4, 8, 0, 16});
    ref_dropout(y, (const float[]){1, 2, 3, 4}, 0.0f, 0, 0, 4);
    CHECK_EQUAL(y, {1, 2, 3, 4});
}

static void test_relu_by_hand(void **state)
{
    (void)state;
    float y[6], dx[6];
    ref_relu_forward(y, (const float[]){-1, 0, 2, NAN, INFINITY, -INFINITY}, 6);
    CHECK_EQUAL(y, {0, 0, 2, NAN, INFINITY, 0});
    ref_relu_backward(dx, (const float[]){1, 2, 3, 4, 5, 6}, y, 6);
    CHECK_EQUAL(dx, {0, 0, 3, 0, 5, 0});
    ref_relu_backward_guided(dx, (const float[]){1, 2, 3, 4, -5, 6}, y, 6);
    CHECK_EQUAL(dx, {0, 0, 3, 0, 0, 0});
    ref_relu_backward_deconv(dx, (const float[]){1, -2, 3, NAN, -5, 0}, 6);
    CHECK_EQUAL(dx, {1, 0, 3, NAN, 0, 0});
}

static void test_maxpool_by_hand(void **state)
{
    (void)state;
    const window win = {{2, 2}, {2, 2}, {1, 0}, {1, 1}};
    float y[4], dx[8];
    uint8_t argmax[4];
    /* padding above: the upper windows see only the row 0, and negative values win over it */
    const float x[] = {-5, -5, -3, -4, 7, 8, 8, 8};
    ref_maxpool_forward(y, argmax, x, 1, 2, 4, 2, 2, &win);
    CHECK_EQUAL(y, {-5, -3, 8, 8});
    const uint8_t expected[] = {2, 2, 1, 0}; /* the first of equals */
    assert_memory_equal(argmax, expected, sizeof expected);
    ref_maxpool_backward(dx, (const float[]){1, 2, 3, 4}, argmax, 1, 2, 4, 2, 2, &win);
    CHECK_EQUAL(dx, {1, 0, 2, 0, 0, 3, 4, 0});

    const window overlapping = {{1, 2}, {1, 1}, {0, 0}, {1, 1}};
    ref_maxpool_forward(y, argmax, (const float[]){1, 9, 2}, 1, 1, 3, 1, 2, &overlapping);
    CHECK_EQUAL(y, {9, 9});
    ref_maxpool_backward(dx, (const float[]){10, 1}, argmax, 1, 1, 3, 1, 2, &overlapping);
    CHECK_EQUAL(dx, {0, 11, 0});

    /* NaN wins wherever it stands, and an all -inf window has a maximum too */
    const float special[] = {1, NAN, NAN, 1, -INFINITY, -INFINITY};
    const window pairs = {{1, 2}, {1, 2}, {0, 0}, {1, 1}};
    ref_maxpool_forward(y, argmax, special, 1, 1, 6, 1, 3, &pairs);
    CHECK_EQUAL(y, {NAN, NAN, -INFINITY});
    assert_int_equal(argmax[0], 1);
    assert_int_equal(argmax[1], 0);
    assert_int_equal(argmax[2], 0);
}

static void test_average_pools_by_hand(void **state)
{
    (void)state;
    const float x[] = {4, 8, 12, 16, 20, 24};
    float y[12], dx[6];
    const window win = {{2, 2}, {1, 2}, {0, 1}, {1, 1}};
    /* padding counts: the first window holds 4 and 16 and two zeros */
    ref_avgpool_forward(y, x, 1, 2, 3, 1, 2, &win);
    CHECK_EQUAL(y, {5, 16});
    ref_avgpool_backward(dx, (const float[]){4, 8}, 1, 2, 3, 1, 2, &win);
    CHECK_EQUAL(dx, {1, 2, 2, 1, 2, 2});

    ref_adaptive_avgpool_forward(y, x, 1, 2, 3, 1, 1);
    CHECK_EQUAL(y, {14});
    /* 3 columns to 2: columns 0..1 and 1..2 */
    ref_adaptive_avgpool_forward(y, x, 1, 2, 3, 2, 2);
    CHECK_EQUAL(y, {6, 10, 18, 22});
    ref_adaptive_avgpool_backward(dx, (const float[]){2, 4, 6, 8}, 1, 2, 3, 2, 2);
    CHECK_EQUAL(dx, {1, 3, 2, 3, 7, 4});
    /* 1 row to 2, 3 columns to 6: every element twice each way */
    ref_adaptive_avgpool_forward(y, x, 1, 1, 3, 2, 6);
    CHECK_EQUAL(y, {4, 4, 8, 8, 12, 12, 4, 4, 8, 8, 12, 12});
}

static void test_linear_and_add_by_hand(void **state)
{
    (void)state;
    const float w[] = {1, 2, 3, 10, 20, 30}; /* 2 outputs, 3 inputs */
    float y[4], dx[6];
    ref_linear_forward(y, (const float[]){1, 1, 1, 1, 0, -1}, w, (const float[]){0.5f, 0}, 2, 3, 2);
    CHECK_EQUAL(y, {6.5f, 60, -1.5f, -20});
    ref_linear_forward(y, (const float[]){1, 1, 1}, w, NULL, 1, 3, 2);
    CHECK_EQUAL(y, {6, 60});
    ref_linear_backward(dx, (const float[]){1, 0, 1, 1}, w, 2, 3, 2);
    CHECK_EQUAL(dx, {1, 2, 3, 11, 22, 33});
    float dw[6], dbias[2];
    ref_linear_backward_weight(dw, dbias, (const float[]){1, 0, 10, 1}, (const float[]){1, 2, 3, 4, 5, 6}, 2, 3, 2);
    CHECK_EQUAL(dw, {41, 52, 63, 4, 5, 6});
    CHECK_EQUAL(dbias, {11, 1});
    ref_add_forward(y, (const float[]){1, 2}, (const float[]){10, -2}, 2);
    CHECK_EQUAL(y, {11, 0});
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_of_linear_ops),
        cmocka_unit_test(test_gradients_of_training_batchnorm),
        cmocka_unit_test(test_gradients_of_kinked_ops),
        cmocka_unit_test(test_convolution_by_hand),
        cmocka_unit_test(test_batchnorm_by_hand),
        cmocka_unit_test(test_training_batchnorm_by_hand),
        cmocka_unit_test(test_dropout_by_hand),
        cmocka_unit_test(test_relu_by_hand),
        cmocka_unit_test(test_maxpool_by_hand),
        cmocka_unit_test(test_average_pools_by_hand),
        cmocka_unit_test(test_linear_and_add_by_hand),
    };
    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
