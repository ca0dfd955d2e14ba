/* bench.c - times every network and every layer on this machine, against this machine's own ceilings.
 *
 * No files and no network: weights are random, made in place. Ceilings measured in the same run: fused multiply-adds per
 * second on all threads, with the instruction set of the kernels in use, and bytes read per second. Times are medians.
 * % of peak counts the operations of the formula, % busy those that the kernel makes: Winograd's makes fewer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ceilings.h"
#include "ops.h"

typedef struct options {
    const char *archs; /* comma-separated */
    const char *json;
    int size, batch, threads;
    double seconds; /* spent on each measurement */
    bool layers, direct;
} options;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void progress(const char *what)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s%s", what, *what ? " ..." : "");
}

static void die(const char *message)
{
    progress("");
    fprintf(stderr, "bench: %s\n", message);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of run(context), after a warm-up of a fifth of the time. */
static double median_time(void (*run)(void *), void *context, double seconds)
{
    enum { MAX_RUNS = 1000 };
    static double times[MAX_RUNS];
    int runs = 0;
    for (double end = now() + seconds / 5; now() < end;)
        run(context);
    for (double end = now() + seconds; runs < MAX_RUNS && (runs < 5 || now() < end); runs++) {
        double start = now();
        run(context);
        times[runs] = now() - start;
    }
    qsort(times, (size_t)runs, sizeof *times, by_value);
    return times[runs / 2];
}

/* ---- ceilings ---- */

static const ceilings *const builds[] = {
#if defined __x86_64__
    &ceilings_avx512, &ceilings_avx2,
#elif defined __aarch64__
    &ceilings_neon,
#endif
    &ceilings_portable,
};
static const ceilings *limits; /* of the kernels in use */

static void find_limits(void)
{
    for (size_t i = 0; i < sizeof builds / sizeof builds[0]; i++)
        if (strcmp(builds[i]->isa, cr_isa()) == 0)
            limits = builds[i];
}

static void run_fma(void *flops)
{
    double sum = 0.0;
#pragma omp parallel reduction(+ : sum)
    {
        float sink = 0.999f;
        sum += limits->burn_fma(2000000, &sink);
    }
    *(double *)flops = sum;
}

static double measure_flops(double seconds)
{
    double flops = 0.0;
    double time = median_time(run_fma, &flops, seconds);
    return flops / time;
}

enum { READ_FLOATS = 1 << 26 }; /* 256 MB: far larger than any cache */

static void run_read(void *data)
{
    const size_t piece = 1 << 16;
    float sum = 0.0f;
#pragma omp parallel for schedule(static) reduction(+ : sum)
    for (size_t i = 0; i < READ_FLOATS; i += piece)
        sum += limits->read_floats((const float *)data + i, piece);
    *(float *)data = sum > 0.0f ? 1.0f : 0.5f;
}

static double measure_read(double seconds)
{
    float *data = aligned_floats(READ_FLOATS);
    if (!data)
        die("out of memory for 256 MB to read");
    for (size_t i = 0; i < READ_FLOATS; i++)
        data[i] = 1.0f;
    double time = median_time(run_read, data, seconds);
    free(data);
    return sizeof(float) * (double)READ_FLOATS / time;
}

/* ---- a network with random weights ---- */

/* splitmix64: uniform in [-1, 1). */
static float uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)((double)((z ^ (z >> 31)) >> 11) / 4503599627370496.0 - 1.0);
}

enum { LINE = 64 }; /* bytes, at multiples of which tensors start in the files that camrun and PyTorch write */

static size_t whole_lines(size_t floats)
{
    const size_t line = LINE / sizeof(float);
    return (floats + line - 1) / line * line;
}

/* He et al.'s scale keeps activations of order 1, so no denormals slow the clock and none are hidden by zeros. */
static float *bind_random(cr_net *net)
{
    size_t total = 0;
    for (int i = 0; i < net->n_params; i++)
        total += whole_lines((size_t)net->params[i].dim[0] * (size_t)net->params[i].dim[1] *
                             (size_t)net->params[i].dim[2] * (size_t)net->params[i].dim[3]);
    float *values = aligned_alloc(LINE, total * sizeof *values), *next = values;
    if (!values)
        die("out of memory for the weights");
    uint64_t state = 1;
    for (int i = 0; i < net->n_params; i++) {
        cr_param *p = &net->params[i];
        size_t fan_in = (size_t)p->dim[1] * (size_t)p->dim[2] * (size_t)p->dim[3], count = (size_t)p->dim[0] * fan_in;
        bool weight = p->ndim > 1, positive = strstr(p->name, "var") || (p->ndim == 1 && strstr(p->name, "weight"));
        float scale = weight ? sqrtf(6.0f / (float)fan_in) : 0.1f;
        p->data = next;
        for (size_t k = 0; k < count; k++)
            next[k] = uniform(&state) * scale + (positive ? 1.0f : 0.0f);
        next += whole_lines(count);
    }
    return values;
}

static float *random_input(size_t count)
{
    float *x = malloc(count * sizeof *x);
    if (!x)
        die("out of memory for the input");
    uint64_t state = 2;
    for (size_t i = 0; i < count; i++)
        x[i] = uniform(&state);
    return x;
}

/* ---- what is timed ---- */

typedef struct run {
    cr_tape *tape;
    const float *x, *seed;
    float *value, *grad; /* of the layer explained */
    int layer, step, count;
} run;

static void run_forward(void *context)
{
    run *r = context;
    cr_tape_forward(r->tape, r->x);
}

/* Forward, backward and the copies that a map is made of; the map's own sum over channels is noise beside them. */
static void run_gradcam(void *context)
{
    run *r = context;
    cr_tape_forward(r->tape, r->x);
    if (!cr_tape_backward(r->tape, r->seed, NULL) || !cr_tape_value(r->tape, r->layer, r->value, NULL) ||
        !cr_tape_grad(r->tape, r->layer, r->grad, NULL))
        die("internal error: the plan keeps no gradient");
}

static void run_step(void *context)
{
    run *r = context;
    tape_forward_step(r->tape, r->step);
}

typedef struct work {
    double flops, bytes;
} work;
typedef work peak; /* done in a second */

static double time_gradcam(const cr_net *net, const options *o, const float *x, const float *seed, int layer)
{
    cr_error err;
    const cr_request request = {
        .n = o->batch, .h = o->size, .w = o->size, .keep = &layer, .n_keep = 1, .grad = &layer, .n_grad = 1, .direct = o->direct};
    cr_plan *plan = cr_plan_create(net, &request, &err);
    cr_tape *tape = plan ? cr_tape_create(plan, &err) : NULL;
    if (!tape)
        die(err.text);
    int dim[3];
    cr_plan_shape(plan, layer, dim);
    size_t count = (size_t)o->batch * (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
    float *both = malloc(2 * count * sizeof *both);
    if (!both)
        die("out of memory for a map");
    run r = {.tape = tape, .x = x, .seed = seed, .layer = layer, .value = both, .grad = both + count};
    double time = median_time(run_gradcam, &r, o->seconds);
    free(both);
    cr_tape_free(tape);
    cr_plan_free(plan);
    return time;
}

/* Floating-point operations that the step's kernel really makes: Winograd's makes fewer than the formula. */
static double operations(const cr_net *net, const cr_plan *plan, int i)
{
    const step *s = &plan->steps[i];
    if (net->nodes[s->node].op == CR_CONV2D && s->forward.winograd)
        return 2.0 * (double)winograd_macs(plan, &s->forward, &plan->value[s->x], plan->shape[s->last][0]);
    return 2.0 * (double)cr_node_macs(net, s->node, plan->shape) * plan->N;
}

static const char *kernel_name(const cr_net *net, const cr_plan *plan, int i)
{
    const step *s = &plan->steps[i];
    if (net->nodes[s->node].op != CR_CONV2D)
        return "";
    return s->forward.winograd ? winograd_name(&s->forward) : "direct";
}

/* What no kernel of these operations can do without: the convolutions' operations, and the bytes of the fully connected
 * layers' weights. All other reading and writing is left out. */
static work least_work(const cr_net *net, const cr_plan *plan)
{
    work least = {0};
    for (int i = 0; i < plan->n_steps; i++) {
        const int node = plan->steps[i].node;
        if (net->nodes[node].op == CR_LINEAR)
            least.bytes += 4.0 * (double)cr_node_params(net, node);
        else
            least.flops += operations(net, plan, i);
    }
    return least;
}

static void bench_layers(const cr_net *net, const cr_plan *plan, cr_tape *tape, const options *o, const peak *top,
                         FILE *json)
{
    printf("  %-22s %-9s %15s %9s %9s %7s %7s  %s\n", "layer", "op", "output CxHxW", "us", "GFLOP/s", "% peak", "% busy", "kernel");
    for (int i = 0; i < plan->n_steps; i++) {
        const step *s = &plan->steps[i];
        const cr_node *n = &net->nodes[s->node];
        if (n->op == CR_INPUT)
            continue;
        progress(n->name);
        run r = {.tape = tape, .step = i};
        double time = median_time(run_step, &r, o->seconds / 10);
        double flops = 2.0 * (double)cr_node_macs(net, s->node, plan->shape) * o->batch;
        const int *d = plan->shape[s->last];
        char shape[32];
        snprintf(shape, sizeof shape, "%dx%dx%d", d[0], d[1], d[2]);
        progress("");
        printf("  %-22s %-9s %15s %9.1f %9.1f %7.1f %7.1f  %s\n", n->name, cr_op_name(n->op), shape, 1e6 * time,
               flops / time / 1e9, 100.0 * flops / time / top->flops, 100.0 * operations(net, plan, i) / time / top->flops,
               kernel_name(net, plan, i));
        if (json)
            fprintf(json, "%s\n      {\"layer\": \"%s\", \"op\": \"%s\", \"shape\": [%d, %d, %d], \"seconds\": %.9f, \"flops\": %.0f, "
                          "\"operations\": %.0f, \"kernel\": \"%s\"}",
                    i > 1 ? "," : "", n->name, cr_op_name(n->op), d[0], d[1], d[2], time, flops, operations(net, plan, i),
                    kernel_name(net, plan, i));
    }
}

static void bench_net(const char *name, const options *o, const peak *top, FILE *json)
{
    cr_error err;
    const cr_arch *arch = cr_arch_find(name, &err);
    cr_net *net = arch ? cr_net_create(arch, 3, 1000, arch->width, &err) : NULL;
    if (!net)
        die(err.text);
    progress(name);
    float *weights = bind_random(net);
    float *x = random_input((size_t)o->batch * 3 * (size_t)o->size * (size_t)o->size);
    float *seed = calloc((size_t)o->batch * 1000, sizeof *seed);
    if (!seed)
        die("out of memory for the seed");
    for (int n = 0; n < o->batch; n++)
        seed[n * 1000 + 243] = 1.0f;
    const cr_request request = {.n = o->batch, .h = o->size, .w = o->size, .direct = o->direct};
    cr_plan *plan = cr_plan_create(net, &request, &err);
    cr_tape *tape = plan ? cr_tape_create(plan, &err) : NULL;
    if (!tape)
        die(err.text);

    run r = {.tape = tape, .x = x};
    double forward = median_time(run_forward, &r, o->seconds), flops = 0.0, bytes = 0.0;
    for (int i = 0; i < net->n_nodes; i++) {
        flops += 2.0 * (double)cr_node_macs(net, i, plan->shape) * o->batch;
        bytes += 4.0 * (double)cr_node_params(net, i);
    }
    double last = time_gradcam(net, o, x, seed, cr_net_last_feature_map(net));
    int shallow = cr_net_find(net, "layer1", NULL);
    double first = shallow >= 0 ? time_gradcam(net, o, x, seed, shallow) : 0.0;
    progress("");
    const work least = least_work(net, plan);
    const double floor = least.flops / top->flops + least.bytes / top->bytes;
    printf("%-9s forward %8.2f ms (floor %6.2f) %7.1f GFLOP/s (%5.1f %% of peak), weights %6.1f GB/s (%5.1f %%); "
           "Grad-CAM %8.2f ms (%.2fx)",
           name, 1e3 * forward, 1e3 * floor, flops / forward / 1e9, 100.0 * flops / forward / top->flops,
           bytes / forward / 1e9, 100.0 * bytes / forward / top->bytes, 1e3 * last, last / forward);
    if (shallow >= 0)
        printf("; at layer1 %8.2f ms (%.2fx)", 1e3 * first, first / forward);
    printf("; arena %.1f MB, packed %.1f MB\n", (double)cr_plan_arena_bytes(plan) / 1e6, (double)cr_plan_packed_bytes(plan) / 1e6);
    if (json)
        fprintf(json, "\n    {\"arch\": \"%s\", \"forward\": %.9f, \"floor\": %.9f, \"least_flops\": %.0f, \"least_bytes\": %.0f, \"gradcam\": %.9f, "
                      "\"gradcam_layer1\": %.9f, \"flops\": %.0f, "
                      "\"weight_bytes\": %.0f, \"arena_bytes\": %zu, \"packed_bytes\": %zu, \"layers\": [",
                name, forward, floor, least.flops, least.bytes, last, first, flops, bytes, cr_plan_arena_bytes(plan), cr_plan_packed_bytes(plan));
    if (o->layers)
        bench_layers(net, plan, tape, o, top, json);
    if (json)
        fprintf(json, "]}");
    fflush(stdout);
    cr_tape_free(tape);
    cr_plan_free(plan);
    cr_net_free(net);
    free(weights);
    free(x);
    free(seed);
}

/* ---- options ---- */

static const char usage[] =
    "bench: times every network and layer, against the ceilings of this machine\n"
    "  --archs A,B,..    networks (default alexnet,vgg19,resnet18,resnet34,resnet50)\n"
    "  --layers          every layer too                --direct      no Winograd\n"
    "  --size N          input of N x N pixels (224)      --batch N     images at once (1)\n"
    "  --threads N       (all cores)                      --seconds S   spent on each measurement (1)\n"
    "  --json FILE       the same figures for programs\n";

static long number(const char *text, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > most)
        die("a count is out of range; see --help");
    return value;
}

static options parse(int argc, char **argv)
{
    options o = {.archs = "alexnet,vgg19,resnet18,resnet34,resnet50", .size = 224, .batch = 1, .seconds = 1.0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (strcmp(argv[i], "--layers") == 0) {
            o.layers = true;
            continue;
        }
        if (strcmp(argv[i], "--direct") == 0) {
            o.direct = true;
            continue;
        }
        if (i + 1 == argc)
            die("unknown option, or one without its value; see --help");
        const char *name = argv[i], *value = argv[++i];
        if (strcmp(name, "--archs") == 0)
            o.archs = value;
        else if (strcmp(name, "--json") == 0)
            o.json = value;
        else if (strcmp(name, "--size") == 0)
            o.size = (int)number(value, 4096);
        else if (strcmp(name, "--batch") == 0)
            o.batch = (int)number(value, 256);
        else if (strcmp(name, "--threads") == 0)
            o.threads = (int)number(value, 256);
        else if (strcmp(name, "--seconds") == 0)
            o.seconds = atof(value) > 0.0 ? atof(value) : 1.0;
        else
            die("unknown option; see --help");
    }
    return o;
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    if (o.threads)
        cr_set_threads(o.threads);
    if (o.threads > cr_threads())
        die("--threads: more than the one of a build without OpenMP; build again without OMP=0");
    cr_bind_threads();
    FILE *json = o.json ? fopen(o.json, "w") : NULL;
    if (o.json && !json)
        die("cannot write the --json file");
    progress("ceilings");
    find_limits();
    const peak top = {measure_flops(o.seconds), measure_read(o.seconds)};
    progress("");
    printf("%s kernels, %d threads, %dx%d, batch %d; peak %.1f GFLOP/s, read %.1f GB/s\n", cr_isa(), cr_threads(), o.size,
           o.size, o.batch, top.flops / 1e9, top.bytes / 1e9);
    if (json)
        fprintf(json, "{\"isa\": \"%s\", \"threads\": %d, \"size\": %d, \"batch\": %d, \"peak_flops\": %.0f, \"read_bytes_per_second\": %.0f, "
                      "\"networks\": [", cr_isa(), cr_threads(), o.size, o.batch, top.flops, top.bytes);
    char name[32];
    for (const char *at = o.archs; *at;) {
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), at);
        if (json && at != o.archs)
            fputc(',', json);
        bench_net(name, &o, &top, json);
        at += length + (at[length] == ',');
    }
    if (json && (fprintf(json, "\n]}\n") < 0 || fclose(json) != 0))
        die("cannot write the --json file");
    return 0;
}
