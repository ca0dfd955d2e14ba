/* test_plan.c - whole networks: what a plan fuses, folds, shares and leaves out must not show in any number it was
 * asked for. Small variants of the real topologies, with every instruction set this machine has. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "oracle.h"

/* Rounding grows through the layers: a few times what a single op is allowed (test_ops.c). */
static const double TOLERANCE = 2e-5;

/* ---- a network with its weights, an input and a seed ---- */

typedef struct subject {
    cr_net *net;
    float *weights, *x, *seed;
    int N, H, W;
    oracle *oracle;
    int *all; /* every node */
    /* The nodes whose values decide a derivative: ReLUs, which are also what max-pools read. Keeping them changes
     * nothing about what is fused, as fused steps end in them. */
    int *kinks, n_kinks;
} subject;

static subject make_subject(const char *arch, int width, int classes, int N, int H, int W)
{
    cr_error err;
    uint64_t state = SEED;
    subject s = {.N = N, .H = H, .W = W};
    s.net = cr_net_create(cr_arch_find(arch, NULL), 3, classes, width, &err);
    if (!s.net)
        fail_msg("%s", err.text);
    s.weights = bind_random(s.net, &state);
    s.x = new_random((size_t)(N * 3 * H * W), -2.0f, 2.0f, &state);
    s.seed = new_random((size_t)(N * classes), -1.0f, 1.0f, &state);
    s.oracle = oracle_create(s.net, N, H, W, s.x);
    s.all = zeros((size_t)s.net->n_nodes, sizeof *s.all);
    s.kinks = zeros((size_t)s.net->n_nodes, sizeof *s.kinks);
    for (int i = 0; i < s.net->n_nodes; i++) {
        s.all[i] = i;
        if (s.net->nodes[i].op == CR_RELU)
            s.kinks[s.n_kinks++] = i;
    }
    return s;
}

static void free_subject(subject *s)
{
    oracle_free(s->oracle);
    cr_net_free(s->net);
    free(s->weights);
    free(s->x);
    free(s->seed);
    free(s->all);
    free(s->kinks);
}

static cr_request request_of(const subject *s)
{
    return (cr_request){.n = s->N, .h = s->H, .w = s->W};
}

/* A strided choice of nodes from shallow to deep, always with the input. */
static bool is_sampled(const subject *s, int node)
{
    return node % (1 + s->net->n_nodes / 24) == 0;
}

/* ---- runs ---- */

typedef struct run {
    cr_plan *plan;
    cr_tape *tape;
} run;

static run start(const cr_net *net, const cr_request *request)
{
    cr_error err;
    run r = {.plan = cr_plan_create(net, request, &err)};
    if (!r.plan || !(r.tape = cr_tape_create(r.plan, &err)))
        fail_msg("%s", err.text);
    return r;
}

static void stop(run *r)
{
    cr_tape_free(r->tape);
    cr_plan_free(r->plan);
}

static void backward(run *r, const float *seed)
{
    cr_error err;
    if (!cr_tape_backward(r->tape, seed, &err))
        fail_msg("%s", err.text);
}

static size_t count_of(const cr_plan *plan, int node)
{
    int dim[3];
    cr_plan_shape(plan, node, dim);
    return (size_t)plan->N * (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
}

static float *read_node(const run *r, int node, bool gradient)
{
    cr_error err;
    float *out = zeros(count_of(r->plan, node), sizeof *out);
    if (!(gradient ? cr_tape_grad : cr_tape_value)(r->tape, node, out, &err))
        fail_msg("%s", err.text);
    return out;
}

/* Logits and one gradient of a request's run, to compare others with. */
typedef struct result {
    int node;
    float *logits, *grad;
} result;

static result read_result(const run *r, int node)
{
    return (result){node, read_node(r, r->plan->net->n_nodes - 1, false), read_node(r, node, true)};
}

static void free_result(result *r)
{
    free(r->logits);
    free(r->grad);
}

static void check_same_result(const run *r, const result *expected, const char *what)
{
    const cr_net *net = r->plan->net;
    result found = read_result(r, expected->node);
    check_same_bits(found.logits, expected->logits, count_of(r->plan, net->n_nodes - 1), "%s (%s): logits, %s",
                    net->arch, cr_isa(), what);
    check_same_bits(found.grad, expected->grad, count_of(r->plan, expected->node), "%s (%s): gradient of %s, %s",
                    net->arch, cr_isa(), net->nodes[expected->node].name, what);
    free_result(&found);
}

/* ---- against the oracle ---- */

/* All that the input's size decides: even and odd, W != H, one and several images, maps down to 1x1, and maps large
 * enough for Winograd's convolutions. */
static const struct {
    const char *arch;
    int width, classes, N, H, W;
} subjects[] = {
    {"resnet18", 8, 7, 2, 45, 61},
    {"resnet18", 5, 3, 1, 30, 17},
    {"resnet50", 4, 5, 1, 61, 42},
    {"resnet34", 16, 4, 1, 89, 110},
};

enum { SUBJECTS = sizeof subjects / sizeof subjects[0] };

static subject subject_at(int i)
{
    return make_subject(subjects[i].arch, subjects[i].width, subjects[i].classes, subjects[i].N, subjects[i].H,
                        subjects[i].W);
}

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
    check_request(s->oracle, &fused, s->x, NULL, TOLERANCE, fused_logits, NULL);
    check_request(s->oracle, &keep_all, s->x, s->seed, TOLERANCE, all_logits, NULL);
    check_close(fused_logits, all_logits, logits, TOLERANCE, "%s: fused logits against unfused ones", s->net->arch);
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
                check_request(s.oracle, &request, s.x, NULL, TOLERANCE, NULL, NULL);
            }
            request.keep = s.kinks;
            request.n_keep = s.n_kinks;
            request.grad = s.kinks;
            request.n_grad = s.n_kinks;
            check_request(s.oracle, &request, s.x, s.seed, TOLERANCE, NULL, NULL);
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
                check_request(s.oracle, &request, s.x, s.seed, TOLERANCE, logits, grad);

                request.n_keep = 0;
                run r = start(s.net, &request);
                cr_tape_forward(r.tape, s.x);
                backward(&r, s.seed);
                check_same_result(&r, &(result){node, logits, grad}, "keeping nothing");
                stop(&r);
                free(grad);
            }
        free(logits);
        free_subject(&s);
    }
}

/* ---- the same bits ---- */

static const int thread_counts[] = {1, 2, 3, 5};

static void test_same_bits_for_any_threads_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        subject s = subject_at(i);
        const int input = 0;
        cr_request request = request_of(&s);
        request.grad = &input;
        request.n_grad = 1;
        for (int isa = 0; use_isa(isa); isa++) {
            cr_set_threads(1);
            run r = start(s.net, &request);
            cr_tape_forward(r.tape, s.x);
            backward(&r, s.seed);
            result one = read_result(&r, input);
            backward(&r, s.seed);
            check_same_result(&r, &one, "a second backward");
            cr_tape_forward(r.tape, s.x);
            backward(&r, s.seed);
            check_same_result(&r, &one, "a second run");
            stop(&r);
            for (size_t t = 0; t < sizeof thread_counts / sizeof thread_counts[0]; t++) {
                cr_set_threads(thread_counts[t]);
                r = start(s.net, &request);
                cr_tape_forward(r.tape, s.x);
                backward(&r, s.seed);
                check_same_result(&r, &one, "another number of threads");
                stop(&r);
            }
            cr_set_threads(1);
            free_result(&one);
        }
        free_subject(&s);
    }
}

/* Image n of a batch has the bits it has alone, at every place. */
static void test_same_bits_in_any_batch(void **state)
{
    (void)state;
    enum { N = 3 };
    subject s = make_subject("resnet18", 8, 5, N, 45, 52);
    const int nodes[] = {0, cr_net_find(s.net, "layer2.0.conv1", NULL), cr_net_find(s.net, "layer4", NULL)};
    cr_request batch = request_of(&s), alone = batch;
    alone.n = 1;
    for (int isa = 0; use_isa(isa); isa++)
        for (int t = 0; t < 3; t++) {
            batch.grad = alone.grad = &nodes[t];
            batch.n_grad = alone.n_grad = 1;
            run r = start(s.net, &batch), one = start(s.net, &alone);
            cr_tape_forward(r.tape, s.x);
            backward(&r, s.seed);
            result all = read_result(&r, nodes[t]);
            const size_t input = count_of(one.plan, 0), grad = count_of(one.plan, nodes[t]);
            for (int n = 0; n < N; n++) {
                cr_tape_forward(one.tape, s.x + (size_t)n * input);
                backward(&one, s.seed + n * s.net->classes);
                const result expected = {nodes[t], all.logits + n * s.net->classes, all.grad + (size_t)n * grad};
                check_same_result(&one, &expected, "an image of the batch alone");
            }
            free_result(&all);
            stop(&r);
            stop(&one);
        }
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
        run many = start(s.net, &request);
        cr_tape_forward(many.tape, s.x);
        for (int c = 0; c < classes; c++) {
            for (int k = 0; k < s.N * classes; k++)
                seed[k] = k % classes == c ? 1.0f : 0.0f;
            backward(&many, seed);
            run fresh = start(s.net, &request);
            cr_tape_forward(fresh.tape, s.x);
            backward(&fresh, seed);
            result expected = read_result(&fresh, nodes[t]);
            check_same_result(&many, &expected, "another seed after the same forward");
            free_result(&expected);
            stop(&fresh);
        }
        stop(&many);
    }
    free(seed);
    free_subject(&s);
}

/* ---- the arena ---- */

/* All tensors of a plan that have a place. */
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
    }
    size_t placed = 0;
    for (size_t i = 0; i < count; i++)
        if (tensor_exists(list[i]) && list[i]->size > 0)
            list[placed++] = list[i];
    return placed;
}

static void check_places(const cr_plan *plan)
{
    const tensor **list = zeros(2 * (size_t)plan->net->n_nodes + 4 * (size_t)plan->n_steps, sizeof *list);
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

/* Fills everything with NaN that, at this time, holds nothing written before and read now or later. */
static void poison(const run *r, int time)
{
    const cr_plan *plan = r->plan;
    float *arena = tape_arena(r->tape);
    bool *live = zeros(plan->arena, sizeof *live);
    const tensor **list = zeros(2 * (size_t)plan->net->n_nodes + 4 * (size_t)plan->n_steps, sizeof *list);
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
    backward(r, seed);
    for (int i = S - 1; i >= 0; i--)
        if (r->plan->steps[i].active) {
            poison(r, 2 * S - 1 - i);
            tape_backward_step(r->tape, i);
        }
}

static void test_arena(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        subject s = subject_at(i);
        const int input = 0, last = s.net->n_nodes - 1;
        for (int isa = 0; use_isa(isa); isa++)
            for (int node = 0; node < s.net->n_nodes; node++) {
                if (!is_sampled(&s, node))
                    continue;
                /* a node, the end of a fused step behind it (the same for the last ones), and the seed's */
                const int grads[] = {node, s.kinks[s.n_kinks - 1], last};
                cr_request request = request_of(&s);
                request.keep = &input;
                request.n_keep = 1;
                request.grad = grads;
                request.n_grad = 3;
                run r = start(s.net, &request);
                check_places(r.plan);
                cr_tape_forward(r.tape, s.x);
                backward(&r, s.seed);
                result clean = read_result(&r, node);
                run_poisoned(&r, s.x, s.seed);
                check_same_result(&r, &clean, "with everything dead poisoned");
                free_result(&clean);
                stop(&r);
            }
        cr_request keep_all = request_of(&s);
        keep_all.keep = keep_all.grad = s.all;
        keep_all.n_keep = keep_all.n_grad = s.net->n_nodes;
        run r = start(s.net, &keep_all);
        check_places(r.plan);
        stop(&r);
        free_subject(&s);
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
        run r = start(s.net, ordered[i]);
        assert_true(cr_plan_arena_bytes(r.plan) > arena || (i == 1 && cr_plan_arena_bytes(r.plan) == arena));
        assert_true(cr_plan_packed_bytes(r.plan) >= packed);
        arena = cr_plan_arena_bytes(r.plan);
        packed = cr_plan_packed_bytes(r.plan);
        stop(&r);
    }
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

    run r = start(s.net, &request);
    assert_false(cr_tape_value(r.tape, kept, out, &err));
    check_message(&err, "no forward", NULL);
    assert_false(cr_tape_backward(r.tape, s.seed, &err));
    check_message(&err, "forward", NULL);
    cr_tape_forward(r.tape, s.x);
    assert_true(cr_tape_value(r.tape, kept, out, &err));
    assert_true(cr_tape_value(r.tape, last, out, &err));
    assert_false(cr_tape_grad(r.tape, kept, out, &err));
    check_message(&err, "no backward", NULL);
    backward(&r, s.seed);
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
    stop(&r);

    request.n_grad = 0;
    r = start(s.net, &request);
    cr_tape_forward(r.tape, s.x);
    assert_false(cr_tape_backward(r.tape, s.seed, &err));
    check_message(&err, "no gradients", NULL);
    stop(&r);
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
        cmocka_unit_test_setup(test_same_bits_for_many_seeds, one_thread),
        cmocka_unit_test_setup(test_arena, one_thread),
        cmocka_unit_test_setup(test_less_asked_takes_less, one_thread),
        cmocka_unit_test_setup(test_requests_that_cannot_be_met, one_thread),
        cmocka_unit_test_setup(test_reading_what_is_not_there, one_thread),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
