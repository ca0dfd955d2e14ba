/* perturb.c - masking, blurring, replacing and imputing (perturb.h). */
#include "perturb.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

void cr_mask_input(float *out, const float *x, const float *map, int c, int h, int w)
{
    const size_t n = (size_t)h * (size_t)w;
    for (size_t k = 0; k < (size_t)c; k++)
        for (size_t p = 0; p < n; p++)
            out[k * n + p] = x[k * n + p] * map[p];
}

/* ---- blurring ---- */

enum { REACH = 5 }; /* pixels on each side; of the standard deviation, too */

/* out[i] = sum over k of weight[k] * in[i + k - REACH], of n elements `step` apart. */
static void blur_line(float *out, const float *in, size_t n, size_t step, const double weight[2 * REACH + 1])
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        const size_t first = i < REACH ? 0 : i - REACH, end = i + REACH + 1 < n ? i + REACH + 1 : n;
        for (size_t k = first; k < end; k++)
            sum += weight[k + REACH - i] * (double)in[k * step];
        out[i * step] = (float)sum;
    }
}

bool cr_blur_input(float *out, const float *x, int c, int h, int w, cr_error *err)
{
    const size_t H = (size_t)h, W = (size_t)w;
    double weight[2 * REACH + 1], sum = 0;
    for (int k = -REACH; k <= REACH; k++)
        sum += weight[k + REACH] = exp(-(double)(k * k) / (2.0 * REACH * REACH));
    for (int k = 0; k <= 2 * REACH; k++)
        weight[k] /= sum;
    float *rows = calloc(H, W * sizeof *rows);
    if (!rows)
        return cr_fail(err, "out of memory for an input of %dx%d", w, h);
    for (size_t k = 0; k < (size_t)c; k++) {
        for (size_t y = 0; y < H; y++)
            blur_line(rows + y * W, x + (k * H + y) * W, W, 1, weight);
        for (size_t i = 0; i < W; i++)
            blur_line(out + k * H * W + i, rows + i, H, W, weight);
    }
    free(rows);
    return true;
}

/* ---- deletion and insertion ---- */

typedef struct place {
    float value;
    int index;
} place;

static int from_the_highest(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value) - (x->value > y->value) : x->index - y->index;
}

bool cr_relevance_order(int *order, const float *map, size_t n, cr_error *err)
{
    place *places = calloc(n, sizeof *places);
    if (!places)
        return cr_fail(err, "out of memory for the order of %zu pixels", n);
    for (size_t i = 0; i < n; i++)
        places[i] = (place){map[i], (int)i};
    qsort(places, n, sizeof *places, from_the_highest);
    for (size_t i = 0; i < n; i++)
        order[i] = places[i].index;
    free(places);
    return true;
}

void cr_replace_pixels(float *out, const float *from, const float *to, const int *order, size_t count, int c, size_t n)
{
    const size_t size = (size_t)c * n;
    if (from)
        memcpy(out, from, size * sizeof *out);
    else
        memset(out, 0, size * sizeof *out);
    for (size_t k = 0; k < size; k += n)
        for (size_t i = 0; i < count; i++)
            out[k + (size_t)order[i]] = to ? to[k + (size_t)order[i]] : 0;
}

/* ---- ROAD: what is removed ---- */

static float relevance(float value, bool least_first)
{
    return least_first ? 1 - value : value;
}

void cr_road_removed(unsigned char *removed, const float *map, const int *order, size_t n, double percentile,
                     bool least_first)
{
    const double at = percentile / 100 * (double)(n - 1);
    const size_t lower = (size_t)at, upper = lower + (lower < n - 1);
    const float a = relevance(map[order[least_first ? lower : n - 1 - lower]], least_first);
    const float b = relevance(map[order[least_first ? upper : n - 1 - upper]], least_first);
    const float threshold = (float)((double)a + (at - (double)lower) * ((double)b - (double)a));
    for (size_t i = 0; i < n; i++)
        removed[i] = relevance(map[i], least_first) >= threshold;
}

/* ---- ROAD: imputation ----
 *
 * The unknowns are the removed pixels v. With weights w between neighbours and d_i = sum of w over i's neighbours in the
 * picture, pixel i's equation is
 *     d_i v_i - sum over removed neighbours j of w_ij v_j = sum over kept neighbours j of w_ij x_j
 * The matrix is symmetric, and positive definite where at least one pixel is kept. Vectors lie on the picture's grid inside a
 * border of zeros, with zeros at kept pixels, so that a product with the matrix is a sum over all eight neighbours.
 *
 * Conjugate gradients alone carry values from the border of a hole inwards by one pixel a step. So they are preconditioned by
 * a multigrid cycle (Briggs et al., A multigrid tutorial): on grids of half, a quarter... of the size the same equations,
 * for what the finer grid has not solved yet. */

typedef struct grid {
    size_t h, w, row; /* row: distance of rows, w + 2 */
    size_t size;      /* (h + 2) * row */
    size_t unknowns;
    double *inside;   /* 1 at removed pixels, else 0 */
    double *diagonal; /* d_i at removed pixels, else 0 */
    double *inverse;  /* 1 / d_i at removed pixels, else 0 */
    double *r, *z, *q; /* what is not solved yet; the cycle's answer to it; a product */
    double *v, *p;    /* of the picture's own grid: the solution, and where conjugate gradients go next */
    struct grid *half; /* NULL: this is the coarsest that holds unknowns */
} grid;

enum { VECTORS = 8 };

static void grid_free(grid *g)
{
    if (!g)
        return;
    grid_free(g->half);
    free(g->inside);
    free(g);
}

static grid *grid_create(size_t h, size_t w)
{
    grid *g = malloc(sizeof *g);
    if (!g)
        return NULL;
    *g = (grid){.h = h, .w = w, .row = w + 2, .size = (h + 2) * (w + 2)};
    double *all = calloc(g->size, VECTORS * sizeof *all);
    double **const vectors[VECTORS] = {&g->inside, &g->diagonal, &g->inverse, &g->r, &g->z, &g->q, &g->v, &g->p};
    for (size_t i = 0; all && i < VECTORS; i++)
        *vectors[i] = all + i * g->size;
    if (all)
        return g;
    free(g);
    return NULL;
}

static double *pixel(const grid *g, double *vector, size_t y, size_t x)
{
    return vector + (y + 1) * g->row + x + 1;
}

static double neighbours(const double *v, size_t row)
{
    const double *above = v - row, *below = v + row;
    return (above[0] + below[0] + v[-1] + v[1]) / 6 + (above[-1] + above[1] + below[-1] + below[1]) / 12;
}

/* What follows from g->inside: the matrix, and the grid of half the size, where a pixel is removed if all of its two by two
 * are. */
static bool find_matrix(grid *g)
{
    for (size_t y = 0; y < g->h; y++)
        for (size_t x = 0; x < g->w; x++) {
            *pixel(g, g->p, y, x) = 1; /* so that neighbours() adds up the weights inside the picture */
            g->unknowns += *pixel(g, g->inside, y, x) > 0;
        }
    for (size_t y = 0; y < g->h; y++)
        for (size_t x = 0; x < g->w; x++)
            if (*pixel(g, g->inside, y, x) > 0) {
                *pixel(g, g->diagonal, y, x) = neighbours(pixel(g, g->p, y, x), g->row);
                *pixel(g, g->inverse, y, x) = 1 / *pixel(g, g->diagonal, y, x);
            }
    memset(g->p, 0, g->size * sizeof *g->p);
    if (g->h < 3 || g->w < 3)
        return true;
    grid *half = g->half = grid_create((g->h + 1) / 2, (g->w + 1) / 2);
    if (!half)
        return false;
    bool any = false;
    for (size_t y = 0; y < half->h; y++)
        for (size_t x = 0; x < half->w; x++) {
            const size_t below = 2 * y + 1 < g->h ? 2 * y + 1 : 2 * y, right = 2 * x + 1 < g->w ? 2 * x + 1 : 2 * x;
            const double all = *pixel(g, g->inside, 2 * y, 2 * x) * *pixel(g, g->inside, 2 * y, right) *
                               *pixel(g, g->inside, below, 2 * x) * *pixel(g, g->inside, below, right);
            *pixel(half, half->inside, y, x) = all;
            any = any || all > 0;
        }
    if (any)
        return find_matrix(half);
    grid_free(half);
    g->half = NULL;
    return true;
}

/* In partial sums, which the processor adds up side by side. Vectors end in zeros. */
static double dot(const double *a, const double *b, size_t n)
{
    double sum[4] = {0};
    for (size_t i = 0; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            sum[k] += a[i + k] * b[i + k];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* q = the matrix times x. */
static void multiply(const grid *g, double *x)
{
    for (size_t i = 0; i < g->h; i++) {
        const double *in = pixel(g, x, i, 0), *inside = pixel(g, g->inside, i, 0), *d = pixel(g, g->diagonal, i, 0);
        double *q = pixel(g, g->q, i, 0);
        for (size_t j = 0; j < g->w; j++)
            q[j] = d[j] * in[j] - inside[j] * neighbours(in + j, g->row);
    }
}

/* z = about the solution for the right side r: a step of Jacobi's, the coarser grids' share, a step of Jacobi's. */
static void cycle(grid *g)
{
    for (size_t i = 0; i < g->size; i++)
        g->z[i] = g->inverse[i] * g->r[i];
    grid *half = g->half;
    if (half) {
        multiply(g, g->z);
        for (size_t y = 0; y < half->h; y++)
            for (size_t x = 0; x < half->w; x++) {
                const double *r = pixel(g, g->r, 2 * y, 2 * x), *q = pixel(g, g->q, 2 * y, 2 * x);
                *pixel(half, half->r, y, x) = *pixel(half, half->inside, y, x) *
                    (r[0] - q[0] + r[1] - q[1] + r[g->row] - q[g->row] + r[g->row + 1] - q[g->row + 1]);
            }
        cycle(half);
        for (size_t y = 0; y < g->h; y++)
            for (size_t x = 0; x < g->w; x++)
                *pixel(g, g->z, y, x) += *pixel(half, half->z, y / 2, x / 2);
    }
    multiply(g, g->z);
    for (size_t i = 0; i < g->size; i++)
        g->z[i] += g->inverse[i] * (g->r[i] - g->q[i]);
}

/* Solves for v with the right side r, which is lost (Hestenes and Stiefel 1952). */
static void conjugate_gradients(grid *g)
{
    const size_t n = g->size;
    const double enough = 1e-10 * dot(g->r, g->r, n);
    memset(g->v, 0, n * sizeof *g->v);
    cycle(g);
    memcpy(g->p, g->z, n * sizeof *g->p);
    double rz = dot(g->r, g->z, n);
    for (size_t step = 0; dot(g->r, g->r, n) > enough && step < g->unknowns; step++) {
        multiply(g, g->p);
        const double alpha = rz / dot(g->p, g->q, n);
        for (size_t i = 0; i < n; i++) {
            g->v[i] += alpha * g->p[i];
            g->r[i] -= alpha * g->q[i];
        }
        cycle(g);
        const double next = dot(g->r, g->z, n), beta = next / rz;
        for (size_t i = 0; i < n; i++)
            g->p[i] = g->z[i] + beta * g->p[i];
        rz = next;
    }
}

/* The right side for one channel x (h,w). */
static void find_right_side(grid *g, const float *x)
{
    double *kept = g->v;
    memset(kept, 0, g->size * sizeof *kept);
    for (size_t i = 0; i < g->h; i++)
        for (size_t j = 0; j < g->w; j++)
            *pixel(g, kept, i, j) = *pixel(g, g->inside, i, j) > 0 ? 0 : (double)x[i * g->w + j];
    for (size_t i = 0; i < g->h; i++)
        for (size_t j = 0; j < g->w; j++)
            *pixel(g, g->r, i, j) = *pixel(g, g->inside, i, j) * neighbours(pixel(g, kept, i, j), g->row);
}

bool cr_road_impute(float *out, const float *x, const unsigned char *removed, int c, int h, int w, double noise,
                    uint64_t seed, cr_error *err)
{
    const size_t W = (size_t)w, n = (size_t)h * W;
    grid *g = grid_create((size_t)h, W);
    for (size_t p = 0; g && p < n; p++)
        *pixel(g, g->inside, p / W, p % W) = removed[p];
    const bool ok = (g && find_matrix(g)) || cr_fail(err, "out of memory to fill in an input of %dx%d", w, h);
    for (size_t k = 0; ok && k < (size_t)c; k++) {
        if (g->unknowns < n) { /* else all is 0 */
            find_right_side(g, x + k * n);
            conjugate_gradients(g);
        }
        for (size_t p = 0; p < n; p++) {
            const size_t i = k * n + p;
            out[i] = !removed[p] ? x[i]
                                 : (float)(*pixel(g, g->v, p / W, p % W) + noise * random_normal_at(seed, i));
        }
    }
    grid_free(g);
    return ok;
}
