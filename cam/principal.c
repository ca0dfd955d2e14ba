/* principal.c - the largest singular vector of a tall or wide matrix by Lanczos's method (Golub and Van Loan, Matrix
 * Computations, 4th edition, section 10.1, with full reorthogonalisation).
 *
 * Of M (P,C), v is the eigenvector of M^T M to the largest eigenvalue, and the map M v = sigma u, where u is that of
 * M M^T. The smaller of the two is taken, and never formed: it is only multiplied by vectors. No sum is shared between
 * threads, so the bits are the same for any number of them. */
#include "principal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

enum {
    MAX_STEPS = 300,    /* beyond, the largest two singular values differ by less than one in 10,000 */
    CHUNK = 1024,       /* pixels that a thread takes at once */
};

static const double tolerance = 1e-11; /* of the eigenvalue */

/* Rows of m are columns of M. */
typedef struct matrix {
    const float *m; /* (C,P) */
    size_t C, P;
} matrix;

/* y (C) = M^T x (P) */
static void multiply_transposed(double *y, const matrix *a, const double *x)
{
#pragma omp parallel for schedule(static) num_threads(cr_threads())
    for (size_t k = 0; k < a->C; k++) {
        const float *row = a->m + k * a->P;
        double sum = 0;
        for (size_t p = 0; p < a->P; p++)
            sum += (double)row[p] * x[p];
        y[k] = sum;
    }
}

/* y (P) = M x (C) */
static void multiply(double *y, const matrix *a, const double *x)
{
#pragma omp parallel for schedule(static) num_threads(cr_threads())
    for (size_t first = 0; first < a->P; first += CHUNK) {
        const size_t end = first + CHUNK < a->P ? first + CHUNK : a->P;
        memset(y + first, 0, (end - first) * sizeof *y);
        for (size_t k = 0; k < a->C; k++)
            for (size_t p = first; p < end; p++)
                y[p] += (double)a->m[k * a->P + p] * x[k];
    }
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* a += s b */
static void add(double *a, double s, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] += s * b[i];
}

static void scale(double *a, double s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] *= s;
}

/* ---- the small problem: T (n,n) symmetric, alpha on its diagonal, beta > 0 beside it ---- */

/* T - x = L D L^T. Whether all of D is below zero, that is, whether x is above all eigenvalues. */
static bool is_above(double *d, double x, const double *alpha, const double *beta, int n)
{
    for (int i = 0; i < n; i++) {
        d[i] = alpha[i] - x - (i ? beta[i - 1] * beta[i - 1] / d[i - 1] : 0);
        if (!(d[i] < 0))
            return false;
    }
    return true;
}

/* The largest eigenvalue, by halving an interval; s (n): its eigenvector, by inverse iteration from just above. All of s
 * has one sign because beta > 0, so that the iteration may start from ones. d (n): scratch. */
static double largest_eigenvalue(double *s, double *d, const double *alpha, const double *beta, int n)
{
    double low = 0, high = 0;
    for (int i = 0; i < n; i++) {
        low = fmax(low, alpha[i]);
        high = fmax(high, alpha[i] + (i ? beta[i - 1] : 0) + (i + 1 < n ? beta[i] : 0));
        s[i] = 1;
    }
    high *= 1 + 1e-12;
    for (int i = 0; i < 60; i++) {
        double middle = low + (high - low) / 2;
        if (is_above(d, middle, alpha, beta, n))
            high = middle;
        else
            low = middle;
    }
    high *= 1 + 1e-15;
    is_above(d, high, alpha, beta, n);
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < n; i++)
            s[i] -= beta[i - 1] / d[i - 1] * s[i - 1];
        for (int i = n - 1; i >= 0; i--)
            s[i] = (s[i] - (i + 1 < n ? beta[i] * s[i + 1] : 0)) / d[i];
        scale(s, 1 / sqrt(dot(s, s, (size_t)n)), (size_t)n);
    }
    return high;
}

/* ---- Lanczos ---- */

typedef struct lanczos {
    double *q;              /* (steps,n): an orthonormal basis */
    double *w, *other;      /* (n), and of M's other side */
    double *alpha, *beta, *s, *d; /* (steps) */
} lanczos;

/* v (n), n = min(C,P): the first singular vector of that side; all zero where M is. */
static void iterate(double *v, const matrix *a, const lanczos *l, int steps)
{
    const bool columns = a->C <= a->P;
    const size_t n = columns ? a->C : a->P;
    double *q = l->q, *w = l->w;
    for (size_t i = 0; i < n; i++)
        q[i] = random_at(0, i) - 0.5;
    scale(q, 1 / sqrt(dot(q, q, n)), n);
    memset(v, 0, n * sizeof *v);
    for (int j = 0; j < steps; j++, q += n) {
        (columns ? multiply : multiply_transposed)(l->other, a, q);
        (columns ? multiply_transposed : multiply)(w, a, l->other);
        l->alpha[j] = dot(w, q, n);
        if (j == 0 && l->alpha[0] <= 0)
            return;
        for (int again = 0; again < 2; again++)
            for (int i = j; i >= 0; i--)
                add(w, -dot(w, l->q + (size_t)i * n, n), l->q + (size_t)i * n, n);
        l->beta[j] = sqrt(dot(w, w, n));
        const double value = largest_eigenvalue(l->s, l->d, l->alpha, l->beta, j + 1);
        if (j + 1 == steps || l->beta[j] * fabs(l->s[j]) <= tolerance * value) {
            for (int i = 0; i <= j; i++)
                add(v, l->s[i], l->q + (size_t)i * n, n);
            return;
        }
        for (size_t i = 0; i < n; i++)
            q[n + i] = w[i] / l->beta[j];
    }
}

/* Takes each term's mean off it. */
static void centre(float *terms, size_t c, size_t pixels)
{
#pragma omp parallel for schedule(static) num_threads(cr_threads())
    for (size_t k = 0; k < c; k++) {
        float *term = terms + k * pixels;
        double sum = 0;
        for (size_t p = 0; p < pixels; p++)
            sum += (double)term[p];
        for (size_t p = 0; p < pixels; p++)
            term[p] = (float)((double)term[p] - sum / (double)pixels);
    }
}

static void choose_sign(double *map, size_t pixels)
{
    double least = 0, most = 0;
    for (size_t p = 0; p < pixels; p++) {
        least = fmin(least, map[p]);
        most = fmax(most, map[p]);
    }
    if (-least > most)
        scale(map, -1, pixels);
}

bool principal_component(double *map, float *terms, int c, size_t pixels, cr_error *err)
{
    const matrix a = {terms, (size_t)c, pixels};
    const bool columns = a.C <= a.P;
    const size_t n = columns ? a.C : a.P, other = columns ? a.P : a.C;
    const size_t steps = n < MAX_STEPS ? n : MAX_STEPS;
    double *memory = malloc(((steps + 2) * n + other + 4 * steps) * sizeof *memory);
    if (!memory)
        return cr_fail(err, "out of memory for the principal component of %d channels of %zu pixels", c, pixels);
    lanczos l = {.q = memory};
    double *v = l.q + steps * n;
    l.w = v + n;
    l.other = l.w + n;
    l.alpha = l.other + other;
    l.beta = l.alpha + steps;
    l.s = l.beta + steps;
    l.d = l.s + steps;

    centre(terms, a.C, pixels);
    iterate(v, &a, &l, (int)steps);
    if (columns) {
        multiply(map, &a, v);
    } else {
        multiply_transposed(l.other, &a, v);
        memcpy(map, v, n * sizeof *map);
        scale(map, sqrt(dot(l.other, l.other, other)), n); /* sigma u */
    }
    choose_sign(map, pixels);
    free(memory);
    return true;
}
