/* net.c - the network as an array of nodes: appending them (builder.h), finding them by name, and what follows from an
 * input's size: shapes and multiply-adds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"
#include "plan.h"

static const char *const op_names[CR_OP_COUNT] = {
    [CR_INPUT] = "input",     [CR_CONV2D] = "conv2d",   [CR_BATCHNORM] = "batchnorm",
    [CR_RELU] = "relu",       [CR_MAXPOOL] = "maxpool", [CR_AVGPOOL] = "avgpool",
    [CR_LINEAR] = "linear",   [CR_ADD] = "add",         [CR_ADAPTIVE_AVGPOOL] = "adaptive_avgpool",
    [CR_FLATTEN] = "flatten", [CR_DROPOUT] = "dropout",
};

const char *cr_op_name(cr_op op)
{
    return op_names[op];
}

/* ---- appending nodes ---- */

/* Returns room for one more element of an array that doubles, or NULL. */
static void *grow(void *array, int count, int *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    int doubled = *capacity ? 2 * *capacity : 64;
    void *bigger = realloc(array, (size_t)doubled * size);
    if (bigger)
        *capacity = doubled;
    return bigger;
}

static void add_param(builder *b, const cr_node *node, const char *suffix, int ndim, int d0, int d1, int d2, int d3)
{
    cr_net *net = b->net;
    cr_param *bigger = grow(net->params, net->n_params, &b->param_capacity, sizeof *bigger);
    if (!bigger) {
        b->failed = true;
        return;
    }
    net->params = bigger;
    cr_param *p = &net->params[net->n_params++];
    *p = (cr_param){.ndim = ndim, .dim = {d0, d1, d2, d3}};
    snprintf(p->name, sizeof p->name, "%.*s%s", (int)(sizeof p->name - 16), node->name, suffix);
}

/* How many parameters a node of this kind has, in state-dict order. has_bias is asked of convolutions only. */
static int add_params(builder *b, const cr_node *n, int in_channels, bool has_bias)
{
    int before = b->net->n_params;
    switch (n->op) {
    case CR_CONV2D:
        add_param(b, n, ".weight", 4, n->channels, in_channels, n->kernel[0], n->kernel[1]);
        if (has_bias)
            add_param(b, n, ".bias", 1, n->channels, 1, 1, 1);
        break;
    case CR_LINEAR:
        add_param(b, n, ".weight", 2, n->channels, in_channels, 1, 1);
        add_param(b, n, ".bias", 1, n->channels, 1, 1, 1);
        break;
    case CR_BATCHNORM:
        add_param(b, n, ".weight", 1, n->channels, 1, 1, 1);
        add_param(b, n, ".bias", 1, n->channels, 1, 1, 1);
        add_param(b, n, ".running_mean", 1, n->channels, 1, 1, 1);
        add_param(b, n, ".running_var", 1, n->channels, 1, 1, 1);
        break;
    default:
        break;
    }
    return b->net->n_params - before;
}

static int append(builder *b, const cr_node *node, bool has_bias)
{
    if (b->failed)
        return 0;
    cr_net *net = b->net;
    cr_node *bigger = grow(net->nodes, net->n_nodes, &b->node_capacity, sizeof *bigger);
    if (!bigger) {
        b->failed = true;
        return 0;
    }
    net->nodes = bigger;
    cr_node *n = &net->nodes[net->n_nodes];
    *n = *node;
    if (n->channels == 0) /* an op that keeps its input's channels */
        n->channels = net->nodes[n->in[0]].channels;
    n->param = net->n_params;
    n->n_params = add_params(b, n, n->op == CR_INPUT ? 0 : net->nodes[n->in[0]].channels, has_bias);
    return net->n_nodes++;
}

static cr_node new_node(cr_op op, int x, const char *name)
{
    cr_node n = {.op = op, .in = {x, -1}, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    snprintf(n.name, sizeof n.name, "%s", name);
    return n;
}

static void set_window(cr_node *n, int k, int stride, int pad)
{
    n->kernel[0] = n->kernel[1] = k;
    n->stride[0] = n->stride[1] = stride;
    n->pad[0] = n->pad[1] = pad;
}

int add_input(builder *b, int channels)
{
    cr_node n = new_node(CR_INPUT, -1, "input");
    n.channels = channels;
    return append(b, &n, false);
}

int add_conv2d(builder *b, int x, const char *name, int out, int k, int stride, int pad, bool bias)
{
    cr_node n = new_node(CR_CONV2D, x, name);
    n.channels = out;
    set_window(&n, k, stride, pad);
    return append(b, &n, bias);
}

int add_batchnorm(builder *b, int x, const char *name)
{
    cr_node n = new_node(CR_BATCHNORM, x, name);
    n.eps = 1e-5f; /* torch.nn.BatchNorm2d's default, which all networks here use */
    return append(b, &n, false);
}

int add_relu(builder *b, int x, const char *name)
{
    cr_node n = new_node(CR_RELU, x, name);
    return append(b, &n, false);
}

int add_maxpool(builder *b, int x, const char *name, int k, int stride, int pad)
{
    cr_node n = new_node(CR_MAXPOOL, x, name);
    set_window(&n, k, stride, pad);
    return append(b, &n, false);
}

int add_adaptive_avgpool(builder *b, int x, const char *name, int size)
{
    cr_node n = new_node(CR_ADAPTIVE_AVGPOOL, x, name);
    n.out[0] = n.out[1] = size;
    return append(b, &n, false);
}

int add_flatten(builder *b, int x, const char *name, int features)
{
    cr_node n = new_node(CR_FLATTEN, x, name);
    n.channels = features;
    return append(b, &n, false);
}

int add_dropout(builder *b, int x, const char *name)
{
    cr_node n = new_node(CR_DROPOUT, x, name);
    n.p = 0.5f; /* as in all networks here */
    return append(b, &n, false);
}

int add_linear(builder *b, int x, const char *name, int out)
{
    cr_node n = new_node(CR_LINEAR, x, name);
    n.channels = out;
    return append(b, &n, true);
}

int add_add(builder *b, int x, int y, const char *name)
{
    cr_node n = new_node(CR_ADD, x, name);
    n.in[1] = y;
    return append(b, &n, false);
}

int add_node(builder *b, const cr_node *node)
{
    return append(b, node, true);
}

void cr_net_free(cr_net *net)
{
    if (!net)
        return;
    free(net->nodes);
    free(net->params);
    free(net);
}

/* ---- names ---- */

enum { NEAR_COUNT = 6, NEAR_SIZE = NEAR_COUNT * (CR_NAME_SIZE + 2) };

/* Lists the modules that begin most like `name`: "layer1, layer2, layer3, layer4" for "layer5". */
static void list_near(const cr_net *net, const char *name, char near[NEAR_SIZE])
{
    size_t best = 0;
    for (int i = 1; i < net->n_nodes; i++) {
        size_t common = 0;
        while (name[common] && net->nodes[i].name[common] == name[common])
            common++;
        best = common > best ? common : best;
    }
    char last[CR_NAME_SIZE] = "";
    near[0] = '\0';
    for (int i = 1, listed = 0; i < net->n_nodes && listed < NEAR_COUNT; i++) {
        const char *node = net->nodes[i].name;
        char module[CR_NAME_SIZE];
        if (strncmp(node, name, best) != 0)
            continue;
        snprintf(module, sizeof module, "%.*s", (int)(best + strcspn(node + best, ".")), node);
        if (strcmp(module, last) == 0)
            continue;
        strcat(strcat(near, listed++ ? ", " : ""), strcpy(last, module));
    }
}

int cr_net_find(const cr_net *net, const char *name, cr_error *err)
{
    size_t length = strlen(name);
    int inside = -1;
    for (int i = 0; i < net->n_nodes; i++) {
        const char *node = net->nodes[i].name;
        if (strcmp(node, name) == 0)
            return i;
        if (length && strncmp(node, name, length) == 0 && node[length] == '.')
            inside = i;
    }
    if (inside >= 0)
        return inside;

    char near[NEAR_SIZE];
    list_near(net, name, near);
    cr_fail(err, "%s has no layer '%.60s'; near it: %s (--list-layers shows them all)", net->arch, name, near);
    return -1;
}

int cr_net_find_param(const cr_net *net, const char *name, cr_error *err)
{
    for (int i = 0; i < net->n_params; i++)
        if (strcmp(net->params[i].name, name) == 0)
            return i;
    char layer[CR_NAME_SIZE];
    const char *dot = strrchr(name, '.');
    snprintf(layer, sizeof layer, "%.*s", (int)(dot && dot - name < CR_NAME_SIZE ? dot - name : 0), name);
    const int node = cr_net_find(net, dot ? layer : name, err);
    if (node >= 0 && net->nodes[node].n_params > 0)
        cr_fail(err, "%s has no parameter '%.60s'; the first of layer '%s' is %s", net->arch, name, net->nodes[node].name,
                net->params[net->nodes[node].param].name);
    else if (node >= 0)
        cr_fail(err, "%s has no parameter '%.60s': layer '%s' has none", net->arch, name, net->nodes[node].name);
    return -1;
}

int cr_net_last_feature_map(const cr_net *net)
{
    for (int i = net->n_nodes - 1; i > 0; i--)
        if (net->nodes[i].op == CR_ADAPTIVE_AVGPOOL)
            return net->nodes[i].in[0];
    return 0;
}

int cr_net_crossing(const cr_net *net, int start, int *nodes)
{
    int n = 0;
    for (int before = 0; before < start; before++)
        for (int i = start + 1; i < net->n_nodes; i++)
            if (net->nodes[i].in[0] == before || net->nodes[i].in[1] == before) {
                nodes[n++] = before;
                break;
            }
    return n;
}

int cr_net_cam_head(const cr_net *net)
{
    const cr_node *n = net->nodes;
    int last = net->n_nodes - 1;
    if (last < 3 || n[last].op != CR_LINEAR)
        return -1;
    int flatten = n[last].in[0], pool = n[flatten].in[0];
    if (n[flatten].op != CR_FLATTEN || n[pool].op != CR_ADAPTIVE_AVGPOOL || n[pool].out[0] != 1 || n[pool].out[1] != 1)
        return -1;
    return last;
}

/* ---- shapes ---- */

/* Positions a window takes along one axis: floor((size + 2 pad - dilation (kernel - 1) - 1) / stride) + 1. */
static int64_t window_positions(const cr_node *n, int axis, int size)
{
    int64_t span = (int64_t)size + 2 * (int64_t)n->pad[axis] - (int64_t)n->dilation[axis] * (n->kernel[axis] - 1) - 1;
    return span < 0 ? 0 : span / n->stride[axis] + 1;
}

bool net_shapes_to(const cr_net *net, int last, int h, int w, int (*dims)[3], cr_error *err)
{
    enum { MAX_SIDE = 1 << 15 };
    if (h < 1 || w < 1 || h > MAX_SIDE || w > MAX_SIDE)
        return cr_fail(err, "%s: expected an input of 1 to %d pixels a side, found %dx%d (WxH)", net->arch, MAX_SIDE, w, h);
    for (int i = 0; i <= last; i++) {
        const cr_node *n = &net->nodes[i];
        const int *x = n->op == CR_INPUT ? (const int[]){n->channels, h, w} : dims[n->in[0]];
        int64_t out[2] = {x[1], x[2]};
        switch (n->op) {
        case CR_CONV2D:
        case CR_MAXPOOL:
        case CR_AVGPOOL:
            for (int axis = 0; axis < 2; axis++)
                out[axis] = window_positions(n, axis, x[1 + axis]);
            if (out[0] < 1 || out[1] < 1)
                return cr_fail(err, "%s: an input of %dx%d (WxH) is too small: nothing is left for %s to read; use a larger --size",
                               net->arch, w, h, n->name);
            break;
        case CR_ADAPTIVE_AVGPOOL:
            out[0] = n->out[0];
            out[1] = n->out[1];
            break;
        case CR_FLATTEN:
            out[0] = out[1] = 1;
            break;
        default:
            break;
        }
        dims[i][0] = n->channels;
        dims[i][1] = (int)out[0];
        dims[i][2] = (int)out[1];
    }
    return true;
}

bool cr_net_shapes(const cr_net *net, int h, int w, int (*dims)[3], cr_error *err)
{
    return net_shapes_to(net, net->n_nodes - 1, h, w, dims, err);
}

static int64_t param_count(const cr_param *p)
{
    int64_t count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= p->dim[d];
    return count;
}

int64_t cr_node_params(const cr_net *net, int node)
{
    const cr_node *n = &net->nodes[node];
    int64_t count = 0;
    for (int i = 0; i < n->n_params && i < 2; i++) /* weight and bias; running statistics come behind them */
        count += param_count(&net->params[n->param + i]);
    return count;
}

int64_t cr_node_macs(const cr_net *net, int node, int (*dims)[3])
{
    const cr_node *n = &net->nodes[node];
    if (n->op != CR_CONV2D && n->op != CR_LINEAR)
        return 0;
    return param_count(&net->params[n->param]) * dims[node][1] * dims[node][2];
}

bool cr_net_check_finite(const cr_net *net, cr_error *err)
{
    for (int i = 0; i < net->n_params; i++) {
        const cr_param *p = &net->params[i];
        int64_t count = param_count(p);
        for (int64_t k = 0; p->data && k < count; k++)
            if (!isfinite(p->data[k]))
                return cr_fail(err, "the weights hold a value that is no finite number: %s[%lld] is %g", p->name,
                               (long long)k, (double)p->data[k]);
    }
    return true;
}
