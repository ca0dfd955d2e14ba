/* test_metrics.c - what is said of maps, on arrays small enough to work out by hand, and of maps that say nothing. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"

/* A picture as large as the input. */
static cr_geometry plain(int w, int h)
{
    return (cr_geometry){w, h, w, h, 0, 0, w, h};
}

static void check_number(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-7))
        fail_msg("found %.9g, expected %.9g", found, expected);
}

/* ---- boxes ---- */

static void test_pointing(void **state)
{
    (void)state;
    const cr_geometry g = plain(4, 3);
    const cr_rect around = {2, 1, 3, 2}, beside = {0, 0, 1, 3}, both[2] = {{0, 0, 1, 1}, {2, 1, 3, 2}};
    float map[12] = {0.1f, 0.2f, 0, 0, 0, 0.5f, 1, 0.5f, 0, 0, 0.9f, 0};
    check_number(cr_pointing(map, &g, &around, 1, 0), 1);
    check_number(cr_pointing(map, &g, &beside, 1, 0), 0);
    check_number(cr_pointing(map, &g, both, 2, 0), 1);
    check_number(cr_pointing(map, &g, both, 0, 0), 0);
    check_number(cr_pointing(map, &g, &beside, 1, 1.49), 0); /* its centre is at 2.5 and the box ends at 1 */
    check_number(cr_pointing(map, &g, &beside, 1, 1.51), 1);
    map[10] = 1; /* a second highest pixel, below */
    check_number(cr_pointing(map, &g, &around, 1, 0), 0.5);
    const float none[12] = {0}, same[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    check_number(cr_pointing(none, &g, &around, 1, 0), 0);
    check_number(cr_pointing(same, &g, &beside, 1, 0), 3 / 12.0);
    map[3] = NAN;
    assert_true(isnan(cr_pointing(map, &g, &around, 1, 0)));
}

static void test_energy(void **state)
{
    (void)state;
    const cr_geometry g = plain(3, 2);
    const cr_rect left = {0, 0, 1, 2}, twice[2] = {{0, 0, 2, 1}, {0, 0, 1, 2}};
    float map[6] = {1, 0.5f, 0.25f, 0.25f, 0, 0.5f};
    check_number(cr_box_energy(map, &g, &left, 1), 1.25 / 2.5);
    check_number(cr_box_energy(map, &g, twice, 2), 1.75 / 2.5);
    const float none[6] = {0};
    check_number(cr_box_energy(none, &g, &left, 1), 0);
    map[4] = NAN;
    assert_true(isnan(cr_box_energy(map, &g, &left, 1)));
}

/* A 16x8 picture, halved to 8x4, of which the middle 4x4 is seen: the photograph's columns 4 to 11. */
static void test_crop(void **state)
{
    (void)state;
    const cr_geometry g = {16, 8, 8, 4, 2, 0, 4, 4};
    const cr_rect outside = {0, 0, 4, 8}, edge = {0, 0, 5, 8}, first = {0, 0, 6, 8}, inside = {6, 2, 8, 4};
    float map[16] = {0};
    map[1 * 4 + 1] = 1; /* its centre is at (7,3) of the photograph */
    assert_false(cr_boxes_seen(&outside, 1, &g));
    assert_true(cr_boxes_seen(&edge, 1, &g)); /* the first pixel's centre lies at 5 */
    assert_true(cr_boxes_seen(&first, 1, &g));
    check_number(cr_pointing(map, &g, &inside, 1, 0), 1);
    check_number(cr_box_energy(map, &g, &inside, 1), 1);
    check_number(cr_pointing(map, &g, &first, 1, 0), 0);
    check_number(cr_pointing(map, &g, &first, 1, 1), 1);

    /* A 2x2 picture in the middle of a 4x4 input: what lies on the padding is not counted. */
    const cr_geometry padded = {2, 2, 2, 2, -1, -1, 4, 4};
    const cr_rect corner = {0, 0, 1, 1};
    for (int i = 0; i < 16; i++)
        map[i] = 1;
    check_number(cr_box_energy(map, &padded, &corner, 1), 0.25);
}

/* ---- scores ---- */

static void test_scores(void **state)
{
    (void)state;
    check_number(cr_drop(0.8, 0.6), 0.2 / (0.8 + 1e-7));
    check_number(cr_drop(0.6, 0.8), 0);
    check_number(cr_drop(0, 0), 0);
    check_number(cr_increase(0.6, 0.8), 1);
    check_number(cr_increase(0.8, 0.6), 0);
    check_number(cr_increase(0.8, 0.8), 0);
    assert_true(isnan(cr_drop(NAN, 0.5)) && isnan(cr_drop(0.5, NAN)) && isnan(cr_increase(0.5, NAN)));
    check_number(cr_curve_area((const double[]){1, 0}, 2), 0.5);
    check_number(cr_curve_area((const double[]){1, 0.5, 0.25}, 3), (0.75 + 0.375) / 2);
    check_number(cr_curve_area((const double[]){0.3, 0.3, 0.3, 0.3}, 4), 0.3);
}

/* ---- two maps ---- */

static double correlation(const float *a, const float *b, size_t n)
{
    cr_error err;
    double found;
    if (!cr_rank_correlation(&found, a, b, n, &err))
        fail_msg("%s", err.text);
    return found;
}

static void test_correlation(void **state)
{
    (void)state;
    const float a[4] = {1, 2, 2, 3}, up[4] = {0, 0.1f, 7, 8}, down[4] = {3, 2, 1, 0}, same[4] = {5, 5, 5, 5};
    const float grown[4] = {-1, 0, 0, 100}, nan[4] = {1, NAN, 2, 3};
    check_number(correlation(a, up, 4), 4.5 / sqrt(4.5 * 5)); /* ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3 */
    check_number(correlation(a, grown, 4), 1);
    check_number(correlation(up, down, 4), -1);
    check_number(correlation(a, same, 4), 0);
    check_number(correlation(same, same, 4), 0);
    assert_true(isnan(correlation(a, nan, 4)));
}

static double similarity(const float *a, const float *b, int h, int w)
{
    cr_error err;
    double found;
    if (!cr_structural_similarity(&found, a, b, h, w, &err))
        fail_msg("%s", err.text);
    return found;
}

static void test_similarity(void **state)
{
    (void)state;
    enum { H = 14, W = 17, N = H * W };
    uint64_t random = SEED;
    float *a = new_random(N, 0, 1, &random), *b = new_random(N, 0, 1, &random), *other = zeros(N, sizeof *other);
    check_number(similarity(a, a, H, W), 1);
    check_number(similarity(a, b, H, W), similarity(b, a, H, W));
    assert_true(similarity(a, b, H, W) < 0.5);
    for (int i = 0; i < N; i++)
        b[i] = 0.25f;
    check_number(similarity(b, other, H, W), 1e-4 / (0.0625 + 1e-4)); /* two flat maps: only their means count */
    for (int i = 0; i < N; i++)
        other[i] = 1 - a[i];
    assert_true(similarity(a, other, H, W) < 0);
    /* One window of 1 x 1 for each pixel where the map is one row: variances are 0. */
    const float row[3] = {1, 0, 0.5f}, mate[3] = {1, 1, 0.5f};
    check_number(similarity(row, mate, 1, 3), (1 + 1e-4 / 1.0001 + 1) / 3);
    a[20] = NAN;
    assert_true(isnan(similarity(a, b, H, W)));
    free(a);
    free(b);
    free(other);
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pointing), cmocka_unit_test(test_energy),      cmocka_unit_test(test_crop),
        cmocka_unit_test(test_scores),   cmocka_unit_test(test_correlation), cmocka_unit_test(test_similarity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
