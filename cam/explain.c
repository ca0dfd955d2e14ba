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
    const bool needs_head = method->needs & CR_NEEDS_FC_WEIGHT;
    int last = cr_net_last_feature_map(net);
    for (int i = 0; i < n_layers; i++) {
        const char *name = net->nodes[layers[i]].name;
        if (!cr_is_feature_map(net, layers[i]))
            return cr_fail(err, "layer %s: its output has no rows and columns to map; the last that has them is %s",
                           name, net->nodes[last].name);
        if (needs_head && cr_net_cam_head(net) < 0)
            return cr_fail(err, "method %s needs a network that ends in a global average pool and one linear layer, "
                           "and %s does not: try gradcam", method->name, net->arch);
        if (needs_head && layers[i] != last)
            return cr_fail(err, "method %s explains the last feature map (%s) alone, not %s: try gradcam", method->name,
                           net->nodes[last].name, name);
    }
    return true;
}

/* ---- memory ---- */

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

static bool allocate_layers(cr_explainer *e)
{
    size_t largest = 0;
    for (int i = 0; i < e->n_layers; i++) {
        cr_explained_layer *l = &e->layers[i];
        size_t pixels = (size_t)l->h * (size_t)l->w;
        largest = pixels > largest ? pixels : largest;
        if (!(l->value = allocate(sizeof *l->value, e->n, l->c, l->h, l->w)) ||
            (e->needs & CR_NEEDS_GRADIENT && !(l->grad = allocate(sizeof *l->grad, e->n, l->c, l->h, l->w))))
            return false;
    }
    return (e->sum = calloc(largest, sizeof *e->sum)) != NULL;
}

static bool allocate_results(cr_explainer *e)
{
    for (int i = 0; i < e->n_results; i++) {
        cr_explanation *r = &e->results[i];
        r->n_raw = e->n_layers;
        if (!(r->raw = calloc((size_t)r->n_raw, sizeof *r->raw)) || !(r->maps = allocate(sizeof *r->maps, e->n, e->h, e->w, 1)))
            return false;
        for (int k = 0; k < r->n_raw; k++) {
            const cr_explained_layer *l = &e->layers[k];
            r->raw[k] = (cr_raw_map){.node = l->node, .h = l->h, .w = l->w};
            if (!(r->raw[k].values = allocate(sizeof(float), e->n, l->h, l->w, 1)))
                return false;
        }
    }
    return true;
}

static bool allocate_all(cr_explainer *e)
{
    return allocate_layers(e) && allocate_results(e) &&
           (e->logits = allocate(sizeof *e->logits, e->n, e->net->classes, 1, 1)) &&
           (e->seed = allocate(sizeof *e->seed, e->n, e->net->classes, 1, 1)) &&
           (e->classes = allocate(sizeof *e->classes, e->n, 1, 1, 1)) &&
           (e->parts = allocate(sizeof *e->parts, e->n_layers, e->h, e->w, 1));
}

cr_explainer *cr_explainer_create(const cr_net *net, const cr_explain_request *r, cr_error *err)
{
    for (int i = 0; i < r->n_methods; i++)
        if (!cr_method_fits(r->methods[i], net, r->layers, r->n_layers, err))
            return NULL;
    cr_explainer *e = calloc(1, sizeof *e);
    if (!e || !(e->layers = calloc((size_t)r->n_layers, sizeof *e->layers)) ||
        !(e->results = calloc((size_t)r->n_methods, sizeof *e->results))) {
        cr_fail(err, "out of memory");
        goto failed;
    }
    e->net = net;
    e->n = r->n;
    e->h = r->h;
    e->w = r->w;
    e->n_layers = r->n_layers;
    e->n_results = r->n_methods;
    e->random_seed = r->seed;
    e->eigen_smooth = r->eigen_smooth;
    for (int i = 0; i < r->n_methods; i++) {
        e->results[i].method = r->methods[i];
        e->needs |= r->methods[i]->needs;
    }

    cr_request request = {.n = r->n, .h = r->h, .w = r->w, .keep = r->layers, .n_keep = r->n_layers, .direct = r->direct};
    if (e->needs & CR_NEEDS_GRADIENT) {
        request.grad = r->layers;
        request.n_grad = r->n_layers;
    }
    if (!(e->plan = cr_plan_create(net, &request, err)) || !(e->tape = cr_tape_create(e->plan, err)))
        goto failed;
    for (int i = 0; i < r->n_layers; i++) {
        int dim[3];
        cr_plan_shape(e->plan, r->layers[i], dim);
        e->layers[i] = (cr_explained_layer){.node = r->layers[i], .c = dim[0], .h = dim[1], .w = dim[2]};
    }
    if (allocate_all(e))
        return e;
    cr_fail(err, "out of memory for the maps of %d inputs of %dx%d", r->n, r->w, r->h);
failed:
    cr_explainer_free(e);
    return NULL;
}

void cr_explainer_free(cr_explainer *e)
{
    if (!e)
        return;
    for (int i = 0; e->layers && i < e->n_layers; i++) {
        free(e->layers[i].value);
        free(e->layers[i].grad);
    }
    for (int i = 0; e->results && i < e->n_results; i++) {
        cr_explanation *r = &e->results[i];
        for (int k = 0; r->raw && k < r->n_raw; k++)
            free(r->raw[k].values);
        free(r->raw);
        free(r->maps);
    }
    free(e->layers);
    free(e->results);
    free(e->logits);
    free(e->seed);
    free(e->classes);
    free(e->sum);
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
    if (!(e->needs & CR_NEEDS_GRADIENT))
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

/* What is known of a layer in image n. */
static cr_evidence evidence(const cr_explainer *e, const cr_explained_layer *l, size_t n)
{
    const size_t first = n * (size_t)l->c * (size_t)l->h * (size_t)l->w;
    cr_evidence found = {.c = l->c, .h = l->h, .w = l->w, .a = l->value + first, .seed = e->random_seed};
    if (l->grad)
        found.g = l->grad + first;
    if (e->needs & CR_NEEDS_FC_WEIGHT) {
        const cr_node *head = &e->net->nodes[cr_net_cam_head(e->net)];
        found.fc_weight = e->net->params[head->param].data + (size_t)e->classes[n] * (size_t)l->c;
    }
    return found;
}

/* One method's maps of image n. */
static bool make_map(cr_explainer *e, const cr_explanation *r, size_t n, cr_error *err)
{
    const size_t input_pixels = (size_t)e->h * (size_t)e->w;
    for (int i = 0; i < e->n_layers; i++) {
        const cr_evidence found = evidence(e, &e->layers[i], n);
        const size_t pixels = (size_t)found.h * (size_t)found.w;
        float *raw = r->raw[i].values + n * pixels;
        if (!cr_method_map(e->sum, r->method, &found, e->eigen_smooth, err))
            return false;
        for (size_t p = 0; p < pixels; p++)
            raw[p] = (float)e->sum[p];
        if (!cr_map_finish(e->parts + (size_t)i * input_pixels, e->h, e->w, raw, found.h, found.w, err))
            return false;
    }
    float *map = r->maps + n * input_pixels;
    if (e->n_layers > 1)
        return cr_map_merge(map, e->parts, e->n_layers, input_pixels, err);
    memcpy(map, e->parts, input_pixels * sizeof *map);
    return true;
}

bool cr_explainer_maps(cr_explainer *e, cr_error *err)
{
    for (int i = 0; i < e->n_results; i++)
        for (size_t n = 0; n < (size_t)e->n; n++)
            if (!make_map(e, &e->results[i], n, err))
                return false;
    return true;
}
