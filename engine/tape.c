/* tape.c - runs a plan: the arena, forward, backward, and reading what was kept. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

struct cr_tape {
    const cr_plan *plan;
    float *arena;
    uint64_t seed;
    bool *has_given; /* per node: cr_tape_give has been called */
    bool has_forward, has_backward;
};

/* All images of a tensor from plain (N,C,H,W). */
static void fill(const cr_plan *plan, const tensor *t, const float *plain, float *arena)
{
    for (int n = 0; n < plan->N; n++)
        block(tensor_map(arena, t, n), t, plain + n * (ptrdiff_t)t->C * t->H * t->W, false, plan->threads);
}

/* backward: the gradient of x. weight_gradient: those of the parameters. */
static const struct {
    void (*forward)(const cr_plan *plan, const step *s, float *arena);
    void (*backward)(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
    void (*weight_gradient)(const cr_plan *plan, const step *s, const tensor *dy, float *arena);
} ops[CR_OP_COUNT] = {
    [CR_CONV2D] = {conv_forward, conv_backward, conv_weight_gradient},
    [CR_BATCHNORM] = {batchnorm_forward, batchnorm_backward, NULL}, /* does all of the fused chain: see batchnorm.c */
    [CR_RELU] = {relu_forward, relu_backward, NULL},
    [CR_MAXPOOL] = {maxpool_forward, maxpool_backward, NULL},
    [CR_AVGPOOL] = {avgpool_forward, avgpool_backward, NULL},
    [CR_ADAPTIVE_AVGPOOL] = {avgpool_forward, avgpool_backward, NULL},
    [CR_LINEAR] = {linear_forward, linear_backward, linear_weight_gradient},
    [CR_ADD] = {add_forward, add_backward, NULL},
    [CR_FLATTEN] = {flatten_forward, flatten_backward, NULL},
    [CR_DROPOUT] = {dropout_forward, dropout_backward, NULL},
};

cr_tape *cr_tape_create(const cr_plan *plan, cr_error *err)
{
    cr_tape *tape = calloc(1, sizeof *tape);
    /* Not cleared: every run writes what it reads, and pages nobody writes cost nothing. */
    float *arena = aligned_floats(plan->arena);
    bool *has_given = calloc((size_t)plan->net->n_nodes, sizeof *has_given);
    if (!tape || !arena || !has_given) {
        free(tape);
        free(arena);
        free(has_given);
        cr_fail(err, "%s: out of memory for %zu bytes of activations", plan->net->arch, cr_plan_arena_bytes(plan));
        return NULL;
    }
    *tape = (cr_tape){.plan = plan, .arena = arena, .has_given = has_given};
    return tape;
}

void cr_tape_free(cr_tape *tape)
{
    if (!tape)
        return;
    free(tape->arena);
    free(tape->has_given);
    free(tape);
}

float *tape_arena(cr_tape *tape)
{
    return tape->arena;
}

/* x: the value of the plan's start. */
static void forward_step(const cr_plan *plan, int i, const float *x, float *arena)
{
    const step *s = &plan->steps[i];
    const bool given = step_op(plan, s) == CR_INPUT;
    if (given && s->last != plan->start)
        return; /* cr_tape_give has written it */
    zero_halo(plan, &plan->value[s->last], arena);
    if (given)
        fill(plan, &plan->value[s->last], x, arena);
    else
        ops[step_op(plan, s)].forward(plan, s, arena);
}

void tape_forward_step(cr_tape *tape, int i)
{
    const cr_plan *plan = tape->plan;
    if (i < plan->by_image)
        for (int n = 0; n < plan->N; n++)
            forward_step(&plan->views[n], i, NULL, tape->arena);
    else
        forward_step(plan, i, NULL, tape->arena);
}

void cr_tape_seed(cr_tape *tape, uint64_t seed)
{
    tape->seed = seed;
}

bool cr_tape_give(cr_tape *tape, int node, const float *value, cr_error *err)
{
    const cr_plan *plan = tape->plan;
    node = node < 0 || node >= plan->net->n_nodes ? 0 : plan->source[node];
    if (node == plan->start || !plan->given[node])
        return cr_fail(err, "%s: %s is computed, or not needed, behind %s, where runs start", plan->net->arch,
                       plan->net->nodes[node].name, plan->net->nodes[plan->start].name);
    zero_halo(plan, &plan->value[node], tape->arena);
    fill(plan, &plan->value[node], value, tape->arena);
    tape->has_given[node] = true;
    return true;
}

void cr_tape_forward(cr_tape *tape, const float *x)
{
    const cr_plan *plan = tape->plan;
    const tensor *start = &plan->value[plan->start];
    const ptrdiff_t image = (ptrdiff_t)start->C * start->H * start->W;
    for (int i = 0; i < plan->start; i++)
        assert(!plan->given[i] || tape->has_given[i]);
    if (tensor_exists(&plan->seed))
        memcpy(tape->arena + plan->seed.offset, &tape->seed, sizeof tape->seed);
    for (int n = 0; plan->by_image && n < plan->N; n++)
        for (int i = 0; i < plan->by_image; i++)
            forward_step(&plan->views[n], i, x + n * image, tape->arena);
    for (int i = plan->by_image; i < plan->n_steps; i++)
        forward_step(plan, i, x, tape->arena);
    tape->has_forward = true;
    tape->has_backward = false;
}

/* The fused chain backwards: through the ReLU, to the other side of the addition, then through the op itself. */
void tape_backward_step(cr_tape *tape, int i)
{
    const cr_plan *plan = tape->plan;
    const step *s = &plan->steps[i];
    const cr_op op = step_op(plan, s);
    const tensor *dy = &plan->grad[s->last];
    float *arena = tape->arena;
    if (s->need_add && s->first_add)
        zero_halo(plan, &plan->grad[s->add], arena);
    if (s->need_x && s->first_x)
        zero_halo(plan, &plan->grad[s->x], arena);
    if (op == CR_BATCHNORM) {
        batchnorm_backward(plan, s, dy, arena);
        return;
    }
    if (s->relu) {
        /* In place, unless the gradient before the ReLU will be read. */
        const tensor *dz = tensor_exists(&s->masked) ? &s->masked : dy;
        if (dz != dy)
            zero_halo(plan, dz, arena);
        relu_gradient(plan, dz, dy, &plan->value[s->last], true, arena);
        dy = dz;
    }
    if (s->need_add)
        pass_gradient(plan, &plan->grad[s->add], dy, s->first_add, arena);
    if (s->need_params)
        ops[op].weight_gradient(plan, s, dy, arena);
    if (s->need_x)
        ops[op].backward(plan, s, dy, arena);
}

bool cr_tape_backward(cr_tape *tape, const float *seed, cr_error *err)
{
    const cr_plan *plan = tape->plan;
    const tensor *dend = &plan->grad[plan->end];
    if (!tape->has_forward)
        return cr_fail(err, "%s: a backward needs a forward before it", plan->net->arch);
    if (!tensor_exists(dend))
        return cr_fail(err, "%s: this plan was asked for no gradients", plan->net->arch);
    zero_halo(plan, dend, tape->arena);
    fill(plan, dend, seed, tape->arena);
    for (int i = plan->n_steps - 1; i >= 0; i--)
        if (plan->steps[i].active)
            tape_backward_step(tape, i);
    tape->has_backward = true;
    return true;
}

static void read(const cr_tape *tape, const tensor *t, float *out)
{
    const ptrdiff_t image = (ptrdiff_t)t->C * t->H * t->W;
    for (int n = 0; n < tape->plan->N; n++)
        unblock(out + n * image, tensor_map(tape->arena, t, n), t, tape->plan->threads);
}

bool cr_tape_value(const cr_tape *tape, int node, float *out, cr_error *err)
{
    const cr_plan *plan = tape->plan;
    if (node < 0 || node >= plan->net->n_nodes || !plan->kept[plan->source[node]])
        return cr_fail(err, "%s: the plan was not asked to keep the value of node %d", plan->net->arch, node);
    if (!tape->has_forward)
        return cr_fail(err, "%s: no forward has run yet", plan->net->arch);
    read(tape, &plan->value[plan->source[node]], out);
    return true;
}

bool cr_tape_grad(const cr_tape *tape, int node, float *out, cr_error *err)
{
    const cr_plan *plan = tape->plan;
    if (node < 0 || node >= plan->net->n_nodes || !plan->kept_grad[plan->source[node]])
        return cr_fail(err, "%s: the plan was not asked for the gradient of node %d", plan->net->arch, node);
    if (!tape->has_backward)
        return cr_fail(err, "%s: no backward has run since the last forward", plan->net->arch);
    read(tape, &plan->grad[plan->source[node]], out);
    return true;
}

const float *cr_tape_param_grad(const cr_tape *tape, int param, cr_error *err)
{
    const cr_plan *plan = tape->plan;
    if (param < 0 || param >= plan->net->n_params)
        cr_fail(err, "%s has parameters 0 to %d, and no parameter %d", plan->net->arch, plan->net->n_params - 1, param);
    else if (!tensor_exists(&plan->param_grad[param]))
        cr_fail(err, "%s: the plan was not asked for the gradient of %s", plan->net->arch, plan->net->params[param].name);
    else if (!tape->has_backward)
        cr_fail(err, "%s: no backward has run since the last forward", plan->net->arch);
    else
        return tape->arena + plan->param_grad[param].offset;
    return NULL;
}

bool cr_tape_update_running(const cr_tape *tape, int node, float momentum, float *mean, float *var, cr_error *err)
{
    const cr_plan *plan = tape->plan;
    if (node < 0 || node >= plan->net->n_nodes)
        return cr_fail(err, "%s has nodes 0 to %d, and no node %d", plan->net->arch, plan->net->n_nodes - 1, node);
    if (!tape->has_forward)
        return cr_fail(err, "%s: no forward has run yet", plan->net->arch);
    for (int i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].node == node && plan->steps[i].train) {
            batchnorm_update_running(plan, &plan->steps[i], tape->arena, momentum, mean, var);
            return true;
        }
    return cr_fail(err, "%s: %s is no batchnorm that this plan trains", plan->net->arch, plan->net->nodes[node].name);
}
