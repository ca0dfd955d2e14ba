/* explain.c - the steps of explain.h, over what evidence.c finds. */
#include "explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evidence.h"
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

/* Whether a result explains all layers together, in one map of the input's size. */
static bool is_full(const cr_explanation *r)
{
    return r->method->needs & CR_NEEDS_BIASES;
}

static bool allocate_result(const cr_explainer *e, cr_explanation *r)
{
    r->n_raw = is_full(r) ? 1 : e->n_layers;
    if (!(r->raw = calloc((size_t)r->n_raw, sizeof *r->raw)) || !(r->maps = allocate(sizeof *r->maps, e->n, e->h, e->w, 1)))
        return false;
    for (int k = 0; k < r->n_raw; k++) {
        const cr_explained_layer *l = &e->layers[k];
        r->raw[k] = is_full(r) ? (cr_raw_map){.node = 0, .h = e->h, .w = e->w}
                               : (cr_raw_map){.node = l->node, .h = l->h, .w = l->w};
        if (!(r->raw[k].values = allocate(sizeof(float), e->n, r->raw[k].h, r->raw[k].w, 1)))
            return false;
    }
    return true;
}

static bool allocate_all(cr_explainer *e, bool aug_smooth)
{
    size_t largest = 0;
    for (int i = 0; i < e->net->n_nodes; i++) {
        int dim[3];
        cr_plan_shape(e->plan, i, dim);
        const size_t pixels = (size_t)dim[1] * (size_t)dim[2];
        largest = pixels > largest ? pixels : largest;
    }
    for (int i = 0; i < e->n_results; i++)
        if (!allocate_result(e, &e->results[i]))
            return false;
    return (e->sum = calloc(largest, sizeof *e->sum)) && (e->layer_map = calloc(largest, sizeof *e->layer_map)) &&
           (e->shares = allocate(sizeof *e->shares, e->n_layers + 1, e->h, e->w, 1)) &&
           (!aug_smooth || ((e->plain_x = allocate(sizeof *e->plain_x, e->n, e->net->in_channels, e->h, e->w)) &&
                            (e->means = allocate(sizeof *e->means, e->n_results, e->n, e->h, e->w))));
}

cr_explainer *cr_explainer_create(const cr_net *net, const cr_explain_request *r, cr_error *err)
{
    for (int i = 0; i < r->n_methods; i++)
        if (!cr_method_fits(r->methods[i], net, r->layers, r->n_layers, err))
            return NULL;
    cr_explainer *e = calloc(1, sizeof *e);
    if (!e) {
        cr_fail(err, "out of memory");
        return NULL;
    }
    *e = (cr_explainer){.net = net, .n = r->n, .h = r->h, .w = r->w, .n_layers = r->n_layers, .n_results = r->n_methods,
                        .eigen_smooth = r->eigen_smooth};
    bool ok = (e->layers = calloc((size_t)r->n_layers + 1, sizeof *e->layers)) &&
              (e->results = calloc((size_t)r->n_methods, sizeof *e->results)) &&
              (e->logits = allocate(sizeof *e->logits, e->n, net->classes, 1, 1)) &&
              (e->classes = allocate(sizeof *e->classes, e->n, 1, 1, 1));
    for (int i = 0; ok && i < r->n_methods; i++) {
        e->results[i].method = r->methods[i];
        e->needs_scores |= (r->methods[i]->needs & (CR_NEEDS_MASKED | CR_NEEDS_ABLATED)) != 0;
        e->needs_backward |= (r->methods[i]->needs & (CR_NEEDS_GRADIENT | CR_NEEDS_NOISE | CR_NEEDS_BIASES)) != 0;
    }
    ok = ok || cr_fail(err, "out of memory");
    ok = ok && evidence_create(e, r, err) &&
         (allocate_all(e, r->aug_smooth) ||
          cr_fail(err, "out of memory for the maps of %d inputs of %dx%d", r->n, r->w, r->h));
    if (ok)
        return e;
    cr_explainer_free(e);
    return NULL;
}

void cr_explainer_free(cr_explainer *e)
{
    if (!e)
        return;
    evidence_free(e);
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
    free(e->classes);
    free(e->sum);
    free(e->layer_map);
    free(e->shares);
    free(e->plain_x);
    free(e->means);
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
    if (!evidence_forward(e, x, err))
        return false;
    size_t count = (size_t)e->n * (size_t)e->net->classes;
    return find_non_finite(e->logits, count) == count || explain_non_finite(e, x, err);
}

bool cr_explainer_score(cr_explainer *e, cr_error *err)
{
    return evidence_score(e, err);
}

bool cr_explainer_backward(cr_explainer *e, const int *classes, cr_error *err)
{
    memcpy(e->classes, classes, (size_t)e->n * sizeof *classes);
    return evidence_backward(e, err);
}

/* One method's finished map of image n, of its raw ones. */
static bool finish_map(const cr_explainer *e, const cr_explanation *r, size_t n, cr_error *err)
{
    const size_t input_pixels = (size_t)e->h * (size_t)e->w;
    float *map = r->maps + n * input_pixels;
    if (is_full(r))
        return cr_map_finish(map, r->raw[0].values + n * input_pixels, 1, input_pixels, err);
    for (int i = 0; i < r->n_raw; i++) {
        const cr_raw_map *raw = &r->raw[i];
        const float *values = raw->values + n * (size_t)raw->h * (size_t)raw->w;
        if (!cr_map_share(e->shares + (size_t)i * input_pixels, e->h, e->w, values, raw->h, raw->w, err))
            return false;
    }
    return cr_map_finish(map, e->shares, r->n_raw, input_pixels, err);
}

/* One method's raw maps of image n. */
static bool make_raw_maps(cr_explainer *e, const cr_explanation *r, size_t n, cr_error *err)
{
    for (int i = 0; i < e->n_layers; i++) {
        const cr_evidence shown = evidence_of(e, &e->layers[i], n, r->score);
        const size_t pixels = (size_t)shown.h * (size_t)shown.w;
        float *raw = r->raw[i].values + n * pixels;
        if (!cr_method_map(e->sum, r->method, &shown, e->eigen_smooth, err))
            return false;
        for (size_t p = 0; p < pixels; p++)
            raw[p] = (float)e->sum[p];
    }
    return true;
}

/* Adds one layer's map of a method that explains all layers together to total (H,W). Adding up the channels before they are
 * resized gives what resizing each of them would. */
static bool add_layer(cr_explainer *e, const cr_method *method, const cr_evidence *shown, float *total, cr_error *err)
{
    const size_t pixels = (size_t)shown->h * (size_t)shown->w, input_pixels = (size_t)e->h * (size_t)e->w;
    if (!cr_method_map(e->sum, method, shown, false, err))
        return false;
    for (size_t p = 0; p < pixels; p++)
        e->layer_map[p] = (float)e->sum[p];
    cr_map_resize(e->shares, e->h, e->w, e->layer_map, shown->h, shown->w);
    for (size_t p = 0; p < input_pixels; p++)
        total[p] += e->shares[p];
    return true;
}

static bool make_full_raw_maps(cr_explainer *e, const cr_explanation *r, cr_error *err)
{
    const size_t pixels = (size_t)e->h * (size_t)e->w;
    float *raw = r->raw[0].values;
    memset(raw, 0, (size_t)e->n * pixels * sizeof *raw);
    for (int i = 0; i < e->evidence->n_biased; i++) {
        if (!evidence_read_biased(e, i, err))
            return false;
        for (size_t n = 0; n < (size_t)e->n; n++) {
            const cr_evidence shown = evidence_of_biased(e, i, n);
            if (!add_layer(e, r->method, &shown, raw + n * pixels, err))
                return false;
        }
    }
    return true;
}

bool cr_explainer_maps(cr_explainer *e, cr_error *err)
{
    for (int i = 0; i < e->n_results; i++) {
        const cr_explanation *r = &e->results[i];
        if (is_full(r) && !make_full_raw_maps(e, r, err))
            return false;
        for (size_t n = 0; n < (size_t)e->n; n++)
            if ((!is_full(r) && !make_raw_maps(e, r, n, err)) || !finish_map(e, r, n, err))
                return false;
    }
    return true;
}

bool cr_explanation_layer_map(float *out, const cr_explainer *e, const cr_explanation *r, int i, int n, cr_error *err)
{
    const cr_raw_map *raw = &r->raw[i];
    const float *values = raw->values + (size_t)n * (size_t)raw->h * (size_t)raw->w;
    return cr_map_share(out, e->h, e->w, values, raw->h, raw->w, err) &&
           cr_map_finish(out, out, 1, (size_t)e->h * (size_t)e->w, err);
}

/* ---- several classes together ---- */

/* Adds all raw maps to sums, one behind the other; in the end, with n above 0, puts the sums divided by n in their place. */
static void sum_raw_maps(const cr_explainer *e, double *sums, int n)
{
    for (int m = 0; m < e->n_results; m++)
        for (int i = 0; i < e->results[m].n_raw; i++) {
            const cr_raw_map *raw = &e->results[m].raw[i];
            const size_t count = (size_t)e->n * (size_t)raw->h * (size_t)raw->w;
            for (size_t p = 0; p < count; p++, sums++) {
                if (n)
                    raw->values[p] = (float)(*sums / n);
                else
                    *sums += raw->values[p];
            }
        }
}

bool cr_explainer_mean(cr_explainer *e, const int *classes, int n_classes, cr_error *err)
{
    size_t count = 0;
    for (int m = 0; m < e->n_results; m++)
        for (int i = 0; i < e->results[m].n_raw; i++)
            count += (size_t)e->n * (size_t)e->results[m].raw[i].h * (size_t)e->results[m].raw[i].w;
    double *sums = calloc(count, sizeof *sums);
    bool ok = sums || cr_fail(err, "out of memory");
    for (int k = 0; ok && k < n_classes; k++) {
        ok = cr_explainer_backward(e, classes + (size_t)k * (size_t)e->n, err) && cr_explainer_maps(e, err);
        if (ok)
            sum_raw_maps(e, sums, 0);
    }
    if (ok)
        sum_raw_maps(e, sums, n_classes);
    free(sums);
    for (int m = 0; ok && m < e->n_results; m++)
        for (int n = 0; ok && n < e->n; n++)
            ok = finish_map(e, &e->results[m], (size_t)n, err);
    return ok;
}

/* ---- smoothing by augmentation ---- */

/* y (N,C,H,W) = factor * x, mirrored where flip is set. */
static void augment(const cr_explainer *e, float *y, const float *x, bool flip, float factor)
{
    const size_t w = (size_t)e->w, rows = (size_t)e->n * (size_t)e->net->in_channels * (size_t)e->h;
    for (size_t i = 0; i < rows * w; i++)
        y[i] = factor * x[flip ? i / w * w + (w - 1 - i % w) : i];
}

/* Adds this version's share of every map to e->means. */
static void add_maps(const cr_explainer *e, bool flip, float share)
{
    const size_t w = (size_t)e->w, count = (size_t)e->n * (size_t)e->h * w;
    for (int m = 0; m < e->n_results; m++)
        for (size_t i = 0; i < count; i++)
            e->means[(size_t)m * count + i] += share * e->results[m].maps[flip ? i / w * w + (w - 1 - i % w) : i];
}

bool cr_explainer_smooth(cr_explainer *e, const int *classes, cr_error *err)
{
    /* The input as it is comes last, so that raw maps and logits are its own. */
    static const struct {
        bool flip;
        float factor;
    } versions[] = {{true, 0.9f}, {true, 1}, {true, 1.1f}, {false, 0.9f}, {false, 1.1f}, {false, 1}};
    enum { VERSIONS = sizeof versions / sizeof versions[0] };
    const size_t input = (size_t)e->n * (size_t)e->net->in_channels * (size_t)e->h * (size_t)e->w;
    const size_t maps = (size_t)e->n * (size_t)e->h * (size_t)e->w;
    memcpy(e->plain_x, e->evidence->x, input * sizeof *e->plain_x);
    memset(e->means, 0, (size_t)e->n_results * maps * sizeof *e->means);
    for (int i = 0; i < VERSIONS; i++) {
        augment(e, e->evidence->x, e->plain_x, versions[i].flip, versions[i].factor);
        if (!cr_explainer_forward(e, e->evidence->x, err) || !cr_explainer_backward(e, classes, err) ||
            !cr_explainer_maps(e, err))
            return false;
        add_maps(e, versions[i].flip, 1.0f / VERSIONS);
    }
    for (int m = 0; m < e->n_results; m++)
        memcpy(e->results[m].maps, e->means + (size_t)m * maps, maps * sizeof *e->means);
    return true;
}

const char *cr_explainer_smoothing(const cr_explainer *e)
{
    const bool aug_smooth = e->plain_x != NULL;
    return e->eigen_smooth ? aug_smooth ? " (eigen-smooth, aug-smooth)" : " (eigen-smooth)" : aug_smooth ? " (aug-smooth)" : "";
}
