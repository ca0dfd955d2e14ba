/* randomize.c - shuffled parameters, from the last stage to the first (randomize.h). */
#include "randomize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

static size_t param_size(const cr_param *p)
{
    size_t n = 1;
    for (int i = 0; i < p->ndim; i++)
        n *= (size_t)p->dim[i];
    return n;
}

/* The stage's name that a node's stands for: "layer4.1" of "layer4.1.conv2", all of "features.10". */
static void stage_name(char name[CR_NAME_SIZE], const char *node)
{
    const char *dot = strchr(node, '.');
    const char *end = dot ? strchr(dot + 1, '.') : NULL;
    snprintf(name, CR_NAME_SIZE, "%.*s", end ? (int)(end - node) : CR_NAME_SIZE - 1, node);
}

/* A stage begins where a convolution or linear layer stands under another name than the one below it. */
static void find_stages(cr_randomized *r)
{
    for (int i = r->net.n_nodes - 1; i >= 0; i--) {
        const cr_node *node = &r->net.nodes[i];
        char name[CR_NAME_SIZE];
        stage_name(name, node->name);
        r->stage_of[i] = -1;
        if (!node->n_params)
            continue;
        if (node->op == CR_BATCHNORM) { /* goes with the convolution before it */
            int conv = i;
            while (conv > 0 && (!r->net.nodes[conv].n_params || r->net.nodes[conv].op == CR_BATCHNORM))
                conv = r->net.nodes[conv].in[0];
            stage_name(name, r->net.nodes[conv].name);
        }
        if (!r->n_stages || strcmp(name, r->stages[r->n_stages - 1]) != 0)
            memcpy(r->stages[r->n_stages++], name, sizeof name);
        r->stage_of[i] = r->n_stages - 1;
    }
}

bool cr_randomized_create(cr_randomized *r, const cr_net *net, uint64_t seed, cr_error *err)
{
    *r = (cr_randomized){.net = *net, .seed = seed};
    size_t all = 0;
    for (int i = 0; i < net->n_params; i++)
        all += param_size(&net->params[i]);
    r->net.packed = NULL;
    r->net.params = calloc((size_t)net->n_params + 1, sizeof *r->net.params);
    r->stages = calloc((size_t)net->n_nodes, sizeof *r->stages);
    r->stage_of = calloc((size_t)net->n_nodes, sizeof *r->stage_of);
    r->data = calloc(all + 1, sizeof *r->data);
    if (!r->net.params || !r->stages || !r->stage_of || !r->data)
        return cr_fail(err, "out of memory for a copy of %zu weights", all);
    float *data = r->data;
    for (int i = 0; i < net->n_params; i++) {
        const size_t n = param_size(&net->params[i]);
        memcpy(data, net->params[i].data, n * sizeof *data);
        r->net.params[i] = net->params[i];
        r->net.params[i].data = data;
        data += n;
    }
    find_stages(r);
    return true;
}

void cr_randomized_free(cr_randomized *r)
{
    free(r->net.params);
    free(r->stages);
    free(r->stage_of);
    free(r->data);
    *r = (cr_randomized){0};
}

/* Fisher and Yates; the order depends on the seed and n alone. */
static void shuffle(float *x, size_t n, uint64_t seed)
{
    for (size_t i = n; i > 1; i--) {
        const size_t k = (size_t)(random_at(seed, i) * (double)i);
        const float last = x[i - 1];
        x[i - 1] = x[k];
        x[k] = last;
    }
}

void cr_randomized_next(cr_randomized *r)
{
    for (int i = 0; i < r->net.n_nodes; i++) {
        const cr_node *node = &r->net.nodes[i];
        const uint64_t seed = random_mix(r->seed + (uint64_t)(i + 1) * RANDOM_STEP);
        for (int k = 0; r->stage_of[i] == r->done && k < node->n_params; k++) {
            const cr_param *p = &r->net.params[node->param + k];
            shuffle(r->data + (p->data - r->data), param_size(p), seed);
        }
    }
    r->done++;
}
