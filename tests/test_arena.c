/* test_arena.c - where a plan puts things: nothing overlaps while both are needed, nothing dead is read, and asking for
 * less takes less memory. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"

static const tensor **new_list(const cr_plan *plan)
{
    return zeros(2 * (size_t)plan->net->n_nodes + 5 * (size_t)plan->n_steps + (size_t)plan->net->n_params + 1,
                 sizeof(const tensor *));
}

/* All tensors of a plan that have a place of their own. */
static size_t list_tensors(const cr_plan *plan, const tensor **list)
{
    size_t count = 0;
    for (int i = 0; i < plan->net->n_nodes; i++) {
        list[count++] = &plan->value[i];
        list[count++] = &plan->grad[i];
    }
    for (int i = 0; i < plan->n_steps; i++) {
        list[count++] = &plan->steps[i].argmax;
        list[count++] = &plan->steps[i].masked;
        list[count++] = &plan->steps[i].scratch;
        list[count++] = &plan->steps[i].backward_scratch;
        list[count++] = &plan->steps[i].statistics;
    }
    for (int i = 0; i < plan->net->n_params; i++)
        list[count++] = &plan->param_grad[i];
    list[count++] = &plan->seed;
    size_t placed = 0;
    for (size_t i = 0; i < count; i++)
        if (tensor_exists(list[i]) && list[i]->size > 0 && !list[i]->in_place)
            list[placed++] = list[i];
    return placed;
}

static void check_places(const cr_plan *plan)
{
    const tensor **list = new_list(plan);
    const size_t count = list_tensors(plan, list);
    for (size_t i = 0; i < count; i++) {
        const tensor *a = list[i];
        assert_int_equal(a->offset * sizeof(float) % 64, 0); /* the widest vector's alignment */
        assert_true(a->start >= 0 && a->end <= 2 * plan->n_steps);
        assert_true(a->offset <= plan->arena && a->size <= plan->arena - a->offset);
        for (size_t k = 0; k < i; k++) {
            const tensor *b = list[k];
            const bool together = a->start <= b->end && b->start <= a->end;
            assert_false(together && a->offset < b->offset + b->size && b->offset < a->offset + a->size);
        }
    }
    free(list);
}

/* How many sums lie over what they add; that nobody reads that one later, and that both look alike. */
static int check_in_place(const cr_plan *plan)
{
    int found = 0;
    for (int i = 0; i < plan->n_steps; i++) {
        const step *s = &plan->steps[i];
        const tensor *sum = &plan->value[s->last], *added = &plan->value[s->add >= 0 ? s->add : 0];
        if (!sum->in_place)
            continue;
        found++;
        assert_true(s->add >= 0 && s->add != s->x && !plan->kept[s->add] && !plan->given[s->add]);
        assert_true(sum->offset == added->offset && sum->image == added->image && sum->plane == added->plane &&
                    sum->row == added->row && sum->end <= added->end);
        for (int later = i + 1; later < plan->n_steps; later++)
            assert_true(plan->steps[later].x != s->add && plan->steps[later].add != s->add);
    }
    return found;
}

/* Fills everything with NaN that, at this time, holds nothing written before and read now or later. */
static void poison(const run *r, int time)
{
    const cr_plan *plan = r->plan;
    float *arena = tape_arena(r->tape);
    bool *live = zeros(plan->arena, sizeof *live);
    const tensor **list = new_list(plan);
    const size_t count = list_tensors(plan, list);
    for (size_t i = 0; i < count; i++)
        if (list[i]->start < time && list[i]->end >= time)
            memset(live + list[i]->offset, true, list[i]->size);
    for (size_t i = 0; i < plan->arena; i++)
        if (!live[i])
            arena[i] = NAN;
    free(live);
    free(list);
}

/* Runs forward and backward step by step, and before each one poisons all it should neither read nor leave as it is.
 * The input's value and the seed are kept, so that the run can be taken up behind them. */
static void run_poisoned(run *r, const float *x, const float *seed)
{
    const int S = r->plan->n_steps;
    poison(r, -1);
    cr_tape_forward(r->tape, x);
    for (int i = 1; i < S; i++) {
        poison(r, i);
        tape_forward_step(r->tape, i);
    }
    run_backward(r, seed);
    for (int i = S - 1; i >= 0; i--)
        if (r->plan->steps[i].active) {
            poison(r, 2 * S - 1 - i);
            tape_backward_step(r->tape, i);
        }
}

/* A request that also asks for the gradients of a node, of the end of a fused step behind it (the same for the last ones),
 * and of the seed's. */
static void check_arena_of(const subject *s, cr_request request, int node)
{
    const int input = 0, grads[] = {node, s->kinks[s->n_kinks - 1], s->net->n_nodes - 1};
    request.keep = &input;
    request.n_keep = 1;
    request.grad = grads;
    request.n_grad = 3;
    run r = start_run(s->net, &request);
    check_places(r.plan);
    check_in_place(r.plan);
    cr_tape_forward(r.tape, s->x);
    run_backward(&r, s->seed);
    result clean = read_result(&r, node);
    run_poisoned(&r, s->x, s->seed);
    check_same_result(&r, &clean, "with everything dead poisoned");
    free_result(&clean);
    stop_run(&r);
}

static void test_arena(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        subject s = subject_at(i);
        for (int isa = 0; use_isa(isa); isa++)
            for (int node = 0; node < s.net->n_nodes; node++)
                if (is_sampled(&s, node))
                    check_arena_of(&s, request_of(&s), node);
        cr_request keep_all = request_of(&s);
        keep_all.keep = keep_all.grad = s.all;
        keep_all.n_keep = keep_all.n_grad = s.net->n_nodes;
        run r = start_run(s.net, &keep_all);
        check_places(r.plan);
        stop_run(&r);
        free_subject(&s);
    }
}

/* Training whole networks, the last layer alone, and what lies behind a frozen prefix. */
static void test_arena_of_training(void **state)
{
    (void)state;
    subject networks[] = {make_subject("resnet18", 8, 7, 2, 45, 61), small_subject(2, 13, 18)};
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        subject *s = &networks[i];
        bool *learned = zeros((size_t)s->net->n_params, sizeof *learned);
        for (int train = 0; train < 2; train++)
            for (int frozen = 0; frozen < 3; frozen++) {
                for (int p = 0; p < s->net->n_params; p++)
                    learned[p] = s->learned[p] && p >= frozen * (s->net->n_params - 2) / 2;
                cr_request request = request_of(s);
                request.train = train;
                request.param_grad = learned;
                for (int node = 0; node < s->net->n_nodes; node += 1 + s->net->n_nodes / 4)
                    check_arena_of(s, request, node);
            }
        free(learned);
        free_subject(s);
    }
}

/* ---- what a plan promises about memory: asking for less takes less ---- */

static void test_less_asked_takes_less(void **state)
{
    (void)state;
    subject s = subject_at(0);
    const int deep = cr_net_find(s.net, "layer4", NULL), shallow = cr_net_find(s.net, "relu", NULL);
    cr_request nothing = request_of(&s), at_deep = nothing, at_shallow = nothing, keep_all = nothing;
    at_deep.grad = &deep;
    at_shallow.grad = &shallow;
    at_deep.n_grad = at_shallow.n_grad = 1;
    keep_all.keep = keep_all.grad = s.all;
    keep_all.n_keep = keep_all.n_grad = s.net->n_nodes;
    const cr_request *ordered[] = {&nothing, &at_deep, &at_shallow, &keep_all};
    size_t arena = 0, packed = 0;
    for (int i = 0; i < 4; i++) {
        run r = start_run(s.net, ordered[i]);
        assert_true(cr_plan_arena_bytes(r.plan) > arena || (i == 1 && cr_plan_arena_bytes(r.plan) == arena));
        assert_true(cr_plan_packed_bytes(r.plan) >= packed);
        arena = cr_plan_arena_bytes(r.plan);
        packed = cr_plan_packed_bytes(r.plan);
        stop_run(&r);
    }
    free_subject(&s);
}

/* Every residual block's sum in a forward alone; not where what was added, or its sign, is needed later. */
static void test_sums_in_place(void **state)
{
    (void)state;
    subject networks[] = {make_subject("resnet18", 8, 7, 1, 45, 61), make_subject("resnet50", 4, 7, 3, 45, 61)};
    const int blocks[] = {8, 16};
    for (int i = 0; i < 2; i++) {
        subject *s = &networks[i];
        const int kept[] = {cr_net_find(s->net, "layer2", NULL), cr_net_find(s->net, "layer3.0.downsample.1", NULL)}, input = 0;
        cr_request request = request_of(s);
        for (request.n_keep = 0; request.n_keep < 3; request.n_keep++) {
            request.keep = kept;
            run r = start_run(s->net, &request);
            check_places(r.plan);
            /* what layer2 ends in is read by layer3.0's first convolution and its downsampling alone */
            assert_int_equal(check_in_place(r.plan), blocks[i] - (request.n_keep == 2));
            stop_run(&r);
        }
        request.n_keep = 0;
        request.grad = &input;
        request.n_grad = 1;
        run r = start_run(s->net, &request);
        assert_int_equal(check_in_place(r.plan), 4); /* downsamplings, and the max-pool, have no sign that a backward would read */
        stop_run(&r);
        free_subject(s);
    }
}

static int one_thread(void **state)
{
    (void)state;
    cr_set_threads(1);
    return 0;
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_arena, one_thread),
        cmocka_unit_test_setup(test_arena_of_training, one_thread),
        cmocka_unit_test_setup(test_less_asked_takes_less, one_thread),
        cmocka_unit_test_setup(test_sums_in_place, one_thread),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
