/* test_start.c - runs that start in the middle of a network: given the values that the whole run has there, they end with
 * the same bits. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"

/* A whole run that keeps what a run from `start` needs. */
static run whole_run(const subject *s, int start, const int *crossing, int n_crossing)
{
    int *keep = zeros((size_t)n_crossing + 1, sizeof *keep);
    memcpy(keep, crossing, (size_t)n_crossing * sizeof *keep);
    keep[n_crossing] = start;
    cr_request request = request_of(s);
    request.keep = keep;
    request.n_keep = n_crossing + 1;
    request.grad = &start;
    request.n_grad = 1;
    run r = start_run(s->net, &request);
    free(keep);
    cr_tape_forward(r.tape, s->x);
    run_backward(&r, s->seed);
    return r;
}

/* The arena is full of NaN before; other values come between; what was given beside the start's value stays. */
static void check_start(const subject *s, int start)
{
    cr_error err;
    int *crossing = zeros((size_t)start + 1, sizeof *crossing);
    const int n_crossing = cr_net_crossing(s->net, start, crossing);
    run whole = whole_run(s, start, crossing, n_crossing);
    result expected = read_result(&whole, start);

    cr_request request = request_of(s);
    request.start = start;
    request.grad = &start;
    request.n_grad = 1;
    run r = start_run(s->net, &request);
    for (size_t i = 0; i < r.plan->arena; i++)
        tape_arena(r.tape)[i] = NAN;
    for (int i = 0; i < n_crossing; i++) {
        float *value = read_node(&whole, crossing[i], false);
        assert_true(cr_tape_give(r.tape, crossing[i], value, &err));
        free(value);
    }
    float *value = read_node(&whole, start, false), *other = zeros(count_of(r.plan, start), sizeof *other);
    for (int again = 0; again < 2; again++) {
        cr_tape_forward(r.tape, value);
        run_backward(&r, s->seed);
        check_same_result(&r, &expected, "run from there");
        for (size_t i = 0; i < count_of(r.plan, start); i++)
            other[i] = -2 * value[i];
        cr_tape_forward(r.tape, other);
    }
    free(value);
    free(other);
    free(crossing);
    free_result(&expected);
    stop_run(&whole);
    stop_run(&r);
}

static void test_start_at_every_node(void **state)
{
    (void)state;
    subject networks[] = {make_subject("resnet18", 4, 3, 2, 37, 44), make_subject("resnet50", 2, 3, 1, 38, 37),
                          small_subject(2, 13, 18)};
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        subject *s = &networks[i];
        for (int isa = 0; use_isa(isa); isa++)
            for (int start = 0; start < s->net->n_nodes - 1; start++)
                check_start(s, start);
        free_subject(s);
    }
}

/* A batch large enough for its first steps to run image by image, from between two blocks and from inside of one. */
static void test_start_of_large_batches(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 8, 3, 6, 150, 170);
    check_start(&s, cr_net_find(s.net, "maxpool", NULL));
    check_start(&s, cr_net_find(s.net, "layer1.0.bn1", NULL));
    check_start(&s, cr_net_find(s.net, "layer2.0.downsample.0", NULL));
    free_subject(&s);
}

static void test_crossing(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 40, 40);
    static const struct {
        const char *start, *crossing;
    } cases[] = {{"layer1.0", NULL}, {"conv1", NULL}, {"avgpool", NULL}, {"layer3.1.conv1", "layer3.0"},
                 {"layer2.0.bn2", "layer1"}, {"layer2.0.downsample.0", "layer2.0.bn2"}, {"layer4.1.add", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int *nodes = zeros((size_t)s.net->n_nodes, sizeof *nodes);
        const int n = cr_net_crossing(s.net, cr_net_find(s.net, cases[i].start, NULL), nodes);
        assert_int_equal(n, cases[i].crossing ? 1 : 0);
        if (n)
            assert_int_equal(nodes[0], cr_net_find(s.net, cases[i].crossing, NULL));
        free(nodes);
    }
    free_subject(&s);
}

static void check_no_plan(const cr_net *net, const cr_request *request, const char *word, const char *other)
{
    cr_error err;
    assert_null(cr_plan_create(net, request, &err));
    check_message(&err, net->arch, word, other, NULL);
}

static void test_what_cannot_be_asked(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 40, 40);
    cr_error err;
    const int start = cr_net_find(s.net, "layer2.0.conv2", NULL), before = cr_net_find(s.net, "layer2.0.conv1", NULL);
    const int crossing = cr_net_find(s.net, "layer1", NULL);
    cr_request bad = request_of(&s);
    bad.start = -1;
    check_no_plan(s.net, &bad, "start", "-1");
    bad.start = s.net->n_nodes - 1;
    check_no_plan(s.net, &bad, "start", "expected");
    bad.start = start;
    bad.keep = &before;
    bad.n_keep = 1;
    check_no_plan(s.net, &bad, "layer2.0.conv1", "layer2.0.conv2");
    bad.n_keep = 0;
    bad.grad = &before;
    bad.n_grad = 1;
    check_no_plan(s.net, &bad, "layer2.0.conv1", "layer2.0.conv2");
    bad.n_grad = 0;
    bool *learned = zeros((size_t)s.net->n_params, sizeof *learned);
    learned[s.net->nodes[start].param] = true;
    bad.param_grad = learned;
    check_no_plan(s.net, &bad, "layer2.0.conv2.weight", "start");
    free(learned);

    cr_request good = request_of(&s);
    good.start = start;
    good.keep = good.grad = &crossing; /* the given values can be read, and have gradients */
    good.n_keep = good.n_grad = 1;
    run r = start_run(s.net, &good);
    float *value = new_random(oracle_count(s.oracle, crossing), -1, 1, &(uint64_t){SEED});
    float *inside = new_random(oracle_count(s.oracle, start), -1, 1, &(uint64_t){SEED});
    assert_false(cr_tape_give(r.tape, start, inside, &err)); /* a forward brings it */
    check_message(&err, "layer2.0.conv2", NULL);
    assert_false(cr_tape_give(r.tape, before, inside, &err));
    assert_false(cr_tape_give(r.tape, s.net->n_nodes, inside, &err));
    assert_true(cr_tape_give(r.tape, crossing, value, &err));
    cr_tape_forward(r.tape, inside);
    run_backward(&r, s.seed);
    float *found = read_node(&r, crossing, false), *grad = read_node(&r, crossing, true);
    check_same_bits(found, value, oracle_count(s.oracle, crossing), "what was given");
    double sum = 0;
    for (size_t i = 0; i < oracle_count(s.oracle, crossing); i++)
        sum += fabs((double)grad[i]);
    assert_true(sum > 0 && isfinite(sum));
    free(value);
    free(inside);
    free(found);
    free(grad);
    stop_run(&r);
    free_subject(&s);
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_at_every_node),
        cmocka_unit_test(test_start_of_large_batches),
        cmocka_unit_test(test_crossing),
        cmocka_unit_test(test_what_cannot_be_asked),
    };
    return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
