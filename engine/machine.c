/* machine.c - what this machine has: the instruction set whose kernels run, and the threads. */
#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "engine.h"
#include "kernels.h"

typedef struct candidate {
    const kernels *table;
    bool (*available)(void);
} candidate;

static bool always(void)
{
    return true;
}

#ifdef __x86_64__
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

/* Best first. */
static const candidate candidates[] = {
#if defined __x86_64__
    {&kernels_avx512, has_avx512},
    {&kernels_avx2, has_avx2},
#elif defined __aarch64__
    {&kernels_neon, always},
#endif
    {&kernels_portable, always},
};

enum { CANDIDATES = sizeof candidates / sizeof candidates[0] };

const kernels *cr_kernels(void)
{
    const char *forced = getenv("CAMRUN_ISA");
    for (int i = 0; forced && i < CANDIDATES; i++)
        if (strcmp(candidates[i].table->name, forced) == 0 && candidates[i].available())
            return candidates[i].table;
    for (int i = 0;; i++)
        if (candidates[i].available())
            return candidates[i].table;
}

const char *cr_isa(void)
{
    return cr_kernels()->name;
}

void cr_set_threads(int n)
{
#ifdef _OPENMP
    omp_set_num_threads(n < 1 ? 1 : n);
#else
    (void)n;
#endif
}

int cr_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

#if defined _OPENMP && defined CPU_SETSIZE
static void bind_to_processor(int i, int threads)
{
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) != threads)
        return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && i-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
        }
}
#endif

void cr_bind_threads(void)
{
#if defined _OPENMP && defined CPU_SETSIZE
    const int threads = cr_threads();
#pragma omp parallel num_threads(threads)
    bind_to_processor(omp_get_thread_num(), threads);
#endif
}
