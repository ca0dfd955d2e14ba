/* training.c - steps of a training, for scripts: tests/compare_training.py reads its gradients and losses,
 * bench/compare_training.py its times. See `training --help`. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "npy.h"
#include "ops.h"
#include "optimizer.h"
#include "weights.h"

static const char help[] =
    "training WEIGHTS INPUT.npy LABEL,... [options]\n"
    "  --eval            batchnorm by its running statistics, no dropout\n"
    "  --dropout P       of all dropouts (default: the network's)\n"
    "  --direct          no Winograd\n"
    "  --lr L --momentum M --decay D --nesterov\n"
    "  --gradients FILE  write the gradients of one step, as safetensors\n"
    "  --steps N         print the loss before each of N steps\n"
    "  --save FILE       and write the weights and running statistics behind them\n"
    "  --layers N        print what each layer takes, a mean over N steps\n"
    "  --turns           for each number read: steps for so many seconds; print their times in ms as JSON\n"
    "  --threads N\n";

typedef struct options {
    const char *weights, *input, *labels, *gradients, *save;
    bool eval, direct, turns;
    float dropout; /* negative: the network's */
    int steps, layers;
    cr_sgd sgd;
} options;

static void die(const char *message)
{
    fprintf(stderr, "training: %s\n", message);
    exit(1);
}

static void *allocate(size_t count)
{
    float *p = calloc(count ? count : 1, sizeof *p);
    if (!p)
        die("out of memory");
    return p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* ---- a network that learns ---- */

typedef struct trainer {
    options o;
    cr_net *net;
    cr_plan *plan;
    cr_tape *tape;
    float **value, **buffer; /* of each parameter: its own memory, its momentum */
    bool *learned;
    float *x, *logits, *dz;
    int *labels, n;
    int step;
} trainer;

static size_t param_count(const cr_param *p)
{
    size_t count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= (size_t)p->dim[d];
    return count;
}

static trainer start(const options *o)
{
    cr_error err;
    trainer t = {.o = *o};
    cr_weights *file = cr_weights_open(o->weights, &err);
    t.net = file ? cr_net_load(file, NULL, &err) : NULL;
    int ndim, dim[CR_NPY_DIMS];
    if (!t.net || !cr_npy_read(o->input, &t.x, &ndim, dim, &err))
        die(err.text);
    if (ndim != 4 || dim[1] != t.net->in_channels)
        die("expected an input (N,C,H,W) with the network's channels");
    t.n = dim[0];
    t.value = calloc((size_t)t.net->n_params, sizeof *t.value);
    t.buffer = calloc((size_t)t.net->n_params, sizeof *t.buffer);
    t.learned = calloc((size_t)t.net->n_params, sizeof *t.learned);
    t.labels = calloc((size_t)t.n, sizeof *t.labels);
    if (!t.value || !t.buffer || !t.learned || !t.labels)
        die("out of memory");
    for (int i = 0; i < t.net->n_params; i++) {
        cr_param *p = &t.net->params[i];
        t.value[i] = memcpy(allocate(param_count(p)), p->data, param_count(p) * sizeof(float));
        t.buffer[i] = allocate(param_count(p));
        p->data = t.value[i];
    }
    t.net->packed = NULL; /* the file's pages are no longer what is packed */
    for (int i = 0; i < t.net->n_nodes; i++) {
        cr_node *n = &t.net->nodes[i];
        for (int p = 0; p < n->n_params && p < 2; p++)
            t.learned[n->param + p] = true;
        if (n->op == CR_DROPOUT && o->dropout >= 0.0f)
            n->p = o->dropout;
    }
    const char *at = o->labels;
    for (int i = 0; i < t.n; i++, at += *at == ',') {
        char *end;
        t.labels[i] = (int)strtol(at, &end, 10);
        if (end == at || t.labels[i] < 0 || t.labels[i] >= t.net->classes)
            die("expected a label for each image");
        at = end;
    }
    t.logits = allocate((size_t)t.n * (size_t)t.net->classes);
    t.dz = allocate((size_t)t.n * (size_t)t.net->classes);
    const cr_request request = {.n = t.n,
                                .h = dim[2],
                                .w = dim[3],
                                .direct = o->direct,
                                .train = !o->eval,
                                .param_grad = t.learned};
    t.plan = cr_plan_create(t.net, &request, &err);
    t.tape = t.plan ? cr_tape_create(t.plan, &err) : NULL;
    if (!t.tape)
        die(err.text);
    return t;
}

static double forward(trainer *t)
{
    cr_tape_seed(t->tape, (uint64_t)t->step);
    cr_tape_forward(t->tape, t->x);
    cr_tape_value(t->tape, t->net->n_nodes - 1, t->logits, NULL);
    return cr_cross_entropy(t->dz, t->logits, t->labels, t->n, t->net->classes);
}

static void backward(trainer *t)
{
    cr_error err;
    if (!cr_tape_backward(t->tape, t->dz, &err))
        die(err.text);
}

/* All that changes values: the optimiser and the running statistics. */
static void update(trainer *t)
{
    cr_error err;
    for (int i = 0; i < t->net->n_params; i++) {
        const float *grad = t->learned[i] ? cr_tape_param_grad(t->tape, i, &err) : NULL;
        if (t->learned[i] && !grad)
            die(err.text);
        if (grad)
            cr_sgd_step(&t->o.sgd, t->value[i], grad, t->o.sgd.momentum > 0.0 ? t->buffer[i] : NULL,
                        param_count(&t->net->params[i]));
    }
    for (int i = 0; i < t->net->n_nodes && !t->o.eval; i++) {
        const cr_node *n = &t->net->nodes[i];
        if (n->op == CR_BATCHNORM &&
            !cr_tape_update_running(t->tape, i, 0.1f, t->value[n->param + 2], t->value[n->param + 3], &err))
            die(err.text);
    }
    t->step++;
}

/* ---- what is asked ---- */

static void write_tensors(const trainer *t, const char *path, bool gradients)
{
    cr_error err;
    cr_tensor *tensors = calloc((size_t)t->net->n_params, sizeof *tensors);
    int count = 0;
    for (int i = 0; tensors && i < t->net->n_params; i++) {
        const cr_param *p = &t->net->params[i];
        const float *data = gradients ? (t->learned[i] ? cr_tape_param_grad(t->tape, i, NULL) : NULL) : t->value[i];
        if (!data)
            continue;
        tensors[count] = (cr_tensor){.name = p->name, .dtype = CR_F32, .ndim = p->ndim, .data = data};
        for (int d = 0; d < p->ndim; d++)
            tensors[count].dim[d] = p->dim[d];
        count++;
    }
    if (!tensors || !cr_weights_write(path, tensors, count, NULL, 0, false, &err))
        die(tensors ? err.text : "out of memory");
    free(tensors);
}

static void run_turns(trainer *t)
{
    double seconds;
    while (scanf("%lf", &seconds) == 1) {
        const char *separator = "[";
        for (double end = now() + 1e3 * seconds; now() < end; separator = ", ") {
            const double start = now();
            forward(t);
            const double forwarded = now();
            backward(t);
            const double backwarded = now();
            update(t);
            const double updated = now();
            cr_plan_update(t->plan);
            printf("%s{\"forward\": %.3f, \"backward\": %.3f, \"optimizer\": %.3f, \"layout\": %.3f, \"step\": %.3f}", separator,
                   forwarded - start, backwarded - forwarded, updated - backwarded, now() - updated, now() - start);
        }
        printf("]\n");
        fflush(stdout);
    }
}

static void print_layers(trainer *t)
{
    const int S = t->plan->n_steps;
    double *time = calloc((size_t)S * 2, sizeof *time), total = 0.0;
    if (!time)
        die("out of memory");
    for (int repeat = 0; repeat < t->o.layers; repeat++) {
        forward(t);
        backward(t);
        for (int i = 0; i < 2 * S; i++) {
            const bool is_forward = i < S;
            const int at = is_forward ? i : 2 * S - 1 - i;
            if (at == 0 || (!is_forward && !t->plan->steps[at].active))
                continue;
            const double begin = now();
            if (is_forward)
                tape_forward_step(t->tape, at);
            else
                tape_backward_step(t->tape, at);
            time[2 * at + !is_forward] += now() - begin;
        }
    }
    printf("%-26s %-9s %12s %9s %9s ms\n", "layer", "op", "CxHxW", "forward", "backward");
    for (int i = 1; i < S; i++) {
        const step *s = &t->plan->steps[i];
        const int *d = t->plan->shape[s->last];
        char shape[32];
        snprintf(shape, sizeof shape, "%dx%dx%d", d[0], d[1], d[2]);
        printf("%-26s %-9s %12s %9.3f %9.3f\n", t->net->nodes[s->node].name, cr_op_name(t->net->nodes[s->node].op), shape,
               time[2 * i] / t->o.layers, time[2 * i + 1] / t->o.layers);
        total += (time[2 * i] + time[2 * i + 1]) / t->o.layers;
    }
    printf("together %.3f ms, arena %.1f MB, packed %.1f MB\n", total, (double)cr_plan_arena_bytes(t->plan) / 1e6,
           (double)cr_plan_packed_bytes(t->plan) / 1e6);
    free(time);
}

static options read_options(int argc, char **argv)
{
    options o = {.dropout = -1.0f, .sgd = {.lr = 0.1}};
    static const struct option table[] = {
        {"eval", no_argument, NULL, 'e'},           {"dropout", required_argument, NULL, 'p'},
        {"direct", no_argument, NULL, 'x'},         {"lr", required_argument, NULL, 'l'},
        {"momentum", required_argument, NULL, 'm'}, {"decay", required_argument, NULL, 'd'},
        {"nesterov", no_argument, NULL, 'n'},       {"gradients", required_argument, NULL, 'g'},
        {"steps", required_argument, NULL, 's'},    {"save", required_argument, NULL, 'o'},
        {"layers", required_argument, NULL, 'y'},   {"turns", no_argument, NULL, 't'},
        {"threads", required_argument, NULL, 'j'},  {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;)
        switch (c) {
        case 'e': o.eval = true; break;
        case 'p': o.dropout = (float)atof(optarg); break;
        case 'x': o.direct = true; break;
        case 'l': o.sgd.lr = atof(optarg); break;
        case 'm': o.sgd.momentum = atof(optarg); break;
        case 'd': o.sgd.weight_decay = atof(optarg); break;
        case 'n': o.sgd.nesterov = true; break;
        case 'g': o.gradients = optarg; break;
        case 's': o.steps = atoi(optarg); break;
        case 'o': o.save = optarg; break;
        case 'y': o.layers = atoi(optarg); break;
        case 't': o.turns = true; break;
        case 'j': cr_set_threads(atoi(optarg)); break;
        case 'h': fputs(help, stdout); exit(0);
        default: fputs(help, stderr); exit(2);
        }
    if (argc - optind != 3) {
        fputs(help, stderr);
        exit(2);
    }
    o.weights = argv[optind];
    o.input = argv[optind + 1];
    o.labels = argv[optind + 2];
    return o;
}

int main(int argc, char **argv)
{
    const options o = read_options(argc, argv);
    trainer t = start(&o);
    if (o.gradients) {
        printf("%.9g\n", forward(&t));
        backward(&t);
        write_tensors(&t, o.gradients, true);
    }
    for (int i = 0; i < o.steps; i++) {
        printf("%.9g\n", forward(&t));
        backward(&t);
        update(&t);
        cr_plan_update(t.plan);
    }
    fflush(stdout);
    if (o.save)
        write_tensors(&t, o.save, false);
    if (o.layers)
        print_layers(&t);
    if (o.turns)
        run_turns(&t);
    return 0; /* the system takes everything back */
}
