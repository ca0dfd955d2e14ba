/* explain.c - plan, tape and buffers of an explanation, and its three steps (explain.h). */
#include "explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

bool cr_is_feature_map(const cr_net *net, int node)
{
    for (int i = node; i >= 0; i = net->nodes[i].in[0])
        if (net->nodes[i].op == CR_FLATTEN || net->nodes[i].op == CR_LINEAR)
            return false;
    return true;
}

bool cr_method_fits(const cr_method *method, const cr_net *net, const int *layers, int n_layers, cr_error *err)
{
    int last = cr_net_last_feature_map(net);
    for (int i = 0; i < n_layers; i++) {
        const char *name = net->nodes[layers[i]].name;
        if (!cr_is_feature_map(net, layers[i]))
            return cr_fail(err, "layer %s: its output has no rows and columns to map; the last that has them is %s",
                           name, net->nodes[last].name);
        if (method->evidence == CR_FC_WEIGHT && cr_net_cam_head(net) < 0)
            return cr_fail(err, "method %s needs a network that ends in a global average pool and one linear layer, "
                           "and %s does not: try gradcam", method->name, net->arch);
        if (method->evidence == CR_FC_WEIGHT && layers[i] != last)
            return cr_fail(err, "method %s explains the last feature map (%s) alone, not %s: try gradcam", method->name,
                           net->nodes[last].name, name);
    }
    return true;
}

/* calloc of a * b * c * d elements; NULL also where that is more than memory can count. */
static void *allocate(size_t element, int a, int b, int c, int d)
{
    size_t count = element;
    const int factors[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        if (__builtin_mul_overflow(count, (size_t)factors[i], &count))
            return NULL;
    return calloc(count ? count : 1, 1);
}

static bool allocate_all(cr_explainer *e)
{
    bool ok = true;
    size_t largest = 0;
    for (int i = 0; i < e->n_layers; i++) {
        cr_explained_layer *l = &e->layers[i];
        size_t pixels = (size_t)l->h * (size_t)l->w;
        largest = pixels > largest ? pixels : largest;
        ok = ok && (l->value = allocate(sizeof *l->value, e->n, l->c, l->h, l->w)) &&
             (l->raw = allocate(sizeof *l->raw, e->n, 1, l->h, l->w)) &&
             (e->method->evidence != CR_GRADIENT || (l->grad = allocate(sizeof *l->grad, e->n, l->c, l->h, l->w)));
    }
    return ok && (e->sum = calloc(largest, sizeof *e->sum)) &&
           (e->logits = allocate(sizeof *e->logits, e->n, e->net->classes, 1, 1)) &&
           (e->seed = allocate(sizeof *e->seed, e->n, e->net->classes, 1, 1)) &&
           (e->classes = allocate(sizeof *e->classes, e->n, 1, 1, 1)) &&
           (e->maps = allocate(sizeof *e->maps, e->n, e->h, e->w, 1)) &&
           (e->parts = allocate(sizeof *e->parts, e->n_layers, e->h, e->w, 1));
}

cr_explainer *cr_explainer_create(const cr_net *net, const cr_method *method, const int *layers, int n_layers, int n,
                                  int h, int w, cr_error *err)
{
    if (!cr_method_fits(method, net, layers, n_layers, err))
        return NULL;
    cr_explainer *e = calloc(1, sizeof *e);
    if (!e || !(e->layers = calloc((size_t)n_layers, sizeof *e->layers))) {
        free(e);
        cr_fail(err, "out of memory");
        return NULL;
    }
    e->net = net;
    e->method = method;
    e->n = n;
    e->h = h;
    e->w = w;
    e->n_layers = n_layers;
    e->head = method->evidence == CR_FC_WEIGHT ? cr_net_cam_head(net) : -1;

    cr_request request = {.n = n, .h = h, .w = w, .keep = layers, .n_keep = n_layers};
    if (method->evidence == CR_GRADIENT) {
        request.grad = layers;
        request.n_grad = n_layers;
    }
    if ((e->plan = cr_plan_create(net, &request, err)) && (e->tape = cr_tape_create(e->plan, err))) {
        for (int i = 0; i < n_layers; i++) {
            int dim[3];
            cr_plan_shape(e->plan, layers[i], dim);
            e->layers[i] = (cr_explained_layer){.node = layers[i], .c = dim[0], .h = dim[1], .w = dim[2]};
        }
        if (allocate_all(e))
            return e;
        cr_fail(err, "out of memory for the maps of %d inputs of %dx%d", n, w, h);
    }
    cr_explainer_free(e);
    return NULL;
}

void cr_explainer_free(cr_explainer *e)
{
    if (!e)
        return;
    for (int i = 0; i < e->n_layers; i++) {
        free(e->layers[i].value);
        free(e->layers[i].grad);
        free(e->layers[i].raw);
    }
    free(e->layers);
    free(e->logits);
    free(e->seed);
    free(e->classes);
    free(e->sum);
    free(e->maps);
    free(e->parts);
    cr_tape_free(e->tape);
    cr_plan_free(e->plan);
    free(e);
}

/* ---- the three steps ---- */

/* Index of the first value that is NaN or infinite; n where there is none. */
static size_t find_non_finite(const float *x, size_t n)
{
    size_t i = 0;
    while (i < n && isfinite(x[i]))
        i++;
    return i;
}

/* Fills err with why a logit is not finite. */
static bool explain_non_finite(const cr_explainer *e, const float *x, cr_error *err)
{
    size_t h = (size_t)e->h, w = (size_t)e->w, c = (size_t)e->net->in_channels, count = (size_t)e->n * c * h * w;
    size_t i = find_non_finite(x, count);
    if (i < count)
        return cr_fail(err, "the input holds a value that is no finite number: %g at (%zu,%zu,%zu,%zu) of (N,C,H,W)",
                       (double)x[i], i / (c * h * w), i / (h * w) % c, i / w % h, i % w);
    if (!cr_net_check_finite(e->net, err))
        return false;
    return cr_fail(err, "the logits are not finite though input and weights are: a value inside the network exceeds "
                   "what float32 can hold; is the input normalised (--mean, --std)?");
}

bool cr_explainer_forward(cr_explainer *e, const float *x, cr_error *err)
{
    cr_tape_forward(e->tape, x);
    if (!cr_tape_value(e->tape, e->net->n_nodes - 1, e->logits, err))
        return false;
    size_t count = (size_t)e->n * (size_t)e->net->classes;
    if (find_non_finite(e->logits, count) < count)
        return explain_non_finite(e, x, err);
    for (int i = 0; i < e->n_layers; i++)
        if (!cr_tape_value(e->tape, e->layers[i].node, e->layers[i].value, err))
            return false;
    return true;
}

bool cr_explainer_backward(cr_explainer *e, const int *classes, cr_error *err)
{
    size_t all = (size_t)e->net->classes;
    memcpy(e->classes, classes, (size_t)e->n * sizeof *classes);
    if (e->method->evidence != CR_GRADIENT)
        return true;
    memset(e->seed, 0, (size_t)e->n * all * sizeof *e->seed);
    for (size_t n = 0; n < (size_t)e->n; n++)
        e->seed[n * all + (size_t)classes[n]] = 1;
    if (!cr_tape_backward(e->tape, e->seed, err))
        return false;
    for (int i = 0; i < e->n_layers; i++)
        if (!cr_tape_grad(e->tape, e->layers[i].node, e->layers[i].grad, err))
            return false;
    return true;
}

/* What the method reads beside the layer's value, for image n. */
static const float *evidence(const cr_explainer *e, const cr_explained_layer *l, size_t n)
{
    if (e->method->evidence == CR_FC_WEIGHT)
        return e->net->params[e->net->nodes[e->head].param].data + (size_t)e->classes[n] * (size_t)l->c;
    return l->grad + n * (size_t)l->c * (size_t)l->h * (size_t)l->w;
}

bool cr_explainer_maps(cr_explainer *e, cr_error *err)
{
    size_t input_pixels = (size_t)e->h * (size_t)e->w;
    for (size_t n = 0; n < (size_t)e->n; n++) {
        for (int i = 0; i < e->n_layers; i++) {
            const cr_explained_layer *l = &e->layers[i];
            size_t pixels = (size_t)l->h * (size_t)l->w;
            float *raw = l->raw + n * pixels;
            e->method->map(e->sum, l->value + n * (size_t)l->c * pixels, evidence(e, l, n), l->c, l->h, l->w);
            for (size_t p = 0; p < pixels; p++)
                raw[p] = (float)e->sum[p];
            if (!cr_map_finish(e->parts + (size_t)i * input_pixels, e->h, e->w, raw, l->h, l->w, err))
                return false;
        }
        float *map = e->maps + n * input_pixels;
        if (e->n_layers == 1)
            memcpy(map, e->parts, input_pixels * sizeof *map);
        else if (!cr_map_merge(map, e->parts, e->n_layers, input_pixels, err))
            return false;
    }
    return true;
}
