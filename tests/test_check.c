/* test_check.c - the comparator itself: a test suite is worth what its comparison detects. */
#include "check.h"

#include <math.h>
#include <string.h>

enum { COUNT = 1000 };

static float expected[COUNT], found[COUNT];

static int fill(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    fill_random(expected, COUNT, -3.0f, 3.0f, &seed);
    memcpy(found, expected, sizeof found);
    return 0;
}

static bool close_at(double tol)
{
    mismatch worst;
    return is_close(found, expected, COUNT, tol, &worst);
}

/* That found[at] = value is detected, even by a tolerance of 10 %, and named. */
static void check_detects(size_t at, float value)
{
    mismatch worst;
    found[at] = value;
    assert_false(is_close(found, expected, COUNT, 0.1, &worst));
    assert_int_equal(worst.index, at);
}

static void test_equal_is_close(void **state)
{
    (void)state;
    assert_true(close_at(0.0));
}

static void test_tolerance_is_scaled_by_the_largest(void **state)
{
    (void)state;
    for (int k = -30; k <= 30; k += 30) { /* the same at any scale */
        fill(NULL);
        const float scale = ldexpf(1.0f, k);
        for (int i = 0; i < COUNT; i++)
            found[i] = expected[i] *= scale;
        expected[10] = 4.0f * scale;
        found[10] = expected[10];
        found[20] = expected[20] + 0.9e-3f * 4.0f * scale;
        assert_true(close_at(1e-3));
        found[20] = expected[20] + 1.1e-3f * 4.0f * scale;
        assert_false(close_at(1e-3));
    }
}

static void test_one_wrong_element(void **state)
{
    (void)state;
    check_detects(0, expected[0] + 1.0f);
    fill(NULL);
    check_detects(COUNT - 1, expected[COUNT - 1] - 1.0f);
    mismatch worst;
    assert_false(is_close(found, expected, COUNT, 0.1, &worst));
    assert_true(fabs(worst.error - 1.0) < 1e-6 && fabs(worst.allowed - 0.3) < 0.001);
}

static void test_nan(void **state)
{
    (void)state;
    check_detects(500, NAN); /* a NaN that should not be there */
    expected[500] = NAN;
    assert_true(close_at(1e-6));
    check_detects(500, 1.0f); /* and one that is missing */
    found[500] = INFINITY;
    assert_false(close_at(1e-6));
    for (int i = 0; i < COUNT; i++)
        found[i] = NAN;
    assert_false(close_at(1e30));
}

static void test_infinity(void **state)
{
    (void)state;
    check_detects(3, INFINITY);
    expected[3] = INFINITY;
    assert_true(close_at(1e-6));
    check_detects(3, -INFINITY);
    check_detects(3, 3e38f);
    check_detects(3, NAN);
    found[3] = INFINITY;
    found[4] += 1.0f; /* an infinity does not widen what is allowed elsewhere */
    assert_false(close_at(1e-6));
}

static void test_flipped_sign(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++)
        found[i] = -expected[i];
    assert_false(close_at(0.5));
}

static void test_zeros(void **state)
{
    (void)state;
    memset(found, 0, sizeof found);
    assert_false(close_at(0.5));
    memset(expected, 0, sizeof expected); /* where zeros are expected, nothing else will do */
    assert_true(close_at(1e-6));
    check_detects(7, 1e-30f);
}

static void test_shifted_by_one(void **state)
{
    (void)state;
    memmove(found + 1, found, sizeof found - sizeof *found);
    assert_false(close_at(0.5));
}

static void test_random_numbers(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    double sum = 0.0;
    for (int i = 0; i < COUNT; i++) {
        float x = random_uniform(&seed, -2.0f, 6.0f);
        assert_true(x >= -2.0f && x < 6.0f);
        sum += (double)x;
    }
    assert_true(fabs(sum / COUNT - 2.0) < 0.3); /* standard error 8 / sqrt(12 * 1000) = 0.07 */
    assert_true(expected[0] != expected[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_equal_is_close, fill),
        cmocka_unit_test_setup(test_tolerance_is_scaled_by_the_largest, fill),
        cmocka_unit_test_setup(test_one_wrong_element, fill),
        cmocka_unit_test_setup(test_nan, fill),
        cmocka_unit_test_setup(test_infinity, fill),
        cmocka_unit_test_setup(test_flipped_sign, fill),
        cmocka_unit_test_setup(test_zeros, fill),
        cmocka_unit_test_setup(test_shifted_by_one, fill),
        cmocka_unit_test_setup(test_random_numbers, fill),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
