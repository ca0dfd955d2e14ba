/* subject.c - see subject.h. */
#include "subject.h"

#include <stdlib.h>
#include <string.h>

/* ---- a network with its weights, an input and a seed ---- */

subject make_subject(const char *arch, int width, int classes, int N, int H, int W)
{
    cr_error err;
    cr_net *net = cr_net_create(cr_arch_find(arch, NULL), 3, classes, width, &err);
    if (!net)
        fail_msg("%s", err.text);
    return subject_of(net, N, H, W);
}

subject subject_of(cr_net *net, int N, int H, int W)
{
    uint64_t state = SEED;
    subject s = {.net = net, .N = N, .H = H, .W = W};
    s.weights = bind_random(s.net, &state);
    s.x = new_random((size_t)(N * net->nodes[0].channels * H * W), -2.0f, 2.0f, &state);
    s.seed = new_random((size_t)(N * net->nodes[net->n_nodes - 1].channels), -1.0f, 1.0f, &state);
    s.oracle = oracle_create(s.net, N, H, W, s.x);
    s.all = zeros((size_t)s.net->n_nodes, sizeof *s.all);
    s.kinks = zeros((size_t)s.net->n_nodes, sizeof *s.kinks);
    s.learned = learned_params(s.net);
    for (int i = 0; i < s.net->n_nodes; i++) {
        s.all[i] = i;
        if (s.net->nodes[i].op == CR_RELU)
            s.kinks[s.n_kinks++] = i;
    }
    return s;
}

subject small_subject(int N, int H, int W)
{
    builder b = new_net("small");
    int x = add_relu(&b, add_conv2d(&b, add_input(&b, 3), "conv", 20, 3, 1, 1, true), "relu");
    x = add_maxpool(&b, x, "pool", 3, 2, 1);
    x = add_relu(&b, add_batchnorm(&b, add_conv2d(&b, x, "conv_1", 24, 3, 1, 1, true), "bn"), "relu_1");
    x = add_adaptive_avgpool(&b, add_dropout(&b, x, "dropout"), "avgpool", 3);
    x = add_dropout(&b, add_flatten(&b, x, "flatten", 24 * 9), "dropout_1");
    x = add_dropout(&b, add_relu(&b, add_linear(&b, x, "linear", 40), "relu_2"), "dropout_2");
    add_linear(&b, x, "linear_1", 5);
    return subject_of(b.net, N, H, W);
}

void free_subject(subject *s)
{
    oracle_free(s->oracle);
    cr_net_free(s->net);
    free(s->weights);
    free(s->x);
    free(s->seed);
    free(s->all);
    free(s->kinks);
    free(s->learned);
}

cr_request request_of(const subject *s)
{
    return (cr_request){.n = s->N, .h = s->H, .w = s->W};
}

/* All that the input's size decides: even and odd, W != H, one and several images, maps down to 1x1, and maps large
 * enough for Winograd's convolutions. */
static const struct {
    const char *arch;
    int width, classes, N, H, W;
} subjects[SUBJECTS] = {
    {"resnet18", 8, 7, 2, 45, 61},
    {"resnet18", 5, 3, 1, 30, 17},
    {"resnet50", 4, 5, 1, 61, 42},
    {"resnet34", 16, 4, 1, 89, 110},
};

subject subject_at(int i)
{
    return make_subject(subjects[i].arch, subjects[i].width, subjects[i].classes, subjects[i].N, subjects[i].H,
                        subjects[i].W);
}

bool is_sampled(const subject *s, int node)
{
    return node % (1 + s->net->n_nodes / 24) == 0;
}

/* ---- runs ---- */

run start_run(const cr_net *net, const cr_request *request)
{
    cr_error err;
    run r = {.plan = cr_plan_create(net, request, &err)};
    if (!r.plan || !(r.tape = cr_tape_create(r.plan, &err)))
        fail_msg("%s", err.text);
    return r;
}

void stop_run(run *r)
{
    cr_tape_free(r->tape);
    cr_plan_free(r->plan);
}

void run_backward(run *r, const float *seed)
{
    cr_error err;
    if (!cr_tape_backward(r->tape, seed, &err))
        fail_msg("%s", err.text);
}

size_t count_of(const cr_plan *plan, int node)
{
    int dim[3];
    cr_plan_shape(plan, node, dim);
    return (size_t)plan->N * (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
}

float *read_node(const run *r, int node, bool gradient)
{
    cr_error err;
    float *out = zeros(count_of(r->plan, node), sizeof *out);
    if (!(gradient ? cr_tape_grad : cr_tape_value)(r->tape, node, out, &err))
        fail_msg("%s", err.text);
    return out;
}

/* ---- results ---- */

static size_t param_count(const cr_param *p)
{
    size_t count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= (size_t)p->dim[d];
    return count;
}

/* The parameters' gradients that the plan was asked for. */
static void read_param_grads(const run *r, result *to)
{
    const cr_net *net = r->plan->net;
    size_t size = 0;
    for (int i = 0; i < net->n_params; i++)
        size += param_count(&net->params[i]);
    to->params = zeros(size, sizeof *to->params);
    for (int i = 0; i < net->n_params; i++) {
        const float *grad = cr_tape_param_grad(r->tape, i, NULL);
        if (!grad)
            continue;
        memcpy(to->params + to->n_params, grad, sizeof *grad * param_count(&net->params[i]));
        to->n_params += param_count(&net->params[i]);
    }
}

result read_result(const run *r, int node)
{
    result found = {node, read_node(r, r->plan->net->n_nodes - 1, false), read_node(r, node, true), NULL, 0};
    read_param_grads(r, &found);
    return found;
}

void free_result(result *r)
{
    free(r->logits);
    free(r->grad);
    free(r->params);
}

void check_same_result(const run *r, const result *expected, const char *what)
{
    const cr_net *net = r->plan->net;
    result found = read_result(r, expected->node);
    check_same_bits(found.logits, expected->logits, count_of(r->plan, net->n_nodes - 1), "%s (%s): logits, %s",
                    net->arch, cr_isa(), what);
    check_same_bits(found.grad, expected->grad, count_of(r->plan, expected->node), "%s (%s): gradient of %s, %s",
                    net->arch, cr_isa(), net->nodes[expected->node].name, what);
    assert_int_equal(found.n_params, expected->n_params);
    check_same_bits(found.params, expected->params, expected->n_params, "%s (%s): gradients of parameters, %s", net->arch,
                    cr_isa(), what);
    free_result(&found);
}
