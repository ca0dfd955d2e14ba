/* test_plan.c - whole networks: what a plan fuses, folds, shares and leaves out must not show in any number it was
 * asked for. Small variants of the real topologies, with every instruction set this machine has. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "subject.h"

/* ---- against the oracle ---- */

/* Every node's value and gradient at once, nothing fused; and the logits alone, everything fused. */
static void check_against_oracle(subject *s, bool direct)
{
    const int last = s->net->n_nodes - 1;
    const size_t logits = oracle_count(s->oracle, last);
    float *fused_logits = zeros(logits, sizeof *fused_logits), *all_logits = zeros(logits, sizeof *all_logits);
    cr_request fused = request_of(s), keep_all = fused;
    fused.direct = keep_all.direct = direct;
    keep_all.keep = keep_all.grad = s->all;
    keep_all.n_keep = keep_all.n_grad = s->net->n_nodes;
    check_request(s->oracle, &fused, s->x, NULL, NETWORK_TOLERANCE, fused_logits, NULL);
    check_request(s->oracle, &keep_all, s->x, s->seed, NETWORK_TOLERANCE, all_logits, NULL);
    check_close(fused_logits, all_logits, logits, NETWORK_TOLERANCE, "%s: fused logits against unfused ones", s->net->arch);
    free(fused_logits);
    free(all_logits);
}

static void test_values_and_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        subject s = subject_at(i);
        for (int isa = 0; use_isa(isa); isa++)
            for (int direct = 0; direct < 2; direct++)
                check_against_oracle(&s, direct);
        free_subject(&s);
    }
}

/* The networks that have one width: the best instruction set alone, and few pixels. */
static void test_networks_of_one_width(void **state)
{
    (void)state;
    subject s = make_subject("alexnet", 64, 3, 1, 79, 127); /* a last map of 1x3, which the pooling widens to 6x6 */
    check_against_oracle(&s, false);
    free_subject(&s);
    s = make_subject("vgg11_bn", 64, 3, 1, 33, 32);
    check_against_oracle(&s, false);
    free_subject(&s);
}

/* What lies between fusing nothing and keeping nothing: values without gradients, one by one; and the gradients of all
 * ReLUs, behind which fused steps still need what the ReLU lets through. */
static void test_partly_fused(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        subject s = subject_at(i);
        for (int isa = 0; use_isa(isa); isa++) {
            cr_request request = request_of(&s);
            request.n_keep = 1;
            for (int node = 0; node < s.net->n_nodes; node++) {
                if (!is_sampled(&s, node) && node > 8)
                    continue;
                request.keep = &node;
                check_request(s.oracle, &request, s.x, NULL, NETWORK_TOLERANCE, NULL, NULL);
            }
            request.keep = s.kinks;
            request.n_keep = s.n_kinks;
            request.grad = s.kinks;
            request.n_grad = s.n_kinks;
            check_request(s.oracle, &request, s.x, s.seed, NETWORK_TOLERANCE, NULL, NULL);
        }
        free_subject(&s);
    }
}

/* For every node: a plan that stops there, against the oracle; and the same one that keeps nothing else, bit for
 * bit. */
static void test_backward_stops_at_every_node(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { /* small ones: the oracle's backward always runs to the input */
        subject s = i ? make_subject("resnet50", 2, 3, 1, 38, 37) : make_subject("resnet18", 4, 3, 1, 37, 44);
        float *logits = zeros(oracle_count(s.oracle, s.net->n_nodes - 1), sizeof *logits);
        for (int isa = 0; use_isa(isa); isa++)
            for (int node = 0; node < s.net->n_nodes; node++) {
                cr_request request = request_of(&s);
                request.grad = &node;
                request.n_grad = 1;
                request.keep = s.kinks;
                request.n_keep = s.n_kinks;
                float *grad = zeros(oracle_count(s.oracle, node), sizeof *grad);
                check_request(s.oracle, &request, s.x, s.seed, NETWORK_TOLERANCE, logits, grad);

                request.n_keep = 0;
                run r = start_run(s.net, &request);
                cr_tape_forward(r.tape, s.x);
                run_backward(&r, s.seed);
                check_same_result(&r, &(result){node, logits, grad, NULL, 0}, "keeping nothing");
                stop_run(&r);
                free(grad);
            }
        free(logits);
        free_subject(&s);
    }
}

/* ---- the same bits ---- */

static const int thread_counts[] = {1, 2, 3, 5};

/* Frees s. */
static void check_threads(subject s)
{
    const int input = 0;
    cr_request request = request_of(&s);
    request.grad = &input;
    request.n_grad = 1;
    for (int isa = 0; use_isa(isa); isa++) {
        cr_set_threads(1);
        run r = start_run(s.net, &request);
        cr_tape_forward(r.tape, s.x);
        run_backward(&r, s.seed);
        result one = read_result(&r, input);
        run_backward(&r, s.seed);
        check_same_result(&r, &one, "a second backward");
        cr_tape_forward(r.tape, s.x);
        run_backward(&r, s.seed);
        check_same_result(&r, &one, "a second run");
        stop_run(&r);
        for (size_t t = 0; t < sizeof thread_counts / sizeof thread_counts[0]; t++) {
            cr_set_threads(thread_counts[t]);
            r = start_run(s.net, &request);
            cr_tape_forward(r.tape, s.x);
            run_backward(&r, s.seed);
            check_same_result(&r, &one, "another number of threads");
            stop_run(&r);
        }
        cr_set_threads(1);
        free_result(&one);
    }
    free_subject(&s);
}

static void test_same_bits_for_any_threads_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++)
        check_threads(subject_at(i));
}

/* Image n of a batch has the bits it has alone, at every place, with the gradient of one node after the other. Frees s. */
static void check_batch(subject s, const int *nodes, int n_nodes, bool by_image)
{
    cr_request batch = request_of(&s), alone = batch;
    alone.n = 1;
    for (int isa = 0; use_isa(isa); isa++)
        for (int t = 0; t < n_nodes; t++) {
            batch.grad = alone.grad = &nodes[t];
            batch.n_grad = alone.n_grad = 1;
            run r = start_run(s.net, &batch), one = start_run(s.net, &alone);
            assert_int_equal(r.plan->by_image > 0, by_image);
            cr_tape_forward(r.tape, s.x);
            run_backward(&r, s.seed);
            result all = read_result(&r, nodes[t]);
            const size_t input = count_of(one.plan, 0), grad = count_of(one.plan, nodes[t]),
                         logits = count_of(one.plan, s.net->n_nodes - 1);
            for (size_t n = 0; n < (size_t)s.N; n++) {
                cr_tape_forward(one.tape, s.x + n * input);
                run_backward(&one, s.seed + n * logits);
                const result expected = {nodes[t], all.logits + n * logits, all.grad + n * grad, NULL, 0};
                check_same_result(&one, &expected, "an image of the batch alone");
            }
            free_result(&all);
            stop_run(&r);
            stop_run(&one);
        }
    free_subject(&s);
}

static void test_same_bits_in_any_batch(void **state)
{
    (void)state;
    static const struct {
        int N, H, W;
        bool by_image; /* where it is large, its first steps run so */
    } cases[] = {{3, 45, 52, false}, {7, 200, 230, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        subject s = make_subject("resnet18", 8, 5, cases[i].N, cases[i].H, cases[i].W);
        const int nodes[] = {0, cr_net_find(s.net, "layer2.0.conv1", NULL), cr_net_find(s.net, "layer4", NULL)};
        check_batch(s, nodes, 3, cases[i].by_image);
    }
}

static subject one_convolution(int in, int N, int H, int W)
{
    enum { CHANNELS = 30 }; /* so few that several threads share out tiles */
    builder b = new_net("a convolution");
    const int x = add_conv2d(&b, add_input(&b, in), "conv", CHANNELS, 3, 1, 1, true);
    add_flatten(&b, add_adaptive_avgpool(&b, x, "avgpool", 1), "flatten", CHANNELS);
    return subject_of(b.net, N, H, W);
}

/* Winograd's tiles of one image may be too few for the kernel that takes those of many. */
static void test_same_bits_of_small_maps(void **state)
{
    (void)state;
    static const int sizes[][2] = {{4, 4}, {5, 4}, {7, 7}, {7, 4}, {6, 7}, {7, 13}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int H = sizes[i][0], W = sizes[i][1], input = 0;
        check_threads(one_convolution(20, 1, H, W));
        check_threads(one_convolution(20, 2, H, W));
        check_batch(one_convolution(20, 2, H, W), &input, 1, false);
        check_batch(one_convolution(20, 5, H, W), &input, 1, false);
    }
}

/* Sums in registers, of several blocks of channels: their depth is that of the map, whatever part of it a thread has. */
static void test_same_bits_of_deep_sums(void **state)
{
    (void)state;
    static const int channels[] = {127, 200, 300};
    const int input = 0;
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++) {
        check_threads(one_convolution(channels[i], 1, 28, 25));
        check_batch(one_convolution(channels[i], 2, 28, 25), &input, 1, false);
    }
}

/* Batches that linear layers take apart in several ways, and layers of more than one chunk of inputs. */
static void test_same_bits_of_linear_layers(void **state)
{
    (void)state;
    static const int batches[] = {2, 5, 8, 9, 16, 37};
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        builder b = new_net("two linear layers");
        int x = add_flatten(&b, add_input(&b, 3), "flatten", 3 * 25 * 29);
        add_linear(&b, add_linear(&b, x, "hidden", 75), "fc", 13);
        const int nodes[] = {0, x};
        check_batch(subject_of(b.net, batches[i], 25, 29), nodes, 2, false);
    }
}

/* ---- a convolution and its max-pool ---- */

typedef struct pooled_case {
    int N, H, W, kernel, stride, pad; /* of the convolution */
    int pool_kernel[2], pool_stride[2], pool_pad[2], pool_dilation[2];
} pooled_case;

/* Of the input: pooled from strips of rows. */
static const pooled_case pooled_cases[] = {
    {2, 61, 45, 7, 2, 3, {3, 3}, {2, 2}, {1, 1}, {1, 1}},  /* ResNet's */
    {1, 71, 67, 11, 4, 2, {3, 3}, {2, 2}, {0, 0}, {1, 1}}, /* AlexNet's */
    {3, 29, 31, 3, 1, 1, {2, 2}, {2, 2}, {0, 0}, {1, 1}},  /* no row is read twice */
    {2, 40, 33, 3, 1, 1, {5, 4}, {1, 1}, {2, 2}, {1, 1}},  /* many are */
    {2, 33, 33, 5, 3, 0, {1, 2}, {3, 2}, {0, 0}, {1, 1}},  /* some are not read at all */
    {2, 27, 30, 3, 1, 1, {3, 2}, {2, 3}, {1, 0}, {2, 3}},
    {5, 9, 8, 3, 2, 1, {5, 5}, {4, 1}, {2, 2}, {1, 1}},    /* a window as large as the map */
};
/* Of another convolution's output: pooled tile by tile, where a last one hangs over by 0 to 3 pixels. */
static const pooled_case tile_cases[] = {
    {2, 12, 11, 3, 1, 1, {2, 2}, {2, 2}, {0, 0}, {1, 1}}, {1, 10, 9, 3, 1, 1, {2, 2}, {2, 2}, {0, 0}, {1, 1}},
    {3, 7, 14, 3, 1, 0, {2, 2}, {2, 2}, {0, 0}, {1, 1}},  {2, 13, 12, 5, 1, 2, {2, 2}, {2, 2}, {0, 0}, {1, 1}}, /* F(2x2,5x5) */
    {2, 13, 14, 3, 1, 1, {2, 2}, {2, 2}, {0, 0}, {1, 1}}, {1, 15, 13, 3, 1, 1, {2, 2}, {2, 2}, {0, 0}, {1, 1}}, /* smaller tiles */
};
/* Not pooled as they are made: other windows, and what Winograd's kernels do not do. */
static const pooled_case apart_cases[] = {
    {2, 12, 11, 3, 1, 1, {3, 3}, {2, 2}, {0, 0}, {1, 1}}, {2, 12, 11, 3, 1, 1, {2, 2}, {2, 1}, {0, 0}, {1, 1}},
    {2, 12, 11, 3, 1, 1, {2, 2}, {2, 2}, {1, 1}, {1, 1}}, {2, 12, 11, 3, 1, 1, {2, 2}, {2, 2}, {0, 0}, {1, 2}},
    {2, 12, 11, 3, 2, 1, {2, 2}, {2, 2}, {0, 0}, {1, 1}}, {2, 12, 11, 1, 1, 0, {2, 2}, {2, 2}, {0, 0}, {1, 1}},
};

static subject pooled_subject(const pooled_case *c, bool first, bool with_relu, int *before, int *pool)
{
    enum { CHANNELS = 40 };
    builder b = new_net("pooled");
    const int input = add_input(&b, 3), x = first ? input : add_conv2d(&b, input, "conv0", 20, 3, 1, 1, true);
    *before = add_conv2d(&b, x, "conv", CHANNELS, c->kernel, c->stride, c->pad, with_relu);
    if (with_relu)
        *before = add_relu(&b, *before, "relu");
    cr_node node = {.op = CR_MAXPOOL, .name = "pool", .in = {*before, -1}, .channels = CHANNELS};
    memcpy(node.kernel, c->pool_kernel, sizeof node.kernel);
    memcpy(node.stride, c->pool_stride, sizeof node.stride);
    memcpy(node.pad, c->pool_pad, sizeof node.pad);
    memcpy(node.dilation, c->pool_dilation, sizeof node.dilation);
    *pool = add_node(&b, &node);
    add_flatten(&b, add_adaptive_avgpool(&b, *pool, "avgpool", 1), "flatten", CHANNELS);
    return subject_of(b.net, c->N, c->H, c->W);
}

/* Made as one, they give the bits they give one after the other; and that is right. */
static void check_pooled(const subject *s, int before, int pool, int fewer_steps)
{
    const int both[] = {before, pool};
    cr_request apart = request_of(s), fused = apart;
    apart.keep = both;
    apart.n_keep = 2;
    fused.keep = &pool;
    fused.n_keep = 1;
    check_request(s->oracle, &apart, s->x, NULL, NETWORK_TOLERANCE, NULL, NULL);
    run r = start_run(s->net, &apart);
    cr_tape_forward(r.tape, s->x);
    float *expected = read_node(&r, pool, false);
    const int steps = r.plan->n_steps;
    stop_run(&r);
    for (fused.threads = 1; fused.threads <= 5; fused.threads++) {
        r = start_run(s->net, &fused);
        assert_int_equal(r.plan->n_steps, steps - fewer_steps);
        cr_tape_forward(r.tape, s->x);
        float *found = read_node(&r, pool, false);
        check_same_bits(found, expected, count_of(r.plan, pool), "pooled by %d threads", fused.threads);
        free(found);
        stop_run(&r);
    }
    free(expected);
}

static void check_pooled_cases(const pooled_case *cases, size_t n, bool first, int fewer_steps)
{
    for (size_t i = 0; i < 2 * n; i++) {
        int before, pool;
        subject s = pooled_subject(&cases[i / 2], first, i % 2 == 0, &before, &pool);
        for (int isa = 0; use_isa(isa); isa++)
            check_pooled(&s, before, pool, fewer_steps);
        free_subject(&s);
    }
}

static void test_first_convolution_and_its_pool(void **state)
{
    (void)state;
    check_pooled_cases(pooled_cases, sizeof pooled_cases / sizeof pooled_cases[0], true, 1);
}

static void test_winograd_and_its_pool(void **state)
{
    (void)state;
    check_pooled_cases(tile_cases, sizeof tile_cases / sizeof tile_cases[0], false, 1);
    check_pooled_cases(apart_cases, sizeof apart_cases / sizeof apart_cases[0], false, 0);
}

/* Not one with an addition between them. */
static void test_sum_of_first_convolutions_and_its_pool(void **state)
{
    (void)state;
    builder b = new_net("pooled sum");
    int x = add_input(&b, 3), left = add_conv2d(&b, x, "left", 24, 3, 1, 1, true), right = add_conv2d(&b, x, "right", 24, 5, 1, 2, true);
    const int relu = add_relu(&b, add_add(&b, left, right, "add"), "relu"), pool = add_maxpool(&b, relu, "pool", 3, 2, 1);
    add_flatten(&b, add_adaptive_avgpool(&b, pool, "avgpool", 1), "flatten", 24);
    subject s = subject_of(b.net, 2, 21, 26);
    cr_request request = request_of(&s);
    request.keep = &pool;
    request.n_keep = 1;
    check_request(s.oracle, &request, s.x, NULL, NETWORK_TOLERANCE, NULL, NULL);
    free_subject(&s);
}

/* Backwards from several seeds after one forward, against a fresh run for each. */
static void test_same_bits_for_many_seeds(void **state)
{
    (void)state;
    subject s = subject_at(0);
    const int classes = s.net->classes;
    const int nodes[] = {0, cr_net_find(s.net, "layer3.0.relu", NULL), cr_net_find(s.net, "layer4", NULL),
                         s.net->n_nodes - 1};
    float *seed = zeros((size_t)(s.N * classes), sizeof *seed);
    for (int t = 0; t < 4; t++) {
        cr_request request = request_of(&s);
        request.grad = &nodes[t];
        request.n_grad = 1;
        run many = start_run(s.net, &request);
        cr_tape_forward(many.tape, s.x);
        for (int c = 0; c < classes; c++) {
            for (int k = 0; k < s.N * classes; k++)
                seed[k] = k % classes == c ? 1.0f : 0.0f;
            run_backward(&many, seed);
            run fresh = start_run(s.net, &request);
            cr_tape_forward(fresh.tape, s.x);
            run_backward(&fresh, seed);
            result expected = read_result(&fresh, nodes[t]);
            check_same_result(&many, &expected, "another seed after the same forward");
            free_result(&expected);
            stop_run(&fresh);
        }
        stop_run(&many);
    }
    free(seed);
    free_subject(&s);
}

/* ---- mistakes ---- */

static void check_no_plan(const cr_net *net, const cr_request *request, const char *word)
{
    cr_error err;
    assert_null(cr_plan_create(net, request, &err));
    check_message(&err, net->arch, word, NULL);
    assert_null(cr_plan_create(net, request, NULL));
}

static void test_requests_that_cannot_be_met(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 40, 40);
    const cr_request good = request_of(&s);
    const int none = -1, beyond = s.net->n_nodes;
    cr_request bad = good;
    bad.n = 0;
    check_no_plan(s.net, &bad, "found 0");
    bad.n = -3;
    check_no_plan(s.net, &bad, "found -3");
    bad = good;
    bad.h = 0;
    check_no_plan(s.net, &bad, "40x0");
    bad.h = 1 << 30;
    check_no_plan(s.net, &bad, "1073741824");
    bad = good;
    bad.keep = &beyond;
    bad.n_keep = 1;
    check_no_plan(s.net, &bad, "no node");
    bad.keep = &none;
    check_no_plan(s.net, &bad, "no node -1");
    bad = good;
    bad.grad = &beyond;
    bad.n_grad = 1;
    check_no_plan(s.net, &bad, "no node");
    bad = good;
    bad.n = INT32_MAX;
    bad.h = bad.w = 1 << 15;
    check_no_plan(s.net, &bad, "memory");

    const int param = s.net->nodes[cr_net_find(s.net, "layer2.0.bn1", NULL)].param + 3;
    const float *data = s.net->params[param].data;
    s.net->params[param].data = NULL;
    check_no_plan(s.net, &good, "layer2.0.bn1.running_var");
    s.net->params[param].data = data;
    free_subject(&s);

    cr_net *net = cr_net_create(cr_arch_find("alexnet", NULL), 3, 2, 64, NULL);
    const cr_request small = {.n = 1, .h = 62, .w = 224};
    check_no_plan(net, &small, "too small");
    cr_net_free(net);

    builder b = new_net("a pool of 17x16");
    cr_node pool = {.op = CR_MAXPOOL,
                    .name = "pool",
                    .in = {add_input(&b, 1), -1},
                    .kernel = {17, 16},
                    .stride = {1, 1},
                    .dilation = {1, 1}};
    add_node(&b, &pool);
    cr_error err;
    assert_null(cr_plan_create(b.net, &(cr_request){.n = 1, .h = 20, .w = 20}, &err));
    check_message(&err, "pool", "17x16", NULL);
    cr_net_free(b.net);

    b = new_net("features of another size");
    add_linear(&b, add_flatten(&b, add_input(&b, 3), "flatten", 3 * 4 * 4), "fc", 2);
    uint64_t seed = SEED;
    float *weights = bind_random(b.net, &seed);
    assert_null(cr_plan_create(b.net, &(cr_request){.n = 1, .h = 4, .w = 5}, &err));
    check_message(&err, "flatten", "48", "3x4x5", NULL);
    cr_net_free(b.net);
    free(weights);
}

static void test_reading_what_is_not_there(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 40, 40);
    const int kept = cr_net_find(s.net, "layer3", NULL), last = s.net->n_nodes - 1;
    float *out = zeros(oracle_count(s.oracle, 0), sizeof *out);
    cr_error err;
    cr_request request = request_of(&s);
    request.keep = request.grad = &kept;
    request.n_keep = request.n_grad = 1;

    run r = start_run(s.net, &request);
    assert_false(cr_tape_value(r.tape, kept, out, &err));
    check_message(&err, "no forward", NULL);
    assert_false(cr_tape_backward(r.tape, s.seed, &err));
    check_message(&err, "forward", NULL);
    cr_tape_forward(r.tape, s.x);
    assert_true(cr_tape_value(r.tape, kept, out, &err));
    assert_true(cr_tape_value(r.tape, last, out, &err));
    assert_false(cr_tape_grad(r.tape, kept, out, &err));
    check_message(&err, "no backward", NULL);
    run_backward(&r, s.seed);
    assert_true(cr_tape_grad(r.tape, kept, out, &err));
    assert_true(cr_tape_value(r.tape, kept, out, &err));
    for (int i = 0; i < s.net->n_nodes; i++) {
        assert_int_equal(cr_tape_value(r.tape, i, out, &err), i == kept || i == last);
        assert_int_equal(cr_tape_grad(r.tape, i, out, &err), i == kept);
    }
    check_message(&err, "not asked", NULL);
    assert_false(cr_tape_value(r.tape, -1, out, NULL));
    assert_false(cr_tape_grad(r.tape, s.net->n_nodes, out, NULL));
    cr_tape_forward(r.tape, s.x); /* the gradient of the run before must not be taken for this one's */
    assert_false(cr_tape_grad(r.tape, kept, out, &err));
    check_message(&err, "no backward", NULL);
    stop_run(&r);

    request.n_grad = 0;
    r = start_run(s.net, &request);
    cr_tape_forward(r.tape, s.x);
    assert_false(cr_tape_backward(r.tape, s.seed, &err));
    check_message(&err, "no gradients", NULL);
    stop_run(&r);
    free(out);
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
        cmocka_unit_test_setup(test_values_and_gradients, one_thread),
        cmocka_unit_test_setup(test_networks_of_one_width, one_thread),
        cmocka_unit_test_setup(test_partly_fused, one_thread),
        cmocka_unit_test_setup(test_backward_stops_at_every_node, one_thread),
        cmocka_unit_test_setup(test_same_bits_for_any_threads_and_again, one_thread),
        cmocka_unit_test_setup(test_same_bits_in_any_batch, one_thread),
        cmocka_unit_test_setup(test_same_bits_of_small_maps, one_thread),
        cmocka_unit_test_setup(test_same_bits_of_deep_sums, one_thread),
        cmocka_unit_test_setup(test_same_bits_of_linear_layers, one_thread),
        cmocka_unit_test_setup(test_first_convolution_and_its_pool, one_thread),
        cmocka_unit_test_setup(test_winograd_and_its_pool, one_thread),
        cmocka_unit_test_setup(test_sum_of_first_convolutions_and_its_pool, one_thread),
        cmocka_unit_test_setup(test_same_bits_for_many_seeds, one_thread),
        cmocka_unit_test_setup(test_requests_that_cannot_be_met, one_thread),
        cmocka_unit_test_setup(test_reading_what_is_not_there, one_thread),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
