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

static bool make_plan(cr_explainer *e, const cr_explain_request *r, cr_error *err)
{
    const struct evidence *found = e->evidence;
    const unsigned gradients = CR_NEEDS_GRADIENT | CR_NEEDS_NOISE | CR_NEEDS_BIASES;
    int *grad = calloc((size_t)(r->n_layers + found->n_biased) + 1, sizeof *grad), n = 0;
    if (!grad)
        return cr_fail(err, "out of memory");
    for (int i = 0; i < r->n_layers && found->needs & gradients; i++)
        grad[n++] = r->layers[i];
    for (int i = 0; i < found->n_biased; i++)
        grad[n++] = found->biased[i];
    const cr_request request = {.n = e->n, .h = e->h, .w = e->w, .direct = r->direct, .keep = r->layers, .n_keep = r->n_layers,
                                .grad = grad, .n_grad = n};
    e->plan = cr_plan_create(e->net, &request, err);
    free(grad);
    return e->plan != NULL;
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
    }
    return true;
}

static bool allocate_inputs(cr_explainer *e, bool keep)
{
    struct evidence *found = e->evidence;
    const int channels = e->net->in_channels;
    keep = keep || found->needs & (CR_NEEDS_NOISE | CR_NEEDS_BIASES);
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
    for (int i = 0; i < e->n_layers && found->needs & CR_NEEDS_NOISE; i++) {
        const cr_explained_layer *l = &e->layers[i];
        const int64_t size = (int64_t)l->c * l->h * l->w;
        largest = size > largest ? size : largest;
    }
    return (found->bias = calloc((size_t)channels + 1, sizeof *found->bias)) &&
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
    if (!make_plan(e, r, err) || !(found->tape = cr_tape_create(e->plan, err)) ||
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
    }
    if (found) {
        free(found->scores);
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
    const struct evidence *found = e->evidence;
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
    return (!(needs & (CR_NEEDS_GRADIENT | CR_NEEDS_BIASES)) || find_gradients(e, err)) &&
           (!(needs & CR_NEEDS_NOISE) || find_noisy_gradients(e, err));
}

/* ---- what was found ---- */

cr_evidence evidence_of(const cr_explainer *e, const cr_explained_layer *l, size_t n, int score)
{
    const struct evidence *found = e->evidence;
    const size_t one = layer_size(l), all = (size_t)e->n * one;
    cr_evidence shown = {.c = l->c, .h = l->h, .w = l->w, .a = l->value + n * one, .seed = found->seed};
    if (l->grad)
        shown.g = l->grad + (size_t)score * all + n * one;
    for (size_t power = 0; power < 3 && l->noisy; power++)
        shown.noisy[power] = l->noisy + power * all + n * one;
    if (found->needs & CR_NEEDS_FC_WEIGHT) {
        const cr_node *head = &e->net->nodes[cr_net_cam_head(e->net)];
        shown.fc_weight = e->net->params[head->param].data + (size_t)e->classes[n] * (size_t)l->c;
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
