/* metrics.c - the formulas of metrics.h. */
#include "metrics.h"

#include <math.h>
#include <stdlib.h>

/* ---- boxes ---- */

/* The place on the photograph of pixel (y,x)'s centre. */
static void photo_place(const cr_geometry *g, int y, int x, double *py, double *px)
{
    *py = (y + 0.5 + g->top) * g->photo_h / g->resized_h;
    *px = (x + 0.5 + g->left) * g->photo_w / g->resized_w;
}

static bool on_photo(const cr_geometry *g, int y, int x)
{
    return y + g->top >= 0 && y + g->top < g->resized_h && x + g->left >= 0 && x + g->left < g->resized_w;
}

/* How far a place is outside of low to high; 0 inside. */
static double outside(double at, int low, int high)
{
    return fmax(fmax(low - at, at - high), 0);
}

static bool in_boxes(const cr_geometry *g, const cr_rect *boxes, int n, int y, int x, double tolerance)
{
    double py, px;
    photo_place(g, y, x, &py, &px);
    for (int i = 0; i < n; i++) {
        const double dy = outside(py, boxes[i].y0, boxes[i].y1), dx = outside(px, boxes[i].x0, boxes[i].x1);
        if (dy * dy + dx * dx <= tolerance * tolerance)
            return true;
    }
    return false;
}

bool cr_boxes_seen(const cr_rect *boxes, int n, const cr_geometry *g)
{
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++)
            if (on_photo(g, y, x) && in_boxes(g, boxes, n, y, x, 0))
                return true;
    return false;
}

double cr_pointing(const float *map, const cr_geometry *g, const cr_rect *boxes, int n, double tolerance)
{
    float most = 0;
    for (int i = 0; i < g->h * g->w; i++) {
        if (isnan(map[i]))
            return NAN;
        most = map[i] > most ? map[i] : most;
    }
    int highest = 0, inside = 0;
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++)
            if (map[y * g->w + x] == most) {
                highest++;
                inside += in_boxes(g, boxes, n, y, x, tolerance);
            }
    return most > 0 ? (double)inside / highest : 0;
}

double cr_box_energy(const float *map, const cr_geometry *g, const cr_rect *boxes, int n)
{
    double all = 0, inside = 0;
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++)
            if (on_photo(g, y, x)) {
                const double value = (double)map[y * g->w + x];
                all += value;
                inside += in_boxes(g, boxes, n, y, x, 0) ? value : 0;
            }
    return all == 0 ? 0 : inside / all;
}

/* ---- scores ---- */

double cr_drop(double score, double masked)
{
    return isnan(score - masked) ? NAN : fmax(0, score - masked) / (score + 1e-7);
}

double cr_increase(double score, double masked)
{
    return isnan(score - masked) ? NAN : masked > score;
}

double cr_curve_area(const double *scores, int n)
{
    double sum = (scores[0] + scores[n - 1]) / 2;
    for (int i = 1; i < n - 1; i++)
        sum += scores[i];
    return sum / (n - 1);
}

/* ---- rank correlation ---- */

typedef struct place {
    float value;
    size_t index;
} place;

static int by_value(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* rank (n): from 0, equal values sharing the mean of theirs. places (n) is scratch. */
static void find_ranks(double *rank, place *places, const float *map, size_t n)
{
    for (size_t i = 0; i < n; i++)
        places[i] = (place){map[i], i};
    qsort(places, n, sizeof *places, by_value);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && places[end].value == places[i].value;)
            end++;
        for (size_t k = i; k < end; k++)
            rank[places[k].index] = (double)(i + end - 1) / 2;
    }
}

bool cr_rank_correlation(double *correlation, const float *a, const float *b, size_t n, cr_error *err)
{
    double *ranks = calloc(n, 2 * sizeof *ranks);
    place *places = calloc(n, sizeof *places);
    const bool ok = (ranks && places) || cr_fail(err, "out of memory for the ranks of %zu pixels", n);
    bool nan = false;
    for (size_t i = 0; i < n; i++)
        nan = nan || isnan(a[i]) || isnan(b[i]);
    *correlation = NAN;
    if (ok && !nan) {
        find_ranks(ranks, places, a, n);
        find_ranks(ranks + n, places, b, n);
        const double mean = (double)(n - 1) / 2;
        double aa = 0, bb = 0, ab = 0;
        for (size_t i = 0; i < n; i++) {
            const double x = ranks[i] - mean, y = ranks[n + i] - mean;
            aa += x * x;
            bb += y * y;
            ab += x * y;
        }
        *correlation = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
    }
    free(ranks);
    free(places);
    return ok;
}

/* ---- structural similarity ---- */

enum { WINDOW = 11 };

/* weight (size): a Gaussian of standard deviation 1.5, with sum 1. */
static void gaussian_window(double weight[WINDOW], int size)
{
    double sum = 0;
    for (int i = 0; i < size; i++)
        sum += weight[i] = exp(-(i - size / 2) * (i - size / 2) / (2 * 1.5 * 1.5));
    for (int i = 0; i < size; i++)
        weight[i] /= sum;
}

/* The weighted means over columns, at every row and window: of a, b, aa, bb and ab, out (5, h, w - size + 1). */
static void mean_columns(double *out, const float *a, const float *b, int h, int w, const double *weight, int size)
{
    const size_t ow = (size_t)(w - size + 1), plane = (size_t)h * ow;
    for (size_t y = 0; y < (size_t)h; y++)
        for (size_t x = 0; x < ow; x++) {
            double sum[5] = {0};
            for (size_t k = 0; k < (size_t)size; k++) {
                const double u = (double)a[y * (size_t)w + x + k], v = (double)b[y * (size_t)w + x + k];
                const double terms[5] = {u, v, u * u, v * v, u * v};
                for (int i = 0; i < 5; i++)
                    sum[i] += weight[k] * terms[i];
            }
            for (size_t i = 0; i < 5; i++)
                out[i * plane + y * ow + x] = sum[i];
        }
}

bool cr_structural_similarity(double *similarity, const float *a, const float *b, int h, int w, cr_error *err)
{
    const int shorter = h < w ? h : w, size = shorter >= WINDOW ? WINDOW : shorter - (shorter % 2 == 0);
    const size_t ow = (size_t)(w - size + 1), plane = (size_t)h * ow;
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    double weight[WINDOW], *means = calloc(plane, 5 * sizeof *means), sum = 0;
    if (!means)
        return cr_fail(err, "out of memory for the similarity of maps of %dx%d", w, h);
    gaussian_window(weight, size);
    mean_columns(means, a, b, h, w, weight, size);
    const int oh = h - size + 1;
    for (size_t y = 0; y < (size_t)oh; y++)
        for (size_t x = 0; x < ow; x++) {
            double m[5] = {0}; /* of a, b, aa, bb, ab */
            for (size_t k = 0; k < (size_t)size; k++)
                for (size_t i = 0; i < 5; i++)
                    m[i] += weight[k] * means[i * plane + (y + k) * ow + x];
            const double aa = m[2] - m[0] * m[0], bb = m[3] - m[1] * m[1], ab = m[4] - m[0] * m[1];
            sum += (2 * m[0] * m[1] + c1) * (2 * ab + c2) / ((m[0] * m[0] + m[1] * m[1] + c1) * (aa + bb + c2));
        }
    *similarity = sum / ((double)oh * (double)ow);
    free(means);
    return true;
}
