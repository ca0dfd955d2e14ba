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

static void check_map(const double *found, const float *expected, size_t count, double tol, const char *what)
{
    float *rounded = zeros(count, sizeof *rounded);
    for (size_t p = 0; p < count; p++)
        rounded[p] = (float)found[p];
    check_close(rounded, expected, count, tol, "%s", what);
    free(rounded);
}

static void test_gradcam_by_hand(void **state)
{
    (void)state;
    double map[6];
    memset(map, 0xff, sizeof map); /* NaN: what was there before must not matter */
    cr_gradcam(map, &small_a[0][0][0], &small_g[0][0][0], 2, 2, 3);
    /* The gradients' means are 1 and -1. */
    check_map(map, (const float[]){2, 2, 2, 2, 7, 5.5f}, 6, 0, "gradcam");
}

static void test_layercam_by_hand(void **state)
{
    (void)state;
    double map[6];
    memset(map, 0xff, sizeof map);
    cr_layercam(map, &small_a[0][0][0], &small_g[0][0][0], 2, 2, 3);
    check_map(map, (const float[]){3, 0, 0, 4, -2, 18}, 6, 0, "layercam");
}

static void test_cam_by_hand(void **state)
{
    (void)state;
    double map[6];
    memset(map, 0xff, sizeof map);
    cr_cam(map, &small_a[0][0][0], (const float[]){2, -4}, 2, 2, 3);
    check_map(map, (const float[]){6, 4, 2, 0, 18, 10}, 6, 0, "cam");
}

static void test_no_evidence_is_kept_negative(void **state)
{
    (void)state;
    double map[1];
    cr_gradcam(map, (const float[]){2}, (const float[]){-3}, 1, 1, 1);
    assert_true(map[0] == -6);
    cr_layercam(map, (const float[]){2}, (const float[]){-3}, 1, 1, 1);
    assert_true(map[0] == 0);
}

/* Before a global average pool and a linear layer every pixel's gradient is the class's weight / (H W): there Grad-CAM
 * is CAM / (H W), and LayerCAM is CAM / (H W) of the weights that are positive. */
static void test_constant_gradients(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    float *a = new_random(C * PIXELS, -1, 3, &seed), *weight = new_random(C, -1, 1, &seed);
    float *g = zeros(C * PIXELS, sizeof *g), *expected = zeros(PIXELS, sizeof *expected);
    double gradcam[PIXELS], layercam[PIXELS], cam[PIXELS];
    for (int k = 0; k < C; k++)
        for (int p = 0; p < PIXELS; p++)
            g[k * PIXELS + p] = weight[k] / PIXELS;
    cr_gradcam(gradcam, a, g, C, H, W);
    cr_cam(cam, a, weight, C, H, W);
    for (int p = 0; p < PIXELS; p++)
        expected[p] = (float)(cam[p] / PIXELS);
    check_map(gradcam, expected, PIXELS, 1e-6, "gradcam of constant gradients against cam");

    for (int k = 0; k < C; k++)
        weight[k] = fmaxf(weight[k], 0);
    cr_layercam(layercam, a, g, C, H, W);
    cr_cam(cam, a, weight, C, H, W);
    for (int p = 0; p < PIXELS; p++)
        expected[p] = (float)(cam[p] / PIXELS);
    check_map(layercam, expected, PIXELS, 1e-6, "layercam of constant gradients against cam");
    free(a);
    free(weight);
    free(g);
    free(expected);
}

/* Terms that cancel: summed in float, nothing of the one would be left. */
static void test_cancelling_terms(void **state)
{
    (void)state;
    const float a[3] = {1e9f, 1, -1e9f}, one[3] = {1, 1, 1};
    double map[1];
    cr_cam(map, a, one, 3, 1, 1);
    assert_true(map[0] == 1);
    cr_gradcam(map, a, one, 3, 1, 1);
    assert_true(map[0] == 1);
    cr_layercam(map, a, one, 3, 1, 1);
    assert_true(map[0] == 1);
}

/* A NaN must arrive in the map, where the pipeline looks for it. */
static void test_nan_is_not_lost(void **state)
{
    (void)state;
    const float values[2] = {1, NAN}, ones[2] = {1, 1};
    for (int i = 0; cr_method_at(i); i++) {
        double map[1];
        cr_method_at(i)->map(map, values, ones, 2, 1, 1);
        assert_true(isnan(map[0]));
        cr_method_at(i)->map(map, ones, values, 2, 1, 1);
        assert_true(isnan(map[0]));
    }
}

static void test_table(void **state)
{
    (void)state;
    cr_error err;
    assert_string_equal(cr_method_at(0)->name, "gradcam");
    for (int i = 0; cr_method_at(i); i++) {
        const cr_method *m = cr_method_at(i);
        assert_ptr_equal(cr_method_find(m->name, &err), m); /* so names differ */
        assert_non_null(m->map);
        assert_true(strlen(m->title) > 0 && strlen(m->about) > 0);
    }
    assert_null(cr_method_at(-1));
    assert_null(cr_method_find("gradcamm", &err));
    check_message(&err, "'gradcamm'", "gradcam, layercam, cam", NULL);
    assert_null(cr_method_find("", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradcam_by_hand),
        cmocka_unit_test(test_layercam_by_hand),
        cmocka_unit_test(test_cam_by_hand),
        cmocka_unit_test(test_no_evidence_is_kept_negative),
        cmocka_unit_test(test_constant_gradients),
        cmocka_unit_test(test_cancelling_terms),
        cmocka_unit_test(test_nan_is_not_lost),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests_name("methods", tests, NULL, NULL);
}
