/* faithfulness.c - the list of trials a map is put to, and their scores (faithfulness.h). */
#include "faithfulness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "perturb.h"
#include "random.h"
#include "scores.h"

static const double percentiles[CR_ROAD_PERCENTILES] = {20, 40, 60, 80};

typedef enum kind { MASK, INSERT, DELETE, ROAD_MOST, ROAD_LEAST } kind;

/* One changed input of each map. */
typedef struct trial {
    kind kind;
    int step; /* how many parts of the pixels are replaced, or which percentile */
} trial;

struct cr_faith {
    const cr_net *net;
    cr_faith_request request;
    scorer *scorer;
    size_t pixels;
    int n_trials;
    trial *trials;
    float *blurred; /* (C,h,w) */
};

static void list_trials(cr_faith *f)
{
    const unsigned metrics = f->request.metrics;
    const int steps = f->request.steps;
    trial *t = f->trials;
    if (metrics & CR_FAITH_DROP)
        *t++ = (trial){MASK, 0};
    for (int i = 0; metrics & CR_FAITH_INSERTION && i < steps; i++)
        *t++ = (trial){INSERT, i};
    for (int i = 1; metrics & CR_FAITH_DELETION && i <= steps; i++)
        *t++ = (trial){DELETE, i};
    for (int i = 0; metrics & CR_FAITH_ROAD && i < CR_ROAD_PERCENTILES; i++) {
        *t++ = (trial){ROAD_MOST, i};
        *t++ = (trial){ROAD_LEAST, i};
    }
    f->n_trials = (int)(t - f->trials);
}

cr_faith *cr_faith_create(const cr_net *net, const cr_faith_request *request, cr_error *err)
{
    cr_faith *f = calloc(1, sizeof *f);
    if (!f) {
        cr_fail(err, "out of memory");
        return NULL;
    }
    f->net = net;
    f->request = *request;
    f->pixels = (size_t)request->h * (size_t)request->w;
    f->trials = calloc(1 + 2 * (size_t)request->steps + 2 * CR_ROAD_PERCENTILES, sizeof *f->trials);
    f->blurred = calloc((size_t)net->in_channels * f->pixels, sizeof *f->blurred);
    if (!f->trials || !f->blurred)
        cr_fail(err, "out of memory for an input of %dx%d", request->w, request->h);
    else if ((f->scorer = scorer_create(net, 0, request->h, request->w, false, err))) {
        list_trials(f);
        return f;
    }
    cr_faith_free(f);
    return NULL;
}

void cr_faith_free(cr_faith *f)
{
    if (!f)
        return;
    scorer_free(f->scorer);
    free(f->blurred);
    free(f->trials);
    free(f);
}

/* ---- running ---- */

/* What the changed inputs of one judgement are made of. Image 0 is the input as it is; 1 + m * n_trials + t is trial t of map
 * m. */
typedef struct judgement {
    const cr_faith *faith;
    const float *x;
    const float *maps;
    const int *orders; /* (n_maps,pixels) */
    uint64_t seed;
} judgement;

static bool impute(float *image, const judgement *j, const float *map, const int *order, const trial *t, cr_error *err)
{
    const cr_faith *f = j->faith;
    const cr_faith_request *r = &f->request;
    unsigned char *removed = malloc(f->pixels);
    if (!removed)
        return cr_fail(err, "out of memory for an input of %dx%d", r->w, r->h);
    cr_road_removed(removed, map, order, f->pixels, percentiles[t->step], t->kind == ROAD_LEAST);
    const uint64_t seed = random_mix(j->seed + ((uint64_t)t->kind * CR_ROAD_PERCENTILES + (uint64_t)t->step) * RANDOM_STEP);
    const bool ok = cr_road_impute(image, j->x, removed, f->net->in_channels, r->h, r->w, r->road_noise, seed, err);
    free(removed);
    return ok;
}

/* How many pixels are replaced at a step. */
static size_t replaced(const cr_faith *f, int step)
{
    return (size_t)((uint64_t)f->pixels * (uint64_t)step / (uint64_t)f->request.steps);
}

static bool make_image(float *image, const void *owner, int k, cr_error *err)
{
    const judgement *j = owner;
    const cr_faith *f = j->faith;
    const int c = f->net->in_channels;
    if (k == 0) {
        memcpy(image, j->x, (size_t)c * f->pixels * sizeof *image);
        return true;
    }
    const size_t m = (size_t)((k - 1) / f->n_trials);
    const trial *t = &f->trials[(k - 1) % f->n_trials];
    const float *map = j->maps + m * f->pixels;
    const int *order = j->orders + m * f->pixels;
    switch (t->kind) {
    case MASK:
        cr_mask_input(image, j->x, map, c, f->request.h, f->request.w);
        return true;
    case INSERT:
        cr_replace_pixels(image, f->blurred, j->x, order, replaced(f, t->step), c, f->pixels);
        return true;
    case DELETE:
        cr_replace_pixels(image, j->x, NULL, order, replaced(f, t->step), c, f->pixels);
        return true;
    default:
        return impute(image, j, map, order, t, err);
    }
}

/* p: the probabilities of one map's trials, clean that of the input as it is; curve (steps + 1) is scratch. */
static cr_faith_scores add_up(const cr_faith *f, const double *p, double clean, double *curve)
{
    const int steps = f->request.steps;
    cr_faith_scores s = {NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    if (f->request.metrics & CR_FAITH_DROP) {
        s.drop = cr_drop(clean, *p);
        s.increase = cr_increase(clean, *p++);
    }
    if (f->request.metrics & CR_FAITH_INSERTION) {
        memcpy(curve, p, (size_t)steps * sizeof *p);
        curve[steps] = clean;
        s.insertion = cr_curve_area(curve, steps + 1);
        p += steps;
    }
    if (f->request.metrics & CR_FAITH_DELETION) {
        curve[0] = clean;
        memcpy(curve + 1, p, (size_t)steps * sizeof *p);
        s.deletion = cr_curve_area(curve, steps + 1);
        p += steps;
    }
    if (f->request.metrics & CR_FAITH_ROAD) {
        s.road_most = s.road_least = 0;
        for (int i = 0; i < CR_ROAD_PERCENTILES; i++) {
            s.road_most += (*p++ - clean) / CR_ROAD_PERCENTILES;
            s.road_least += (*p++ - clean) / CR_ROAD_PERCENTILES;
        }
        s.road = (s.road_least - s.road_most) / 2;
    }
    return s;
}

bool cr_faith_judge(cr_faith *f, cr_faith_scores *scores, double *score, const float *x, int class_index,
                    const float *maps, int n, uint64_t seed, cr_error *err)
{
    const size_t classes = (size_t)f->net->classes, images = 1 + (size_t)n * (size_t)f->n_trials;
    int *orders = calloc((size_t)n * f->pixels + 1, sizeof *orders);
    float *logits = calloc(images, classes * sizeof *logits);
    double *p = calloc(images + (size_t)f->request.steps + 1, sizeof *p), *curve = p + images;
    bool ok = (orders && logits && p && images <= INT32_MAX) || cr_fail(err, "out of memory for %d maps", n);
    for (size_t m = 0; ok && m < (size_t)n; m++)
        ok = cr_relevance_order(orders + m * f->pixels, maps + m * f->pixels, f->pixels, err);
    ok = ok && (!(f->request.metrics & CR_FAITH_INSERTION) ||
                cr_blur_input(f->blurred, x, f->net->in_channels, f->request.h, f->request.w, err));
    const judgement j = {f, x, maps, orders, seed};
    channel_progress silent = {0};
    ok = ok && scorer_run(f->scorer, logits, NULL, (int)images, make_image, &j, &silent, err);
    if (ok) {
        cr_softmax(logits, logits, (int)images, (int)classes);
        for (size_t i = 0; i < images; i++)
            p[i] = (double)logits[i * classes + (size_t)class_index];
        for (size_t m = 0; m < (size_t)n; m++)
            scores[m] = add_up(f, p + 1 + m * (size_t)f->n_trials, p[0], curve);
        *score = p[0];
    }
    free(orders);
    free(logits);
    free(p);
    return ok;
}
