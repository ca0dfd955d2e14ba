/* saliency.c - see saliency.h. A function for each method, which the table below names; then what they have in common. */
#include "saliency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "explain.h"
#include "random.h"

struct cr_saliency_method {
    const char *name, *title;
    cr_relu_rule relu;
    cr_saliency_style style;
    bool (*run)(cr_saliency *s, const float *x, int k, float *out, cr_saliency_facts *facts, cr_error *err);
    bool noise, steps, cam;
};

struct cr_saliency {
    cr_saliency_request request;
    const cr_net *net;
    size_t count;        /* of an input, C * H * W */
    size_t pixels;
    int batch;           /* inputs that run together */
    int dim[3];          /* of the end's output */
    cr_plan *plan;
    cr_tape *tape;
    cr_explainer *cam;   /* of guided Grad-CAM */
    float *x, *dx;       /* (batch,C,H,W) */
    float *seed, *value; /* (batch) of the end's output */
    double *sum;         /* (C,H,W) */
};

/* ---- one batch ---- */

/* s->x: x for all of the batch. */
static void fill_batch(cr_saliency *s, const float *x)
{
    for (int n = 0; n < s->batch; n++)
        memcpy(s->x + (size_t)n * s->count, x, s->count * sizeof *x);
}

/* Runs s->x; scores[n] = f of input n, and s->dx = df/dx. */
static bool run_batch(cr_saliency *s, int k, double *scores, cr_error *err)
{
    const size_t map = (size_t)s->dim[1] * (size_t)s->dim[2], all = (size_t)s->dim[0] * map;
    memset(s->seed, 0, (size_t)s->batch * all * sizeof *s->seed);
    for (int n = 0; n < s->batch; n++)
        for (size_t i = 0; i < map; i++)
            s->seed[(size_t)n * all + (size_t)k * map + i] = (float)(1.0 / (double)map);
    cr_tape_forward(s->tape, s->x);
    if (!cr_tape_value(s->tape, s->request.end, s->value, err) || !cr_tape_backward(s->tape, s->seed, err) ||
        !cr_tape_grad(s->tape, 0, s->dx, err))
        return false;
    for (int n = 0; n < s->batch; n++) {
        scores[n] = 0;
        for (size_t i = 0; i < map; i++)
            scores[n] += (double)s->value[(size_t)n * all + (size_t)k * map + i] / (double)map;
        if (!isfinite(scores[n]))
            return cr_fail(err, "the score is %g: the input or the weights are too large, or hold a value that is no finite "
                           "number", scores[n]);
    }
    return true;
}

static void report_progress(const cr_saliency *s, int done, int all)
{
    if (s->request.progress && all > s->batch)
        s->request.progress(s->request.progress_owner, done < all ? done : all, all);
}

/* ---- the methods ---- */

/* df/dx (Simonyan et al., arXiv:1312.6034, section 3); under the rules of guided backpropagation and the deconvolutional
 * network (engine.h) the gradient that those let through. */
static bool gradient(cr_saliency *s, const float *x, int k, float *out, cr_saliency_facts *facts, cr_error *err)
{
    memcpy(s->x, x, s->count * sizeof *x);
    if (!run_batch(s, k, &facts->score, err))
        return false;
    memcpy(out, s->dx, s->count * sizeof *out);
    return true;
}

/* x * df/dx (Shrikumar et al., arXiv:1605.01713). */
static bool input_x_gradient(cr_saliency *s, const float *x, int k, float *out, cr_saliency_facts *facts, cr_error *err)
{
    if (!gradient(s, x, k, out, facts, err))
        return false;
    for (size_t i = 0; i < s->count; i++)
        out[i] *= x[i];
    return true;
}

/* mean over samples of df/dx at x + noise, normal of standard deviation `noise` * (max x - min x) (Smilkov et al.,
 * arXiv:1706.03825, section 3.1). Value i of sample j is the noise's number j * count + i. */
static bool smoothgrad(cr_saliency *s, const float *x, int k, float *out, cr_saliency_facts *facts, cr_error *err)
{
    const int samples = s->request.samples;
    double scores[MOST_BATCH];
    float least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < s->count; i++) {
        least = fminf(least, x[i]);
        most = fmaxf(most, x[i]);
    }
    const double deviation = s->request.noise * ((double)most - (double)least);
    memset(s->sum, 0, s->count * sizeof *s->sum);
    for (int done = 0; done < samples; done += s->batch) {
        for (size_t i = 0; i < (size_t)s->batch * s->count; i++)
            s->x[i] = x[i % s->count] + (float)(deviation * random_normal_at(s->request.seed, (size_t)done * s->count + i));
        if (!run_batch(s, k, scores, err))
            return false;
        for (int n = 0; n < s->batch && done + n < samples; n++)
            for (size_t i = 0; i < s->count; i++)
                s->sum[i] += (double)s->dx[(size_t)n * s->count + i];
        report_progress(s, done + s->batch, samples);
    }
    for (size_t i = 0; i < s->count; i++)
        out[i] = (float)(s->sum[i] / samples);
    fill_batch(s, x);
    if (!run_batch(s, k, scores, err))
        return false;
    facts->score = scores[0];
    return true;
}

/* (x - x') * the mean of df/dx over the straight line from the baseline x' to x, at the middles of `steps` equal pieces
 * (Sundararajan et al., arXiv:1703.01365, equation 3). Its sum is f(x) - f(x') but for the error of the steps. */
static bool integrated_gradients(cr_saliency *s, const float *x, int k, float *out, cr_saliency_facts *facts, cr_error *err)
{
    const int steps = s->request.steps, points = steps + 2; /* and the two ends, for their scores */
    double scores[MOST_BATCH];
    memset(s->sum, 0, s->count * sizeof *s->sum);
    for (int done = 0; done < points; done += s->batch) {
        for (int n = 0; n < s->batch; n++) {
            const int p = done + n;
            const double t = p < steps ? (p + 0.5) / steps : p == steps ? 0 : 1;
            for (size_t i = 0; i < s->count; i++) {
                const double from = (double)s->request.baseline[i / s->pixels];
                s->x[(size_t)n * s->count + i] = (float)(from + t * ((double)x[i] - from));
            }
        }
        if (!run_batch(s, k, scores, err))
            return false;
        for (int n = 0; n < s->batch && done + n < points; n++) {
            const int p = done + n;
            for (size_t i = 0; p < steps && i < s->count; i++)
                s->sum[i] += (double)s->dx[(size_t)n * s->count + i];
            if (p == steps)
                facts->baseline_score = scores[n];
            if (p == steps + 1)
                facts->score = scores[n];
        }
        report_progress(s, done + s->batch, points);
    }
    for (size_t i = 0; i < s->count; i++)
        out[i] = (float)(s->sum[i] / steps * ((double)x[i] - (double)s->request.baseline[i / s->pixels]));
    return true;
}

/* Guided backpropagation times Grad-CAM's finished map, which lies over the input (Selvaraju et al., arXiv:1610.02391,
 * section 3.2). */
static bool guided_gradcam(cr_saliency *s, const float *x, int k, float *out, cr_saliency_facts *facts, cr_error *err)
{
    if (!gradient(s, x, k, out, facts, err) || !cr_explainer_forward(s->cam, x, err) || !cr_explainer_backward(s->cam, &k, err) ||
        !cr_explainer_maps(s->cam, err))
        return false;
    for (size_t i = 0; i < s->count; i++)
        out[i] *= s->cam->results[0].maps[i % s->pixels];
    return true;
}

/* clang-format off */
static const cr_saliency_method methods[] = {
    {"vanilla", "Gradient", CR_RELU_PLAIN, CR_STYLE_HEAT, gradient, false, false, false},
    {"guided", "Guided backpropagation", CR_RELU_GUIDED, CR_STYLE_COLOR, gradient, false, false, false},
    {"deconvnet", "Deconvnet", CR_RELU_DECONV, CR_STYLE_COLOR, gradient, false, false, false},
    {"inputxgradient", "Input x gradient", CR_RELU_PLAIN, CR_STYLE_HEAT, input_x_gradient, false, false, false},
    {"smoothgrad", "SmoothGrad", CR_RELU_PLAIN, CR_STYLE_HEAT, smoothgrad, true, false, false},
    {"integrated", "Integrated gradients", CR_RELU_PLAIN, CR_STYLE_HEAT, integrated_gradients, false, true, false},
    {"guidedgradcam", "Guided Grad-CAM", CR_RELU_GUIDED, CR_STYLE_COLOR, guided_gradcam, false, false, true},
};
/* clang-format on */

enum { METHODS = sizeof methods / sizeof methods[0] };

const cr_saliency_method *cr_saliency_at(int i)
{
    return i >= 0 && i < METHODS ? &methods[i] : NULL;
}

const cr_saliency_method *cr_saliency_find(const char *name, cr_error *err)
{
    char known[128] = "";
    for (int i = 0, at = 0; i < METHODS; i++) {
        if (!strcmp(methods[i].name, name))
            return &methods[i];
        at += snprintf(known + at, sizeof known - (size_t)at, "%s%s", i ? ", " : "", methods[i].name);
    }
    cr_fail(err, "unknown method '%.60s': expected one of %s", name, known);
    return NULL;
}

const char *cr_saliency_name(const cr_saliency_method *method)
{
    return method->name;
}

const char *cr_saliency_title(const cr_saliency_method *method)
{
    return method->title;
}

cr_saliency_style cr_saliency_usual_style(const cr_saliency_method *method)
{
    return method->style;
}

bool cr_saliency_has_noise(const cr_saliency_method *method)
{
    return method->noise;
}

bool cr_saliency_has_steps(const cr_saliency_method *method)
{
    return method->steps;
}

bool cr_saliency_has_cam(const cr_saliency_method *method)
{
    return method->cam;
}

/* ---- setting up ---- */

static bool make_cam(cr_saliency *s, cr_error *err)
{
    const cr_saliency_request *r = &s->request;
    const cr_method *gradcam = cr_method_find("gradcam", err);
    const cr_explain_request request = {.methods = &gradcam, .n_methods = 1, .layers = &r->cam_layer, .n_layers = 1, .n = 1,
                                        .h = r->h, .w = r->w};
    return cr_method_fits(gradcam, s->net, &r->cam_layer, 1, err) && (s->cam = cr_explainer_create(s->net, &request, err));
}

static bool set_up(cr_saliency *s, cr_error *err)
{
    const cr_saliency_request *r = &s->request;
    const int input = 0;
    s->batch = batch_that_fits(s->net, r->h, r->w, r->method->noise ? r->samples : r->method->steps ? r->steps + 2 : 1);
    const cr_request request = {.n = s->batch, .h = r->h, .w = r->w, .end = r->end, .relu = r->method->relu, .grad = &input,
                                .n_grad = 1};
    if (!(s->plan = cr_plan_create(s->net, &request, err)) || !(s->tape = cr_tape_create(s->plan, err)))
        return false;
    cr_plan_shape(s->plan, r->end, s->dim);
    const size_t batch = (size_t)s->batch, all = (size_t)s->dim[0] * (size_t)s->dim[1] * (size_t)s->dim[2];
    s->x = calloc(batch * s->count, sizeof *s->x);
    s->dx = calloc(batch * s->count, sizeof *s->dx);
    s->sum = calloc(s->count, sizeof *s->sum);
    s->seed = calloc(batch * all, sizeof *s->seed);
    s->value = calloc(batch * all, sizeof *s->value);
    if (!s->x || !s->dx || !s->sum || !s->seed || !s->value)
        return cr_fail(err, "out of memory for %d inputs of %dx%d (WxH)", s->batch, r->w, r->h);
    return !r->method->cam || make_cam(s, err);
}

cr_saliency *cr_saliency_create(const cr_net *net, const cr_saliency_request *request, cr_error *err)
{
    cr_saliency *s = calloc(1, sizeof *s);
    if (!s) {
        cr_fail(err, "out of memory");
        return NULL;
    }
    s->request = *request;
    s->net = net;
    s->pixels = (size_t)request->h * (size_t)request->w;
    s->count = (size_t)net->nodes[0].channels * s->pixels;
    if (!s->request.end)
        s->request.end = net->n_nodes - 1;
    if (!set_up(s, err)) {
        cr_saliency_free(s);
        return NULL;
    }
    return s;
}

void cr_saliency_free(cr_saliency *s)
{
    if (!s)
        return;
    cr_explainer_free(s->cam);
    cr_tape_free(s->tape);
    cr_plan_free(s->plan);
    free(s->x);
    free(s->dx);
    free(s->sum);
    free(s->seed);
    free(s->value);
    free(s);
}

bool cr_saliency_run(cr_saliency *s, const float *x, int k, float *attribution, cr_saliency_facts *facts, cr_error *err)
{
    *facts = (cr_saliency_facts){0};
    if (k < 0 || k >= s->dim[0])
        return cr_fail(err, "expected one of %d channels or classes, found %d", s->dim[0], k);
    if (!s->request.method->run(s, x, k, attribution, facts, err))
        return false;
    for (size_t i = 0; i < s->count; i++)
        facts->sum += (double)attribution[i];
    return isfinite(facts->sum) || cr_fail(err, "%s: a gradient is not finite", s->request.method->name);
}

bool cr_saliency_value(cr_saliency *s, const float *x, float *value, cr_error *err)
{
    fill_batch(s, x);
    cr_tape_forward(s->tape, s->x);
    if (!cr_tape_value(s->tape, s->request.end, s->value, err))
        return false;
    memcpy(value, s->value, (size_t)s->dim[0] * (size_t)s->dim[1] * (size_t)s->dim[2] * sizeof *value);
    return true;
}

/* ---- as pictures ---- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The 99th percentile of |values|, the largest where that is 0; 0 where all are. */
static bool percentile(const float *values, size_t n, float *found, cr_error *err)
{
    float *sorted = malloc(n * sizeof *sorted);
    if (!sorted)
        return cr_fail(err, "out of memory");
    for (size_t i = 0; i < n; i++)
        sorted[i] = fabsf(values[i]);
    qsort(sorted, n, sizeof *sorted, by_value);
    *found = sorted[(n - 1) * 99 / 100];
    if (!(*found > 0))
        *found = sorted[n - 1];
    free(sorted);
    return true;
}

bool cr_saliency_heat(float *map, const float *attribution, int c, int h, int w, cr_error *err)
{
    const size_t pixels = (size_t)h * (size_t)w;
    float most;
    for (size_t i = 0; i < pixels; i++) {
        map[i] = 0;
        for (size_t j = 0; j < (size_t)c; j++)
            map[i] = fmaxf(map[i], fabsf(attribution[j * pixels + i]));
    }
    if (!percentile(map, pixels, &most, err))
        return false;
    for (size_t i = 0; i < pixels && most > 0; i++)
        map[i] = fminf(map[i] / most, 1);
    return true;
}

bool cr_saliency_signed(float *map, const float *attribution, int c, int h, int w, cr_error *err)
{
    const size_t pixels = (size_t)h * (size_t)w;
    float most;
    for (size_t i = 0; i < pixels; i++) {
        map[i] = 0;
        for (size_t j = 0; j < (size_t)c; j++)
            map[i] += attribution[j * pixels + i];
    }
    if (!percentile(map, pixels, &most, err))
        return false;
    for (size_t i = 0; i < pixels; i++)
        map[i] = most > 0 ? fminf(fmaxf(map[i] / most, -1), 1) / 2 + 0.5f : 0.5f;
    return true;
}

void cr_saliency_color(float *planes, const float *attribution, int c, int h, int w)
{
    const size_t count = (size_t)c * (size_t)h * (size_t)w;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)attribution[i];
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += ((double)attribution[i] - mean) * ((double)attribution[i] - mean);
    const double std = sqrt(squares / (double)count);
    for (size_t i = 0; i < count; i++)
        planes[i] = (float)fmin(fmax(((double)attribution[i] - mean) / (std + 1e-5) * 0.1 + 0.5, 0), 1);
}
