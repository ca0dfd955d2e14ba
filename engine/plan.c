/* plan.c - from a net and a request to steps: fusion, and what the backward needs; arena.c places what they read and write. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

/* ---- request ---- */

static size_t param_count(const cr_param *p)
{
    size_t count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= (size_t)p->dim[d];
    return count;
}

/* A node's parameters whose gradients are wanted. */
static bool wants_params(const cr_plan *plan, int node)
{
    const cr_node *n = &plan->net->nodes[node];
    for (int i = 0; i < n->n_params; i++)
        if (tensor_exists(&plan->param_grad[n->param + i]))
            return true;
    return false;
}

/* A batchnorm that normalises by the batch's statistics. */
static bool trains(const cr_plan *plan, int node)
{
    return plan->train && plan->net->nodes[node].op == CR_BATCHNORM && wants_params(plan, node);
}

static bool read_param_grads(cr_plan *plan, const bool *wanted, cr_error *err)
{
    const cr_net *net = plan->net;
    for (int i = 0; i < net->n_params; i++)
        plan->param_grad[i] = (tensor){.start = 1, .end = 0, .size = (param_count(&net->params[i]) + BLOCK - 1) / BLOCK * BLOCK};
    for (int i = 0; wanted && i < net->n_nodes; i++)
        for (int p = 0; p < net->nodes[i].n_params; p++) {
            const int param = net->nodes[i].param + p;
            if (wanted[param] && i <= plan->start)
                return cr_fail(err, "%s: %s has no gradient: runs start at %s, behind it", net->arch, net->params[param].name,
                               net->nodes[plan->start].name);
            if (wanted[param] && !plan->used[i])
                return cr_fail(err, "%s: %s has no gradient: runs end at %s, which does not depend on it", net->arch,
                               net->params[param].name, net->nodes[plan->end].name);
            if (wanted[param] && p >= 2)
                return cr_fail(err, "%s: %s is a running statistic, which has no gradient", net->arch, net->params[param].name);
            if (wanted[param])
                plan->param_grad[param].end = plan->param_grad[param].start; /* its lifetime comes later */
        }
    for (int i = 0; i < net->n_nodes; i++) {
        const int64_t values = (int64_t)plan->N * plan->shape[i][1] * plan->shape[i][2];
        if (trains(plan, i) && values < 2)
            return cr_fail(err, "%s: %s cannot be trained on a single value per channel: use a larger batch or input",
                           net->arch, net->nodes[i].name);
    }
    return true;
}

/* Where runs start and end, and which nodes lie between. */
static bool read_span(cr_plan *plan, int start, int end, cr_error *err)
{
    const cr_net *net = plan->net;
    if (start < 0 || start >= net->n_nodes - 1)
        return cr_fail(err, "%s: expected runs to start at one of the nodes 0 to %d, found %d", net->arch, net->n_nodes - 2,
                       start);
    if (end < 0 || end >= net->n_nodes)
        return cr_fail(err, "%s: expected runs to end at one of the nodes 0 to %d, found %d", net->arch, net->n_nodes - 1, end);
    plan->start = plan->source[start];
    plan->end = plan->source[end ? end : net->n_nodes - 1];
    plan->given[plan->start] = plan->used[plan->end] = true;
    for (int i = plan->end; i > plan->start; i--)
        for (int side = 0; plan->used[i] && side < 2; side++) {
            const int in = net->nodes[i].in[side] < 0 ? -1 : plan->source[net->nodes[i].in[side]];
            if (in >= 0)
                plan->used[in] = true;
            if (in >= 0 && in < plan->start)
                plan->given[in] = true;
        }
    if (plan->end <= plan->start || !plan->used[plan->start])
        return cr_fail(err, "%s: runs cannot end at %s: it does not depend on %s, where they start", net->arch,
                       net->nodes[plan->end].name, net->nodes[plan->start].name);
    return true;
}

static bool read_request(cr_plan *plan, const cr_request *r, cr_error *err)
{
    const cr_net *net = plan->net;
    const struct {
        const int *nodes;
        int count;
        bool *wanted;
    } lists[] = {{r->keep, r->n_keep, plan->kept}, {r->grad, r->n_grad, plan->kept_grad}};
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < lists[l].count; i++) {
            int node = lists[l].nodes[i];
            if (node < 0 || node >= net->n_nodes)
                return cr_fail(err, "%s has nodes 0 to %d, and no node %d", net->arch, net->n_nodes - 1, node);
            node = plan->source[node];
            if (node <= plan->start && !plan->given[node])
                return cr_fail(err, "%s: nothing is known of %s: runs start at %s, behind it", net->arch,
                               net->nodes[node].name, net->nodes[plan->start].name);
            if (!plan->used[node])
                return cr_fail(err, "%s: nothing is known of %s: runs end at %s, which does not depend on it", net->arch,
                               net->nodes[node].name, net->nodes[plan->end].name);
            lists[l].wanted[node] = true;
        }
    plan->kept[plan->end] = true;
    for (int i = plan->start + 1; i <= plan->end; i++) {
        const cr_node *n = &net->nodes[i];
        if (!plan->used[i])
            continue;
        for (int p = 0; p < n->n_params; p++)
            if (!net->params[n->param + p].data)
                return cr_fail(err, "%s: no weights are bound to %s", net->arch, net->params[n->param + p].name);
        if (n->op == CR_MAXPOOL && n->kernel[0] * n->kernel[1] > 256)
            return cr_fail(err, "%s: expected a max-pool window of at most 256 elements, found %dx%d", n->name,
                           n->kernel[0], n->kernel[1]);
        if (n->op == CR_LINEAR) {
            int found = plan->shape[n->in[0]][0], expected = net->params[n->param].dim[1];
            if (found != expected || plan->shape[n->in[0]][1] != 1 || plan->shape[n->in[0]][2] != 1)
                return cr_fail(err, "%s: expected %d features, found %d", n->name, expected, found);
        }
        if (n->op == CR_FLATTEN) {
            const int *x = plan->shape[n->in[0]];
            if ((int64_t)x[0] * x[1] * x[2] != n->channels)
                return cr_fail(err, "%s: expected %d features, found %dx%dx%d", n->name, n->channels, x[0], x[1], x[2]);
        }
    }
    return read_param_grads(plan, r->param_grad, err);
}

/* ---- fusion ---- */

/* The one node that reads `node`, or -1 where there are more, or where the value was asked for by name. */
static int sole_reader(const cr_plan *plan, int node)
{
    if (plan->kept[node] || plan->kept_grad[node])
        return -1;
    int reader = -1;
    for (int i = node + 1; i < plan->net->n_nodes; i++)
        for (int side = 0; side < 2; side++) {
            int in = plan->net->nodes[i].in[side];
            if (in < 0 || plan->source[in] != node || plan->source[i] != i || !plan->used[i])
                continue;
            if (reader >= 0)
                return -1;
            reader = i;
        }
    return reader;
}

static step make_step(const cr_plan *plan, int node, bool *fused)
{
    const cr_node *nodes = plan->net->nodes;
    step s = {.node = node, .last = node, .x = -1, .add = -1, .batchnorm = -1, .pool = -1};
    if (plan->given[node])
        return s;
    s.x = plan->source[nodes[node].in[0]];
    if (nodes[node].op == CR_ADD)
        s.add = plan->source[nodes[node].in[1]];
    s.train = trains(plan, node);
    if (nodes[node].op != CR_CONV2D && nodes[node].op != CR_BATCHNORM && nodes[node].op != CR_LINEAR)
        return s;

    int next = sole_reader(plan, s.last);
    const bool can_fold = nodes[node].op == CR_CONV2D && !wants_params(plan, node);
    if (next >= 0 && can_fold && nodes[next].op == CR_BATCHNORM && !wants_params(plan, next)) {
        s.batchnorm = s.last = next;
        fused[next] = true;
        next = sole_reader(plan, s.last);
    }
    if (next >= 0 && nodes[node].op != CR_LINEAR && nodes[next].op == CR_ADD && !fused[next]) {
        int side = plan->source[nodes[next].in[0]] == s.last ? 1 : 0;
        s.add = plan->source[nodes[next].in[side]];
        s.last = next;
        fused[next] = true;
        next = sole_reader(plan, s.last);
    }
    const bool knows_rule = nodes[node].op != CR_BATCHNORM || plan->relu == CR_RELU_PLAIN; /* batchnorm.c masks by itself */
    if (next >= 0 && nodes[next].op == CR_RELU && knows_rule) {
        s.relu = true;
        s.last = next;
        fused[next] = true;
    }
    return s;
}

/* A step runs where its last node stands, when both sides of a fused addition have been computed. */
static bool make_steps(cr_plan *plan)
{
    int n_nodes = plan->net->n_nodes;
    bool *fused = calloc((size_t)n_nodes, sizeof *fused);
    step *ending = calloc((size_t)n_nodes, sizeof *ending); /* by last node */
    bool *ends = calloc((size_t)n_nodes, sizeof *ends);
    bool done = fused && ending && ends;
    for (int i = 0; done && i < n_nodes; i++)
        if (!fused[i] && plan->used[i] && plan->source[i] == i && (i > plan->start || plan->given[i])) {
            step s = make_step(plan, i, fused);
            ending[s.last] = s;
            ends[s.last] = true;
        }
    for (int i = 0; done && i < n_nodes; i++)
        if (ends[i])
            plan->steps[plan->n_steps++] = ending[i];
    free(fused);
    free(ending);
    free(ends);
    return done;
}

/* ---- what the backward needs ---- */

static void find_gradients(cr_plan *plan, bool *needed)
{
    for (int i = 0; i < plan->n_steps; i++) {
        step *s = &plan->steps[i];
        s->need_x = s->x >= 0 && needed[s->x];
        s->need_add = s->add >= 0 && needed[s->add];
        s->need_params = s->x >= 0 && wants_params(plan, s->node);
        s->active = s->need_x || s->need_add || s->need_params;
        needed[s->last] = s->active || plan->kept_grad[s->last];
    }
}

/* The step of the max-pool that alone reads what step i writes, where no backward comes; or -1. */
static int pool_behind(const cr_plan *plan, int i)
{
    const int pool = sole_reader(plan, plan->steps[i].last);
    for (int j = i + 1; j < plan->n_steps; j++)
        if (plan->steps[j].node == pool)
            return step_op(plan, &plan->steps[j]) == CR_MAXPOOL && !plan->steps[j].active ? j : -1;
    return -1;
}

/* A convolution's output of which only maxima are read is never written as a whole, where that pays. */
static void fuse_pools(cr_plan *plan)
{
    for (int i = 0; i < plan->n_steps; i++) {
        step s = plan->steps[i];
        const int j = step_op(plan, &s) == CR_CONV2D && s.add < 0 && !s.active ? pool_behind(plan, i) : -1;
        if (j < 0 || !conv_can_pool(plan, &s, plan->steps[j].node))
            continue;
        s.pool = s.last = plan->steps[j].node;
        plan->steps[j] = s;
        plan->n_steps--;
        memmove(plan->steps + i, plan->steps + i + 1, sizeof s * (size_t)(plan->n_steps - i));
        i--;
    }
}

/* ---- packing ---- */

/* Room for every step's parameters as the kernels want them, in one piece of memory. */
static bool make_room(cr_plan *plan)
{
    const cr_net *net = plan->net;
    size_t size = 0, channels = 0;
    for (int i = 0; i < plan->n_steps; i++)
        if (step_op(plan, &plan->steps[i]) == CR_CONV2D)
            size += conv_packed_size(plan, &plan->steps[i]);
        else if (step_op(plan, &plan->steps[i]) == CR_BATCHNORM)
            size += batchnorm_packed_size(plan, &plan->steps[i]);
    for (int i = 0; i < net->n_nodes; i++)
        channels = (size_t)net->nodes[i].channels > channels ? (size_t)net->nodes[i].channels : channels;
    plan->packed_size = size;
    plan->packed = aligned_floats(size);
    plan->scales = aligned_floats(channels);
    if (!plan->packed || !plan->scales)
        return false;
    touch_pages(plan->packed, size);
    return true;
}

void cr_plan_update(cr_plan *plan)
{
    const cr_net *net = plan->net;
    float *next = plan->packed;
    for (int i = 0; i < plan->n_steps; i++) {
        step *s = &plan->steps[i];
        const cr_node *n = &net->nodes[s->node];
        const cr_op op = step_op(plan, s);
        if (op == CR_CONV2D)
            next = conv_pack(plan, s, next);
        else if (op == CR_BATCHNORM)
            next = batchnorm_pack(plan, s, next);
        else
            continue;
        if (net->packed)
            for (int p = 0; p < n->n_params; p++)
                net->packed(net->owner, &net->params[n->param + p]);
    }
}

/* ---- the public face ---- */

cr_plan *cr_plan_create(const cr_net *net, const cr_request *request, cr_error *err)
{
    const size_t nodes = (size_t)net->n_nodes;
    if (request->n < 1) {
        cr_fail(err, "%s: expected a batch of at least 1 image, found %d", net->arch, request->n);
        return NULL;
    }
    cr_plan *plan = calloc(1, sizeof *plan);
    bool *needed = calloc(nodes, sizeof *needed);
    bool done = false;
    if (plan) {
        *plan = (cr_plan){.net = net,
                          .k = cr_kernels(),
                          .N = request->n,
                          .threads = request->threads > 0 ? request->threads : cr_threads(),
                          .direct = request->direct,
                          .train = request->train,
                          .relu = request->relu,
                          .seed = {.start = 1, .end = 0}};
        plan->steps = calloc(nodes, sizeof *plan->steps);
        plan->source = calloc(nodes, sizeof *plan->source);
        plan->used = calloc(nodes, sizeof *plan->used);
        plan->given = calloc(nodes, sizeof *plan->given);
        plan->kept = calloc(nodes, sizeof *plan->kept);
        plan->kept_grad = calloc(nodes, sizeof *plan->kept_grad);
        plan->value = calloc(nodes, sizeof *plan->value);
        plan->grad = calloc(nodes, sizeof *plan->grad);
        plan->param_grad = calloc((size_t)net->n_params + 1, sizeof *plan->param_grad);
        plan->shape = calloc(nodes, sizeof *plan->shape);
    }
    if (!plan || !needed || !plan->steps || !plan->source || !plan->used || !plan->given || !plan->kept || !plan->kept_grad || !plan->value ||
        !plan->grad || !plan->param_grad || !plan->shape) {
        cr_fail(err, "%s: out of memory for the plan", net->arch);
        goto end;
    }
    for (int i = 0; i < net->n_nodes; i++) {
        const bool identity = net->nodes[i].op == CR_DROPOUT && !(plan->train && net->nodes[i].p > 0.0f);
        plan->source[i] = identity ? plan->source[net->nodes[i].in[0]] : i;
    }
    if (!read_span(plan, request->start, request->end, err) ||
        !net_shapes_to(net, plan->end, request->h, request->w, plan->shape, err) || !read_request(plan, request, err))
        goto end;
    if (!make_steps(plan)) {
        cr_fail(err, "%s: out of memory for the plan's steps", net->arch);
        goto end;
    }
    find_gradients(plan, needed);
    fuse_pools(plan);
    find_lifetimes(plan);
    choose_by_image(plan);
    share_images(plan);
    add_in_place(plan);
    if (!plan_halos(plan)) {
        cr_fail(err, "%s: out of memory for the plan's taps", net->arch);
        goto end;
    }
    if (!lay_out_all(plan) || !place_tensors(plan)) {
        cr_fail(err, "%s: %d inputs of %dx%d (WxH) need more memory than can be addressed", net->arch, request->n,
                request->w, request->h);
        goto end;
    }
    if (!make_room(plan)) {
        cr_fail(err, "%s: out of memory for %zu bytes of packed weights", net->arch, cr_plan_packed_bytes(plan));
        goto end;
    }
    cr_plan_update(plan);
    if (!make_views(plan)) {
        cr_fail(err, "%s: out of memory for the plan of a batch", net->arch);
        goto end;
    }
    done = true;
end:
    free(needed);
    if (!done) {
        cr_plan_free(plan);
        return NULL;
    }
    return plan;
}

void cr_plan_free(cr_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->n_steps; i++)
        conv_release(&plan->steps[i]);
    free_views(plan);
    free(plan->packed);
    free(plan->scales);
    free(plan->steps);
    free(plan->source);
    free(plan->used);
    free(plan->given);
    free(plan->kept);
    free(plan->kept_grad);
    free(plan->value);
    free(plan->grad);
    free(plan->param_grad);
    free(plan->shape);
    free(plan);
}

void cr_plan_shape(const cr_plan *plan, int node, int dim[3])
{
    memcpy(dim, plan->shape[plan->source[node]], sizeof plan->shape[node]);
}

size_t cr_plan_arena_bytes(const cr_plan *plan)
{
    return plan->arena * sizeof(float);
}

size_t cr_plan_packed_bytes(const cr_plan *plan)
{
    return plan->packed_size * sizeof(float);
}
