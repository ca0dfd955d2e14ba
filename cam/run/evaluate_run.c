/* evaluate_run.c - camrun evaluate at work: pictures in batches, their maps, and what the metrics say of them.
 *
 * First come the trained network's maps and all their metrics. Then, for each stage of the parameter randomisation, all maps
 * are made again, by the trained network and by the one that forgot, and compared: so there are never more than two
 * networks in memory. */
#include "evaluate_maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "camrun.h"
#include "faithfulness.h"
#include "metrics.h"
#include "program.h"
#include "progress.h"
#include "random.h"
#include "randomize.h"

static bool no_memory(cr_error *err)
{
    return cr_fail(err, "out of memory");
}

/* ---- progress, on a terminal ---- */

typedef struct watch {
    progress line;
    const char *what;
    double start;
} watch;

static watch watch_start(const char *what)
{
    return (watch){progress_start(), what, now_ms()};
}

static void show_progress(watch *w, int done, int all)
{
    char left[32];
    if (!progress_due(&w->line))
        return;
    fprintf(stderr, "\r\033[K%.40s: %d of %d", w->what, done, all);
    if (done)
        fprintf(stderr, ", %s left", duration_text((now_ms() - w->start) / done * (all - done), left));
    fflush(stderr);
}

/* ---- metrics of the trained network's maps ---- */

static size_t cell(const evaluation *e, int subject_index, int s)
{
    return (size_t)subject_index * (size_t)e->n_candidates + (size_t)s;
}

static void measure_boxes(evaluation *e, const float *maps, const batch *b, int i)
{
    const subject *of = &e->subjects.all[b->first + i];
    const cr_geometry *g = &b->geometry[i];
    if (!cr_boxes_seen(of->rects, of->n_boxes, g))
        return;
    e->facts[b->first + i].seen = true;
    for (int s = 0; s < e->n_candidates; s++) {
        const float *map = maps + (size_t)s * (size_t)b->h * (size_t)b->w;
        double *values = e->values[cell(e, b->first + i, s)];
        if (e->o->metrics & METRIC_POINTING)
            values[POINTING] = cr_pointing(map, g, of->rects, of->n_boxes, e->o->tolerance);
        if (e->o->metrics & METRIC_ENERGY)
            values[ENERGY] = cr_box_energy(map, g, of->rects, of->n_boxes);
    }
}

static bool measure_scores(evaluation *e, cr_faith *faith, const float *maps, const batch *b, int i, cr_error *err)
{
    const int at = b->first + i;
    const size_t input = (size_t)e->network.net->in_channels * (size_t)b->h * (size_t)b->w;
    const uint64_t seed = random_mix((uint64_t)e->o->seed + (uint64_t)at * RANDOM_STEP);
    cr_faith_scores *scores = calloc((size_t)e->n_candidates, sizeof *scores);
    double probability;
    const bool ok = (scores || no_memory(err)) &&
                    cr_faith_judge(faith, scores, &probability, b->x + (size_t)i * input, e->facts[at].class_index, maps,
                                   e->n_candidates, seed, err);
    for (int s = 0; ok && s < e->n_candidates; s++) {
        double *v = e->values[cell(e, at, s)];
        const cr_faith_scores *f = &scores[s];
        v[DROP] = f->drop, v[INCREASE] = f->increase, v[INSERTION] = f->insertion, v[DELETION] = f->deletion;
        v[ROAD_MOST] = f->road_most, v[ROAD_LEAST] = f->road_least, v[ROAD] = f->road;
    }
    free(scores);
    return ok;
}

/* Which classes are explained, and what the network says of them. Logits are the same in all explainers. */
static void find_classes(evaluation *e, const float *all_logits, const batch *b, int *classes)
{
    const int n_classes = e->network.net->classes;
    for (int i = 0; i < b->n; i++) {
        const float *logits = all_logits + (size_t)i * (size_t)n_classes;
        subject_facts *f = &e->facts[b->first + i];
        double sum = 0;
        classes[i] = f->class_index = cr_target_class(&e->subjects.all[b->first + i].target, logits, n_classes);
        cr_top_classes(&f->predicted, 1, logits, n_classes);
        for (int k = 0; k < n_classes; k++)
            sum += exp((double)logits[k] - (double)logits[f->predicted]);
        f->probability = exp((double)logits[classes[i]] - (double)logits[f->predicted]) / sum;
    }
}

/* What serves one batch after the other. */
typedef struct worker {
    mapper trained, forgetful;
    cr_faith *faith;
    float *maps, *others; /* (candidates,h,w) */
    int h, w;             /* of faith and maps */
} worker;

static void worker_free(worker *k)
{
    mapper_free(&k->trained);
    mapper_free(&k->forgetful);
    cr_faith_free(k->faith);
    free(k->maps);
    free(k->others);
    *k = (worker){0};
}

static bool worker_fit(worker *k, const evaluation *e, const batch *b, cr_error *err)
{
    const cr_net *net = e->network.net;
    if (!mapper_fit(&k->trained, e, net, b, err))
        return false;
    if (k->h == b->h && k->w == b->w)
        return true;
    const size_t pixels = (size_t)b->h * (size_t)b->w;
    const unsigned metrics = e->o->metrics;
    const cr_faith_request request = {
        .metrics = (metrics & METRIC_DROP ? CR_FAITH_DROP : 0u) | (metrics & METRIC_INSERTION ? CR_FAITH_INSERTION : 0u) |
                   (metrics & METRIC_DELETION ? CR_FAITH_DELETION : 0u) | (metrics & METRIC_ROAD ? CR_FAITH_ROAD : 0u),
        .h = b->h, .w = b->w, .steps = e->o->steps, .road_noise = e->o->road_noise,
    };
    cr_faith_free(k->faith);
    free(k->maps);
    free(k->others);
    k->faith = NULL;
    k->maps = calloc((size_t)e->n_candidates, pixels * sizeof *k->maps);
    k->others = calloc((size_t)e->n_candidates, pixels * sizeof *k->others);
    k->h = b->h;
    k->w = b->w;
    return ((k->maps && k->others) || no_memory(err)) &&
           (!(metrics & METRIC_SCORES) || (k->faith = cr_faith_create(net, &request, err)));
}

/* ---- the first pass: all metrics but randomisation ---- */

static bool measure_batch(evaluation *e, worker *k, const batch *b, watch *w, cr_error *err)
{
    int classes[MOST_BATCH];
    bool ok = worker_fit(k, e, b, err) && mapper_forward(&k->trained, b, err);
    if (ok)
        find_classes(e, k->trained.explainers[ANY_LAYER]->logits, b, classes);
    ok = ok && mapper_explain(&k->trained, classes, err);
    for (int i = 0; ok && i < b->n; i++) {
        show_progress(w, b->first + i, e->subjects.n);
        ok = mapper_maps(&k->trained, k->maps, e, b, i, err);
        if (ok && e->o->metrics & METRIC_BOXES)
            measure_boxes(e, k->maps, b, i);
        ok = ok && (!k->faith || measure_scores(e, k->faith, k->maps, b, i, err));
    }
    return ok;
}

static bool measure(evaluation *e, worker *k, cr_error *err)
{
    watch w = watch_start("maps and metrics");
    bool ok = true;
    for (int first = 0, n; ok && first < e->subjects.n; first += n) {
        batch b = {0};
        show_progress(&w, first, e->subjects.n);
        ok = batch_read(&b, e, first, err) && measure_batch(e, k, &b, &w, err);
        n = b.n;
        batch_free(&b);
    }
    progress_clear(&w.line);
    return ok;
}

/* ---- the second pass: parameter randomisation ---- */

/* How alike k->maps and k->others of one subject are, under each candidate. */
static bool compare_maps(evaluation *e, const worker *k, int stage, int subject_index, cr_error *err)
{
    const size_t pixels = (size_t)k->h * (size_t)k->w;
    bool ok = true;
#pragma omp parallel for schedule(dynamic) num_threads(cr_threads())
    for (int s = 0; s < e->n_candidates; s++) {
        const float *a = k->maps + (size_t)s * pixels, *b = k->others + (size_t)s * pixels;
        double *alike = e->alike[(size_t)stage * cell(e, e->subjects.n, 0) + cell(e, subject_index, s)];
        cr_error why;
        if (e->candidates[s].maker.method && (!cr_rank_correlation(&alike[RANK_CORRELATION], a, b, pixels, &why) ||
                                          !cr_structural_similarity(&alike[SIMILARITY], a, b, k->h, k->w, &why)))
#pragma omp critical
        {
            *err = why;
            ok = false;
        }
    }
    return ok;
}

static bool compare_batch(evaluation *e, worker *k, const cr_net *forgetful, int stage, const batch *b, watch *w,
                          cr_error *err)
{
    int classes[MOST_BATCH];
    for (int i = 0; i < b->n; i++)
        classes[i] = e->facts[b->first + i].class_index;
    bool ok = worker_fit(k, e, b, err) && mapper_fit(&k->forgetful, e, forgetful, b, err) &&
              mapper_forward(&k->trained, b, err) && mapper_explain(&k->trained, classes, err) &&
              mapper_forward(&k->forgetful, b, err) && mapper_explain(&k->forgetful, classes, err);
    for (int i = 0; ok && i < b->n; i++) {
        show_progress(w, b->first + i, e->subjects.n);
        ok = mapper_maps(&k->trained, k->maps, e, b, i, err) && mapper_maps(&k->forgetful, k->others, e, b, i, err) &&
             compare_maps(e, k, stage, b->first + i, err);
    }
    return ok;
}

static bool compare(evaluation *e, worker *k, const cr_net *forgetful, int stage, cr_error *err)
{
    char what[64];
    snprintf(what, sizeof what, "random down to %.16s (%d of %d)", e->stages[stage], stage + 1, e->n_stages);
    watch w = watch_start(what);
    bool ok = true;
    cr_error why;
    mapper_free(&k->forgetful); /* its plans know the weights of the stage before */
    for (int first = 0, n; ok && first < e->subjects.n; first += n) {
        batch b = {0};
        show_progress(&w, first, e->subjects.n);
        ok = (batch_read(&b, e, first, &why) && compare_batch(e, k, forgetful, stage, &b, &w, &why)) ||
             cr_fail(err, "with parameters %s: %.400s", what, why.text);
        n = b.n;
        batch_free(&b);
    }
    progress_clear(&w.line);
    return ok;
}

/* All of n numbers NaN. */
static void fill_nan(double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = NAN;
}

static bool randomize(evaluation *e, worker *k, cr_error *err)
{
    cr_randomized r;
    bool ok = cr_randomized_create(&r, e->network.net, (uint64_t)e->o->seed, err);
    if (ok) {
        const size_t maps = cell(e, e->subjects.n, 0);
        e->stages = calloc((size_t)r.n_stages, sizeof *e->stages);
        e->alike = calloc((size_t)r.n_stages, maps * sizeof *e->alike);
        ok = (e->stages && e->alike) || no_memory(err);
        if (ok) {
            e->n_stages = r.n_stages;
            memcpy(e->stages, r.stages, (size_t)r.n_stages * sizeof *e->stages);
            fill_nan(e->alike[0], (size_t)r.n_stages * maps * 2);
        }
    }
    for (int stage = 0; ok && stage < e->n_stages; stage++) {
        cr_randomized_next(&r);
        ok = compare(e, k, &r.net, stage, err);
    }
    mapper_free(&k->forgetful); /* before the net it runs */
    cr_randomized_free(&r);
    return ok;
}

/* ---- setting up ---- */

const char *maker_name(const maker *m)
{
    return m->method ? m->method->name : m->baseline == RANDOM_MAP ? "random" : "centre";
}

/* Adds a candidate for each layer that the maker fits. */
static bool add_candidates(evaluation *e, const maker *m, cr_error *err)
{
    cr_error why = {""};
    const bool all_layers = m->baseline == CENTRE_MAP || (m->method && m->method->needs & CR_NEEDS_BIASES);
    const int before = e->n_candidates;
    for (int i = 0; i < e->n_layers; i++)
        if (!all_layers && (!m->method || cr_method_fits(m->method, e->network.net, &e->layers[i], 1, &why)))
            e->candidates[e->n_candidates++] = (candidate){*m, e->layers[i]};
    if (all_layers)
        e->candidates[e->n_candidates++] = (candidate){*m, -1};
    return e->n_candidates > before || cr_fail(err, "%s", why.text);
}

static bool find_candidates(evaluation *e, cr_error *err)
{
    const cr_net *net = e->network.net;
    if (!network_layers(&e->network, &e->o->layers, &e->layers, &e->n_layers, err))
        return false;
    if (!e->n_layers)
        e->layers[e->n_layers++] = cr_net_last_feature_map(net);
    for (int i = 0; i < e->n_layers; i++) {
        if (!cr_is_feature_map(net, e->layers[i]))
            return cr_fail(err, "layer %s: its output has no rows and columns to map; the last that has them is %s",
                           net->nodes[e->layers[i]].name, net->nodes[cr_net_last_feature_map(net)].name);
        for (int k = 0; k < i; k++)
            if (e->layers[k] == e->layers[i])
                return cr_fail(err, "layer %s is named twice", net->nodes[e->layers[i]].name);
    }
    e->candidates = calloc((size_t)e->o->n_makers, (size_t)e->n_layers * sizeof *e->candidates);
    if (!e->candidates)
        return no_memory(err);
    for (int i = 0; i < e->o->n_makers; i++)
        if (!add_candidates(e, &e->o->makers[i], err))
            return false;
    return true;
}

bool evaluate(evaluation *e, const evaluate_options *o, const text_list *pictures, cr_error *err)
{
    *e = (evaluation){.o = o};
    if (!network_open(&e->network, &o->network, err) || !find_candidates(e, err) ||
        !subjects_find(&e->subjects, o, pictures, &e->network, err))
        return false;
    const size_t maps = cell(e, e->subjects.n, 0);
    e->facts = calloc((size_t)e->subjects.n, sizeof *e->facts);
    e->values = calloc(maps, sizeof *e->values);
    if (!e->facts || !e->values)
        return no_memory(err);
    fill_nan(e->values[0], maps * VALUES);
    worker k = {0};
    const bool ok = measure(e, &k, err) && (!(o->metrics & METRIC_RANDOMIZATION) || randomize(e, &k, err));
    worker_free(&k);
    return ok;
}

void evaluation_free(evaluation *e)
{
    free(e->values);
    free(e->alike);
    free(e->stages);
    free(e->facts);
    free(e->candidates);
    free(e->layers);
    subjects_free(&e->subjects);
    network_close(&e->network);
    *e = (evaluation){0};
}
