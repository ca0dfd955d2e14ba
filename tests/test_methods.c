/* test_methods.c - the methods on arrays small enough to work out by hand, and what theory says of larger ones. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "methods.h"

enum { C = 37, H = 5, W = 9, PIXELS = H * W };

/* Two channels of 2 x 3. */
static const float small_a[2][2][3] = {{{1, 2, 3}, {4, 5, 6}}, {{-1, 0, 1}, {2, -2, 0.5f}}};
static const float small_g[2][2][3] = {{{3, 0, 0}, {0, 0, 3}}, {{-6, 0, 0}, {2, 1, -3}}};
static const float small_fc[2] = {2, -4};
static const cr_evidence small = {
    .c = 2, .h = 2, .w = 3, .a = &small_a[0][0][0], .g = &small_g[0][0][0], .fc_weight = small_fc,
};

static void make_map(double *map, const char *name, const cr_evidence *e)
{
    cr_error err;
    const cr_method *method = cr_method_find(name, &err);
    if (!method || !cr_method_map(map, method, e, false, &err))
        fail_msg("%s", err.text);
}

static void check_map(const double *found, const float *expected, size_t count, double tol, const char *what)
{
    float *rounded = zeros(count, sizeof *rounded);
    for (size_t p = 0; p < count; p++)
        rounded[p] = (float)found[p];
    check_close(rounded, expected, count, tol, "%s", what);
    free(rounded);
}

static void check_small(const char *name, const float expected[6], double tol)
{
    double map[6];
    memset(map, 0xff, sizeof map); /* NaN: what was there before must not matter */
    make_map(map, name, &small);
    check_map(map, expected, 6, tol, name);
}

/* ---- by hand ---- */

static void test_by_hand(void **state)
{
    (void)state;
    /* The gradients' means are 1 and -1. */
    check_small("gradcam", (const float[]){2, 2, 2, 2, 7, 5.5f}, 0);
    check_small("layercam", (const float[]){3, 0, 0, 4, -2, 18}, 0);
    check_small("cam", (const float[]){6, 4, 2, 0, 18, 10}, 0);
    check_small("hirescam", (const float[]){9, 0, 0, 4, -2, 16.5f}, 0);
    check_small("gradcam-elementwise", (const float[]){9, 0, 0, 4, 0, 18}, 0);
    /* sum(g A) is 21 and 6.5, sum(A) 21 and 0.5. */
    check_small("xgradcam", (const float[]){-12, 2, 16, 30, -21, 12.5f}, 1e-6);
    /* alpha = 1 / (2 + sum(A) g): 1/65 where g is 3; 1/3 where it is 2, 1/2.5 where it is 1. So the weights are 6/65 and
     * 2/3 + 1/2.5. */
    const float w0 = 6 / 65.0f, w1 = 2 / 3.0f + 0.4f;
    check_small("gradcam++", (const float[]){w0 - w1, 2 * w0, 3 * w0 + w1, 4 * w0 + 2 * w1, 5 * w0 - 2 * w1,
                                             6 * w0 + w1 / 2}, 1e-5);
}

/* Of ten pixels only the last is more than two standard deviations above the mean: 9 > 0.9 + 2 * 2.7 in the one channel,
 * -1 < -0.9 + 2 * 0.3 in the other. */
static void test_fem_by_hand(void **state)
{
    (void)state;
    const float a[2][10] = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, {-1, -1, -1, -1, 0, -1, -1, -1, -1, -1}};
    const cr_evidence e = {.c = 2, .h = 2, .w = 5, .a = &a[0][0]};
    double map[10];
    make_map(map, "fem", &e);
    check_map(map, (const float[]){-0.1f, -0.1f, -0.1f, -0.1f, 0, -0.1f, -0.1f, -0.1f, -0.1f, 0.8f}, 10, 1e-6, "fem");
}

/* Two copies with gradients 1 and 3 at the first pixel, 3 and -2 at the second, -1 and -3 at the third: means 2, 5, 14;
 * 1/2, 13/2, 19/2; -2, 5, -14. With sum(A) = 4 the first two weigh 10 / (10 + 56) and 13/4 / (13 + 38). */
static void test_smoothgradcam_plus_plus_by_hand(void **state)
{
    (void)state;
    const float a[3] = {2, 1, 1}, g[3] = {2, 0.5f, -2}, g2[3] = {5, 6.5f, 5}, g3[3] = {14, 9.5f, -14};
    const float negative[3] = {-14, -9.5f, -14}, w = 10 / 66.0f + 3.25f / 51, cut = 1 + 0.25f;
    cr_evidence e = {.c = 1, .h = 1, .w = 3, .a = a, .noisy = {g, g2, g3}};
    double map[3];
    make_map(map, "smoothgradcam++", &e);
    check_map(map, (const float[]){2 * w, w, w}, 3, 1e-6, "smoothgradcam++");
    e.noisy[2] = negative; /* alpha is 1/2 at both */
    make_map(map, "smoothgradcam++", &e);
    check_map(map, (const float[]){2 * cut, cut, cut}, 3, 1e-6, "smoothgradcam++ of negative cubes");
}

/* Each channel of |x g|, or of |b g|, from 0 to 1. */
static void test_fullgrad_by_hand(void **state)
{
    (void)state;
    const float x[2][3] = {{1, -2, 3}, {1, 1, 1}}, g[2][3] = {{-1, 2, 1}, {2, 4, -6}}, bias[2] = {-2, 0};
    cr_evidence e = {.c = 2, .h = 1, .w = 3, .a = &x[0][0], .g = &g[0][0]};
    double map[3];
    make_map(map, "fullgrad", &e);
    check_map(map, (const float[]){0, 1 + 0.5f, 2 / 3.0f + 1}, 3, 1e-6, "fullgrad at the input");
    e.a = NULL;
    e.bias = bias; /* {2, 4, 2} and nothing */
    make_map(map, "fullgrad", &e);
    check_map(map, (const float[]){0, 1, 0}, 3, 1e-6, "fullgrad behind a bias");
}

/* Of logits 0 and log 3 the softmax is 1/4 and 3/4; logits that a float cannot raise e to change nothing. Of a logit 2 that
 * falls to 1 and rises to 5 the weights are 1/2 and -3/2; of -2 that does they are 3/2 and 7/2. */
static void test_scores_by_hand(void **state)
{
    (void)state;
    const float masked[2] = {500, 500 + 1.0986123f}, ablated[2] = {1, 5};
    cr_evidence e = small;
    double map[6];
    e.masked = masked;
    make_map(map, "scorecam", &e);
    check_map(map, (const float[]){-0.5f, 0.5f, 1.5f, 2.5f, -0.25f, 1.875f}, 6, 1e-5, "scorecam");
    e.ablated = ablated;
    e.score = 2;
    make_map(map, "ablationcam", &e);
    check_map(map, (const float[]){2, 1, 0, -1, 5.5f, 2.25f}, 6, 1e-6, "ablationcam");
    e.score = -2;
    make_map(map, "ablationcam", &e);
    check_map(map, (const float[]){-2, 3, 8, 13, 0.5f, 10.75f}, 6, 1e-6, "ablationcam of a negative logit");
    const float nothing[2] = {0, 0};
    e.ablated = nothing;
    e.score = 0;
    make_map(map, "ablationcam", &e);
    check_map(map, (const float[6]){0}, 6, 0, "ablationcam of nothing");
}

static void test_no_evidence_is_kept_negative(void **state)
{
    (void)state;
    const float a[1] = {2}, g[1] = {-3};
    const cr_evidence e = {.c = 1, .h = 1, .w = 1, .a = a, .g = g};
    double map[1];
    make_map(map, "gradcam", &e);
    assert_true(map[0] == -6);
    make_map(map, "layercam", &e);
    assert_true(map[0] == 0);
}

/* ---- random numbers ---- */

static void test_randomcam(void **state)
{
    (void)state;
    enum { MANY = 4096 };
    float *a = zeros(MANY * MANY, sizeof *a); /* A_k is 1 at pixel k alone: the map is the weights */
    double *w = zeros(MANY, sizeof *w), *again = zeros(MANY, sizeof *again), mean = 0, square = 0;
    for (int k = 0; k < MANY; k++)
        a[k * MANY + k] = 1;
    cr_evidence e = {.c = MANY, .h = 1, .w = MANY, .a = a, .seed = 7};
    make_map(w, "randomcam", &e);
    for (int k = 0; k < MANY; k++) {
        assert_true(w[k] >= -1 && w[k] < 1);
        mean += w[k] / MANY;
        square += w[k] * w[k] / MANY;
    }
    assert_true(fabs(mean) < 0.03 && fabs(square - 1 / 3.0) < 0.02);
    make_map(again, "randomcam", &e);
    assert_memory_equal(w, again, MANY * sizeof *w);
    e.seed = 8;
    make_map(again, "randomcam", &e);
    for (int k = 0; k < MANY; k++)
        assert_true(w[k] != again[k]);
    /* What random.h promises of every machine: SplitMix64's first two numbers for the seed 1234567. */
    e.seed = 1234567;
    make_map(w, "randomcam", &e);
    assert_true(w[0] == 2 * ((double)(6457827717110365317u >> 11) / 9007199254740992.0) - 1);
    assert_true(w[1] == 2 * ((double)(3203168211198807973u >> 11) / 9007199254740992.0) - 1);
    free(a);
    free(w);
    free(again);
}

/* ---- what theory says ---- */

/* Before a global average pool and a linear layer every pixel's gradient is the class's weight / (H W). There Grad-CAM,
 * HiResCAM and XGrad-CAM are CAM / (H W); LayerCAM is CAM / (H W) of the weights that are positive. */
static void test_constant_gradients(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    float *a = new_random(C * PIXELS, 0, 3, &seed), *weight = new_random(C, -1, 1, &seed);
    float *g = zeros(C * PIXELS, sizeof *g), *expected = zeros(PIXELS, sizeof *expected);
    const cr_evidence e = {.c = C, .h = H, .w = W, .a = a, .g = g, .fc_weight = weight};
    double map[PIXELS];
    for (int k = 0; k < C; k++)
        for (int p = 0; p < PIXELS; p++)
            g[k * PIXELS + p] = weight[k] / PIXELS;
    make_map(map, "cam", &e);
    for (int p = 0; p < PIXELS; p++)
        expected[p] = (float)(map[p] / PIXELS);
    static const char *const same[] = {"gradcam", "hirescam", "xgradcam"};
    for (int i = 0; i < 3; i++) {
        make_map(map, same[i], &e);
        check_map(map, expected, PIXELS, 1e-6, same[i]);
    }

    for (int k = 0; k < C; k++)
        weight[k] = fmaxf(weight[k], 0);
    make_map(map, "cam", &e);
    for (int p = 0; p < PIXELS; p++)
        expected[p] = (float)(map[p] / PIXELS);
    make_map(map, "layercam", &e);
    check_map(map, expected, PIXELS, 1e-6, "layercam of constant gradients against cam");
    free(a);
    free(weight);
    free(g);
    free(expected);
}

/* XGrad-CAM's axiom of conservation: the map's sum is sum(g A), for any gradients; so is HiResCAM's. */
static void test_conservation(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    float *a = new_random(C * PIXELS, 0, 3, &seed), *g = new_random(C * PIXELS, -1, 1, &seed);
    const cr_evidence e = {.c = C, .h = H, .w = W, .a = a, .g = g};
    double xgradcam[PIXELS], hirescam[PIXELS], expected = 0, sums[2] = {0, 0};
    for (int i = 0; i < C * PIXELS; i++)
        expected += (double)a[i] * (double)g[i];
    make_map(xgradcam, "xgradcam", &e);
    make_map(hirescam, "hirescam", &e);
    for (int p = 0; p < PIXELS; p++) {
        sums[0] += xgradcam[p];
        sums[1] += hirescam[p];
    }
    assert_true(fabs(sums[0] - expected) < 1e-6 * fabs(expected));
    assert_true(fabs(sums[1] - expected) < 1e-9 * fabs(expected));
    free(a);
    free(g);
}

/* XGrad-CAM's axiom of sensitivity: what channel k adds to the map is how much the score falls when A_k is 0. It holds
 * exactly for a score that is linear in A, score = sum(g A). */
static void test_sensitivity(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    float *a = new_random(C * PIXELS, 0, 3, &seed), *g = new_random(C * PIXELS, -1, 1, &seed);
    for (int k = 0; k < C; k++) {
        const cr_evidence e = {.c = 1, .h = H, .w = W, .a = a + k * PIXELS, .g = g + k * PIXELS};
        double map[PIXELS], added = 0, fall = 0;
        make_map(map, "xgradcam", &e);
        for (int p = 0; p < PIXELS; p++) {
            added += map[p];
            fall += (double)e.a[p] * (double)e.g[p];
        }
        assert_true(fabs(added - fall) < 1e-6);
    }
    free(a);
    free(g);
}

/* Grad-CAM++ of gradients that are one positive number in each channel: alpha is the same for all its pixels, so the map
 * is Grad-CAM's with weights H W alpha g; and of negative ones nothing is left. */
static void test_gradcam_plus_plus_of_constant_gradients(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    float *a = new_random(C * PIXELS, 0, 3, &seed), *weight = new_random(C, 0.5f, 1, &seed);
    float *g = zeros(C * PIXELS, sizeof *g), *expected = zeros(PIXELS, sizeof *expected);
    for (int k = 0; k < C; k++) {
        weight[k] *= k % 3 ? 1 : -1;
        double total = 0, x = (double)fmaxf(weight[k], 0);
        for (int p = 0; p < PIXELS; p++) {
            g[k * PIXELS + p] = weight[k];
            total += (double)a[k * PIXELS + p];
        }
        for (int p = 0; p < PIXELS; p++)
            expected[p] += (float)(PIXELS * x / (2 + total * x) * (double)a[k * PIXELS + p]);
    }
    const cr_evidence e = {.c = C, .h = H, .w = W, .a = a, .g = g};
    double map[PIXELS];
    make_map(map, "gradcam++", &e);
    check_map(map, expected, PIXELS, 1e-6, "gradcam++ of constant gradients");
    free(a);
    free(weight);
    free(g);
    free(expected);
}

/* Finer-CAM's score, as its formula; z in double, for differences. */
static double finer_score(const double *z, int classes, int c, const int *rivals, int n)
{
    double all = 0, N = 0, P = 0;
    for (int j = 0; j < classes; j++)
        all += exp(z[j]);
    for (int i = 0; i < n; i++) {
        N += exp(z[rivals[i]]) / all * (z[c] - z[rivals[i]]);
        P += exp(z[rivals[i]]) / all;
    }
    return N / (P + 1e-9);
}

/* Its gradient against central differences; of 2 and 3 classes there are only 1 and 2 rivals. */
static void test_finer_score(void **state)
{
    (void)state;
    enum { CLASSES = 7 };
    static const float z[CLASSES] = {1.0f, -0.5f, 3.0f, 1.25f, 0.5f, -2.0f, 1.875f};
    static const struct {
        int classes, c, n, rivals[3];
    } cases[] = {{7, 0, 3, {3, 4, 6}}, {7, 2, 3, {6, 3, 0}}, {7, 5, 3, {1, 4, 0}}, {7, 6, 3, {3, 0, 2}},
                 {3, 1, 2, {0, 2}},    {2, 0, 1, {1}}};
    cr_error err;
    const cr_method *method = cr_method_find("finercam", &err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int classes = cases[i].classes, c = cases[i].c;
        float dz[CLASSES], expected[CLASSES];
        method->score(dz, z, classes, c);
        for (int j = 0; j < classes; j++) {
            double at[2][CLASSES];
            for (int side = 0; side < 2; side++)
                for (int k = 0; k < classes; k++)
                    at[side][k] = (double)z[k] + (k != j ? 0 : side ? 1e-5 : -1e-5);
            expected[j] = (float)((finer_score(at[1], classes, c, cases[i].rivals, cases[i].n) -
                                   finer_score(at[0], classes, c, cases[i].rivals, cases[i].n)) / 2e-5);
        }
        check_close(dz, expected, (size_t)classes, 1e-6, "finercam's score, class %d of %d", c, classes);
    }
    float dz[1];
    method->score(dz, z, 1, 0); /* no rival: nothing to tell it from */
    assert_true(dz[0] == 0);
}

/* ---- principal components ---- */

/* What eigencam is to give: M = terms (C,P) less their means, as columns; the eigenvector v of M^T M to its largest
 * eigenvalue, by Jacobi's rotations; map = M v. The reference: slow and sure. */
static void reference_component(double *map, const float *terms, int channels, int pixels)
{
    const size_t c = (size_t)channels, count = (size_t)pixels;
    double *m = zeros(c * count, sizeof *m), *gram = zeros(c * c, sizeof *gram), *v = zeros(c * c, sizeof *v);
    for (size_t k = 0; k < c; k++) {
        double mean = 0;
        for (size_t p = 0; p < count; p++)
            mean += (double)terms[k * count + p] / (double)count;
        for (size_t p = 0; p < count; p++)
            m[k * count + p] = (double)terms[k * count + p] - mean;
        v[k * c + k] = 1;
    }
    for (size_t i = 0; i < c; i++)
        for (size_t j = 0; j < c; j++)
            for (size_t p = 0; p < count; p++)
                gram[i * c + j] += m[i * count + p] * m[j * count + p];
    for (int sweep = 0; sweep < 60; sweep++)
        for (size_t i = 0; i < c; i++)
            for (size_t j = i + 1; j < c; j++) {
                if (gram[i * c + j] == 0)
                    continue;
                const double angle = 0.5 * atan2(2 * gram[i * c + j], gram[j * c + j] - gram[i * c + i]);
                const double cosine = cos(angle), sine = sin(angle);
                double *const matrices[3] = {gram, gram, v};
                for (int which = 0; which < 3; which++) /* columns of the matrix, its rows, columns of v */
                    for (size_t k = 0; k < c; k++) {
                        double *x = which == 1 ? &gram[i * c + k] : &matrices[which][k * c + i];
                        double *y = which == 1 ? &gram[j * c + k] : &matrices[which][k * c + j];
                        const double before = *x;
                        *x = cosine * before - sine * *y;
                        *y = sine * before + cosine * *y;
                    }
            }
    size_t best = 0;
    for (size_t k = 1; k < c; k++)
        best = gram[k * c + k] > gram[best * c + best] ? k : best;
    double least = 0, most = 0;
    for (size_t p = 0; p < count; p++) {
        map[p] = 0;
        for (size_t k = 0; k < c; k++)
            map[p] += m[k * count + p] * v[k * c + best];
        least = fmin(least, map[p]);
        most = fmax(most, map[p]);
    }
    for (size_t p = 0; p < count && -least > most; p++)
        map[p] = -map[p];
    free(m);
    free(gram);
    free(v);
}

static void check_component(const float *a, int c, int h, int w, double tol)
{
    const size_t pixels = (size_t)h * (size_t)w;
    double *found = zeros(pixels, sizeof *found), *expected = zeros(pixels, sizeof *expected);
    float *rounded = zeros(pixels, sizeof *rounded);
    const cr_evidence e = {.c = c, .h = h, .w = w, .a = a};
    memset(found, 0xff, pixels * sizeof *found);
    make_map(found, "eigencam", &e);
    reference_component(expected, a, c, (int)pixels);
    for (size_t p = 0; p < pixels; p++)
        rounded[p] = (float)expected[p];
    check_map(found, rounded, pixels, tol, "eigencam");
    free(found);
    free(expected);
    free(rounded);
}

static void test_eigencam_is_the_first_singular_vector(void **state)
{
    (void)state;
    static const int shapes[][3] = {{37, 5, 9}, {45, 3, 5}, {12, 3, 4}, {13, 3, 4}, {1, 4, 4}, {5, 1, 3}, {64, 2, 2},
                                    {3, 40, 31}};
    uint64_t seed = SEED;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int *s = shapes[i], count = s[0] * s[1] * s[2];
        float *a = new_random((size_t)count, 0, 3, &seed);
        check_component(a, s[0], s[1], s[2], 1e-5);
        free(a);
    }
}

/* Two singular values that differ by one in 2000. */
static void test_eigencam_of_near_singular_values(void **state)
{
    (void)state;
    enum { N = 40 };
    uint64_t seed = SEED;
    float *a = new_random(N * N, -0.01f, 0.01f, &seed);
    for (int p = 0; p < N; p++) {
        a[0 * N + p] = p < N / 2 ? 100 : -100;
        a[1 * N + p] = p % 2 ? 99.95f : -99.95f;
    }
    check_component(a, N, 1, N, 1e-3);
    free(a);
}

/* Of channels that are all multiples of one, that one, as large as all together and without its mean; of channels that
 * do not vary, nothing; and where there is one pixel, nothing can vary. */
static void test_eigencam_of_simple_channels(void **state)
{
    (void)state;
    const float multiples[3][4] = {{0, 1, 2, 5}, {0, -2, -4, -10}, {0, 2, 4, 10}};
    const cr_evidence one = {.c = 3, .h = 2, .w = 2, .a = &multiples[0][0]};
    double map[4];
    make_map(map, "eigencam", &one);
    check_map(map, (const float[]){-6, -3, 0, 9}, 4, 1e-6, "eigencam of multiples"); /* (0,1,2,5) less 2, times 3 */
    const float constant[2][4] = {{3, 3, 3, 3}, {-0.7f, -0.7f, -0.7f, -0.7f}};
    const cr_evidence none = {.c = 2, .h = 2, .w = 2, .a = &constant[0][0]};
    make_map(map, "eigencam", &none);
    check_map(map, (const float[]){0, 0, 0, 0}, 4, 0, "eigencam of constants");
    const cr_evidence pixel = {.c = 8, .h = 1, .w = 1, .a = &constant[0][0]};
    make_map(map, "eigencam", &pixel);
    assert_true(map[0] == 0);
}

static void test_eigencam_on_any_threads(void **state)
{
    (void)state;
    enum { SIDE = 60, CHANNELS = 50 };
    const int threads = cr_threads();
    uint64_t seed = SEED;
    float *a = new_random(CHANNELS * SIDE * SIDE, 0, 3, &seed);
    double *maps[2] = {zeros(SIDE * SIDE, sizeof(double)), zeros(SIDE * SIDE, sizeof(double))};
    const cr_evidence e = {.c = CHANNELS, .h = SIDE, .w = SIDE, .a = a};
    for (int i = 0; i < 2; i++) {
        cr_set_threads(1 + 2 * i);
        make_map(maps[i], "eigencam", &e);
    }
    cr_set_threads(threads);
    assert_memory_equal(maps[0], maps[1], SIDE * SIDE * sizeof(double));
    free(a);
    free(maps[0]);
    free(maps[1]);
}

/* With eigen_smooth any method's terms give their component: HiResCAM's EigenGradCAM, and those of weights w_k A_k. */
static void test_eigen_smooth(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    float *a = new_random(C * PIXELS, 0, 3, &seed), *g = new_random(C * PIXELS, -1, 1, &seed);
    float *weight = new_random(C, -1, 1, &seed);
    cr_evidence e = {.c = C, .h = H, .w = W, .a = a, .g = g, .fc_weight = weight};
    double found[PIXELS], expected[PIXELS];
    cr_error err;
    assert_true(cr_method_map(found, cr_method_find("hirescam", &err), &e, true, &err));
    make_map(expected, "eigengradcam", &e);
    assert_memory_equal(found, expected, sizeof found);
    assert_true(cr_method_map(found, cr_method_find("cam", &err), &e, true, &err));
    for (int i = 0; i < C * PIXELS; i++)
        a[i] *= weight[i / PIXELS];
    make_map(expected, "eigencam", &e);
    for (int p = 0; p < PIXELS; p++)
        assert_true(fabs(found[p] - expected[p]) < 1e-5);
    free(a);
    free(g);
    free(weight);
}

/* ---- numerics ---- */

/* Terms that cancel: summed in float, nothing of the one would be left. */
static void test_cancelling_terms(void **state)
{
    (void)state;
    const float a[3] = {1e9f, 1, -1e9f}, one[3] = {1, 1, 1};
    const cr_evidence e = {.c = 3, .h = 1, .w = 1, .a = a, .g = one, .fc_weight = one};
    static const char *const names[] = {"cam", "gradcam", "hirescam", "layercam"};
    for (int i = 0; i < 4; i++) {
        double map[1];
        make_map(map, names[i], &e);
        assert_true(map[0] == 1);
    }
}

/* A NaN must arrive in the map, where the pipeline looks for it. */
static void test_nan_is_not_lost(void **state)
{
    (void)state;
    const float values[2] = {1, NAN}, ones[2] = {1, 1};
    for (int i = 0; cr_method_at(i); i++) {
        const cr_method *m = cr_method_at(i);
        const cr_evidence in_a = {.c = 2, .h = 1, .w = 1, .a = values, .g = ones, .fc_weight = ones,
                                  .noisy = {ones, ones, ones}, .masked = ones, .score = 2, .ablated = ones};
        const cr_evidence in_others = {.c = 2, .h = 1, .w = 1, .a = ones, .g = values, .fc_weight = values,
                                       .noisy = {values, ones, ones}, .masked = values, .score = 2, .ablated = values};
        double map[1];
        make_map(map, m->name, &in_a);
        assert_true(isnan(map[0]));
        if (m->needs & ~(unsigned)CR_NEEDS_SEED) {
            make_map(map, m->name, &in_others);
            assert_true(isnan(map[0]));
        }
    }
}

/* ---- the table ---- */

static void test_table(void **state)
{
    (void)state;
    cr_error err;
    assert_string_equal(cr_method_at(0)->name, "gradcam");
    for (int i = 0; cr_method_at(i); i++) {
        const cr_method *m = cr_method_at(i);
        assert_ptr_equal(cr_method_find(m->name, &err), m); /* so names differ */
        assert_true(!m->weights != !m->term);
        assert_true(strlen(m->title) > 0 && strlen(m->about) > 0 && strlen(m->about) < 95);
        assert_null(cr_method_find("gradcamm", &err));
        check_message(&err, "'gradcamm'", m->name, NULL);
    }
    assert_null(cr_method_at(-1));
    assert_null(cr_method_find("", NULL));
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_fem_by_hand),
        cmocka_unit_test(test_smoothgradcam_plus_plus_by_hand),
        cmocka_unit_test(test_fullgrad_by_hand),
        cmocka_unit_test(test_scores_by_hand),
        cmocka_unit_test(test_no_evidence_is_kept_negative),
        cmocka_unit_test(test_randomcam),
        cmocka_unit_test(test_constant_gradients),
        cmocka_unit_test(test_conservation),
        cmocka_unit_test(test_sensitivity),
        cmocka_unit_test(test_gradcam_plus_plus_of_constant_gradients),
        cmocka_unit_test(test_finer_score),
        cmocka_unit_test(test_eigencam_is_the_first_singular_vector),
        cmocka_unit_test(test_eigencam_of_near_singular_values),
        cmocka_unit_test(test_eigencam_of_simple_channels),
        cmocka_unit_test(test_eigencam_on_any_threads),
        cmocka_unit_test(test_eigen_smooth),
        cmocka_unit_test(test_cancelling_terms),
        cmocka_unit_test(test_nan_is_not_lost),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests_name("methods", tests, NULL, NULL);
}
