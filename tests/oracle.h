/* oracle.h - the slow, obvious way to run a net, which the engine is compared with.
 *
 * One node after the other with the reference ops of engine/reference.h, on plain NCHW arrays: no plan, nothing fused,
 * nothing shared; every node's value and gradient has memory of its own. */
#ifndef CAMRUN_TESTS_ORACLE_H
#define CAMRUN_TESTS_ORACLE_H

#include "engine.h"

typedef struct oracle {
    const cr_net *net;
    int N, H, W;
    int (*shape)[3]; /* per node: C, H, W */
    float **value;   /* per node */
    float **grad;    /* per node */
    float **param_grad; /* per parameter; running statistics have none */
    float **mean, **var; /* per node: what a batchnorm normalised by */
    bool *trains;    /* per node: a batchnorm that does so by the batch's statistics, a dropout that drops */
    uint64_t seed;   /* of the dropouts */
    int end;         /* where a backward begins */
    cr_relu_rule relu;
} oracle;

/* Runs the forward for x (N,C,H,W) in evaluation mode. */
oracle *oracle_create(const cr_net *net, int N, int H, int W, const float *x);
/* The same in the mode that a request asks for; of it, size, end, relu, train and param_grad are read. */
oracle *oracle_create_for(const cr_net *net, const cr_request *request, uint64_t seed, const float *x);
void oracle_free(oracle *o);
/* Floats in a node's value: all images. */
size_t oracle_count(const oracle *o, int node);

/* Gradients of all nodes and parameters, from the end's (seed) on; behind the end they are zero. ReLU and max-pool are differentiated at at[input or output node], or at the oracle's own
 * values where that is NULL: two correct forwards differ by rounding, so where a value is that close to the kink
 * each has its own derivative, and comparing gradients means taking both at the same point. */
void oracle_backward(oracle *o, float *const *at, const float *seed);

size_t oracle_param_count(const oracle *o, int param);

/* Runs a request with the engine, forward and, where it asks for gradients, backward from seed, and compares all it
 * asks for, parameters' gradients included. Gradients are taken at the values the engine kept. logits and grad (of the request's first node of
 * `grad`) receive copies, where they are not NULL. */
void check_request(oracle *o, const cr_request *request, const float *x, const float *seed, double tol, float *logits,
                   float *grad);

#endif
