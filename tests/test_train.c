/* test_train.c - training: the gradients of parameters, batchnorm by the batch's statistics and dropout, in whole networks
 * and alone, against the oracle, with every instruction set this machine has. Gradients of convolutions' and linear layers'
 * weights in all shapes are test_ops.c's business. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"
#include "subject.h"

enum { DROPOUT_SEED = 77 };

/* ---- against the oracle ---- */

/* Batchnorms divide by the deviation of a channel's values: with few of them it may be small by chance, and rounding errors
 * grow. So batches are such that the last maps have 16 values or more; and still they grow more than in evaluation. */
static const double TRAINING_TOLERANCE = 2e-4;

static const struct {
    const char *arch;
    int width, classes, N, H, W;
} trained[] = {
    {"resnet18", 8, 7, 4, 45, 61},
    {"resnet50", 4, 5, 8, 61, 42},
    {"resnet34", 16, 4, 3, 89, 110},
};

enum { TRAINED = 1 + sizeof trained / sizeof trained[0] };

static subject trained_at(int i)
{
    return i == 0 ? small_subject(3, 17, 22)
                  : make_subject(trained[i - 1].arch, trained[i - 1].width, trained[i - 1].classes, trained[i - 1].N,
                                 trained[i - 1].H, trained[i - 1].W);
}

/* The subject's request, with these parameters, and only the values kept at which a derivative has a kink. */
static cr_request training_request(const subject *s, bool train, const bool *params)
{
    cr_request request = request_of(s);
    request.train = train;
    request.param_grad = params;
    request.keep = s->kinks;
    request.n_keep = s->n_kinks;
    return request;
}

static void check_training(const subject *s, const cr_request *request)
{
    oracle *o = oracle_create_for(s->net, request, DROPOUT_SEED, s->x);
    for (int isa = 0; use_isa(isa); isa++)
        check_request(o, request, s->x, s->seed, request->train ? TRAINING_TOLERANCE : NETWORK_TOLERANCE, NULL, NULL);
    oracle_free(o);
}

/* All parameters at once: alone, and with every node's value and gradient; with and without Winograd. */
static void test_all_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < TRAINED; i++) {
        subject s = trained_at(i);
        for (int train = 0; train < 2; train++) {
            cr_request request = training_request(&s, train, s.learned);
            check_training(&s, &request);
            request.direct = true;
            check_training(&s, &request);
            request.keep = request.grad = s.all;
            request.n_keep = request.n_grad = s.net->n_nodes;
            check_training(&s, &request);
        }
        free_subject(&s);
    }
}

/* Each parameter alone: everything before it is frozen, so its batchnorms are folded and the backward stops there. */
static void test_each_gradient_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        subject s = i ? small_subject(2, 11, 9) : make_subject("resnet18", 4, 3, 2, 37, 44);
        bool *one = zeros((size_t)s.net->n_params, sizeof *one);
        for (int p = 0; p < s.net->n_params; p++) {
            if (!s.learned[p])
                continue;
            one[p] = true;
            for (int train = 0; train < 2; train++) {
                const cr_request request = training_request(&s, train, one);
                check_training(&s, &request);
            }
            one[p] = false;
        }
        free(one);
        free_subject(&s);
    }
}

/* A batchnorm of x, with all that is fused behind it: a ReLU; an addition of another map, of x itself, and of x twice. */
static void check_batchnorm(int N, int C, int H, int W, float low, float high)
{
    uint64_t state = SEED;
    float *x = new_random((size_t)(N * C * H * W), low, high, &state);
    for (int form = 0; form < 5; form++) {
        builder b = new_net("batchnorm");
        const int in = add_input(&b, C), y = add_batchnorm(&b, in, "bn");
        if (form == 1)
            add_relu(&b, y, "relu");
        else if (form == 2)
            add_relu(&b, add_add(&b, y, in, "add"), "relu");
        else if (form == 3)
            add_add(&b, add_batchnorm(&b, in, "bn_1"), y, "add");
        else if (form == 4) /* a gradient that others wrote before */
            add_add(&b, add_add(&b, add_relu(&b, y, "relu"), in, "add"), y, "add_1");
        float *weights = bind_random(b.net, &state);
        bool *learned = learned_params(b.net);
        const int input = 0;
        cr_request request = {.n = N, .h = H, .w = W, .train = true, .param_grad = learned, .grad = &input, .n_grad = 1};
        oracle *o = oracle_create_for(b.net, &request, 0, x);
        float *seed = new_random(oracle_count(o, b.net->n_nodes - 1), -1.0f, 1.0f, &state);
        for (int isa = 0; use_isa(isa); isa++)
            check_request(o, &request, x, seed, NETWORK_TOLERANCE, NULL, NULL);
        free(seed);
        oracle_free(o);
        cr_net_free(b.net);
        free(learned);
        free(weights);
    }
    free(x);
}

static void test_batchnorm(void **state)
{
    (void)state;
    static const int shapes[][4] = {{4, 1, 1, 1},  {3, 3, 1, 2},  {1, 16, 1, 7}, {1, 17, 5, 3},
                                    {5, 40, 6, 1}, {2, 5, 14, 9}, {8, 33, 7, 7}, {1, 1, 56, 57}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check_batchnorm(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], -2.0f, 3.0f);
}

/* Where the mean is far larger than the deviation, E[x^2] - E[x]^2 is a small difference of large numbers. */
static void test_batchnorm_far_from_zero(void **state)
{
    (void)state;
    enum { N = 4, C = 17, H = 9, W = 10, COUNT = N * C * H * W };
    uint64_t random = SEED;
    float *x = new_random(COUNT, 9999.0f, 10001.0f, &random), *expected = zeros(COUNT, sizeof *expected);
    builder b = new_net("far from zero");
    add_batchnorm(&b, add_input(&b, C), "bn");
    float *weights = bind_random(b.net, &random), mean[C], var[C], running_mean[C] = {0}, running_var[C] = {0};
    bool *learned = learned_params(b.net);
    const cr_request request = {.n = N, .h = H, .w = W, .train = true, .param_grad = learned};
    ref_batchnorm_train_forward(expected, mean, var, x, b.net->params[0].data, b.net->params[1].data, 1e-5f, N, C, H * W);
    for (int c = 0; c < C; c++)
        var[c] *= (float)(N * H * W) / (N * H * W - 1);
    for (int isa = 0; use_isa(isa); isa++) {
        run r = start_run(b.net, &request);
        cr_tape_forward(r.tape, x);
        float *y = read_node(&r, 1, false);
        check_close(y, expected, COUNT, 1e-2, "values"); /* a float of 10000 has no more than 3 decimals */
        assert_true(cr_tape_update_running(r.tape, 1, 1.0f, running_mean, running_var, NULL));
        check_close(running_mean, mean, C, 1e-7, "mean");
        check_close(running_var, var, C, 1e-5, "variance");
        free(y);
        stop_run(&r);
    }
    cr_net_free(b.net);
    free(learned);
    free(weights);
    free(expected);
    free(x);
}

/* ---- the same bits ---- */

static void test_same_bits_for_any_threads_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < TRAINED; i++) {
        subject s = trained_at(i);
        const int input = 0;
        cr_request request = training_request(&s, true, s.learned);
        request.grad = &input;
        request.n_grad = 1;
        for (int isa = 0; use_isa(isa); isa++) {
            result one = {0};
            for (int threads = 1; threads <= 5; threads++) {
                cr_set_threads(threads);
                run r = start_run(s.net, &request);
                cr_tape_seed(r.tape, DROPOUT_SEED);
                cr_tape_forward(r.tape, s.x);
                run_backward(&r, s.seed);
                if (threads == 1)
                    one = read_result(&r, input);
                check_same_result(&r, &one, "another number of threads");
                run_backward(&r, s.seed);
                check_same_result(&r, &one, "a second backward");
                cr_tape_forward(r.tape, s.x);
                run_backward(&r, s.seed);
                check_same_result(&r, &one, "a second run");
                stop_run(&r);
            }
            cr_set_threads(1);
            free_result(&one);
        }
        free_subject(&s);
    }
}

/* ---- parameters that change ---- */

/* A plan that is told of new values has the bits of a plan made with them: in training, in evaluation, folded and not. */
static void test_update(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        subject s = i ? small_subject(2, 17, 22) : make_subject("resnet18", 8, 5, 2, 45, 52);
        const int input = 0;
        uint64_t random = SEED + 1;
        for (int form = 0; form < 3; form++) {
            cr_request request = training_request(&s, form == 2, form ? s.learned : NULL);
            request.grad = &input;
            request.n_grad = 1;
            run r = start_run(s.net, &request);
            cr_tape_forward(r.tape, s.x);
            float *weights = bind_random(s.net, &random);
            cr_plan_update(r.plan);
            cr_tape_forward(r.tape, s.x);
            run_backward(&r, s.seed);
            run fresh = start_run(s.net, &request);
            cr_tape_forward(fresh.tape, s.x);
            run_backward(&fresh, s.seed);
            result expected = read_result(&fresh, input);
            check_same_result(&r, &expected, "after an update");
            free_result(&expected);
            stop_run(&fresh);
            stop_run(&r);
            free(s.weights);
            s.weights = weights;
        }
        free_subject(&s);
    }
}

static void test_running_statistics(void **state)
{
    (void)state;
    /* channel 0: 1 3 / 5 7, channel 1: 0 0 / 2 2: means 4 and 1, unbiased variances 20/3 and 4/3 */
    const float x[] = {1, 3, 0, 0, 5, 7, 2, 2};
    builder b = new_net("running statistics");
    add_relu(&b, add_batchnorm(&b, add_input(&b, 2), "bn"), "relu");
    uint64_t random = SEED;
    float *weights = bind_random(b.net, &random);
    const bool params[] = {true, false, false, false};
    const cr_request request = {.n = 2, .h = 1, .w = 2, .train = true, .param_grad = params};
    for (int isa = 0; use_isa(isa); isa++) {
        float mean[] = {10, 0}, var[] = {1, 2};
        run r = start_run(b.net, &request);
        cr_tape_forward(r.tape, x);
        assert_true(cr_tape_update_running(r.tape, 1, 0.25f, mean, var, NULL));
        check_close(mean, (const float[]){8.5f, 0.25f}, 2, 1e-7, "running mean");
        check_close(var, (const float[]){0.75f + 5.0f / 3, 1.5f + 1.0f / 3}, 2, 1e-7, "running variance");
        stop_run(&r);
    }
    cr_net_free(b.net);
    free(weights);
}

/* ---- dropout ---- */

static void test_dropout(void **state)
{
    (void)state;
    enum { N = 3, C = 17, H = 40, W = 50, COUNT = N * C * H * W };
    builder b = new_net("dropout");
    const int x = add_input(&b, C), first = add_dropout(&b, x, "first"), second = add_dropout(&b, x, "second");
    add_add(&b, first, second, "add");
    b.net->nodes[second].p = 0.2f;
    float *ones = zeros(COUNT, sizeof *ones), *expected = zeros(COUNT, sizeof *expected);
    for (int i = 0; i < COUNT; i++)
        ones[i] = 1.0f;
    const int all[] = {0, 1, 2, 3};
    const cr_request request = {.n = N, .h = H, .w = W, .train = true, .keep = all, .n_keep = 4, .grad = all, .n_grad = 1};
    run r = start_run(b.net, &request);
    for (uint64_t seed = 0; seed < 3; seed++) {
        cr_tape_seed(r.tape, seed);
        cr_tape_forward(r.tape, ones);
        run_backward(&r, ones);
        float *sum = read_node(&r, 3, false), *grad = read_node(&r, 0, true);
        check_same_bits(grad, sum, COUNT, "the gradient has the masks of the values");
        for (int node = first; node <= second; node++) {
            const float p = b.net->nodes[node].p;
            float *y = read_node(&r, node, false);
            ref_dropout(expected, ones, p, seed, node, COUNT);
            check_close(y, expected, COUNT, 1e-7, "dropout %d", node);
            int dropped = 0, pairs = 0;
            for (int i = 0; i < COUNT; i++) {
                dropped += y[i] == 0.0f;
                pairs += i > 0 && y[i] == 0.0f && y[i - 1] == 0.0f;
            }
            /* five standard deviations of COUNT coins; neighbours are as good as independent */
            assert_true(fabs(dropped - (double)p * COUNT) < 5.0 * sqrt((double)(p * (1.0f - p)) * COUNT));
            assert_true(fabs(pairs - (double)(p * p) * COUNT) < 10.0 * sqrt((double)(p * p) * COUNT));
            free(y);
        }
        free(sum);
        free(grad);
    }
    stop_run(&r);

    float *y[2];
    for (uint64_t seed = 0; seed < 2; seed++) { /* seeds differ, and so do nodes of equal p */
        ref_dropout(expected, ones, 0.5f, seed, 1, COUNT);
        y[seed] = zeros(COUNT, sizeof(float));
        ref_dropout(y[seed], ones, 0.5f, seed, 2, COUNT);
        int equal = 0;
        for (int i = 0; i < COUNT; i++)
            equal += y[seed][i] == expected[i];
        assert_true(fabs(equal - 0.5 * COUNT) < 5.0 * sqrt(0.25 * COUNT));
    }
    int equal = 0;
    for (int i = 0; i < COUNT; i++)
        equal += y[0][i] == y[1][i];
    assert_true(fabs(equal - 0.5 * COUNT) < 5.0 * sqrt(0.25 * COUNT));
    free(y[0]);
    free(y[1]);

    /* the identity: in evaluation, and where nothing is to be dropped */
    b.net->nodes[first].p = b.net->nodes[second].p = 0.0f;
    r = start_run(b.net, &request);
    cr_tape_forward(r.tape, ones);
    float *same = read_node(&r, first, false);
    check_same_bits(same, ones, COUNT, "dropout of p 0");
    free(same);
    stop_run(&r);
    free(expected);
    free(ones);
    cr_net_free(b.net);
}

/* ---- less asked takes less ---- */

static void test_frozen_layers_cost_nothing(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 16, 5, 2, 64, 64);
    bool *learned = zeros((size_t)s.net->n_params, sizeof *learned);
    cr_request request = request_of(&s);
    request.param_grad = learned;
    request.train = true;
    const int from[] = {cr_net_find_param(s.net, "fc.weight", NULL), cr_net_find_param(s.net, "layer4.0.conv1.weight", NULL),
                        cr_net_find_param(s.net, "layer2.0.conv1.weight", NULL), 0};
    cr_request inference = request_of(&s);
    run r = start_run(s.net, &inference);
    size_t arena = cr_plan_arena_bytes(r.plan), packed = cr_plan_packed_bytes(r.plan);
    stop_run(&r);
    for (int i = 0; i < 4; i++) {
        for (int p = from[i]; p < s.net->n_params; p++)
            learned[p] = s.learned[p];
        r = start_run(s.net, &request);
        assert_true(cr_plan_arena_bytes(r.plan) > arena);
        assert_true(i == 0 ? cr_plan_packed_bytes(r.plan) == packed : cr_plan_packed_bytes(r.plan) > packed);
        for (int k = 0; k < r.plan->n_steps; k++) {
            const cr_node *last = &s.net->nodes[r.plan->steps[k].last];
            assert_int_equal(r.plan->steps[k].active, last->param + last->n_params > from[i]);
        }
        arena = cr_plan_arena_bytes(r.plan);
        packed = cr_plan_packed_bytes(r.plan);
        stop_run(&r);
    }
    free(learned);
    free_subject(&s);
}

/* ---- mistakes ---- */

static void test_mistakes(void **state)
{
    (void)state;
    cr_error err;
    subject s = make_subject("resnet18", 4, 3, 1, 32, 32);
    cr_request request = request_of(&s);
    request.train = true;
    request.param_grad = s.learned;
    assert_null(cr_plan_create(s.net, &request, &err)); /* layer4's maps are 1x1 */
    check_message(&err, "layer4.0.bn1", "single value", NULL);

    const int conv = cr_net_find_param(s.net, "conv1.weight", NULL), bn = cr_net_find(s.net, "bn1", NULL);
    const int var = cr_net_find_param(s.net, "bn1.running_var", NULL);
    bool *some = zeros((size_t)s.net->n_params, sizeof *some);
    some[var] = true;
    request.param_grad = some;
    assert_null(cr_plan_create(s.net, &request, &err));
    check_message(&err, "bn1.running_var", "no gradient", NULL);

    some[var] = false;
    some[conv] = true;
    float mean[4] = {0}, variance[4] = {0};
    run r = start_run(s.net, &request);
    assert_null(cr_tape_param_grad(r.tape, conv, &err));
    check_message(&err, "no backward", NULL);
    assert_false(cr_tape_update_running(r.tape, bn, 0.1f, mean, variance, &err));
    check_message(&err, "no forward", NULL);
    cr_tape_forward(r.tape, s.x);
    run_backward(&r, s.seed);
    assert_non_null(cr_tape_param_grad(r.tape, conv, &err));
    assert_null(cr_tape_param_grad(r.tape, conv + 1, &err));
    check_message(&err, "not asked", "bn1.weight", NULL);
    assert_null(cr_tape_param_grad(r.tape, -1, &err));
    check_message(&err, "no parameter -1", NULL);
    assert_null(cr_tape_param_grad(r.tape, s.net->n_params, NULL));
    assert_false(cr_tape_update_running(r.tape, bn, 0.1f, mean, variance, &err)); /* frozen: nobody wants its gradients */
    check_message(&err, "bn1", NULL);
    assert_false(cr_tape_update_running(r.tape, -1, 0.1f, mean, variance, &err));
    check_message(&err, "no node -1", NULL);
    cr_tape_forward(r.tape, s.x);
    assert_null(cr_tape_param_grad(r.tape, conv, &err));
    check_message(&err, "no backward", NULL);
    stop_run(&r);
    free(some);
    free_subject(&s);
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
        cmocka_unit_test_setup(test_all_gradients, one_thread),
        cmocka_unit_test_setup(test_each_gradient_alone, one_thread),
        cmocka_unit_test_setup(test_batchnorm, one_thread),
        cmocka_unit_test_setup(test_batchnorm_far_from_zero, one_thread),
        cmocka_unit_test_setup(test_same_bits_for_any_threads_and_again, one_thread),
        cmocka_unit_test_setup(test_update, one_thread),
        cmocka_unit_test_setup(test_running_statistics, one_thread),
        cmocka_unit_test_setup(test_dropout, one_thread),
        cmocka_unit_test_setup(test_frozen_layers_cost_nothing, one_thread),
        cmocka_unit_test_setup(test_mistakes, one_thread),
    };
    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
