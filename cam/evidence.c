/* evidence.c - plan and tapes of an explanation, and what is read from them (evidence.h). */
#include "evidence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

/* ---- what is asked of the plan ---- */

static bool needs_gradient(const cr_method *method)
{
    return method->needs & (CR_NEEDS_GRADIENT | CR_NEEDS_BIASES);
}

/* Lists each score whose gradient is needed once, the logit last. */
static bool list_scores(cr_explainer *e)
{
    struct evidence *found = e->evidence;
    if (!(found->scores = calloc((size_t)e->n_results, sizeof *found->scores)))
        return false;
    for (int logit = 0; logit < 2; logit++)
        for (int i = 0; i < e->n_results; i++) {
            const cr_method *method = e->results[i].method;
            if (!needs_gradient(method) || (method->score == NULL) != logit)
                continue;
            int k = 0;
            while (k < found->n_scores && found->scores[k] != method->score)
                k++;
            if (k == found->n_scores)
                found->scores[found->n_scores++] = method->score;
            e->results[i].score = k;
        }
    return true;
}

/* The input, and the convolutions and batchnorms that add a bias. */
static bool list_biased(cr_explainer *e)
{
    struct evidence *found = e->evidence;
    const cr_net *net = e->net;
    if (!(found->biased = calloc((size_t)net->n_nodes, sizeof *found->biased)))
        return false;
    for (int i = 0; i < net->n_nodes; i++) {
        const cr_node *n = &net->nodes[i];
        if (i == 0 || n->op == CR_BATCHNORM || (n->op == CR_CONV2D && n->n_params > 1))
            found->biased[found->n_biased++] = i;
    }
    return true;
}

/* Whether the logits of an ablated layer follow without running anything. */
static bool is_linear_behind(const cr_net *net, int layer)
{
    return cr_net_cam_head(net) >= 0 && layer == cr_net_last_feature_map(net);
}

static bool make_plan(cr_explainer *e, const cr_explain_request *r, cr_error *err)
{
    const struct evidence *found = e->evidence;
    const unsigned gradients = CR_NEEDS_GRADIENT | CR_NEEDS_NOISE | CR_NEEDS_BIASES;
    const size_t nodes = (size_t)e->net->n_nodes;
    cr_request request = {.n = e->n, .h = e->h, .w = e->w, .direct = r->direct};
    int *grad = calloc((size_t)(r->n_layers + found->n_biased) + 1, sizeof *grad);
    int *keep = calloc(nodes * (size_t)r->n_layers + 1, sizeof *keep);
    if (!grad || !keep) {
        free(grad);
        free(keep);
        return cr_fail(err, "out of memory");
    }
    for (int i = 0; i < r->n_layers; i++) {
        keep[request.n_keep++] = r->layers[i];
        if (found->needs & CR_NEEDS_ABLATED)
            request.n_keep += cr_net_crossing(e->net, r->layers[i], keep + request.n_keep);
        if (found->needs & gradients)
            grad[request.n_grad++] = r->layers[i];
    }
    for (int i = 0; i < found->n_biased; i++)
        grad[request.n_grad++] = found->biased[i];
    request.keep = keep;
    request.grad = grad;
    e->plan = cr_plan_create(e->net, &request, err);
    free(grad);
    free(keep);
    return e->plan != NULL;
}

static bool make_scorers(cr_explainer *e, const cr_explain_request *r, cr_error *err)
{
    struct evidence *found = e->evidence;
    found->progress = (channel_progress){.report = r->progress, .owner = r->progress_owner};
    if (found->needs & CR_NEEDS_MASKED && !(found->masked = scorer_create(e->net, 0, e->h, e->w, r->direct, err)))
        return false;
    if (!(found->needs & CR_NEEDS_ABLATED))
        return true;
    if (!(found->ablated = calloc((size_t)r->n_layers, sizeof *found->ablated)))
        return cr_fail(err, "out of memory");
    for (int i = 0; i < r->n_layers; i++)
        if (!is_linear_behind(e->net, r->layers[i]) &&
            !(found->ablated[i] = scorer_create(e->net, r->layers[i], e->h, e->w, r->direct, err)))
            return false;
    return true;
}

/* ---- memory ---- */

void *allocate(size_t element, int a, int b, int c, int d)
{
    size_t count = element;
    const int factors[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        if (__builtin_mul_overflow(count, (size_t)factors[i], &count))
            return NULL;
    return calloc(count ? count : 1, 1);
}

static bool allocate_layers(cr_explainer *e, const int *nodes)
{
    const struct evidence *found = e->evidence;
    for (int i = 0; i < e->n_layers; i++) {
        cr_explained_layer *l = &e->layers[i];
        int dim[3];
        cr_plan_shape(e->plan, nodes[i], dim);
        *l = (cr_explained_layer){.node = nodes[i], .c = dim[0], .h = dim[1], .w = dim[2]};
        if (!(l->value = allocate(sizeof *l->value, e->n, l->c, l->h, l->w)))
            return false;
        if (found->needs & CR_NEEDS_GRADIENT &&
            !(l->grad = allocate((size_t)found->n_scores * sizeof *l->grad, e->n, l->c, l->h, l->w)))
            return false;
        if (found->needs & CR_NEEDS_NOISE && !(l->noisy = allocate(3 * sizeof *l->noisy, e->n, l->c, l->h, l->w)))
            return false;
        if (found->needs & CR_NEEDS_MASKED &&
            !(l->masked = allocate(sizeof *l->masked, e->n, l->c, e->net->classes, 1)))
            return false;
        if (found->needs & CR_NEEDS_ABLATED &&
            !(l->ablated = allocate(sizeof *l->ablated, e->n, l->c, e->net->classes, 1)))
            return false;
    }
    return true;
}

static bool allocate_inputs(cr_explainer *e, bool keep)
{
    struct evidence *found = e->evidence;
    const int channels = e->net->in_channels;
    keep = keep || found->needs & (CR_NEEDS_NOISE | CR_NEEDS_BIASES | CR_NEEDS_MASKED);
    if (keep && !(found->x = allocate(sizeof *found->x, e->n, channels, e->h, e->w)))
        return false;
    if (found->needs & CR_NEEDS_NOISE && !(found->noisy_x = allocate(sizeof *found->noisy_x, e->n, channels, e->h, e->w)))
        return false;
    return (found->dz = allocate(sizeof *found->dz, e->n, e->net->classes, 1, 1)) != NULL;
}

/* Room for any layer's gradient that is read, used and not kept. */
static bool allocate_scratch(cr_explainer *e)
{
    struct evidence *found = e->evidence;
    int64_t largest = 0;
    int channels = 0;
    for (int i = 0; i < found->n_biased; i++) {
        int dim[3];
        cr_plan_shape(e->plan, found->biased[i], dim);
        const int64_t size = (int64_t)dim[0] * dim[1] * dim[2];
        channels = dim[0] > channels ? dim[0] : channels;
        largest = size > largest ? size : largest;
    }
    for (int i = 0; i < e->n_layers; i++) {
        const cr_explained_layer *l = &e->layers[i];
        const int64_t size = found->needs & CR_NEEDS_NOISE ? (int64_t)l->c * l->h * l->w : 0;
        channels = l->c > channels ? l->c : channels;
        largest = size > largest ? size : largest;
    }
    return (found->bias = calloc((size_t)channels + 1, sizeof *found->bias)) &&
           (found->channel_scores[0] = calloc((size_t)channels + 1, sizeof(float))) &&
           (found->channel_scores[1] = calloc((size_t)channels + 1, sizeof(float))) &&
           (found->scratch = calloc((size_t)largest + 1, (size_t)e->n * sizeof *found->scratch));
}

bool evidence_create(cr_explainer *e, const cr_explain_request *r, cr_error *err)
{
    struct evidence *found = e->evidence = calloc(1, sizeof *found);
    if (!found)
        return cr_fail(err, "out of memory");
    found->seed = r->seed;
    for (int i = 0; i < e->n_results; i++)
        found->needs |= e->results[i].method->needs;
    if (!list_scores(e) || (found->needs & CR_NEEDS_BIASES && !list_biased(e)))
        return cr_fail(err, "out of memory");
    if (!make_plan(e, r, err) || !make_scorers(e, r, err) || !(found->tape = cr_tape_create(e->plan, err)) ||
        (found->needs & CR_NEEDS_NOISE && !(found->noisy_tape = cr_tape_create(e->plan, err))))
        return false;
    return (allocate_layers(e, r->layers) && allocate_inputs(e, r->aug_smooth) && allocate_scratch(e)) ||
           cr_fail(err, "out of memory for what is known of %d inputs of %dx%d", e->n, e->w, e->h);
}

void evidence_free(cr_explainer *e)
{
    struct evidence *found = e->evidence;
    for (int i = 0; e->layers && i < e->n_layers; i++) {
        free(e->layers[i].value);
        free(e->layers[i].grad);
        free(e->layers[i].noisy);
        free(e->layers[i].masked);
        free(e->layers[i].ablated);
    }
    if (found) {
        free(found->scores);
        scorer_free(found->masked);
        for (int i = 0; found->ablated && i < e->n_layers; i++)
            scorer_free(found->ablated[i]);
        free(found->ablated);
        free(found->channel_scores[0]);
        free(found->channel_scores[1]);
        cr_tape_free(found->tape);
        cr_tape_free(found->noisy_tape);
        free(found->x);
        free(found->noisy_x);
        free(found->dz);
        free(found->biased);
        free(found->bias);
        free(found->scratch);
        free(found);
    }
    cr_plan_free(e->plan);
}

/* ---- forward ---- */

static size_t input_size(const cr_explainer *e)
{
    return (size_t)e->net->in_channels * (size_t)e->h * (size_t)e->w;
}

static size_t layer_size(const cr_explained_layer *l)
{
    return (size_t)l->c * (size_t)l->h * (size_t)l->w;
}

bool evidence_forward(cr_explainer *e, const float *x, cr_error *err)
{
    struct evidence *found = e->evidence;
    found->scored = false;
    if (found->x && found->x != x)
        memcpy(found->x, x, (size_t)e->n * input_size(e) * sizeof *x);
    cr_tape_forward(found->tape, x);
    if (!cr_tape_value(found->tape, e->net->n_nodes - 1, e->logits, err))
        return false;
    for (int i = 0; i < e->n_layers; i++)
        if (!cr_tape_value(found->tape, e->layers[i].node, e->layers[i].value, err))
            return false;
    return true;
}

/* ---- a forward for every channel ---- */

/* Tells the scorer image n's values that cross its start; crossing: room for all nodes. */
static bool give_crossing(const cr_explainer *e, scorer *s, const cr_explained_layer *l, size_t n, int *crossing,
                          cr_error *err)
{
    const int count = cr_net_crossing(e->net, l->node, crossing);
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        int dim[3];
        cr_plan_shape(e->plan, crossing[i], dim);
        float *values = allocate(sizeof *values, e->n, dim[0], dim[1], dim[2]);
        ok = (values || cr_fail(err, "out of memory")) && cr_tape_value(e->evidence->tape, crossing[i], values, err) &&
             scorer_give(s, crossing[i], values + n * (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2], err);
        free(values);
    }
    return ok;
}

static bool score_image(cr_explainer *e, int layer, size_t n, int *crossing, cr_error *err)
{
    struct evidence *found = e->evidence;
    const cr_explained_layer *l = &e->layers[layer];
    const size_t classes = (size_t)e->net->classes, rows = n * (size_t)l->c * classes;
    const float *a = l->value + n * layer_size(l), *clean = e->logits + n * classes;
    if (l->masked && !scorer_masked(found->masked, l->masked + rows, found->x + n * input_size(e), a, l->c, l->h, l->w,
                                    &found->progress, err))
        return false;
    if (!l->ablated)
        return true;
    scorer *s = found->ablated[layer];
    if (!s) {
        ablate_cam_head(l->ablated + rows, e->net, clean, a, l->c, l->h, l->w, &found->progress);
        return true;
    }
    return give_crossing(e, s, l, n, crossing, err) &&
           scorer_ablated(s, l->ablated + rows, clean, a, l->c, l->h, l->w, &found->progress, err);
}

bool evidence_score(cr_explainer *e, cr_error *err)
{
    struct evidence *found = e->evidence;
    const int kinds = (found->masked != NULL) + (found->ablated != NULL);
    int *crossing = calloc((size_t)e->net->n_nodes, sizeof *crossing);
    bool ok = crossing || cr_fail(err, "out of memory");
    found->progress.done = found->progress.all = 0;
    for (int i = 0; i < e->n_layers; i++)
        found->progress.all += kinds * e->n * e->layers[i].c;
    for (int i = 0; ok && kinds && i < e->n_layers; i++)
        for (size_t n = 0; ok && n < (size_t)e->n; n++)
            ok = score_image(e, i, n, crossing, err);
    free(crossing);
    found->scored = ok;
    return ok;
}

/* ---- backward ---- */

static void start_from(const cr_explainer *e, score_gradient score)
{
    const size_t classes = (size_t)e->net->classes;
    float *dz = e->evidence->dz;
    memset(dz, 0, (size_t)e->n * classes * sizeof *dz);
    for (size_t n = 0; n < (size_t)e->n; n++)
        if (score)
            score(dz + n * classes, e->logits + n * classes, e->net->classes, e->classes[n]);
        else
            dz[n * classes + (size_t)e->classes[n]] = 1;
}

static bool find_gradients(cr_explainer *e, cr_error *err)
{
    const struct evidence *found = e->evidence;
    for (int s = 0; s < found->n_scores; s++) {
        start_from(e, found->scores[s]);
        if (!cr_tape_backward(found->tape, found->dz, err))
            return false;
        for (int i = 0; found->needs & CR_NEEDS_GRADIENT && i < e->n_layers; i++) {
            const cr_explained_layer *l = &e->layers[i];
            if (!cr_tape_grad(found->tape, l->node, l->grad + (size_t)s * (size_t)e->n * layer_size(l), err))
                return false;
        }
    }
    return true;
}

/* The copy's noise is the same in every image, so that a batch gives what its images give alone. */
static void add_noise(const cr_explainer *e, int copy)
{
    const struct evidence *found = e->evidence;
    const size_t size = input_size(e);
    for (size_t i = 0; i < size; i++) {
        const float noise = (float)(CR_NOISE * random_normal_at(found->seed, (uint64_t)copy * size + i));
        for (size_t n = 0; n < (size_t)e->n; n++)
            found->noisy_x[n * size + i] = found->x[n * size + i] + noise;
    }
}

/* Adds one copy's share to the means of g, g^2 and g^3. */
static bool add_powers(const cr_explainer *e, const cr_explained_layer *l, cr_error *err)
{
    float *g = e->evidence->scratch;
    const size_t all = (size_t)e->n * layer_size(l);
    if (!cr_tape_grad(e->evidence->noisy_tape, l->node, g, err))
        return false;
    for (size_t i = 0; i < all; i++) {
        const float share = g[i] / CR_NOISY_COPIES;
        l->noisy[i] += share;
        l->noisy[all + i] += share * g[i];
        l->noisy[2 * all + i] += share * g[i] * g[i];
    }
    return true;
}

static bool find_noisy_gradients(cr_explainer *e, cr_error *err)
{
    const struct evidence *found = e->evidence;
    for (int i = 0; i < e->n_layers; i++)
        memset(e->layers[i].noisy, 0, 3 * (size_t)e->n * layer_size(&e->layers[i]) * sizeof(float));
    start_from(e, NULL);
    for (int copy = 0; copy < CR_NOISY_COPIES; copy++) {
        add_noise(e, copy);
        cr_tape_forward(found->noisy_tape, found->noisy_x);
        if (!cr_tape_backward(found->noisy_tape, found->dz, err))
            return false;
        for (int i = 0; i < e->n_layers; i++)
            if (!add_powers(e, &e->layers[i], err))
                return false;
    }
    return true;
}

bool evidence_backward(cr_explainer *e, cr_error *err)
{
    const unsigned needs = e->evidence->needs;
    return (!(needs & (CR_NEEDS_MASKED | CR_NEEDS_ABLATED)) || e->evidence->scored || evidence_score(e, err)) &&
           (!(needs & (CR_NEEDS_GRADIENT | CR_NEEDS_BIASES)) || find_gradients(e, err)) &&
           (!(needs & CR_NEEDS_NOISE) || find_noisy_gradients(e, err));
}

/* ---- what was found ---- */

/* Column c of (rows,classes). */
static const float *column(float *to, const float *from, int rows, int classes, int c)
{
    for (size_t k = 0; k < (size_t)rows; k++)
        to[k] = from[k * (size_t)classes + (size_t)c];
    return to;
}

cr_evidence evidence_of(const cr_explainer *e, const cr_explained_layer *l, size_t n, int score)
{
    const struct evidence *found = e->evidence;
    const size_t one = layer_size(l), all = (size_t)e->n * one;
    cr_evidence shown = {.c = l->c, .h = l->h, .w = l->w, .a = l->value + n * one, .seed = found->seed};
    const int classes = e->net->classes, class_index = e->classes[n];
    const size_t rows = n * (size_t)l->c * (size_t)classes;
    shown.score = e->logits[n * (size_t)classes + (size_t)class_index];
    if (l->masked)
        shown.masked = column(found->channel_scores[0], l->masked + rows, l->c, classes, class_index);
    if (l->ablated)
        shown.ablated = column(found->channel_scores[1], l->ablated + rows, l->c, classes, class_index);
    if (l->grad)
        shown.g = l->grad + (size_t)score * all + n * one;
    for (size_t power = 0; power < 3 && l->noisy; power++)
        shown.noisy[power] = l->noisy + power * all + n * one;
    if (found->needs & CR_NEEDS_FC_WEIGHT) {
        const cr_node *head = &e->net->nodes[cr_net_cam_head(e->net)];
        shown.fc_weight = e->net->params[head->param].data + (size_t)class_index * (size_t)l->c;
    }
    return shown;
}

bool evidence_read_biased(cr_explainer *e, int i, cr_error *err)
{
    const struct evidence *found = e->evidence;
    cr_node_bias(e->net, found->biased[i], found->bias);
    return cr_tape_grad(found->tape, found->biased[i], found->scratch, err);
}

cr_evidence evidence_of_biased(const cr_explainer *e, int i, size_t n)
{
    const struct evidence *found = e->evidence;
    int dim[3];
    cr_plan_shape(e->plan, found->biased[i], dim);
    const size_t one = (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
    cr_evidence shown = {.c = dim[0], .h = dim[1], .w = dim[2], .g = found->scratch + n * one};
    if (found->biased[i] == 0)
        shown.a = found->x + n * one;
    else
        shown.bias = found->bias;
    return shown;
}
