/* arena.c - when each tensor of a plan lives, what it looks like, and where in the one piece of memory it lies. */
#include <stdlib.h>

#include "ops.h"

/* ---- lifetimes ---- */

static void extend(tensor *t, int time)
{
    if (!tensor_exists(t))
        t->start = t->end = time;
    t->start = time < t->start ? time : t->start;
    t->end = time > t->end ? time : t->end;
}

void find_lifetimes(cr_plan *plan)
{
    const int S = plan->n_steps, forever = 2 * S;
    for (int i = 0; i < plan->net->n_nodes; i++) {
        plan->value[i].end = plan->grad[i].end = -1;
    }
    for (int i = 0; i < S; i++) {
        step *s = &plan->steps[i];
        const cr_op op = step_op(plan, s);
        s->argmax.end = s->masked.end = -1;
        s->scratch = s->backward_scratch = s->statistics = (tensor){.start = 1, .end = 0};
        if (op == CR_CONV2D || s->train)
            extend(&s->scratch, i);
        if (s->active && (op == CR_CONV2D || op == CR_BATCHNORM))
            extend(&s->backward_scratch, 2 * S - 1 - i);
        if (s->train) {
            extend(&s->statistics, i);
            extend(&s->statistics, forever);
        }
        if (op == CR_DROPOUT) {
            extend(&plan->seed, 0);
            extend(&plan->seed, forever);
        }
        extend(&plan->value[s->last], i);
        if (plan->given[s->last] && s->last != plan->start) { /* from before the first forward on */
            extend(&plan->value[s->last], 0);
            extend(&plan->value[s->last], forever);
        }
        if (s->x >= 0)
            extend(&plan->value[s->x], i);
        if (s->add >= 0)
            extend(&plan->value[s->add], i);
        /* What a backward reads stays until the end, because a backward may run again with another seed. */
        const bool reads_sign = (s->relu || op == CR_RELU) && plan->relu != CR_RELU_DECONV;
        if (plan->kept[s->last] || (s->active && reads_sign))
            extend(&plan->value[s->last], forever);
        if (s->need_params) /* the weights' partners in a product, and what a batchnorm's statistics depend on */
            extend(&plan->value[s->x], forever);
        if (s->need_x && op == CR_MAXPOOL) {
            extend(&s->argmax, i);
            extend(&s->argmax, forever);
        }
    }
    for (int i = S - 1; i >= 0; i--) {
        step *s = &plan->steps[i];
        const int now = 2 * S - 1 - i;
        if (i == S - 1 && (s->active || plan->kept_grad[s->last]))
            extend(&plan->grad[s->last], S - 1); /* the seed */
        if (s->active && s->relu && plan->kept_grad[s->last] && step_op(plan, s) != CR_BATCHNORM)
            extend(&s->masked, now);
        if (s->active)
            extend(&plan->grad[s->last], now);
        if (s->need_add) {
            s->first_add = !tensor_exists(&plan->grad[s->add]);
            extend(&plan->grad[s->add], now);
        }
        if (s->need_x) {
            s->first_x = !tensor_exists(&plan->grad[s->x]);
            extend(&plan->grad[s->x], now);
        }
        if (plan->kept_grad[s->last] && tensor_exists(&plan->grad[s->last]))
            extend(&plan->grad[s->last], forever);
    }
    for (int i = 0; i < plan->net->n_params; i++)
        if (tensor_exists(&plan->param_grad[i])) { /* all the time, because forwards must not overwrite it */
            extend(&plan->param_grad[i], 0);
            extend(&plan->param_grad[i], forever);
        }
}

/* A convolution's sum with what it adds takes that one's place, where nobody reads it later: half as many bytes to keep in the
 * caches, and a core writes what it has just read. From the last step to the first, so that a chain of residual blocks
 * shares one place all along. */
void add_in_place(cr_plan *plan)
{
    for (int i = plan->n_steps - 1; i >= 0; i--) {
        const step *s = &plan->steps[i];
        if (step_op(plan, s) != CR_CONV2D || s->add < 0 || s->add == s->x)
            continue;
        tensor *sum = &plan->value[s->last], *added = &plan->value[s->add];
        sum->in_place = added->end == i && added->one_image == sum->one_image;
        if (sum->in_place)
            added->end = sum->end;
    }
}

/* ---- layouts and places ---- */

/* False where the tensor is too large to address: steps within an image stay in 32 bits, so that taps do. */
static bool lay_out(tensor *t, const int shape[3], int block, int N)
{
    t->C = shape[0];
    t->H = shape[1];
    t->W = shape[2];
    t->block = block;
    t->blocks = (t->C + block - 1) / block;
    int64_t row = ((int64_t)t->W + 2 * t->halo[1]) * block, plane = row * (t->H + 2 * t->halo[0]);
    int64_t image = (plane * t->blocks + BLOCK - 1) / BLOCK * BLOCK;
    if (plane > INT32_MAX || image > INT64_MAX / 8 / N || (uint64_t)image * (uint64_t)N > SIZE_MAX / 8)
        return false;
    t->row = (ptrdiff_t)row;
    t->plane = (ptrdiff_t)plane;
    t->image = t->one_image ? 0 : (ptrdiff_t)image;
    t->size = (size_t)image * (t->one_image ? 1 : (size_t)N);
    return true;
}

/* What lies in one place has one halo. */
static void widen_to(tensor *t, const tensor *other)
{
    for (int axis = 0; axis < 2; axis++)
        t->halo[axis] = t->halo[axis] > other->halo[axis] ? t->halo[axis] : other->halo[axis];
}

bool plan_halos(cr_plan *plan)
{
    const int S = plan->n_steps;
    for (int i = 0; i < S; i++)
        if (step_op(plan, &plan->steps[i]) == CR_CONV2D && !conv_plan_halos(plan, &plan->steps[i]))
            return false;
    for (int i = S - 1; i >= 0; i--)
        if (plan->value[plan->steps[i].last].in_place)
            widen_to(&plan->value[plan->steps[i].add], &plan->value[plan->steps[i].last]);
    for (int i = 0; i < S; i++)
        if (plan->value[plan->steps[i].last].in_place)
            widen_to(&plan->value[plan->steps[i].last], &plan->value[plan->steps[i].add]);
    return true;
}

static bool is_vector(const cr_plan *plan, int node)
{
    for (; node >= 0; node = plan->net->nodes[node].in[0])
        if (plan->net->nodes[node].op == CR_FLATTEN)
            return true;
    return false;
}

/* Convolutions read the input's few channels plain, without padding them to a block; so does a flatten. */
bool is_plain(const cr_plan *plan, int node)
{
    if (plan->net->nodes[node].op != CR_INPUT)
        return false;
    for (int i = 0; i < plan->n_steps; i++) {
        const step *s = &plan->steps[i];
        const cr_op op = step_op(plan, s);
        if (s->add == node || (s->x == node && op != CR_CONV2D && op != CR_FLATTEN))
            return false;
    }
    return true;
}

bool lay_out_all(cr_plan *plan)
{
    for (int i = 0; i < plan->net->n_nodes; i++) {
        int grad_block = is_vector(plan, i) ? 1 : BLOCK;
        int block = is_plain(plan, i) ? 1 : grad_block;
        if (!lay_out(&plan->value[i], plan->shape[i], block, plan->N) ||
            !lay_out(&plan->grad[i], plan->shape[i], grad_block, plan->N))
            return false;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        step *s = &plan->steps[i];
        int lifetime[2] = {s->masked.start, s->masked.end};
        s->masked = plan->grad[s->last];
        s->masked.start = lifetime[0];
        s->masked.end = lifetime[1];
        if (!lay_out(&s->argmax, plan->shape[s->last], BLOCK, plan->N))
            return false;
        s->argmax.size = (s->argmax.size / sizeof(float) + BLOCK - 1) / BLOCK * BLOCK; /* bytes, not floats */
        if (step_op(plan, s) == CR_CONV2D) {
            conv_plan_kernels(plan, s, i < plan->by_image ? 1 : plan->N);
            weight_gradient_plan_kernels(plan, s);
        }
        if (step_op(plan, s) == CR_BATCHNORM)
            batchnorm_plan_kernels(plan, s);
    }
    plan->seed.size = BLOCK;
    return true;
}

static int by_size_descending(const void *a, const void *b)
{
    const tensor *x = *(tensor *const *)a, *y = *(tensor *const *)b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x < y ? -1 : x > y;
}

/* First fit, largest first: each tensor takes the lowest place free during its whole life. */
bool place_tensors(cr_plan *plan)
{
    size_t capacity = 2 * (size_t)plan->net->n_nodes + 5 * (size_t)plan->n_steps + (size_t)plan->net->n_params + 1;
    size_t count = 0, placed = 0;
    tensor **all = calloc(capacity, sizeof *all), **by_offset = calloc(capacity, sizeof *by_offset);
    bool done = all && by_offset;
    for (int i = 0; done && i < plan->net->n_nodes; i++) {
        all[count++] = &plan->value[i];
        all[count++] = &plan->grad[i];
    }
    for (int i = 0; done && i < plan->n_steps; i++) {
        all[count++] = &plan->steps[i].argmax;
        all[count++] = &plan->steps[i].masked;
        all[count++] = &plan->steps[i].scratch;
        all[count++] = &plan->steps[i].backward_scratch;
        all[count++] = &plan->steps[i].statistics;
    }
    for (int i = 0; done && i < plan->net->n_params; i++)
        all[count++] = &plan->param_grad[i];
    if (done)
        all[count++] = &plan->seed;
    if (done)
        qsort(all, count, sizeof *all, by_size_descending);
    for (size_t i = 0; i < count && done; i++) {
        tensor *t = all[i];
        if (!tensor_exists(t) || t->in_place)
            continue;
        size_t offset = 0, at = placed;
        for (size_t j = 0; j < placed; j++) {
            const tensor *other = by_offset[j];
            if (other->start > t->end || other->end < t->start)
                continue;
            if (offset + t->size <= other->offset)
                break;
            if (other->offset + other->size > offset)
                offset = other->offset + other->size;
        }
        t->offset = offset;
        if (offset > SIZE_MAX / 8 - t->size)
            done = false;
        while (at > 0 && by_offset[at - 1]->offset > offset) {
            by_offset[at] = by_offset[at - 1];
            at--;
        }
        by_offset[at] = t;
        placed++;
        plan->arena = plan->arena > offset + t->size ? plan->arena : offset + t->size;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        tensor *sum = &plan->value[plan->steps[i].last];
        if (sum->in_place)
            sum->offset = plan->value[plan->steps[i].add].offset;
    }
    free(all);
    free(by_offset);
    return done;
}
