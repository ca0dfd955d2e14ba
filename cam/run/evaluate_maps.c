/* evaluate_maps.c - batches of pictures, and the maps of all candidates for them. */
#include "evaluate_maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "camrun.h"
#include "random.h"

enum { BATCH_FLOATS = 1 << 22 }; /* of a batch's inputs, 16 MB */

static bool no_memory(cr_error *err)
{
    return cr_fail(err, "out of memory");
}

/* ---- batches of subjects whose inputs have one size ---- */

void batch_free(batch *b)
{
    free(b->x);
    free(b->geometry);
    *b = (batch){0};
}

static int batch_limit(const evaluation *e, size_t input)
{
    const int fits = input * MOST_BATCH <= BATCH_FLOATS ? MOST_BATCH : (int)(BATCH_FLOATS / input);
    const int left = fits > 1 ? fits : 1;
    return left < e->subjects.n ? left : e->subjects.n;
}

/* False, with the line of the CSV file, where a box lies outside of its picture. */
static bool check_boxes(const evaluation *e, const subject *s, const cr_image *photo, cr_error *err)
{
    for (int i = 0; i < s->n_boxes; i++) {
        const cr_rect *r = &s->rects[i];
        if (r->x1 <= 0 || r->y1 <= 0 || r->x0 >= photo->w || r->y0 >= photo->h)
            return cr_fail(err, "%.150s:%d: the box from (%d,%d) to (%d,%d) lies outside of %.150s, which has %dx%d pixels",
                           e->o->boxes, s->lines[i], r->x0, r->y0, r->x1, r->y1, s->path, photo->w, photo->h);
    }
    return true;
}

bool batch_read(batch *b, const evaluation *e, int first, cr_error *err)
{
    const int channels = e->network.net->in_channels;
    int limit = 1;
    size_t input = 0;
    b->first = first;
    for (int i = first; i < e->subjects.n && b->n < limit; i++) {
        network_input picture;
        bool ok = network_read(&picture, &e->network, e->subjects.all[i].path, err) &&
                  check_boxes(e, &e->subjects.all[i], &picture.photo, err);
        if (ok && !b->n) {
            b->h = picture.geometry.h;
            b->w = picture.geometry.w;
            input = (size_t)channels * (size_t)b->h * (size_t)b->w;
            limit = batch_limit(e, input);
            b->x = calloc((size_t)limit, input * sizeof *b->x);
            b->geometry = calloc((size_t)limit, sizeof *b->geometry);
            ok = (b->x && b->geometry) || no_memory(err);
        }
        const bool fits = ok && picture.geometry.h == b->h && picture.geometry.w == b->w;
        if (fits) {
            memcpy(b->x + (size_t)b->n * input, picture.x, input * sizeof *b->x);
            b->geometry[b->n++] = picture.geometry;
        }
        network_input_free(&picture);
        if (!fits)
            return ok;
    }
    return true;
}

/* ---- makers of maps: all candidates of one network and batch size ---- */

static int group_of(const cr_method *method)
{
    return method->needs & CR_NEEDS_FC_WEIGHT ? LAST_LAYER : ANY_LAYER;
}

void mapper_free(mapper *m)
{
    for (int g = 0; g < GROUPS; g++)
        cr_explainer_free(m->explainers[g]);
    *m = (mapper){0};
}

bool mapper_fit(mapper *m, const evaluation *e, const cr_net *net, const batch *b, cr_error *err)
{
    if (m->n == b->n && m->h == b->h && m->w == b->w)
        return true;
    mapper_free(m);
    const int last = cr_net_last_feature_map(net);
    for (int g = 0; g < GROUPS; g++) {
        const cr_method *methods[MOST_MAKERS];
        int n = 0;
        for (int i = 0; i < e->o->n_makers; i++)
            if (e->o->makers[i].method && group_of(e->o->makers[i].method) == g)
                methods[n++] = e->o->makers[i].method;
        const cr_explain_request request = {
            .methods = methods, .n_methods = n, .layers = g == LAST_LAYER ? &last : e->layers,
            .n_layers = g == LAST_LAYER ? 1 : e->n_layers, .n = b->n, .h = b->h, .w = b->w, .seed = (uint64_t)e->o->seed,
        };
        if ((n || g == ANY_LAYER) && !(m->explainers[g] = cr_explainer_create(net, &request, err)))
            return false;
    }
    *m = (mapper){b->n, b->h, b->w, {m->explainers[ANY_LAYER], m->explainers[LAST_LAYER]}};
    return true;
}

bool mapper_forward(const mapper *m, const batch *b, cr_error *err)
{
    for (int g = 0; g < GROUPS; g++)
        if (m->explainers[g] && !cr_explainer_forward(m->explainers[g], b->x, err))
            return false;
    return true;
}

bool mapper_explain(const mapper *m, const int *classes, cr_error *err)
{
    for (int g = 0; g < GROUPS; g++)
        if (m->explainers[g] &&
            (!cr_explainer_backward(m->explainers[g], classes, err) || !cr_explainer_maps(m->explainers[g], err)))
            return false;
    return true;
}

/* A Gaussian in the middle, its standard deviation a quarter of each side. */
static void centre_map(float *map, int h, int w)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const double dy = (y + 0.5 - h / 2.0) / (h / 4.0), dx = (x + 0.5 - w / 2.0) / (w / 4.0);
            map[(size_t)y * (size_t)w + (size_t)x] = (float)exp(-(dy * dy + dx * dx) / 2);
        }
}

/* Noise of the layer's size, uniform in [0,1), that becomes a map as a method's does. */
static bool random_map(float *map, const evaluation *e, const batch *b, int layer, int subject_index, cr_error *err)
{
    int(*dims)[3] = calloc((size_t)e->network.net->n_nodes, sizeof *dims);
    bool ok = (dims || no_memory(err)) && cr_net_shapes(e->network.net, b->h, b->w, dims, err);
    const int h = ok ? dims[layer][1] : 0, w = ok ? dims[layer][2] : 0;
    float *noise = ok ? calloc((size_t)h * (size_t)w, sizeof *noise) : NULL;
    ok = ok && (noise || no_memory(err));
    const uint64_t seed = random_mix((uint64_t)e->o->seed + (uint64_t)subject_index * RANDOM_STEP);
    for (int i = 0; ok && i < h * w; i++)
        noise[i] = (float)random_at(seed + (uint64_t)layer, (uint64_t)i);
    ok = ok && cr_map_share(map, b->h, b->w, noise, h, w, err) &&
         cr_map_finish(map, map, 1, (size_t)b->h * (size_t)b->w, err);
    free(noise);
    free(dims);
    return ok;
}

/* The map of one candidate for image i of the batch. */
static bool candidate_map(float *map, const evaluation *e, const mapper *m, const batch *b, const candidate *s, int i,
                       cr_error *err)
{
    if (s->maker.baseline == CENTRE_MAP) {
        centre_map(map, b->h, b->w);
        return true;
    }
    if (s->maker.baseline == RANDOM_MAP)
        return random_map(map, e, b, s->layer, b->first + i, err);
    const cr_explainer *explainer = m->explainers[group_of(s->maker.method)];
    const cr_explanation *result = explainer->results;
    while (result->method != s->maker.method)
        result++;
    int layer = 0;
    while (s->layer >= 0 && result->raw[layer].node != s->layer)
        layer++;
    return cr_explanation_layer_map(map, explainer, result, layer, i, err);
}

bool mapper_maps(const mapper *m, float *maps, const evaluation *e, const batch *b, int i, cr_error *err)
{
    cr_error why;
    for (int s = 0; s < e->n_candidates; s++)
        if (!candidate_map(maps + (size_t)s * (size_t)b->h * (size_t)b->w, e, m, b, &e->candidates[s], i, &why))
            return cr_fail(err, "%.150s: %.60s: %.290s", e->subjects.all[b->first + i].path,
                           maker_name(&e->candidates[s].maker), why.text);
    return true;
}
