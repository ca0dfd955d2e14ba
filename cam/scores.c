/* scores.c - runs of many variants of one image, a batch at a time (scores.h). */
#include "scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

enum {
    MOST_IMAGES = 16,         /* in a worker's batch; 24 are not faster */
    BATCH_FLOATS = 1 << 24,   /* of all workers' values at the start, 64 MB */
};

/* Runs a batch on one thread. Workers have nothing to wait for but each other's last batch, where threads that share out
 * each layer wait for each other after every one of them. */
typedef struct worker {
    cr_tape *tape;
    float *x;        /* (batch,C,H,W) */
    float *logits;   /* (batch,classes) */
    bool ok;
    cr_error why;    /* where it is not */
} worker;

struct scorer {
    const cr_net *net;
    cr_plan *plan;   /* for one thread */
    int batch;
    int dim[3];      /* of the start's value */
    size_t size;     /* its floats, of one image */
    int n_workers;
    worker *workers;
};

/* Everything but the scorer itself. */
static bool prepare(scorer *s, int start, int h, int w, bool direct, cr_error *err)
{
    const int threads = cr_threads(), most = (int)(BATCH_FLOATS / s->size / (size_t)threads);
    s->batch = most < 1 ? 1 : most < MOST_IMAGES ? most : MOST_IMAGES;
    const cr_request request = {.n = s->batch, .h = h, .w = w, .start = start, .direct = direct, .threads = 1};
    if (!(s->plan = cr_plan_create(s->net, &request, err)))
        return false;
    if (!(s->workers = calloc((size_t)threads, sizeof *s->workers)))
        return cr_fail(err, "out of memory");
    for (s->n_workers = 0; s->n_workers < threads; s->n_workers++) {
        worker *one = &s->workers[s->n_workers];
        if (!(one->tape = cr_tape_create(s->plan, err)))
            return false;
        one->x = calloc(s->size, (size_t)s->batch * sizeof *one->x);
        one->logits = calloc((size_t)s->net->classes, (size_t)s->batch * sizeof *one->logits);
        if (!one->x || !one->logits) {
            s->n_workers++; /* so that it is freed */
            return cr_fail(err, "out of memory for %d images of %dx%dx%d", s->batch, s->dim[0], s->dim[1], s->dim[2]);
        }
    }
    return true;
}

scorer *scorer_create(const cr_net *net, int start, int h, int w, bool direct, cr_error *err)
{
    scorer *s = calloc(1, sizeof *s);
    int (*dims)[3] = calloc((size_t)net->n_nodes, sizeof *dims);
    bool ok = ((s && dims) || cr_fail(err, "out of memory")) && cr_net_shapes(net, h, w, dims, err);
    if (ok) {
        s->net = net;
        memcpy(s->dim, dims[start], sizeof s->dim);
        s->size = (size_t)s->dim[0] * (size_t)s->dim[1] * (size_t)s->dim[2];
        ok = prepare(s, start, h, w, direct, err);
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
    for (int i = 0; i < s->n_workers; i++) {
        cr_tape_free(s->workers[i].tape);
        free(s->workers[i].x);
        free(s->workers[i].logits);
    }
    free(s->workers);
    cr_plan_free(s->plan);
    free(s);
}

bool scorer_give(scorer *s, int node, const float *value, cr_error *err)
{
    int dim[3];
    cr_plan_shape(s->plan, node, dim);
    const size_t size = (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
    float *copies = malloc(size * (size_t)s->batch * sizeof *copies);
    bool ok = copies || cr_fail(err, "out of memory for %d images of %dx%dx%d", s->batch, dim[0], dim[1], dim[2]);
    for (size_t n = 0; ok && n < (size_t)s->batch; n++)
        memcpy(copies + n * size, value, size * sizeof *copies);
    for (int i = 0; ok && i < s->n_workers; i++)
        ok = cr_tape_give(s->workers[i].tape, node, copies, err);
    free(copies);
    return ok;
}

static void report(channel_progress *progress, int more)
{
    progress->done += more;
    if (progress->report)
        progress->report(progress->owner, progress->done, progress->all);
}

/* What a run's batches have in common. */
typedef struct job {
    float *logits;
    const int *which; /* or NULL */
    scorer_make make;
    const void *owner;
} job;

/* Images first to first + n - 1, no more than a batch. */
static bool run_batch(const scorer *s, worker *one, const job *j, int first, int n, cr_error *err)
{
    const size_t classes = (size_t)s->net->classes;
    for (int i = 0; i < n; i++)
        if (!j->make(one->x + (size_t)i * s->size, j->owner, j->which ? j->which[first + i] : first + i, err))
            return false;
    cr_tape_forward(one->tape, one->x); /* images past n are old ones, and not read */
    if (!cr_tape_value(one->tape, s->net->n_nodes - 1, one->logits, err))
        return false;
    for (int i = 0; i < n; i++)
        memcpy(j->logits + (size_t)(j->which ? j->which[first + i] : first + i) * classes,
               one->logits + (size_t)i * classes, classes * sizeof *one->logits);
    return true;
}

/* A round of batches at a time. */
bool scorer_run(scorer *s, float *logits, const int *which, int n, scorer_make make, const void *owner,
                channel_progress *progress, cr_error *err)
{
    const job j = {logits, which, make, owner};
    const int round = s->n_workers * s->batch;
    for (int first = 0; first < n; first += round) {
        const int count = n - first < round ? n - first : round;
        const int share = (count + s->n_workers - 1) / s->n_workers, workers = (count + share - 1) / share;
#pragma omp parallel for schedule(static) num_threads(workers)
        for (int i = 0; i < workers; i++) {
            worker *one = &s->workers[i];
            const int left = count - i * share;
            one->ok = run_batch(s, one, &j, first + i * share, left < share ? left : share, &one->why);
        }
        for (int i = 0; i < workers; i++)
            if (!s->workers[i].ok)
                return cr_fail(err, "%s", s->workers[i].why.text);
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
