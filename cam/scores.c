/* scores.c - runs of many variants of one image, a batch at a time (scores.h). */
#include "scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

enum {
    MOST_IMAGES = 16,         /* in a batch; more are not faster */
    BATCH_FLOATS = 1 << 24,   /* of a batch's values at the start, 64 MB */
};

struct scorer {
    const cr_net *net;
    cr_plan *plan;
    cr_tape *tape;
    int batch;
    int dim[3];      /* of the start's value */
    size_t size;     /* its floats, of one image */
    float *x;        /* (batch,C,H,W) */
    float *logits;   /* (batch,classes) */
};

scorer *scorer_create(const cr_net *net, int start, int h, int w, bool direct, cr_error *err)
{
    scorer *s = calloc(1, sizeof *s);
    int (*dims)[3] = calloc((size_t)net->n_nodes, sizeof *dims);
    bool ok = (s && dims) || cr_fail(err, "out of memory");
    if (ok && cr_net_shapes(net, h, w, dims, err)) {
        s->net = net;
        memcpy(s->dim, dims[start], sizeof s->dim);
        s->size = (size_t)s->dim[0] * (size_t)s->dim[1] * (size_t)s->dim[2];
        s->batch = s->size * MOST_IMAGES <= BATCH_FLOATS ? MOST_IMAGES : (int)(BATCH_FLOATS / s->size);
        s->batch = s->batch < 1 ? 1 : s->batch;
        const cr_request request = {.n = s->batch, .h = h, .w = w, .start = start, .direct = direct};
        ok = (s->plan = cr_plan_create(net, &request, err)) && (s->tape = cr_tape_create(s->plan, err)) &&
             (((s->x = calloc(s->size, (size_t)s->batch * sizeof *s->x)) &&
               (s->logits = calloc((size_t)net->classes, (size_t)s->batch * sizeof *s->logits))) ||
              cr_fail(err, "out of memory for %d images of %dx%dx%d", s->batch, s->dim[0], s->dim[1], s->dim[2]));
    } else {
        ok = false;
    }
    free(dims);
    if (ok)
        return s;
    scorer_free(s);
    return NULL;
}

void scorer_free(scorer *s)
{
    if (!s)
        return;
    free(s->x);
    free(s->logits);
    cr_tape_free(s->tape);
    cr_plan_free(s->plan);
    free(s);
}

bool scorer_give(scorer *s, int node, const float *value, cr_error *err)
{
    int dim[3];
    cr_plan_shape(s->plan, node, dim);
    const size_t size = (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
    float *copies = malloc(size * (size_t)s->batch * sizeof *copies);
    if (!copies)
        return cr_fail(err, "out of memory for %d images of %dx%dx%d", s->batch, dim[0], dim[1], dim[2]);
    for (size_t n = 0; n < (size_t)s->batch; n++)
        memcpy(copies + n * size, value, size * sizeof *copies);
    const bool ok = cr_tape_give(s->tape, node, copies, err);
    free(copies);
    return ok;
}

static void report(channel_progress *progress, int more)
{
    progress->done += more;
    if (progress->report)
        progress->report(progress->owner, progress->done, progress->all);
}

bool scorer_run(scorer *s, float *logits, const int *which, int n, scorer_make make, const void *owner,
                channel_progress *progress, cr_error *err)
{
    const size_t classes = (size_t)s->net->classes;
    for (int first = 0; first < n; first += s->batch) {
        const int count = n - first < s->batch ? n - first : s->batch;
        bool ok = true;
#pragma omp parallel for schedule(dynamic) num_threads(cr_threads())
        for (int i = 0; i < count; i++) {
            cr_error why;
            if (!make(s->x + (size_t)i * s->size, owner, which ? which[first + i] : first + i, &why))
#pragma omp critical
            {
                if (ok && err)
                    *err = why;
                ok = false;
            }
        }
        if (!ok)
            return false;
        cr_tape_forward(s->tape, s->x); /* images past count are old ones, and not read */
        if (!cr_tape_value(s->tape, s->net->n_nodes - 1, s->logits, err))
            return false;
        for (int i = 0; i < count; i++)
            memcpy(logits + (size_t)(which ? which[first + i] : first + i) * classes, s->logits + (size_t)i * classes,
                   classes * sizeof *logits);
        report(progress, count);
    }
    return true;
}

/* ---- variants of an image ---- */

/* What they are made of. */
typedef struct variants {
    const scorer *scorer;
    const float *x; /* of masked ones: the image */
    const float *a; /* (c,h,w) */
    int h, w;
} variants;

/* Whether all values are equal. */
static bool is_constant(const float *x, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (!(x[i] == x[0])) /* so that a NaN is run, and found in the map */
            return false;
    return true;
}

/* ---- masked inputs ---- */

static bool mask_image(float *image, const void *owner, int k, cr_error *err)
{
    (void)err;
    const variants *v = owner;
    const scorer *s = v->scorer;
    const int H = s->dim[1], W = s->dim[2];
    const size_t pixels = (size_t)H * (size_t)W, last = (size_t)s->dim[0] - 1;
    float *mask = image + last * pixels; /* the last plane's place, until its turn */
    cr_map_sample(mask, H, W, v->a + (size_t)k * (size_t)v->h * (size_t)v->w, v->h, v->w, 0,
                  H > 1 ? (v->h - 1.0) / (H - 1) : 0, 0, W > 1 ? (v->w - 1.0) / (W - 1) : 0);
    float least = mask[0], most = mask[0];
    for (size_t p = 0; p < pixels; p++) {
        least = mask[p] < least ? mask[p] : least;
        most = mask[p] > most ? mask[p] : most;
    }
    for (size_t p = 0; p < pixels; p++)
        mask[p] = (mask[p] - least) / (most - least + 1e-8f);
    for (size_t c = 0; c <= last; c++)
        for (size_t p = 0; p < pixels; p++)
            image[c * pixels + p] = v->x[c * pixels + p] * mask[p];
    return true;
}

bool scorer_masked(scorer *s, float *logits, const float *x, const float *a, int c, int h, int w,
                   channel_progress *progress, cr_error *err)
{
    const variants v = {.scorer = s, .x = x, .a = a, .h = h, .w = w};
    const size_t pixels = (size_t)h * (size_t)w, row = (size_t)s->net->classes;
    int *channels = calloc((size_t)c, sizeof *channels), n = 0, constant = -1;
    if (!channels)
        return cr_fail(err, "out of memory");
    for (int k = 0; k < c; k++) {
        const bool same = is_constant(a + (size_t)k * pixels, pixels);
        if (!same || constant < 0)
            channels[n++] = k;
        if (same && constant < 0)
            constant = k;
    }
    const bool ok = scorer_run(s, logits, channels, n, mask_image, &v, progress, err);
    for (int k = 0; ok && k < c; k++)
        if (k != constant && is_constant(a + (size_t)k * pixels, pixels))
            memcpy(logits + (size_t)k * row, logits + (size_t)constant * row, row * sizeof *logits);
    report(progress, c - n);
    free(channels);
    return ok;
}

/* ---- ablated channels ---- */

static bool ablate_image(float *image, const void *owner, int k, cr_error *err)
{
    (void)err;
    const variants *v = owner;
    const size_t pixels = (size_t)v->h * (size_t)v->w;
    memcpy(image, v->a, v->scorer->size * sizeof *image);
    memset(image + (size_t)k * pixels, 0, pixels * sizeof *image);
    return true;
}

bool scorer_ablated(scorer *s, float *logits, const float *clean, const float *a, int c, int h, int w,
                    channel_progress *progress, cr_error *err)
{
    const variants v = {.scorer = s, .a = a, .h = h, .w = w};
    const size_t pixels = (size_t)h * (size_t)w, row = (size_t)s->net->classes;
    int *channels = calloc((size_t)c, sizeof *channels), n = 0;
    if (!channels)
        return cr_fail(err, "out of memory");
    for (int k = 0; k < c; k++) {
        const float *channel = a + (size_t)k * pixels;
        if (channel[0] == 0 && is_constant(channel, pixels))
            memcpy(logits + (size_t)k * row, clean, row * sizeof *logits);
        else
            channels[n++] = k;
    }
    report(progress, c - n);
    const bool ok = scorer_run(s, logits, channels, n, ablate_image, &v, progress, err);
    free(channels);
    return ok;
}

void ablate_cam_head(float *logits, const cr_net *net, const float *clean, const float *a, int c, int h, int w,
                     channel_progress *progress)
{
    const float *weight = net->params[net->nodes[cr_net_cam_head(net)].param].data; /* (classes,c) */
    const size_t pixels = (size_t)h * (size_t)w, classes = (size_t)net->classes;
    for (size_t k = 0; k < (size_t)c; k++) {
        double mean = 0;
        for (size_t p = 0; p < pixels; p++)
            mean += (double)a[k * pixels + p] / (double)pixels;
        for (size_t j = 0; j < classes; j++)
            logits[k * classes + j] = (float)((double)clean[j] - (double)weight[j * (size_t)c + k] * mean);
    }
    report(progress, c);
}
