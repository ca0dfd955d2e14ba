/* check.c - see check.h. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* ---- comparing ---- */

bool is_close(const float *found, const float *expected, size_t count, double tol, mismatch *worst)
{
    double largest = 0.0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(expected[i]) && fabs((double)expected[i]) > largest)
            largest = fabs((double)expected[i]);
    *worst = (mismatch){.error = -1.0, .allowed = tol * largest};
    bool close = true;
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)found[i] - (double)expected[i]);
        if (isnan(expected[i]))
            error = isnan(found[i]) ? 0.0 : INFINITY;
        else if (isinf(expected[i]))
            error = found[i] == expected[i] ? 0.0 : INFINITY;
        if (!(error <= worst->allowed))
            close = false;
        if (!(error <= worst->error) && !isnan(worst->error)) {
            worst->error = error;
            worst->index = i;
        }
    }
    return close;
}

void check_close(const float *found, const float *expected, size_t count, double tol, const char *format, ...)
{
    mismatch worst;
    if (is_close(found, expected, count, tol, &worst))
        return;
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    fail_msg("%s: element %zu of %zu is %.9g, expected %.9g: off by %.3g, allowed %.3g", what, worst.index, count,
             (double)found[worst.index], (double)expected[worst.index], worst.error, worst.allowed);
}

void check_same_bits(const float *found, const float *expected, size_t count, const char *format, ...)
{
    size_t i = 0;
    while (i < count && memcmp(found + i, expected + i, sizeof *found) == 0)
        i++;
    if (i == count)
        return;
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    fail_msg("%s: element %zu of %zu is %.9g, expected the bits of %.9g", what, i, count, (double)found[i],
             (double)expected[i]);
}

void check_message(const cr_error *err, ...)
{
    va_list words;
    va_start(words, err);
    for (const char *word; (word = va_arg(words, const char *)) != NULL;)
        if (!strstr(err->text, word))
            fail_msg("expected '%s' in the message: %s", word, err->text);
    va_end(words);
    assert_null(strchr(err->text, '\n'));
}

/* ---- memory and random numbers ---- */

void *zeros(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    assert_non_null(p);
    return p;
}

/* splitmix64 (Steele, Lea & Flood, OOPSLA 2014, figure 17) */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

float random_uniform(uint64_t *state, float low, float high)
{
    float unit = (float)(random_bits(state) >> 40) / 16777216.0f; /* 24 bits: what a float holds exactly */
    return low + (high - low) * unit;
}

void fill_random(float *x, size_t count, float low, float high, uint64_t *state)
{
    for (size_t i = 0; i < count; i++)
        x[i] = random_uniform(state, low, high);
}

float *new_random(size_t count, float low, float high, uint64_t *state)
{
    float *x = zeros(count, sizeof *x);
    fill_random(x, count, low, high, state);
    return x;
}

/* ---- nets ---- */

builder new_net(const char *name)
{
    builder b = {.net = zeros(1, sizeof(cr_net))};
    snprintf(b.net->arch, sizeof b.net->arch, "%s", name);
    return b;
}

static size_t param_count(const cr_param *p)
{
    size_t count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= (size_t)p->dim[d];
    return count;
}

float *bind_random(cr_net *net, uint64_t *state)
{
    size_t total = 0;
    for (int i = 0; i < net->n_params; i++)
        total += param_count(&net->params[i]);
    float *all = zeros(total, sizeof *all), *next = all;
    for (int i = 0; i < net->n_params; i++) {
        cr_param *p = &net->params[i];
        const size_t count = param_count(p);
        const char *suffix = strrchr(p->name, '.');
        float low = -0.5f, high = 0.5f; /* biases and running means */
        if (p->ndim > 1) {
            high = sqrtf(6.0f * (float)p->dim[0] / (float)count);
            low = -high;
        } else if (strcmp(suffix, ".weight") == 0) {
            low = -0.5f;
            high = 1.5f;
        } else if (strcmp(suffix, ".running_var") == 0) {
            low = 0.5f;
            high = 2.0f;
        }
        fill_random(next, count, low, high, state);
        p->data = next;
        next += count;
    }
    return all;
}

bool *learned_params(const cr_net *net)
{
    bool *learned = zeros((size_t)net->n_params + 1, sizeof *learned);
    for (int i = 0; i < net->n_nodes; i++)
        for (int p = 0; p < net->nodes[i].n_params && p < 2; p++)
            learned[net->nodes[i].param + p] = true;
    return learned;
}

/* ---- instruction sets ---- */

static const char *const isas[] = {"portable", "neon", "avx2", "avx512"};

enum { ISAS = sizeof isas / sizeof isas[0] };

/* The one that the tests were started with, or "": then all of them take turns. */
static const char *started_with(void)
{
    static char isa[16];
    static bool known;
    const char *set = getenv("CAMRUN_ISA");
    if (!known && set)
        snprintf(isa, sizeof isa, "%s", set);
    known = true;
    return isa;
}

static void back_to_start(void)
{
    if (*started_with())
        setenv("CAMRUN_ISA", started_with(), 1);
    else
        unsetenv("CAMRUN_ISA");
}

/* cr_kernels() falls back to the best one where it cannot have the one it is told to use. */
static bool has_isa(const char *isa)
{
    if (*started_with() && strcmp(started_with(), isa) != 0)
        return false;
    setenv("CAMRUN_ISA", isa, 1);
    return strcmp(cr_isa(), isa) == 0;
}

bool use_isa(int i)
{
    for (int k = 0; k < ISAS; k++)
        if (has_isa(isas[k]) && i-- == 0)
            return true;
    back_to_start();
    return false;
}

void print_setup(void)
{
    printf("seed %d; instruction sets:", SEED);
    int runs = 0;
    for (int k = 0; k < ISAS; k++) {
        const bool has = has_isa(isas[k]);
        printf(has ? " %s" : " (no %s)", isas[k]);
        runs += has;
    }
    back_to_start();
    printf("; where one is enough %s\n", cr_isa());
    fflush(stdout);
    if (runs == 0) {
        fprintf(stderr, "CAMRUN_ISA is '%s', which this machine does not have: nothing would be tested\n", started_with());
        exit(1);
    }
}
