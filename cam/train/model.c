/* model.c - see model.h. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

/* ---- memory ---- */

bool is_running_statistic(const cr_net *net, int param)
{
    for (int i = 0; i < net->n_nodes; i++) {
        const cr_node *n = &net->nodes[i];
        if (n->op == CR_BATCHNORM && param >= n->param + 2 && param < n->param + n->n_params)
            return true;
    }
    return false;
}

bool model_create(model *m, const cr_arch *arch, int channels, int classes, int width, cr_error *err)
{
    *m = (model){.net = cr_net_create(arch, channels, classes, width, err)};
    if (!m->net)
        return false;
    const size_t n = (size_t)m->net->n_params;
    m->param = calloc(n, sizeof *m->param);
    m->count = calloc(n, sizeof *m->count);
    m->trained = calloc(n, sizeof *m->trained);
    for (size_t i = 0; m->count && i < n; i++) {
        m->count[i] = 1;
        for (int d = 0; d < m->net->params[i].ndim; d++)
            m->count[i] *= (size_t)m->net->params[i].dim[d];
        m->values += m->count[i];
    }
    m->memory = calloc(m->values, sizeof *m->memory);
    if (!m->param || !m->count || !m->trained || !m->memory)
        return cr_fail(err, "%s: out of memory for %zu parameters", arch->name, m->values);
    float *next = m->memory;
    for (size_t i = 0; i < n; i++) {
        m->net->params[i].data = m->param[i] = next;
        next += m->count[i];
        m->trained[i] = !is_running_statistic(m->net, (int)i);
        m->trained_values += m->trained[i] ? m->count[i] : 0;
    }
    return true;
}

void model_free(model *m)
{
    cr_net_free(m->net);
    free(m->memory);
    free(m->param);
    free(m->count);
    free(m->trained);
    *m = (model){0};
}

/* ---- random weights ---- */

static void fill(model *m, int param, float value)
{
    for (size_t i = 0; i < m->count[param]; i++)
        m->param[param][i] = value;
}

static stream stream_of_param(const model *m, int param, uint64_t seed)
{
    const char *name = m->net->params[param].name;
    return stream_of(seed, FOR_WEIGHTS, hash_bytes(HASH_START, name, strlen(name)), 0);
}

static void fill_normal(model *m, int param, double deviation, uint64_t seed)
{
    stream s = stream_of_param(m, param, seed);
    for (size_t i = 0; i < m->count[param]; i++)
        m->param[param][i] = (float)(deviation * draw_normal(&s));
}

static void fill_uniform(model *m, int param, double bound, uint64_t seed)
{
    stream s = stream_of_param(m, param, seed);
    for (size_t i = 0; i < m->count[param]; i++)
        m->param[param][i] = (float)(bound * (2 * draw_unit(&s) - 1));
}

static void init_node(model *m, const cr_node *n, uint64_t seed)
{
    const bool vgg = strncmp(m->net->arch, "vgg", 3) == 0, alexnet = strcmp(m->net->arch, "alexnet") == 0;
    const int weight = n->param, bias = n->n_params > 1 ? n->param + 1 : -1;
    if (n->op == CR_BATCHNORM) {
        for (int i = 0; i < n->n_params; i++)
            fill(m, n->param + i, i == 0 || i == 3 ? 1 : 0);
        return;
    }
    const cr_param *p = &m->net->params[weight]; /* (out, in, KH, KW), or (out, in) */
    const double window = p->ndim == 4 ? p->dim[2] * p->dim[3] : 1, fan_in = p->dim[1] * window;
    if (alexnet || (n->op == CR_LINEAR && !vgg)) {
        fill_uniform(m, weight, 1 / sqrt(fan_in), seed);
        if (bias >= 0)
            fill_uniform(m, bias, 1 / sqrt(fan_in), seed);
        return;
    }
    fill_normal(m, weight, n->op == CR_LINEAR ? 0.01 : sqrt(2 / (p->dim[0] * window)), seed);
    if (bias >= 0)
        fill(m, bias, 0);
}

void model_init(model *m, uint64_t seed)
{
    for (int i = 0; i < m->net->n_nodes; i++)
        if (m->net->nodes[i].n_params)
            init_node(m, &m->net->nodes[i], seed);
}

/* ---- another network's weights ---- */

/* The first node with parameters from this index on; NULL where there is none. */
static const cr_node *next_with_params(const cr_net *net, int node)
{
    while (node < net->n_nodes && !net->nodes[node].n_params)
        node++;
    return node < net->n_nodes ? &net->nodes[node] : NULL;
}

static const cr_node *following(const cr_net *net, const cr_node *n)
{
    return next_with_params(net, (int)(n - net->nodes) + 1);
}

/* (out, from, window) -> (out, to, window), of which one of from and to is 1. */
static void convert_channels(float *out, const float *in, int n, int to, int from, size_t window)
{
    for (int oc = 0; oc < n; oc++)
        for (int c = 0; c < to; c++)
            for (size_t k = 0; k < window; k++) {
                double sum = 0;
                for (int i = 0; i < from; i++)
                    sum += (double)in[((size_t)oc * (size_t)from + (size_t)i) * window + k];
                out[((size_t)oc * (size_t)to + (size_t)c) * window + k] = (float)(sum / to);
            }
}

static bool same_shape(const cr_param *p, const cr_param *q)
{
    return p->ndim == q->ndim && memcmp(p->dim, q->dim, sizeof p->dim) == 0;
}

/* Parameters of one node, which must have the same shapes but for the channels that the first convolution reads. */
static bool take_node(model *m, const cr_node *n, const cr_net *from, const cr_node *f, int from_channels, cr_error *err)
{
    for (int k = 0; k < n->n_params; k++) {
        const cr_param *p = &m->net->params[n->param + k], *q = f && k < f->n_params ? &from->params[f->param + k] : NULL;
        const bool convert = from_channels && k == 0;
        cr_param expected = *p;
        if (convert)
            expected.dim[1] = from_channels;
        if (!q || !same_shape(&expected, q))
            return cr_fail(err, "%s: expected weights of the same network and width", p->name);
        if (convert)
            convert_channels(m->param[n->param], q->data, p->dim[0], p->dim[1], from_channels, (size_t)p->dim[2] * (size_t)p->dim[3]);
        else
            memcpy(m->param[n->param + k], q->data, m->count[n->param + k] * sizeof(float));
    }
    return true;
}

/* y = (conv(x) + b - mean) s + beta with s = gamma / sqrt(var + eps), of each channel, is a convolution: its weights times
 * s, and (b - mean) s + beta. */
static void fold(model *m, const cr_node *conv, const cr_net *from, const cr_node *batchnorm)
{
    const cr_param *p = &from->params[batchnorm->param];
    const float *gamma = p[0].data, *beta = p[1].data, *mean = p[2].data, *var = p[3].data;
    const size_t channels = (size_t)p[0].dim[0], window = m->count[conv->param] / channels;
    float *w = m->param[conv->param], *b = m->param[conv->param + 1];
    for (size_t c = 0; c < channels; c++) {
        const double scale = gamma[c] / sqrt((double)var[c] + (double)batchnorm->eps);
        for (size_t k = 0; k < window; k++)
            w[c * window + k] = (float)(w[c * window + k] * scale);
        b[c] = (float)(((double)b[c] - (double)mean[c]) * scale + (double)beta[c]);
    }
}

bool model_take(model *m, const cr_net *from, bool keep_head, transfer *done, cr_error *err)
{
    const cr_net *net = m->net;
    const int to_channels = net->in_channels, from_channels = from->in_channels;
    *done = (transfer){.new_head = !keep_head || net->classes != from->classes};
    if (to_channels != from_channels) {
        if (to_channels != 1 && from_channels != 1)
            return cr_fail(err, "expected weights for %d input channels or for 1, found %d", to_channels, from_channels);
        done->from_channels = from_channels;
    }
    const cr_node *n = next_with_params(net, 0), *f = next_with_params(from, 0), *next, *from_next;
    for (const cr_node *first = n; n; n = next, f = from_next) {
        next = following(net, n);
        from_next = f ? following(from, f) : NULL;
        if (!next && done->new_head)
            break;
        if (!take_node(m, n, from, f, n == first ? done->from_channels : 0, err))
            return false;
        if (n->op == CR_CONV2D && n->n_params == 2 && from_next && from_next->op == CR_BATCHNORM &&
            (!next || next->op != CR_BATCHNORM)) {
            fold(m, n, from, from_next);
            done->folded = true;
            from_next = following(from, from_next);
        }
    }
    return true;
}

/* ---- freezing ---- */

/* Freezes the parameters inside one module; returns how many parameters that has. */
static int freeze_module(model *m, const char *module)
{
    size_t length = strlen(module);
    int found = 0;
    for (int i = 0; i < m->net->n_params; i++) {
        const char *name = m->net->params[i].name;
        if (!length || strncmp(name, module, length) != 0 || (name[length] && name[length] != '.'))
            continue;
        found++;
        m->trained_values -= m->trained[i] ? m->count[i] : 0;
        m->trained[i] = false;
    }
    return found;
}

bool model_freeze(model *m, const char *modules, cr_error *err)
{
    for (const char *item = modules, *end; item; item = *end ? end + 1 : NULL) {
        char module[2 * CR_NAME_SIZE];
        end = item + strcspn(item, ",");
        snprintf(module, sizeof module, "%.*s", (int)(end - item), item);
        if (freeze_module(m, module))
            continue;
        cr_error why;
        if (cr_net_find(m->net, module, &why) >= 0)
            cr_fail(&why, "%s has no parameters to freeze", module);
        return cr_fail(err, "--freeze: %s", why.text);
    }
    return m->trained_values > 0 || cr_fail(err, "--freeze %.200s leaves nothing to train", modules);
}
