/* batchnorm.c - batch normalisation where it is not folded into a convolution, with the addition and ReLU fused behind it:
 *
 *     y = relu?( (x - mean) / sqrt(var + eps) * gamma + beta + add )  =  relu?( x * scale + shift + add )
 *
 * mean and var are the running statistics, constants; or, where step.train is set, those of the batch, which depend on x.
 * The formulas of the backward are derived in reference.c.
 *
 * Sums over a channel are taken in double, one for each (image, channel block), and those are added up image after image:
 * threads share out the pieces and cannot change a bit. */
#include <math.h>
#include <string.h>

#include "ops.h"

/* ---- parameters ---- */

void batchnorm_affine(const cr_net *net, int node, float *scale, float *shift)
{
    const cr_node *n = &net->nodes[node];
    const float *gamma = net->params[n->param].data, *beta = net->params[n->param + 1].data;
    const float *mean = net->params[n->param + 2].data, *var = net->params[n->param + 3].data;
    for (int c = 0; c < n->channels; c++) {
        double factor = (double)gamma[c] / sqrt((double)var[c] + (double)n->eps);
        if (scale)
            scale[c] = (float)factor;
        shift[c] = (float)((double)beta[c] - (double)mean[c] * factor);
    }
}

static size_t padded_channels(const cr_plan *plan, const step *s)
{
    return (size_t)plan->value[s->last].blocks * BLOCK;
}

size_t batchnorm_packed_size(const cr_plan *plan, const step *s)
{
    return 2 * padded_channels(plan, s);
}

/* Padding channels have scale 0, and so hold zeros. */
float *batchnorm_pack(const cr_plan *plan, step *s, float *packed)
{
    const size_t size = batchnorm_packed_size(plan, s);
    s->scale = memset(packed, 0, size * sizeof *packed);
    s->bias = packed + size / 2;
    batchnorm_affine(plan->net, s->node, s->scale, s->bias);
    return packed + size;
}

/* ---- places in the arena ---- */

/* step.statistics: four rows of padded channels. */
enum { MEAN, VARIANCE, SCALE, SHIFT, STATISTICS };

/* Of one (image, channel block): what scratch holds. */
typedef struct sums {
    double first[BLOCK], second[BLOCK];
} sums;

/* What dx is made with, in scratch behind the sums: dx = g * a + (x - mean) * b + c. */
enum { A, B, C, MEAN_OF_X, COEFFICIENTS };

void batchnorm_plan_kernels(cr_plan *plan, step *s)
{
    const size_t channels = padded_channels(plan, s), pieces = (size_t)plan->N * (channels / BLOCK);
    s->statistics.size = STATISTICS * channels;
    s->scratch.size = pieces * sizeof(sums) / sizeof(float);
    s->backward_scratch.size = s->scratch.size + COEFFICIENTS * channels;
}

static float *row_of(float *arena, const tensor *t, int n, int block, int h)
{
    return tensor_map(arena, t, n).p + block * t->plane + h * t->row;
}

/* Adds up the images' sums of one channel. */
static void total(const sums *piece, int N, int blocks, int channel, double *first, double *second)
{
    *first = *second = 0.0;
    for (int n = 0; n < N; n++) {
        *first += piece[n * blocks + channel / BLOCK].first[channel % BLOCK];
        *second += piece[n * blocks + channel / BLOCK].second[channel % BLOCK];
    }
}

/* ---- forward ---- */

static void measure(const cr_plan *plan, const step *s, float *arena)
{
    const tensor *x = &plan->value[s->x];
    const cr_node *node = &plan->net->nodes[s->node];
    const float *gamma = plan->net->params[node->param].data, *beta = plan->net->params[node->param + 1].data;
    sums *piece = (sums *)(void *)(arena + s->scratch.offset);
    float *statistics = arena + s->statistics.offset;
    const size_t channels = padded_channels(plan, s);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * x->blocks; i++) {
        piece[i] = (sums){0};
        for (int h = 0; h < x->H; h++)
            plan->k->training->moments(piece[i].first, piece[i].second, row_of(arena, x, i / x->blocks, i % x->blocks, h),
                                       x->W);
    }
    memset(statistics, 0, sizeof *statistics * STATISTICS * channels);
    for (int c = 0; c < x->C; c++) {
        const double m = (double)plan->N * x->H * x->W;
        double sum, squares;
        total(piece, plan->N, x->blocks, c, &sum, &squares);
        const double mean = sum / m, difference = squares / m - mean * mean;
        const double var = difference < 0.0 ? 0.0 : difference; /* rounding; and a NaN stays one */
        const double scale = (double)gamma[c] / sqrt(var + (double)node->eps);
        statistics[MEAN * channels + (size_t)c] = (float)mean;
        statistics[VARIANCE * channels + (size_t)c] = (float)var;
        statistics[SCALE * channels + (size_t)c] = (float)scale;
        statistics[SHIFT * channels + (size_t)c] = (float)((double)beta[c] - mean * scale);
    }
}

void batchnorm_forward(const cr_plan *plan, const step *s, float *arena)
{
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last];
    const float *scale = s->scale, *shift = s->bias;
    if (s->train) {
        measure(plan, s, arena);
        scale = arena + s->statistics.offset + SCALE * padded_channels(plan, s);
        shift = scale + padded_channels(plan, s);
    }
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * y->blocks; i++)
        for (int h = 0; h < y->H; h++) {
            const int n = i / y->blocks, b = i % y->blocks;
            const float *add = s->add >= 0 ? row_of(arena, &plan->value[s->add], n, b, h) : NULL;
            plan->k->training->normalize(row_of(arena, y, n, b, h), row_of(arena, x, n, b, h), add, scale + b * BLOCK,
                                         shift + b * BLOCK, s->relu, y->W);
        }
}

/* ---- backward ---- */

/* From the sums over g = dy behind the ReLU and g * x: the parameters' gradients, and what dx is made with. */
static void combine(const cr_plan *plan, const step *s, float *arena, const sums *piece, float *coefficients)
{
    const tensor *x = &plan->value[s->x];
    const cr_node *node = &plan->net->nodes[s->node];
    const cr_param *param = &plan->net->params[node->param];
    const tensor *dgamma = &plan->param_grad[node->param], *dbeta = dgamma + 1;
    const float *statistics = arena + s->statistics.offset;
    const size_t channels = padded_channels(plan, s);
    memset(coefficients, 0, sizeof *coefficients * COEFFICIENTS * channels);
    for (int c = 0; c < x->C; c++) {
        const float mean = s->train ? statistics[MEAN * channels + (size_t)c] : param[2].data[c];
        const float var = s->train ? statistics[VARIANCE * channels + (size_t)c] : param[3].data[c];
        const double inverse = 1.0 / sqrt((double)var + (double)node->eps), m = (double)plan->N * x->H * x->W;
        const double a = (double)param[0].data[c] * inverse;
        coefficients[A * channels + (size_t)c] = (float)a;
        if (s->train || s->need_params) {
            double sum, product;
            total(piece, plan->N, x->blocks, c, &sum, &product);
            const double with_xhat = (product - (double)mean * sum) * inverse;
            if (tensor_exists(dgamma))
                arena[dgamma->offset + (size_t)c] = (float)with_xhat;
            if (tensor_exists(dbeta))
                arena[dbeta->offset + (size_t)c] = (float)sum;
            coefficients[B * channels + (size_t)c] = (float)(-a * inverse * with_xhat / m);
            coefficients[C * channels + (size_t)c] = (float)(-a * sum / m);
            coefficients[MEAN_OF_X * channels + (size_t)c] = mean;
        }
    }
}

void batchnorm_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last], *dx = &plan->grad[s->x];
    const training_kernels *k = plan->k->training;
    sums *piece = (sums *)(void *)(arena + s->backward_scratch.offset);
    float *coefficients = arena + s->backward_scratch.offset + s->scratch.size;
    const size_t channels = padded_channels(plan, s);

    if (s->train || s->need_params || s->need_add)
#pragma omp parallel for schedule(static) num_threads(plan->threads)
        for (int i = 0; i < plan->N * dy->blocks; i++) {
            const int n = i / dy->blocks, b = i % dy->blocks;
            piece[i] = (sums){0};
            for (int h = 0; h < dy->H; h++)
                k->batchnorm_sums(piece[i].first, piece[i].second,
                                  s->need_add ? row_of(arena, &plan->grad[s->add], n, b, h) : NULL, s->first_add,
                                  row_of(arena, dy, n, b, h), s->relu ? row_of(arena, y, n, b, h) : NULL,
                                  s->train || s->need_params ? row_of(arena, x, n, b, h) : NULL, dy->W);
        }
    combine(plan, s, arena, piece, coefficients);
    if (!s->need_x)
        return;
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * dy->blocks; i++) {
        const int n = i / dy->blocks, b = i % dy->blocks;
        const float *of_block = coefficients + b * BLOCK;
        for (int h = 0; h < dy->H; h++)
            k->batchnorm_input(row_of(arena, dx, n, b, h), s->first_x, row_of(arena, dy, n, b, h),
                               s->relu ? row_of(arena, y, n, b, h) : NULL, s->train ? row_of(arena, x, n, b, h) : NULL,
                               of_block + A * channels, of_block + B * channels, of_block + C * channels,
                               of_block + MEAN_OF_X * channels, dy->W);
    }
}

/* ---- running statistics ---- */

void batchnorm_update_running(const cr_plan *plan, const step *s, const float *arena, float momentum, float *mean, float *var)
{
    const tensor *x = &plan->value[s->x];
    const float *statistics = arena + s->statistics.offset;
    const size_t channels = padded_channels(plan, s);
    const double m = (double)plan->N * x->H * x->W, rate = (double)momentum;
    for (size_t c = 0; c < (size_t)x->C; c++) {
        const double batch_mean = (double)statistics[MEAN * channels + c];
        const double unbiased = (double)statistics[VARIANCE * channels + c] * m / (m - 1.0);
        mean[c] = (float)((1.0 - rate) * (double)mean[c] + rate * batch_mean);
        var[c] = (float)((1.0 - rate) * (double)var[c] + rate * unbiased);
    }
}
