/* map.c - normalising, resizing and averaging class activation maps (map.h). */
#include "map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* fminf and fmaxf are calls, several for each pixel; of finite numbers these give the same. */
static inline float least(float a, float b)
{
    return a < b ? a : b;
}

static inline float greatest(float a, float b)
{
    return a > b ? a : b;
}

bool cr_map_range(const float *map, size_t n, float *min, float *max, cr_error *err)
{
    float lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(map[i])) {
            return cr_fail(err,
                           "the map holds a %s at element %zu of %zu: the network's values or its weights overflow",
                           isnan(map[i]) ? "NaN" : "infinity", i, n);
        }
        lo = least(lo, map[i]);
        hi = greatest(hi, map[i]);
    }
    *min = lo;
    *max = hi;
    return true;
}

bool cr_map_normalize(float *map, size_t n, cr_error *err)
{
    float min = 0, max = 0;
    if (!cr_map_range(map, n, &min, &max, err))
        return false;
    min = greatest(min, 0);
    max = greatest(max, 0);
    for (size_t i = 0; i < n; i++)
        map[i] = (greatest(map[i], 0) - min) / (1e-7f + (max - min));
    return true;
}

/* Where a coordinate falls between two neighbours of 0 .. n-1: (1 - t) of `lower` and t of `upper`. */
static void neighbours(double at, int n, int *lower, int *upper, float *t)
{
    at = at < 0 ? 0 : at > n - 1 ? n - 1 : at;
    *lower = (int)at;
    *upper = *lower + (*lower < n - 1);
    *t = (float)(at - *lower);
}

void cr_map_sample(float *out, int oh, int ow, const float *in, int h, int w, double y0, double dy, double x0,
                   double dx)
{
    for (int y = 0; y < oh; y++) {
        int above, below;
        float v;
        neighbours(y0 + y * dy, h, &above, &below, &v);
        const float *a = in + (size_t)above * (size_t)w, *b = in + (size_t)below * (size_t)w;
        for (int x = 0; x < ow; x++) {
            int left, right;
            float u;
            neighbours(x0 + x * dx, w, &left, &right, &u);
            float top = (1 - u) * a[left] + u * a[right];
            float bottom = (1 - u) * b[left] + u * b[right];
            out[(size_t)y * (size_t)ow + (size_t)x] = (1 - v) * top + v * bottom;
        }
    }
}

void cr_map_resize(float *out, int oh, int ow, const float *in, int h, int w)
{
    double dy = (double)h / oh, dx = (double)w / ow;
    cr_map_sample(out, oh, ow, in, h, w, 0.5 * dy - 0.5, dy, 0.5 * dx - 0.5, dx);
}

bool cr_map_share(float *out, int oh, int ow, const float *raw, int h, int w, cr_error *err)
{
    size_t n = (size_t)h * (size_t)w;
    float *map = malloc(n * sizeof *map);
    if (!map)
        return cr_fail(err, "out of memory for a map of %d x %d", w, h);
    memcpy(map, raw, n * sizeof *map);
    bool ok = cr_map_normalize(map, n, err);
    if (ok)
        cr_map_resize(out, oh, ow, map, h, w);
    free(map);
    return ok;
}

bool cr_map_finish(float *out, const float *shares, int n_shares, size_t n, cr_error *err)
{
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (int k = 0; k < n_shares; k++) {
            float value = shares[(size_t)k * n + i];
            sum += value < 0 ? 0 : value; /* written so that a NaN is kept, for normalising to refuse */
        }
        out[i] = sum / (float)n_shares;
    }
    return cr_map_normalize(out, n, err);
}
