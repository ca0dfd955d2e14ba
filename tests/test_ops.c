/* test_ops.c - every op of the engine against the oracle, through nets of a few nodes: values and gradients, fused
 * and not, with every instruction set this machine has. Shapes are those of the networks, and awkward ones. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "reference.h"

/* A float sum of K random terms is off by about sqrt(K) 2^-25 of its own size, K at most 4608 here: 2e-6, which is
 * also the worst that was measured. Anything systematic is far above. */
static const double TOLERANCE = 5e-6;

/* ---- running a net ---- */

static uint64_t seed_state;

/* The net with the given input, as a plan fuses it, with every node kept, without Winograd, and with the gradients of all
 * parameters, on all instruction sets. Frees the net. */
static void check_net_at(cr_net *net, int N, int H, int W, const float *x)
{
    oracle *o = oracle_create(net, N, H, W, x);
    float *seed = new_random(oracle_count(o, net->n_nodes - 1), -1.0f, 1.0f, &seed_state);
    int *all = zeros((size_t)net->n_nodes, sizeof *all);
    for (int i = 0; i < net->n_nodes; i++)
        all[i] = i;
    const cr_request fused = {.n = N, .h = H, .w = W, .grad = all, .n_grad = 1};
    const cr_request keep_all = {
        .n = N, .h = H, .w = W, .keep = all, .n_keep = net->n_nodes, .grad = all, .n_grad = net->n_nodes};
    const cr_request direct = {.n = N, .h = H, .w = W, .grad = all, .n_grad = 1, .direct = true};
    bool *params = learned_params(net);
    const cr_request weights = {.n = N, .h = H, .w = W, .param_grad = params};
    for (int i = 0; use_isa(i); i++) {
        check_request(o, &fused, x, seed, TOLERANCE, NULL, NULL);
        check_request(o, &keep_all, x, seed, TOLERANCE, NULL, NULL);
        check_request(o, &direct, x, seed, TOLERANCE, NULL, NULL);
        if (net->n_params)
            check_request(o, &weights, x, seed, TOLERANCE, NULL, NULL);
    }
    free(params);
    free(all);
    free(seed);
    oracle_free(o);
    cr_net_free(net);
}

static void check_net(cr_net *net, int N, int H, int W)
{
    float *weights = bind_random(net, &seed_state);
    float *x = new_random((size_t)(N * net->nodes[0].channels * H * W), -1.0f, 1.0f, &seed_state);
    check_net_at(net, N, H, W, x);
    free(x);
    free(weights);
}

static cr_node window_node(cr_op op, int x, const char *name, int channels, const window *win)
{
    cr_node n = {.op = op, .in = {x, -1}, .channels = channels};
    snprintf(n.name, sizeof n.name, "%s", name);
    memcpy(n.kernel, win->kernel, sizeof n.kernel);
    memcpy(n.stride, win->stride, sizeof n.stride);
    memcpy(n.pad, win->pad, sizeof n.pad);
    memcpy(n.dilation, win->dilation, sizeof n.dilation);
    return n;
}

/* ---- convolution ---- */

typedef struct conv_case {
    int N, IC, H, W, OC;
    window win;
} conv_case;

/* The input read plain: conv + bias + ReLU, as a network's first layer. */
static void check_plain_conv(const conv_case *c)
{
    builder b = new_net("plain conv");
    cr_node conv = window_node(CR_CONV2D, add_input(&b, c->IC), "conv", c->OC, &c->win);
    add_relu(&b, add_node(&b, &conv), "relu");
    check_net(b.net, c->N, c->H, c->W);
}

/* A map in blocks, read by two convolutions: conv + batchnorm + residual addition + ReLU, and conv + bias. */
static void check_blocked_conv(const conv_case *c)
{
    builder b = new_net("blocked conv");
    int x = add_batchnorm(&b, add_input(&b, c->IC), "bn");
    cr_node conv = window_node(CR_CONV2D, x, "conv", c->OC, &c->win), shortcut = conv;
    strcpy(shortcut.name, "shortcut");
    int y = add_batchnorm(&b, add_node(&b, &conv), "conv_bn");
    add_relu(&b, add_add(&b, y, add_node(&b, &shortcut), "add"), "relu");
    check_net(b.net, c->N, c->H, c->W);
}

/* One convolution of a network's size, with its batchnorm and ReLU. */
static void check_real_conv(const conv_case *c)
{
    builder b = new_net("real conv");
    int x = add_batchnorm(&b, add_input(&b, c->IC), "bn");
    cr_node conv = window_node(CR_CONV2D, x, "conv", c->OC, &c->win);
    add_relu(&b, add_batchnorm(&b, add_node(&b, &conv), "conv_bn"), "relu");
    check_net(b.net, c->N, c->H, c->W);
}

/* clang-format off */
#define SQUARE(k, s, p) {{k, k}, {s, s}, {p, p}, {1, 1}}
/* clang-format on */

/* Layers of the five networks at 224x224: their widths, input channels and windows; rows and output channels as few
 * as the oracle's speed asks for. */
static void test_first_layers(void **state)
{
    (void)state;
    static const conv_case cases[] = {
        {1, 3, 11, 224, 64, SQUARE(11, 4, 2)}, /* AlexNet */
        {1, 3, 3, 224, 64, SQUARE(3, 1, 1)},   /* VGG */
        {1, 3, 5, 224, 64, SQUARE(7, 2, 3)},   /* ResNet */
        {2, 1, 12, 40, 64, SQUARE(7, 2, 3)},   /* the same for grey pictures, and four channels */
        {1, 4, 12, 31, 16, SQUARE(7, 2, 3)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_plain_conv(&cases[i]);
}

static void test_inner_layers(void **state)
{
    (void)state;
    static const conv_case cases[] = {
        /* AlexNet */
        {1, 64, 2, 27, 64, SQUARE(5, 1, 2)},
        {1, 192, 2, 13, 128, SQUARE(3, 1, 1)},
        {1, 384, 2, 13, 64, SQUARE(3, 1, 1)},
        /* VGG */
        {1, 64, 1, 224, 32, SQUARE(3, 1, 1)},
        {1, 128, 2, 112, 32, SQUARE(3, 1, 1)},
        {1, 256, 2, 28, 64, SQUARE(3, 1, 1)},
        {1, 512, 2, 14, 64, SQUARE(3, 1, 1)},
        /* ResNet18 and 34 */
        {1, 64, 5, 56, 32, SQUARE(3, 1, 1)},
        {1, 64, 4, 56, 64, SQUARE(3, 2, 1)},
        {1, 64, 4, 56, 128, SQUARE(1, 2, 0)},
        {1, 128, 3, 7, 512, SQUARE(3, 1, 1)},
        /* ResNet50 */
        {1, 256, 3, 56, 64, SQUARE(1, 1, 0)},
        {1, 64, 3, 56, 256, SQUARE(1, 1, 0)},
        {1, 1024, 4, 14, 64, SQUARE(1, 1, 0)},
        {1, 256, 4, 14, 512, SQUARE(1, 2, 0)},
        {1, 512, 7, 7, 256, SQUARE(1, 1, 0)},
        {1, 2048, 3, 7, 64, SQUARE(1, 1, 0)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_real_conv(&cases[i]);
}

static void check_conv(const conv_case *c)
{
    check_plain_conv(c);
    check_blocked_conv(c);
}

/* 3x3 and 5x5 windows of stride 1 on maps large enough for Winograd's F(4x4,3x3) and F(2x2,5x5), forward and
 * backward: last tiles that hang over the edge by one to three pixels or are as much smaller, pads of all kinds, more input
 * channels than one sum has (SUM_BLOCKS), in whole sums and more, one to four tiles (FEW_TILES), more than are transformed
 * at once (98), and so many channels that sums of several blocks are made in registers (FEWEST_SUMS). */
static void test_winograd(void **state)
{
    (void)state;
    static const conv_case cases[] = {
        {1, 16, 9, 9, 16, SQUARE(3, 1, 1)},
        {2, 17, 10, 13, 33, SQUARE(3, 1, 1)},
        {3, 40, 11, 16, 24, SQUARE(3, 1, 1)},
        {1, 5, 12, 27, 70, SQUARE(3, 1, 1)},
        {1, 17, 13, 11, 8, SQUARE(3, 1, 0)},
        {1, 17, 9, 8, 24, SQUARE(3, 1, 2)},
        {2, 3, 14, 12, 48, {{3, 3}, {1, 1}, {0, 2}, {1, 1}}},
        {1, 33, 10, 14, 17, {{3, 3}, {1, 1}, {3, 1}, {1, 1}}},
        {1, 70, 14, 14, 24, SQUARE(3, 1, 1)},
        {1, 24, 14, 14, 150, SQUARE(3, 1, 1)},
        {3, 17, 30, 33, 8, SQUARE(3, 1, 1)},
        {1, 80, 80, 81, 3, SQUARE(3, 1, 1)},
        {1, 64, 9, 112, 8, SQUARE(3, 1, 1)},
        {1, 512, 9, 14, 16, SQUARE(3, 1, 1)},
        {1, 260, 7, 6, 24, SQUARE(3, 1, 1)},
        {1, 17, 4, 4, 33, SQUARE(3, 1, 1)},
        {1, 300, 4, 7, 40, SQUARE(3, 1, 1)},
        {1, 300, 7, 7, 40, SQUARE(3, 1, 1)},
        {3, 17, 7, 7, 33, SQUARE(3, 1, 1)},
        {1, 40, 7, 15, 24, SQUARE(3, 1, 1)},
        {1, 33, 11, 4, 280, SQUARE(3, 1, 1)},
        {1, 600, 5, 13, 8, SQUARE(3, 1, 1)},
        {2, 300, 14, 13, 24, SQUARE(3, 1, 1)},
        {1, 8, 62, 59, 24, SQUARE(3, 1, 1)},
        {1, 8, 12, 9, 300, SQUARE(3, 1, 1)},
        {1, 128, 26, 29, 40, SQUARE(3, 1, 1)},
        {2, 130, 29, 27, 8, SQUARE(3, 1, 0)},
        {1, 200, 25, 56, 24, SQUARE(3, 1, 1)},
        {1, 600, 28, 28, 16, SQUARE(3, 1, 1)},
        {1, 300, 9, 10, 8, SQUARE(5, 1, 2)},
        {1, 270, 14, 13, 24, SQUARE(5, 1, 2)},
        {1, 16, 10, 12, 16, SQUARE(5, 1, 2)},
        {2, 17, 9, 11, 33, SQUARE(5, 1, 2)},
        {1, 40, 15, 13, 24, SQUARE(5, 1, 0)},
        {1, 5, 13, 10, 70, SQUARE(5, 1, 4)},
        {1, 70, 9, 16, 8, {{5, 5}, {1, 1}, {1, 3}, {1, 1}}},
        /* batches of so many tiles that the weights' gradients run so too, of one group of tiles and of several */
        {6, 17, 10, 13, 33, SQUARE(3, 1, 1)},
        {6, 5, 9, 15, 70, SQUARE(3, 1, 0)},
        {16, 40, 7, 5, 24, SQUARE(3, 1, 1)},
        {7, 3, 12, 11, 40, {{3, 3}, {1, 1}, {0, 2}, {1, 1}}},
        {9, 33, 20, 19, 17, SQUARE(3, 1, 1)},
        {2, 16, 57, 60, 8, SQUARE(3, 1, 2)},
        {2, 17, 12, 13, 33, SQUARE(5, 1, 2)},
        {5, 24, 9, 14, 16, SQUARE(5, 1, 1)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_blocked_conv(&cases[i]);
    for (int H = 9; H < 16; H++) /* every size of a smaller tile, behind two whole ones and three */
        for (int W = 9; W < 16; W++)
            check_blocked_conv(&(conv_case){1 + (H + W) % 3, 17, H, W, 24, SQUARE(3, 1, 1)});
    /* what neither must be used for */
    static const conv_case others[] = {
        {1, 17, 12, 14, 24, {{3, 3}, {1, 1}, {2, 2}, {2, 2}}},
        {1, 17, 12, 14, 24, {{3, 3}, {1, 1}, {1, 2}, {1, 2}}},
        {1, 17, 12, 14, 24, {{3, 3}, {1, 2}, {1, 1}, {1, 1}}},
        {1, 17, 12, 14, 24, {{3, 1}, {1, 1}, {1, 0}, {1, 1}}},
        {1, 17, 13, 14, 24, {{5, 5}, {1, 1}, {2, 4}, {1, 2}}},
        {1, 17, 12, 14, 24, SQUARE(4, 1, 2)},
        {1, 17, 12, 14, 24, {{3, 5}, {1, 1}, {1, 2}, {1, 1}}},
        {1, 17, 24, 27, 24, {{7, 7}, {2, 2}, {3, 3}, {1, 1}}}, /* a backward of 3 or 4 taps a side */
        {1, 17, 24, 27, 24, {{9, 9}, {3, 3}, {4, 4}, {1, 1}}}, /* and of 3 */
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        check_blocked_conv(&others[i]);
}

/* Every width a tile can have, one row and several, odd and even: strides 1 and 2, which have tiles of their own,
 * and 3. */
static void test_conv_widths(void **state)
{
    (void)state;
    for (int OW = 1; OW <= 30; OW++)
        for (int stride = 1; stride <= (OW < 8 ? 3 : 2); stride++) {
            const conv_case c = {1 + OW % 2, 3, 1 + OW % 5, (OW - 1) * stride + 1, 24, SQUARE(3, stride, 1)};
            check_conv(&c);
        }
}

static void test_conv_channels(void **state)
{
    (void)state;
    static const int in[] = {1, 3, 5, 16, 17, 40}, out[] = {3, 8, 24, 32, 33, 48, 70};
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        for (size_t o = 0; o < sizeof out / sizeof out[0]; o++) {
            const conv_case c = {1, in[i], 3, 4, out[o], SQUARE(3, 1, 1)};
            const conv_case point = {3, in[i], 1, 5, out[o], SQUARE(1, 1, 0)};
            check_conv(&c);
            check_conv(&point);
        }
}

static void test_conv_geometry(void **state)
{
    (void)state;
    static const conv_case cases[] = {
        /* stride larger than the kernel: input pixels that no output reads */
        {2, 5, 7, 9, 8, SQUARE(1, 2, 0)},
        {1, 17, 8, 10, 33, SQUARE(1, 3, 0)},
        {1, 3, 11, 13, 8, SQUARE(2, 3, 0)},
        {1, 17, 11, 13, 8, SQUARE(2, 5, 1)},
        {1, 3, 20, 18, 8, SQUARE(3, 4, 1)},
        /* stride 3, 4 and larger */
        {1, 40, 10, 29, 24, SQUARE(3, 3, 1)},
        {2, 3, 23, 17, 24, SQUARE(5, 4, 2)},
        {1, 5, 30, 33, 8, SQUARE(7, 5, 3)},
        /* columns that a stride leaves over at the right and below */
        {1, 3, 8, 10, 8, SQUARE(3, 2, 0)},
        {1, 3, 10, 12, 8, SQUARE(4, 3, 0)},
        /* kernels that are no squares, and differing strides and pads */
        {2, 17, 6, 9, 24, {{1, 3}, {1, 1}, {0, 1}, {1, 1}}},
        {1, 5, 9, 7, 33, {{5, 2}, {1, 1}, {2, 0}, {1, 1}}},
        {1, 17, 9, 14, 8, {{5, 2}, {2, 1}, {0, 1}, {1, 1}}},
        {1, 3, 9, 14, 8, {{3, 3}, {1, 3}, {1, 2}, {1, 1}}},
        {1, 17, 12, 11, 40, {{2, 4}, {3, 2}, {1, 0}, {1, 1}}},
        {2, 1, 1, 20, 1, {{1, 7}, {1, 2}, {0, 3}, {1, 1}}},
        {1, 3, 20, 1, 5, {{7, 1}, {2, 1}, {3, 0}, {1, 1}}},
        /* dilation */
        {1, 17, 9, 12, 24, {{3, 3}, {1, 1}, {2, 2}, {2, 2}}},
        {1, 3, 12, 9, 24, {{3, 3}, {2, 2}, {2, 2}, {2, 2}}},
        {1, 17, 13, 12, 8, {{3, 3}, {3, 3}, {2, 2}, {2, 2}}},
        {1, 5, 11, 15, 8, {{3, 2}, {2, 3}, {1, 4}, {3, 5}}},
        {1, 5, 9, 9, 8, {{2, 2}, {1, 1}, {0, 0}, {4, 8}}},
        /* more padding than the kernel can use: whole rows of outputs see nothing but zeros */
        {1, 3, 4, 5, 8, SQUARE(1, 1, 2)},
        {2, 17, 4, 5, 24, SQUARE(3, 1, 4)},
        {1, 17, 5, 4, 24, SQUARE(3, 2, 5)},
        {1, 3, 1, 1, 8, SQUARE(2, 3, 7)},
        /* 1x1 maps, and inputs just as large as the kernel */
        {3, 17, 1, 1, 33, SQUARE(1, 1, 0)},
        {3, 40, 1, 1, 24, SQUARE(3, 1, 1)},
        {1, 5, 1, 1, 8, SQUARE(3, 2, 1)},
        {2, 5, 1, 1, 8, SQUARE(7, 2, 3)},
        {1, 17, 5, 5, 8, SQUARE(5, 1, 0)},
        {1, 17, 3, 1, 8, SQUARE(1, 2, 0)},
        /* steps in a plain input that equal those of blocked ones */
        {1, 3, 40, 37, 8, SQUARE(3, 16, 1)},
        {1, 2, 70, 67, 8, SQUARE(3, 32, 1)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_conv(&cases[i]);
}

/* ---- pooling ---- */

/* pool reads the input; and, in a second net, a feature map that the same pool reads again, so that one of them
 * overwrites the map's gradient and the other adds to it. */
static void check_pool(const cr_node *pool, int N, int C, int H, int W)
{
    builder b = new_net("pool");
    add_input(&b, C);
    add_node(&b, pool);
    check_net(b.net, N, H, W);

    b = new_net("pool twice");
    cr_node first = *pool;
    first.channels = 17;
    first.in[0] = add_conv2d(&b, add_input(&b, C), "conv", first.channels, 1, 1, 0, true);
    cr_node second = first;
    strcpy(second.name, "pool_1");
    int x = add_node(&b, &first), y = add_node(&b, &second);
    add_add(&b, x, add_batchnorm(&b, y, "bn"), "add");
    check_net(b.net, N, H, W);
}

static void check_window_pool(cr_op op, int N, int C, int H, int W, const window *win)
{
    const cr_node pool = window_node(op, 0, "pool", C, win);
    check_pool(&pool, N, C, H, W);
}

static void test_maxpool(void **state)
{
    (void)state;
    static const struct {
        int N, C, H, W;
        window win;
    } cases[] = {
        {1, 64, 6, 112, SQUARE(3, 2, 1)}, /* ResNet */
        {1, 64, 7, 55, SQUARE(3, 2, 0)},  /* AlexNet */
        {1, 64, 4, 112, SQUARE(2, 2, 0)}, /* VGG */
        {2, 5, 7, 10, SQUARE(3, 1, 1)},
        {1, 17, 9, 6, SQUARE(2, 3, 0)},
        {3, 40, 5, 5, SQUARE(5, 1, 2)},
        {1, 3, 1, 1, SQUARE(1, 1, 0)},
        {2, 1, 1, 7, SQUARE(3, 2, 1)},
        {1, 16, 9, 12, {{2, 3}, {1, 2}, {1, 0}, {1, 1}}},
        {1, 17, 11, 9, {{3, 2}, {2, 3}, {1, 1}, {2, 3}}},
        {1, 3, 20, 19, SQUARE(16, 1, 8)}, /* 256 elements: the largest window */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_window_pool(CR_MAXPOOL, cases[i].N, cases[i].C, cases[i].H, cases[i].W, &cases[i].win);
}

static void test_avgpool(void **state)
{
    (void)state;
    static const struct {
        int N, C, H, W;
        window win;
    } cases[] = {
        {1, 64, 6, 56, SQUARE(2, 2, 0)}, {2, 17, 7, 9, SQUARE(3, 2, 1)},
        {1, 5, 7, 10, SQUARE(3, 1, 1)},  {1, 40, 8, 5, SQUARE(2, 3, 0)},
        {3, 3, 1, 1, SQUARE(1, 1, 0)},   {1, 1, 4, 4, SQUARE(2, 1, 2)},
        {1, 17, 7, 7, SQUARE(7, 1, 0)},  {1, 16, 9, 12, {{2, 3}, {1, 2}, {1, 0}, {1, 1}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_window_pool(CR_AVGPOOL, cases[i].N, cases[i].C, cases[i].H, cases[i].W, &cases[i].win);
}

static void test_adaptive_avgpool(void **state)
{
    (void)state;
    static const struct {
        int N, C, H, W, out[2];
    } cases[] = {
        {1, 512, 7, 7, {1, 1}}, {1, 64, 6, 6, {6, 6}},   {1, 64, 7, 7, {7, 7}}, {1, 64, 3, 3, {6, 6}},
        {2, 17, 8, 5, {6, 6}},  {1, 5, 13, 10, {7, 7}},  {3, 3, 1, 1, {7, 7}},  {1, 1, 1, 9, {2, 4}},
        {1, 40, 15, 2, {4, 3}}, {1, 17, 23, 31, {1, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_node pool = {.op = CR_ADAPTIVE_AVGPOOL, .name = "pool", .in = {0, -1}};
        memcpy(pool.out, cases[i].out, sizeof pool.out);
        pool.channels = cases[i].C;
        check_pool(&pool, cases[i].N, cases[i].C, cases[i].H, cases[i].W);
    }
}

/* ---- linear, flatten, dropout, batchnorm, relu, add ---- */

static void check_head(int N, int C, int H, int W, int hidden, int out)
{
    builder b = new_net("head");
    int x = add_batchnorm(&b, add_input(&b, C), "bn");
    x = add_dropout(&b, add_flatten(&b, x, "flatten", C * H * W), "dropout");
    x = add_dropout(&b, add_relu(&b, add_linear(&b, x, "hidden", hidden), "relu"), "dropout_1");
    add_linear(&b, x, "linear", out);
    check_net(b.net, N, H, W);
}

static void test_linear(void **state)
{
    (void)state;
    static const int in[] = {1, 3, 15, 16, 17, 31, 33, 64, 65, 100, 1027}, out[] = {1, 2, 3, 4, 5, 7, 64, 65, 130};
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        for (size_t o = 0; o < sizeof out / sizeof out[0]; o++)
            check_head(1 + (int)(i + o) % 3, in[i], 1, 1, out[o], 5);
    check_head(1, 512, 1, 1, 1000, 2);
    check_head(2, 2048, 1, 1, 10, 1000);
    check_head(1, 100, 7, 7, 1030, 3); /* more columns than one thread takes at once, forward and backward */
    check_head(3, 17, 3, 2, 33, 5);
    check_head(2, 16, 4, 5, 9, 1);
    check_head(8, 43, 7, 7, 29, 3); /* batches take chunks of inputs */
    check_head(21, 35, 6, 5, 66, 17);
}

/* Elementwise ops on the input and behind each other, where nothing is fused. */
static void test_elementwise(void **state)
{
    (void)state;
    static const int shapes[][4] = {{1, 1, 1, 1}, {2, 3, 5, 4}, {1, 16, 3, 7}, {3, 17, 2, 9}, {1, 40, 6, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int *s = shapes[i], C = s[1];
        builder b = new_net("relu of the input");
        add_relu(&b, add_input(&b, C), "relu");
        check_net(b.net, s[0], s[2], s[3]);

        b = new_net("batchnorm of the input");
        add_batchnorm(&b, add_input(&b, C), "bn");
        check_net(b.net, s[0], s[2], s[3]);

        b = new_net("input added to itself");
        int x = add_input(&b, C);
        add_add(&b, x, x, "add");
        check_net(b.net, s[0], s[2], s[3]);

        b = new_net("input alone behind a flatten");
        add_flatten(&b, add_input(&b, C), "flatten", C * s[2] * s[3]);
        check_net(b.net, s[0], s[2], s[3]);

        /* A fork of four: every op adds to a gradient that another one wrote. */
        b = new_net("fork");
        x = add_conv2d(&b, add_input(&b, C), "conv", 17, 1, 1, 0, true);
        int relu = add_relu(&b, x, "relu"), bn = add_batchnorm(&b, x, "bn");
        int conv = add_conv2d(&b, x, "conv_1", 17, 3, 1, 1, true);
        int y = add_add(&b, add_add(&b, relu, bn, "add"), add_add(&b, conv, x, "add_1"), "add_2");
        add_add(&b, y, x, "add_3");
        check_net(b.net, s[0], s[2], s[3]);

        b = new_net("two flattens");
        x = add_conv2d(&b, add_input(&b, C), "conv", 17, 1, 1, 0, true);
        int flatten = add_flatten(&b, x, "flatten", 17 * s[2] * s[3]);
        add_add(&b, flatten, add_relu(&b, add_flatten(&b, x, "flatten_1", 17 * s[2] * s[3]), "relu"), "add");
        check_net(b.net, s[0], s[2], s[3]);

        /* The fork behind a flatten: vectors. */
        b = new_net("fork of vectors");
        x = add_flatten(&b, add_input(&b, C), "flatten", C * s[2] * s[3]);
        x = add_linear(&b, x, "linear", 19);
        relu = add_relu(&b, x, "relu");
        int linear = add_linear(&b, x, "linear_1", 19);
        add_add(&b, add_add(&b, x, relu, "add"), linear, "add_1");
        check_net(b.net, s[0], s[2], s[3]);
    }
}

/* ---- values that are no numbers, and ties ---- */

/* Every value is one of a few, so that windows are full of ties; and some are special. */
static float *special_input(size_t count, bool with_nan)
{
    static const float values[] = {-2.0f, -1.0f, -1.0f, -0.0f, 0.0f, 1.0f, 1.0f, -INFINITY, INFINITY, NAN};
    float *x = zeros(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = values[(int)random_uniform(&seed_state, 0.0f, with_nan ? 10.0f : 7.0f)];
    return x;
}

static void test_special_values(void **state)
{
    (void)state;
    static const window windows[] = {SQUARE(3, 2, 1), SQUARE(2, 2, 0), SQUARE(3, 1, 1), SQUARE(1, 2, 0)};
    for (int with_nan = 0; with_nan < 2; with_nan++)
        for (int repeat = 0; repeat < 4; repeat++) {
            const int N = 2, C = 17, H = 9, W = 8;
            float *x = special_input((size_t)(N * C * H * W), with_nan);
            builder b = new_net("special values to relu");
            add_relu(&b, add_input(&b, C), "relu");
            check_net_at(b.net, N, H, W, x);
            b = new_net("special values to maxpool");
            cr_node pool = window_node(CR_MAXPOOL, add_input(&b, C), "pool", C, &windows[repeat]);
            add_node(&b, &pool);
            check_net_at(b.net, N, H, W, x);
            free(x);
        }
    /* -inf alone: a maximum of nothing else, with a gradient that goes to the first */
    float lowest[16 * 4 * 4];
    for (size_t i = 0; i < sizeof lowest / sizeof lowest[0]; i++)
        lowest[i] = -INFINITY;
    builder b = new_net("-inf to maxpool");
    cr_node pool = window_node(CR_MAXPOOL, add_input(&b, 16), "pool", 16, &windows[0]);
    add_node(&b, &pool);
    check_net_at(b.net, 1, 4, 4, lowest);
}

/* A NaN pixel reaches exactly the outputs whose windows hold it, through fused ReLUs too. */
static void test_nan_through_fused_relus(void **state)
{
    (void)state;
    const int N = 2, C = 17, H = 9, W = 8;
    float *x = new_random((size_t)(N * C * H * W), -1.0f, 1.0f, &seed_state);
    x[3 * H * W + 4 * W + 5] = NAN;
    builder b = new_net("NaN to conv");
    int y = add_batchnorm(&b, add_conv2d(&b, add_input(&b, C), "conv", 24, 3, 1, 1, true), "bn");
    add_maxpool(&b, add_relu(&b, y, "relu"), "pool", 2, 2, 0);
    float *weights = bind_random(b.net, &seed_state);
    check_net_at(b.net, N, H, W, x);
    free(weights);

    b = new_net("NaN to linear");
    y = add_linear(&b, add_flatten(&b, add_input(&b, C), "flatten", C * H * W), "linear", 7);
    add_relu(&b, y, "relu");
    weights = bind_random(b.net, &seed_state);
    check_net_at(b.net, N, H, W, x);
    free(weights);
    free(x);
}

static void test_softmax(void **state)
{
    (void)state;
    const float z[] = {0.0f, 0.0f, 0.0f, 0.0f, 1000.0f, 1000.0f, 999.0f, -1e30f, -3e38f, -3e38f, 3e38f, 0.0f};
    const float two_and_one[] = {0.42231880f, 0.42231880f, 0.15536240f, 0.0f}; /* e / (2e + 1) */
    float p[12];
    cr_softmax(p, z, 3, 4);
    check_close(p, (const float[]){0.25f, 0.25f, 0.25f, 0.25f}, 4, 0.0, "softmax of equals");
    check_close(p + 4, two_and_one, 4, 1e-6, "softmax of large logits");
    check_close(p + 8, (const float[]){0.0f, 0.0f, 1.0f, 0.0f}, 4, 0.0, "softmax of extreme logits");
    cr_softmax(p, (const float[]){1.0f, NAN}, 1, 2);
    assert_true(isnan(p[0]) && isnan(p[1])); /* never a plausible answer */
}

/* Most cases are so small that on a busy machine waiting for a second thread would take all the time. That threads
 * do not change a bit is test_plan.c's business. */
static int start(void **state)
{
    (void)state;
    seed_state = SEED;
    cr_set_threads(1);
    return 0;
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_first_layers, start),
        cmocka_unit_test_setup(test_inner_layers, start),
        cmocka_unit_test_setup(test_winograd, start),
        cmocka_unit_test_setup(test_conv_widths, start),
        cmocka_unit_test_setup(test_conv_channels, start),
        cmocka_unit_test_setup(test_conv_geometry, start),
        cmocka_unit_test_setup(test_maxpool, start),
        cmocka_unit_test_setup(test_avgpool, start),
        cmocka_unit_test_setup(test_adaptive_avgpool, start),
        cmocka_unit_test_setup(test_linear, start),
        cmocka_unit_test_setup(test_elementwise, start),
        cmocka_unit_test_setup(test_special_values, start),
        cmocka_unit_test_setup(test_nan_through_fused_relus, start),
        cmocka_unit_test_setup(test_softmax, start),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
