/* test_end.c - runs that end in the middle of a network, backwards that begin there from any gradient, and the rules of
 * ReLUs in them: against the oracle, and bit for bit against runs of another shape. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"

static const cr_relu_rule rules[] = {CR_RELU_PLAIN, CR_RELU_GUIDED, CR_RELU_DECONV};

/* The nodes whose values `end` depends on and which `wanted` (NULL: all) takes; returns how many. */
static int list_before(const cr_net *net, int end, bool (*wanted)(const cr_node *node), int *nodes)
{
    bool *used = zeros((size_t)net->n_nodes, sizeof *used);
    int n = 0;
    used[end] = true;
    for (int i = end; i >= 0; i--)
        for (int side = 0; used[i] && side < 2; side++)
            if (net->nodes[i].in[side] >= 0)
                used[net->nodes[i].in[side]] = true;
    for (int i = 0; i <= end; i++)
        if (used[i] && (!wanted || wanted(&net->nodes[i])))
            nodes[n++] = i;
    free(used);
    return n;
}

static bool is_relu(const cr_node *node)
{
    return node->op == CR_RELU;
}

/* Keeping these leaves batchnorms unfolded, with what would be fused behind them. */
static bool is_relu_or_conv(const cr_node *node)
{
    return node->op == CR_RELU || node->op == CR_CONV2D;
}

static float *random_seed(const subject *s, int node)
{
    return new_random(oracle_count(s->oracle, node), -1, 1, &(uint64_t){SEED + (uint64_t)node});
}

/* One end and rule: nothing fused; batchnorms unfolded; and all fused but for what is read, which must have the same bits
 * when it is asked for alone in an arena full of NaN. */
static void check_end(subject *s, int end, cr_relu_rule rule)
{
    const int input = 0;
    int *nodes = zeros((size_t)s->net->n_nodes, sizeof *nodes);
    float *seed = random_seed(s, end), *value = zeros(oracle_count(s->oracle, end), sizeof *value);
    float *grad = zeros(oracle_count(s->oracle, input), sizeof *grad);
    cr_request request = request_of(s);
    request.end = end;
    request.relu = s->oracle->relu = rule;
    s->oracle->end = end;

    request.keep = request.grad = nodes;
    request.n_keep = request.n_grad = list_before(s->net, end, NULL, nodes);
    check_request(s->oracle, &request, s->x, seed, NETWORK_TOLERANCE, NULL, NULL);
    request.n_keep = request.n_grad = list_before(s->net, end, is_relu_or_conv, nodes);
    if (request.n_grad)
        check_request(s->oracle, &request, s->x, seed, NETWORK_TOLERANCE, NULL, NULL);
    request.n_keep = list_before(s->net, end, is_relu, nodes);
    request.grad = &input;
    request.n_grad = 1;
    check_request(s->oracle, &request, s->x, seed, NETWORK_TOLERANCE, value, grad);

    request.n_keep = 0;
    run r = start_run(s->net, &request);
    for (size_t i = 0; i < r.plan->arena; i++)
        tape_arena(r.tape)[i] = NAN;
    for (int again = 0; again < 2; again++) {
        cr_tape_forward(r.tape, s->x);
        run_backward(&r, seed);
        float *found = read_node(&r, end, false), *found_grad = read_node(&r, input, true);
        const char *name = s->net->nodes[end].name;
        check_same_bits(found, value, oracle_count(s->oracle, end), "%s: value of %s, the end", s->net->arch, name);
        check_same_bits(found_grad, grad, oracle_count(s->oracle, input), "%s: gradient from %s, rule %d", s->net->arch, name,
                        (int)rule);
        free(found);
        free(found_grad);
    }
    stop_run(&r);
    free(value);
    free(grad);
    free(seed);
    free(nodes);
}

static void test_end_at_every_node(void **state)
{
    (void)state;
    subject networks[] = {make_subject("resnet18", 4, 3, 2, 37, 44), make_subject("resnet50", 2, 3, 1, 38, 37),
                          small_subject(2, 13, 18), small_subject(1, 16, 9)};
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        subject *s = &networks[i];
        for (int isa = 0; use_isa(isa); isa++)
            for (int end = 1; end < s->net->n_nodes; end++)
                check_end(s, end, rules[(end + isa) % 3]); /* on each instruction set another */
        free_subject(s);
    }
}

/* The networks that have one width: the best instruction set alone, and few pixels. */
static void test_networks_of_one_width(void **state)
{
    (void)state;
    subject s = make_subject("alexnet", 64, 3, 1, 79, 127);
    check_end(&s, cr_net_find(s.net, "features.10", NULL), CR_RELU_GUIDED);
    check_end(&s, s.net->n_nodes - 1, CR_RELU_DECONV);
    free_subject(&s);
    s = make_subject("vgg11", 64, 3, 1, 33, 34);
    check_end(&s, cr_net_find(s.net, "features.18", NULL), CR_RELU_DECONV);
    check_end(&s, s.net->n_nodes - 1, CR_RELU_GUIDED);
    free_subject(&s);
}

/* Parameters' gradients, in training mode, from an end. */
static void test_training_to_an_end(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 3, 45, 38);
    for (int rule = 0; rule < 3; rule++) {
        const int end = cr_net_find(s.net, "layer2.1.conv2", NULL);
        int *nodes = zeros((size_t)s.net->n_nodes, sizeof *nodes);
        bool *learned = zeros((size_t)s.net->n_params, sizeof *learned);
        cr_request request = request_of(&s);
        request.end = end;
        request.relu = rules[rule];
        request.train = true;
        request.keep = nodes;
        request.n_keep = list_before(s.net, end, is_relu, nodes);
        for (int i = 0; i < s.net->n_params && i < s.net->nodes[end].param + 1; i++)
            learned[i] = s.learned[i];
        request.param_grad = learned;
        oracle *o = oracle_create_for(s.net, &request, 0, s.x);
        float *seed = random_seed(&s, end);
        for (int isa = 0; use_isa(isa); isa++)
            check_request(o, &request, s.x, seed, 1e-4, NULL, NULL);
        free(seed);
        oracle_free(o);
        free(learned);
        free(nodes);
    }
    free_subject(&s);
}

/* ---- the same bits ---- */

static void test_same_bits_for_any_threads(void **state)
{
    (void)state;
    subject s = make_subject("resnet34", 16, 4, 1, 89, 110);
    const int input = 0, end = cr_net_find(s.net, "layer3.2.conv1", NULL);
    float *seed = random_seed(&s, end);
    for (int rule = 0; rule < 3; rule++) {
        cr_request request = request_of(&s);
        request.end = end;
        request.relu = rules[rule];
        request.grad = &input;
        request.n_grad = 1;
        float *expected = NULL;
        for (int threads = 1; threads <= 5; threads++) {
            cr_set_threads(threads);
            run r = start_run(s.net, &request);
            cr_tape_forward(r.tape, s.x);
            run_backward(&r, seed);
            float *found = read_node(&r, input, true);
            if (expected)
                check_same_bits(found, expected, count_of(r.plan, input), "%d threads, rule %d", threads, rule);
            else
                expected = memcpy(zeros(count_of(r.plan, input), sizeof *found), found,
                                  count_of(r.plan, input) * sizeof *found);
            free(found);
            stop_run(&r);
        }
        free(expected);
    }
    cr_set_threads(1);
    free(seed);
    free_subject(&s);
}

/* A batch all of whose steps run image by image: each image has the bits it has alone. */
static void test_large_batches(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 8, 5, 6, 200, 230);
    const int input = 0, end = cr_net_find(s.net, "layer2.0.conv2", NULL);
    float *seed = random_seed(&s, end);
    cr_request request = request_of(&s);
    request.end = end;
    request.relu = CR_RELU_GUIDED;
    request.grad = &input;
    request.n_grad = 1;
    run all = start_run(s.net, &request);
    assert_int_equal(all.plan->by_image, all.plan->n_steps);
    request.n = 1;
    run one = start_run(s.net, &request);
    cr_tape_forward(all.tape, s.x);
    run_backward(&all, seed);
    const size_t pixels = count_of(one.plan, input), values = count_of(one.plan, end);
    float *grads = read_node(&all, input, true), *ends = read_node(&all, end, false);
    for (int n = 0; n < s.N; n++) {
        cr_tape_forward(one.tape, s.x + (size_t)n * pixels);
        run_backward(&one, seed + (size_t)n * values);
        float *grad = read_node(&one, input, true), *value = read_node(&one, end, false);
        check_same_bits(grads + (size_t)n * pixels, grad, pixels, "image %d of a batch", n);
        check_same_bits(ends + (size_t)n * values, value, values, "image %d of a batch", n);
        free(grad);
        free(value);
    }
    free(grads);
    free(ends);
    free(seed);
    stop_run(&all);
    stop_run(&one);
    free_subject(&s);
}

/* Given the values that the whole run has at `start`, a run from there to `end` has its bits. */
static void test_from_a_start_to_an_end(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 2, 37, 44);
    for (int start = 1; start < s.net->n_nodes - 1; start += 3)
        for (int end = start + 1; end < s.net->n_nodes; end += 4) {
            int *before = zeros((size_t)s.net->n_nodes, sizeof *before);
            const int n_before = list_before(s.net, end, NULL, before);
            bool depends = false;
            for (int i = 0; i < n_before; i++)
                depends |= before[i] == start;
            cr_request request = request_of(&s);
            request.end = end;
            request.keep = before;
            request.n_keep = n_before;
            run whole = start_run(s.net, &request);
            cr_tape_forward(whole.tape, s.x);
            request.start = start;
            request.n_keep = 0;
            request.grad = &start;
            request.n_grad = 1;
            request.relu = CR_RELU_GUIDED;
            cr_error err;
            cr_plan *plan = cr_plan_create(s.net, &request, &err);
            if (depends && plan) {
                run r = {plan, cr_tape_create(plan, &err)};
                for (int i = 0; i < n_before; i++)
                    if (before[i] < start && plan->given[before[i]]) {
                        float *value = read_node(&whole, before[i], false);
                        assert_true(cr_tape_give(r.tape, before[i], value, &err));
                        free(value);
                    }
                float *x = read_node(&whole, start, false), *expected = read_node(&whole, end, false), *seed = random_seed(&s, end);
                cr_tape_forward(r.tape, x);
                run_backward(&r, seed);
                float *found = read_node(&r, end, false), *grad = read_node(&r, start, true);
                check_close(found, expected, count_of(plan, end), NETWORK_TOLERANCE, "from %s to %s",
                            s.net->nodes[start].name, s.net->nodes[end].name);
                for (size_t i = 0; i < count_of(plan, start); i++)
                    assert_true(isfinite(grad[i]));
                free(x);
                free(expected);
                free(seed);
                free(found);
                free(grad);
                stop_run(&r);
            } else {
                assert_false(depends);
                assert_null(plan);
                check_message(&err, s.net->nodes[start].name, s.net->nodes[end].name, "depend", NULL);
            }
            stop_run(&whole);
            free(before);
        }
    free_subject(&s);
}

/* ---- what an end spares, and mistakes ---- */

static void check_no_plan(const cr_net *net, const cr_request *request, const char *word, const char *other)
{
    cr_error err;
    assert_null(cr_plan_create(net, request, &err));
    check_message(&err, net->arch, word, other, NULL);
}

/* Layers behind the end need no weights and no room, nor do those beside it. */
static void test_nothing_behind_the_end(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 40, 40);
    const int shortcut = cr_net_find(s.net, "layer2.0.downsample.1", NULL);
    cr_request request = request_of(&s);
    request.end = shortcut;
    for (int i = 0; i < s.net->n_params; i++)
        if (strncmp(s.net->params[i].name, "layer2.0.conv", 13) == 0 || strncmp(s.net->params[i].name, "layer3", 6) == 0)
            s.net->params[i].data = NULL;
    run r = start_run(s.net, &request);
    cr_tape_forward(r.tape, s.x);
    float *found = read_node(&r, shortcut, false);
    check_close(found, s.oracle->value[shortcut], oracle_count(s.oracle, shortcut), NETWORK_TOLERANCE, "a shortcut alone");
    for (int i = 0; i < r.plan->n_steps; i++)
        assert_null(strstr(s.net->nodes[r.plan->steps[i].node].name, "layer2.0.conv"));
    free(found);
    stop_run(&r);
    free_subject(&s);

    cr_net *net = cr_net_create(cr_arch_find("alexnet", NULL), 3, 2, 64, NULL);
    uint64_t seed = SEED;
    float *weights = bind_random(net, &seed);
    cr_request small = {.n = 1, .h = 20, .w = 24}; /* of which nothing is left for later layers */
    check_no_plan(net, &small, "too small", "20");
    small.end = cr_net_find(net, "features.1", NULL);
    r = start_run(net, &small);
    int dim[3];
    cr_plan_shape(r.plan, small.end, dim);
    assert_int_equal(dim[0] * 10000 + dim[1] * 100 + dim[2], 640000 + 400 + 5);
    cr_plan_shape(r.plan, net->n_nodes - 1, dim);
    assert_int_equal(dim[0], 0);
    stop_run(&r);
    cr_net_free(net);
    free(weights);
}

static void test_what_cannot_be_asked(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 40, 40);
    const int end = cr_net_find(s.net, "layer2.0.downsample.1", NULL), behind = cr_net_find(s.net, "layer2.0.add", NULL);
    const int beside = cr_net_find(s.net, "layer2.0.conv2", NULL);
    cr_request bad = request_of(&s);
    bad.end = -1;
    check_no_plan(s.net, &bad, "end", "-1");
    bad.end = s.net->n_nodes;
    check_no_plan(s.net, &bad, "end", "expected");
    bad.end = end;
    bad.start = behind;
    check_no_plan(s.net, &bad, "layer2.0.downsample.1", "layer2.0.add");
    bad.start = beside;
    check_no_plan(s.net, &bad, "layer2.0.downsample.1", "layer2.0.conv2");
    bad.start = 0;
    for (int i = 0; i < 2; i++) {
        bad.keep = bad.grad = i ? &behind : &beside;
        bad.n_keep = 1;
        bad.n_grad = 0;
        check_no_plan(s.net, &bad, s.net->nodes[i ? behind : beside].name, "layer2.0.downsample.1");
        bad.n_keep = 0;
        bad.n_grad = 1;
        check_no_plan(s.net, &bad, s.net->nodes[i ? behind : beside].name, "layer2.0.downsample.1");
    }
    bad.n_grad = 0;
    bool *learned = zeros((size_t)s.net->n_params, sizeof *learned);
    learned[s.net->nodes[beside].param] = true;
    bad.param_grad = learned;
    check_no_plan(s.net, &bad, "layer2.0.conv2.weight", "layer2.0.downsample.1");
    free(learned);
    free_subject(&s);
}

int main(void)
{
    print_setup();
    cr_set_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_at_every_node),
        cmocka_unit_test(test_networks_of_one_width),
        cmocka_unit_test(test_training_to_an_end),
        cmocka_unit_test(test_same_bits_for_any_threads),
        cmocka_unit_test(test_large_batches),
        cmocka_unit_test(test_from_a_start_to_an_end),
        cmocka_unit_test(test_nothing_behind_the_end),
        cmocka_unit_test(test_what_cannot_be_asked),
    };
    return cmocka_run_group_tests_name("end", tests, NULL, NULL);
}
