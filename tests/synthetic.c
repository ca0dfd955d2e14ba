/* synthetic.c - see synthetic.h; synthetic.py is the same in Python. */
#include "synthetic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t fnv1a(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void synthetic_fill(float *out, size_t count, const char *name, float scale, float shift)
{
    uint64_t state = fnv1a(name);
    for (size_t i = 0; i < count; i++) {
        state += 0x9e3779b97f4a7c15;
        double u = (double)(mix(state) >> 40) / (1 << 23) - 1;
        out[i] = (float)((double)shift + (double)scale * u);
    }
}

static size_t param_count(const cr_param *p)
{
    size_t count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= (size_t)p->dim[d];
    return count;
}

float *synthetic_bind(cr_net *net)
{
    size_t total = 0;
    for (int i = 0; i < net->n_params; i++)
        total += param_count(&net->params[i]);
    float *all = malloc(total * sizeof *all), *next = all;
    for (int i = 0; all && i < net->n_params; i++) {
        cr_param *p = &net->params[i];
        const size_t count = param_count(p);
        const char *last_part = strrchr(p->name, '.');
        float scale = 0.2f, shift = 0; /* biases and running means */
        if (p->ndim > 1) {
            scale = (float)sqrt(6.0 * p->dim[0] / (double)count);
        } else if (strcmp(last_part, ".weight") == 0) {
            scale = 0.4f;
            shift = 0.8f;
        } else if (strcmp(last_part, ".running_var") == 0) {
            scale = 0.75f;
            shift = 1.25f;
        }
        synthetic_fill(next, count, p->name, scale, shift);
        p->data = next;
        next += count;
    }
    return all;
}
