/* memory.c - aligned memory for activations and packed weights. */
#define _DEFAULT_SOURCE /* madvise */
#include <stdlib.h>
#include <sys/mman.h>

#include "memory.h"

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

float *aligned_floats(size_t count)
{
    /* Large pieces come in huge pages where the system has them: a network touches tens of megabytes once, and a page
     * fault and a translation for every 4 KB of them would cost as much as a small network's whole run. */
    const size_t unit = count >= HUGE_PAGE / sizeof(float) ? HUGE_PAGE : CACHE_LINE;
    if (count > (SIZE_MAX - unit) / sizeof(float))
        return NULL;
    size_t bytes = (count * sizeof(float) + unit - 1) / unit * unit;
    float *p = aligned_alloc(unit, bytes ? bytes : unit);
#ifdef MADV_HUGEPAGE
    if (p && unit == HUGE_PAGE)
        madvise(p, bytes, MADV_HUGEPAGE); /* a wish: nothing depends on its success */
#endif
    return p;
}

void touch_pages(float *p, size_t count)
{
    enum { SMALL_PAGE = 4096 / sizeof(float), PIECE = HUGE_PAGE / sizeof(float) };
#pragma omp parallel for schedule(dynamic)
    for (size_t piece = 0; piece < count; piece += PIECE)
        for (size_t i = piece; i < count && i < piece + PIECE; i += SMALL_PAGE)
            p[i] = 0.0f;
}
