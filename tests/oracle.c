/* oracle.c - see oracle.h. */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "reference.h"

static window node_window(const cr_node *n)
{
    return (window){{n->kernel[0], n->kernel[1]},
                    {n->stride[0], n->stride[1]},
                    {n->pad[0], n->pad[1]},
                    {n->dilation[0], n->dilation[1]}};
}

size_t oracle_count(const oracle *o, int node)
{
    const int *s = o->shape[node];
    return (size_t)o->N * (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
}

static const cr_param *node_params(const oracle *o, const cr_node *n)
{
    return n->n_params ? &o->net->params[n->param] : NULL;
}

static void forward_node(oracle *o, int i)
{
    const cr_node *n = &o->net->nodes[i];
    const cr_param *param = node_params(o, n);
    const int N = o->N, *xs = o->shape[n->in[0]], *ys = o->shape[i];
    const int C = ys[0], H = xs[1], W = xs[2], OH = ys[1], OW = ys[2];
    const window win = node_window(n);
    const float *x = o->value[n->in[0]];
    float *y = o->value[i];
    switch (n->op) {
    case CR_CONV2D:
        ref_conv2d_forward(y, x, param[0].data, n->n_params > 1 ? param[1].data : NULL, N, xs[0], H, W, C, OH, OW,
                           &win);
        break;
    case CR_BATCHNORM:
        if (o->trains[i]) {
            ref_batchnorm_train_forward(y, o->mean[i], o->var[i], x, param[0].data, param[1].data, n->eps, N, C, H * W);
        } else {
            memcpy(o->mean[i], param[2].data, sizeof(float) * (size_t)C);
            memcpy(o->var[i], param[3].data, sizeof(float) * (size_t)C);
            ref_batchnorm_forward(y, x, param[0].data, param[1].data, o->mean[i], o->var[i], n->eps, N, C, H * W);
        }
        break;
    case CR_RELU:
        ref_relu_forward(y, x, (int64_t)oracle_count(o, i));
        break;
    case CR_MAXPOOL: {
        uint8_t *argmax = zeros(oracle_count(o, i), 1);
        ref_maxpool_forward(y, argmax, x, N * C, H, W, OH, OW, &win);
        free(argmax);
        break;
    }
    case CR_AVGPOOL:
        ref_avgpool_forward(y, x, N * C, H, W, OH, OW, &win);
        break;
    case CR_ADAPTIVE_AVGPOOL:
        ref_adaptive_avgpool_forward(y, x, N * C, H, W, OH, OW);
        break;
    case CR_LINEAR:
        ref_linear_forward(y, x, param[0].data, param[1].data, N, xs[0], C);
        break;
    case CR_ADD:
        ref_add_forward(y, x, o->value[n->in[1]], (int64_t)oracle_count(o, i));
        break;
    case CR_FLATTEN:
        memcpy(y, x, sizeof *y * oracle_count(o, i));
        break;
    case CR_DROPOUT:
        ref_dropout(y, x, o->trains[i] ? n->p : 0.0f, o->seed, i, (int64_t)oracle_count(o, i));
        break;
    default:
        fail_msg("the oracle does not know %s", cr_op_name(n->op));
    }
}

/* dx: this node's contribution to the gradient of its first input. x and y: where the kinks are decided. */
static void backward_node(const oracle *o, int i, float *dx, const float *dy, const float *x, const float *y)
{
    const cr_node *n = &o->net->nodes[i];
    const cr_param *param = node_params(o, n);
    const int N = o->N, *xs = o->shape[n->in[0]], *ys = o->shape[i];
    const int C = ys[0], H = xs[1], W = xs[2], OH = ys[1], OW = ys[2];
    const window win = node_window(n);
    switch (n->op) {
    case CR_CONV2D:
        ref_conv2d_backward(dx, dy, param[0].data, N, xs[0], H, W, C, OH, OW, &win);
        break;
    case CR_BATCHNORM:
        if (o->trains[i])
            ref_batchnorm_train_backward(dx, dy, o->value[n->in[0]], param[0].data, o->mean[i], o->var[i], n->eps, N, C,
                                         H * W);
        else
            ref_batchnorm_backward(dx, dy, param[0].data, o->var[i], n->eps, N, C, H * W);
        break;
    case CR_RELU:
        if (o->relu == CR_RELU_PLAIN)
            ref_relu_backward(dx, dy, y, (int64_t)oracle_count(o, i));
        else if (o->relu == CR_RELU_GUIDED)
            ref_relu_backward_guided(dx, dy, y, (int64_t)oracle_count(o, i));
        else
            ref_relu_backward_deconv(dx, dy, (int64_t)oracle_count(o, i));
        break;
    case CR_MAXPOOL: {
        float *largest = zeros(oracle_count(o, i), sizeof *largest);
        uint8_t *argmax = zeros(oracle_count(o, i), 1);
        ref_maxpool_forward(largest, argmax, x, N * C, H, W, OH, OW, &win);
        ref_maxpool_backward(dx, dy, argmax, N * C, H, W, OH, OW, &win);
        free(argmax);
        free(largest);
        break;
    }
    case CR_AVGPOOL:
        ref_avgpool_backward(dx, dy, N * C, H, W, OH, OW, &win);
        break;
    case CR_ADAPTIVE_AVGPOOL:
        ref_adaptive_avgpool_backward(dx, dy, N * C, H, W, OH, OW);
        break;
    case CR_LINEAR:
        ref_linear_backward(dx, dy, param[0].data, N, xs[0], C);
        break;
    case CR_ADD:
    case CR_FLATTEN:
        memcpy(dx, dy, sizeof *dx * oracle_count(o, i));
        break;
    case CR_DROPOUT:
        ref_dropout(dx, dy, o->trains[i] ? n->p : 0.0f, o->seed, i, (int64_t)oracle_count(o, i));
        break;
    default:
        fail_msg("the oracle does not know %s", cr_op_name(n->op));
    }
}

/* The gradients of a node's parameters. */
static void backward_params(const oracle *o, int i, const float *dy)
{
    const cr_node *n = &o->net->nodes[i];
    const int N = o->N, *xs = o->shape[n->in[0]], *ys = o->shape[i];
    const window win = node_window(n);
    const float *x = o->value[n->in[0]];
    float **grad = o->param_grad + n->param;
    switch (n->op) {
    case CR_CONV2D:
        ref_conv2d_backward_weight(grad[0], n->n_params > 1 ? grad[1] : NULL, dy, x, N, xs[0], xs[1], xs[2], ys[0], ys[1],
                                   ys[2], &win);
        break;
    case CR_BATCHNORM:
        ref_batchnorm_backward_weight(grad[0], grad[1], dy, x, o->mean[i], o->var[i], n->eps, N, ys[0], ys[1] * ys[2]);
        break;
    case CR_LINEAR:
        ref_linear_backward_weight(grad[0], grad[1], dy, x, N, xs[0], ys[0]);
        break;
    default:
        break;
    }
}

size_t oracle_param_count(const oracle *o, int param)
{
    const cr_param *p = &o->net->params[param];
    size_t count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= (size_t)p->dim[d];
    return count;
}

oracle *oracle_create_for(const cr_net *net, const cr_request *request, uint64_t seed, const float *x)
{
    const size_t nodes = (size_t)net->n_nodes;
    oracle *o = zeros(1, sizeof *o);
    *o = (oracle){.net = net,
                  .N = request->n,
                  .H = request->h,
                  .W = request->w,
                  .shape = zeros(nodes, sizeof *o->shape),
                  .value = zeros(nodes, sizeof *o->value),
                  .grad = zeros(nodes, sizeof *o->grad),
                  .param_grad = zeros((size_t)net->n_params, sizeof *o->param_grad),
                  .mean = zeros(nodes, sizeof *o->mean),
                  .var = zeros(nodes, sizeof *o->var),
                  .trains = zeros(nodes, sizeof *o->trains),
                  .seed = seed,
                  .end = request->end ? request->end : net->n_nodes - 1,
                  .relu = request->relu};
    cr_error err;
    if (!cr_net_shapes(net, o->H, o->W, o->shape, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < net->n_params; i++)
        o->param_grad[i] = zeros(oracle_param_count(o, i), sizeof(float));
    for (int i = 0; i < net->n_nodes; i++) {
        const cr_node *n = &net->nodes[i];
        const bool wanted = n->n_params && request->param_grad && (request->param_grad[n->param] || request->param_grad[n->param + 1]);
        o->trains[i] = request->train && (n->op == CR_DROPOUT || (n->op == CR_BATCHNORM && wanted));
        o->value[i] = zeros(oracle_count(o, i), sizeof(float));
        o->grad[i] = zeros(oracle_count(o, i), sizeof(float));
        o->mean[i] = zeros((size_t)n->channels, sizeof(float));
        o->var[i] = zeros((size_t)n->channels, sizeof(float));
        if (i == 0)
            memcpy(o->value[0], x, sizeof *x * oracle_count(o, 0));
        else
            forward_node(o, i);
    }
    return o;
}

oracle *oracle_create(const cr_net *net, int N, int H, int W, const float *x)
{
    return oracle_create_for(net, &(cr_request){.n = N, .h = H, .w = W}, 0, x);
}

void oracle_free(oracle *o)
{
    for (int i = 0; i < o->net->n_nodes; i++) {
        free(o->value[i]);
        free(o->grad[i]);
        free(o->mean[i]);
        free(o->var[i]);
    }
    for (int i = 0; i < o->net->n_params; i++)
        free(o->param_grad[i]);
    free(o->shape);
    free(o->value);
    free(o->grad);
    free(o->param_grad);
    free(o->mean);
    free(o->var);
    free(o->trains);
    free(o);
}

void oracle_backward(oracle *o, float *const *at, const float *seed)
{
    for (int i = 0; i < o->net->n_nodes; i++)
        memset(o->grad[i], 0, sizeof(float) * oracle_count(o, i));
    memcpy(o->grad[o->end], seed, sizeof *seed * oracle_count(o, o->end));
    for (int i = o->end; i > 0; i--) {
        const cr_node *n = &o->net->nodes[i];
        const int in = n->in[0];
        float *dx = zeros(oracle_count(o, in), sizeof *dx);
        backward_params(o, i, o->grad[i]);
        backward_node(o, i, dx, o->grad[i], at[in] ? at[in] : o->value[in], at[i] ? at[i] : o->value[i]);
        for (int side = 0; side < 2 && n->in[side] >= 0; side++)
            for (size_t k = 0; k < oracle_count(o, in); k++)
                o->grad[n->in[side]][k] += dx[k];
        free(dx);
    }
}

/* Reads a kept value or gradient into memory of its own and compares it. */
static float *read_and_check(const oracle *o, const cr_tape *tape, int node, bool gradient, double tol)
{
    cr_error err;
    const size_t count = oracle_count(o, node);
    float *found = zeros(count, sizeof *found);
    if (!(gradient ? cr_tape_grad : cr_tape_value)(tape, node, found, &err))
        fail_msg("%s", err.text);
    check_close(found, gradient ? o->grad[node] : o->value[node], count, tol, "%s (%s) %dx%dx%d: %s of %s",
                o->net->arch, cr_isa(), o->N, o->H, o->W, gradient ? "gradient" : "value", o->net->nodes[node].name);
    return found;
}

/* Whether node's only reader is a batchnorm that subtracts the batch's mean: no bias in front of it changes anything. */
static bool is_centred(const oracle *o, int node)
{
    int readers = 0, reader = -1;
    for (int i = 0; i < o->net->n_nodes; i++)
        for (int side = 0; side < 2; side++)
            if (o->net->nodes[i].in[side] == node) {
                reader = i;
                readers++;
            }
    return readers == 1 && o->net->nodes[reader].op == CR_BATCHNORM && o->trains[reader];
}

/* A batchnorm's gradients are sums over pixels, and rounding is a part of their terms, not of what is left where these cancel,
 * as they can where it has one channel: the largest sum of terms' sizes over the largest sum. 1 for other ops. */
static double cancellation(const oracle *o, int node, int p)
{
    const cr_node *n = &o->net->nodes[node];
    if (n->op != CR_BATCHNORM)
        return 1.0;
    const int C = o->shape[node][0], HW = o->shape[node][1] * o->shape[node][2];
    double most = 0.0, largest = 0.0;
    for (int c = 0; c < C; c++) {
        double terms = 0.0;
        for (int k = 0; k < o->N; k++)
            for (int i = 0; i < HW; i++) {
                const size_t at = ((size_t)k * (size_t)C + (size_t)c) * (size_t)HW + (size_t)i;
                const double centred = (double)o->value[n->in[0]][at] - (double)o->mean[node][c];
                const double factor = p == 0 ? centred / sqrt((double)o->var[node][c] + (double)n->eps) : 1.0;
                terms += fabs((double)o->grad[node][at] * factor);
            }
        most = fmax(most, terms);
        largest = fmax(largest, fabs((double)o->param_grad[n->param + p][c]));
    }
    return largest > 0.0 ? most / largest : 1.0;
}

static void check_param_grads(const oracle *o, const cr_request *request, const cr_tape *tape, double tol)
{
    cr_error err;
    for (int i = 0; i < o->net->n_nodes; i++)
        for (int p = 0; p < o->net->nodes[i].n_params; p++) {
            const int param = o->net->nodes[i].param + p;
            if (!request->param_grad[param])
                continue;
            const size_t count = oracle_param_count(o, param);
            const float *found = cr_tape_param_grad(tape, param, &err);
            if (!found)
                fail_msg("%s", err.text);
            if (p == 1 && is_centred(o, i)) { /* 0 but for rounding: that of a sum over dy */
                float *allowed = zeros(count, sizeof *allowed);
                for (size_t k = 0; k < oracle_count(o, i); k++)
                    allowed[k / ((size_t)o->shape[i][1] * (size_t)o->shape[i][2]) % count] += fabsf(o->grad[i][k]);
                for (size_t k = 0; k < count; k++)
                    assert_true(fabs((double)found[k]) <= tol * (double)allowed[k]);
                free(allowed);
                continue;
            }
            check_close(found, o->param_grad[param], count, tol * cancellation(o, i, p), "%s (%s) %dx%dx%d: gradient of %s",
                        o->net->arch, cr_isa(), o->N, o->H, o->W, o->net->params[param].name);
        }
}

void check_request(oracle *o, const cr_request *request, const float *x, const float *seed, double tol, float *logits,
                   float *grad)
{
    const cr_net *net = o->net;
    const int last = o->end;
    cr_error err;
    cr_plan *plan = cr_plan_create(net, request, &err);
    if (!plan)
        fail_msg("%s", err.text);
    cr_tape *tape = cr_tape_create(plan, &err);
    if (!tape)
        fail_msg("%s", err.text);
    cr_tape_seed(tape, o->seed);
    cr_tape_forward(tape, x);

    float **at = zeros((size_t)net->n_nodes, sizeof *at);
    at[last] = read_and_check(o, tape, last, false, tol);
    if (logits)
        memcpy(logits, at[last], sizeof *logits * oracle_count(o, last));
    for (int i = 0; i < request->n_keep; i++)
        if (!at[request->keep[i]])
            at[request->keep[i]] = read_and_check(o, tape, request->keep[i], false, tol);

    if (request->n_grad || request->param_grad) {
        if (!cr_tape_backward(tape, seed, &err))
            fail_msg("%s", err.text);
        oracle_backward(o, at, seed);
        for (int i = 0; i < request->n_grad; i++) {
            float *found = read_and_check(o, tape, request->grad[i], true, tol);
            if (grad && i == 0)
                memcpy(grad, found, sizeof *grad * oracle_count(o, request->grad[i]));
            free(found);
        }
        if (request->param_grad)
            check_param_grads(o, request, tape, tol);
    }
    for (int i = 0; i < net->n_nodes; i++)
        free(at[i]);
    free(at);
    cr_tape_free(tape);
    cr_plan_free(plan);
}
