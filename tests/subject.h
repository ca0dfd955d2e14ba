/* subject.h - what the tests of plans share: a network with its weights, an input and a seed, and runs of it. */
#ifndef CAMRUN_TESTS_SUBJECT_H
#define CAMRUN_TESTS_SUBJECT_H

#include "check.h"
#include "ops.h"
#include "oracle.h"

/* Rounding grows through the layers: a few times what a single op is allowed (test_ops.c). */
#define NETWORK_TOLERANCE 2e-5

typedef struct subject {
    cr_net *net;
    float *weights, *x, *seed;
    int N, H, W;
    oracle *oracle;
    int *all; /* every node */
    /* The nodes whose values decide a derivative: ReLUs, which are also what max-pools read. Keeping them changes
     * nothing about what is fused, as fused steps end in them. */
    int *kinks, n_kinks;
    bool *learned; /* every parameter that has a gradient */
} subject;

subject make_subject(const char *arch, int width, int classes, int N, int H, int W);
/* The net becomes the subject's. It ends in a vector. */
subject subject_of(cr_net *net, int N, int H, int W);
/* What AlexNet and VGG have and ResNets have not, small: biases, ReLUs right behind convolutions, dropouts. 5 classes. */
subject small_subject(int N, int H, int W);
void free_subject(subject *s);
cr_request request_of(const subject *s);
/* Small variants of the real topologies. */
enum { SUBJECTS = 4 };
subject subject_at(int i);
/* A strided choice of nodes from shallow to deep, always with the input. */
bool is_sampled(const subject *s, int node);

typedef struct run {
    cr_plan *plan;
    cr_tape *tape;
} run;

run start_run(const cr_net *net, const cr_request *request);
void stop_run(run *r);
void run_backward(run *r, const float *seed);
size_t count_of(const cr_plan *plan, int node);
float *read_node(const run *r, int node, bool gradient);

/* Logits, one gradient, and all parameters' gradients of a request's run, to compare others with. */
typedef struct result {
    int node;
    float *logits, *grad;
    float *params; /* behind each other; NULL where none was asked for */
    size_t n_params;
} result;

result read_result(const run *r, int node);
void free_result(result *r);
void check_same_result(const run *r, const result *expected, const char *what);

#endif
