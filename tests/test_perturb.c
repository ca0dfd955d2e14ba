/* test_perturb.c - changed inputs, by hand and by the equations they must satisfy; what a network says of them. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "faithfulness.h"
#include "metrics.h"
#include "perturb.h"
#include "subject.h"

static void must(bool ok, const cr_error *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

/* ---- masks, blur, order ---- */

static void test_mask(void **state)
{
    (void)state;
    const float x[4] = {1, 2, -3, 4}, values[2] = {0.5f, 0};
    float out[4];
    cr_mask_input(out, x, values, 2, 1, 2);
    check_same_bits(out, (const float[]){0.5f, 0, -1.5f, 0}, 4, "x * map");
}

static void test_blur(void **state)
{
    (void)state;
    enum { H = 23, W = 26 };
    cr_error err;
    float *x = zeros(H * W, sizeof *x), *out = zeros(H * W, sizeof *out);
    double weight[11], sum = 0;
    for (int i = 0; i < 11; i++)
        sum += weight[i] = exp(-(i - 5) * (i - 5) / 50.0);
    x[10 * W + 12] = 2;
    must(cr_blur_input(out, x, 1, H, W, &err), &err);
    for (int y = 0; y < H; y++)
        for (int i = 0; i < W; i++) {
            const bool near = abs(y - 10) <= 5 && abs(i - 12) <= 5;
            const double expected = near ? 2 * weight[y - 5] * weight[i - 7] / (sum * sum) : 0;
            if (!(fabs((double)out[y * W + i] - expected) <= 1e-7))
                fail_msg("(%d,%d): %g, expected %g", y, i, (double)out[y * W + i], expected);
        }
    for (int i = 0; i < H * W; i++)
        x[i] = 1;
    must(cr_blur_input(out, x, 1, H, W, &err), &err);
    assert_true(fabs((double)out[11 * W + 13] - 1) < 1e-6);
    assert_true(out[0] < 0.5f); /* zeros beyond the border */
    free(x);
    free(out);
}

static void test_order(void **state)
{
    (void)state;
    cr_error err;
    int order[6];
    const float values[6] = {0.5f, 0, 1, 0.5f, 0, 0.7f};
    must(cr_relevance_order(order, values, 6, &err), &err);
    const int expected[6] = {2, 5, 0, 3, 1, 4};
    assert_memory_equal(order, expected, sizeof order);

    const float x[6] = {1, 2, 3, 4, 5, 6}, to[6] = {-1, -2, -3, -4, -5, -6};
    float out[6];
    const int three[3] = {2, 0, 1};
    cr_replace_pixels(out, x, to, three, 2, 2, 3);
    check_same_bits(out, (const float[]){-1, 2, -3, -4, 5, -6}, 6, "two pixels of both channels");
    cr_replace_pixels(out, x, NULL, three, 3, 2, 3);
    check_same_bits(out, (const float[]){0, 0, 0, 0, 0, 0}, 6, "all pixels");
    cr_replace_pixels(out, x, NULL, three, 0, 2, 3);
    check_same_bits(out, x, 6, "no pixel");
}

/* ---- ROAD ---- */

static void removed_by(unsigned char *removed, const float *values, size_t n, double percentile, bool least)
{
    cr_error err;
    int *order = zeros(n, sizeof *order);
    must(cr_relevance_order(order, values, n, &err), &err);
    cr_road_removed(removed, values, order, n, percentile, least);
    free(order);
}

static void test_removed(void **state)
{
    (void)state;
    const float values[10] = {0.3f, 0.9f, 0, 0.1f, 0.8f, 0.2f, 0.7f, 0.4f, 0.6f, 0.5f};
    unsigned char removed[10];
    removed_by(removed, values, 10, 80, false); /* at 0.72: two of ten */
    assert_memory_equal(removed, ((const unsigned char[]){0, 1, 0, 0, 1, 0, 0, 0, 0, 0}), 10);
    removed_by(removed, values, 10, 80, true);
    assert_memory_equal(removed, ((const unsigned char[]){0, 0, 1, 1, 0, 0, 0, 0, 0, 0}), 10);
    removed_by(removed, values, 10, 0, false);
    assert_memory_equal(removed, ((const unsigned char[]){1, 1, 1, 1, 1, 1, 1, 1, 1, 1}), 10);
    removed_by(removed, values, 10, 100, false);
    assert_memory_equal(removed, ((const unsigned char[]){0, 1, 0, 0, 0, 0, 0, 0, 0, 0}), 10);
    const float same[3] = {0, 0, 0};
    removed_by(removed, same, 3, 80, false); /* nothing is below the percentile */
    assert_memory_equal(removed, ((const unsigned char[]){1, 1, 1}), 3);
}

static void test_impute_one(void **state)
{
    (void)state;
    cr_error err;
    const float x[9] = {1, 2, 3, 4, 100, 6, 7, 8, 12};
    unsigned char removed[9] = {0, 0, 0, 0, 1};
    float out[9];
    must(cr_road_impute(out, x, removed, 1, 3, 3, 0, 1, &err), &err);
    assert_true(fabs((double)out[4] - ((2 + 4 + 6 + 8) / 6.0 + (1 + 3 + 7 + 12) / 12.0)) < 1e-4);
    memset(removed, 0, sizeof removed);
    removed[0] = 1; /* a corner: 2 and 4 count twice as much as 100 */
    must(cr_road_impute(out, x, removed, 1, 3, 3, 0, 1, &err), &err);
    assert_true(fabs((double)out[0] - (2 * 2 + 2 * 4 + 100) / 5.0) < 1e-3);
    memset(removed, 1, sizeof removed);
    must(cr_road_impute(out, x, removed, 1, 3, 3, 0, 1, &err), &err);
    check_same_bits(out, (const float[9]){0}, 9, "nothing left");
    memset(removed, 0, sizeof removed);
    must(cr_road_impute(out, x, removed, 1, 3, 3, 0.5, 1, &err), &err);
    check_same_bits(out, x, 9, "nothing removed");
}

/* Every removed pixel is the mean of its neighbours: for single pixels here and there, large holes, little that is left. */
static void test_impute_equations(void **state)
{
    (void)state;
    static const int sizes[][2] = {{37, 41}, {64, 64}, {1, 30}, {50, 2}, {5, 7}};
    static const double shares[] = {0.1, 0.6, 0.995};
    uint64_t random = SEED;
    cr_error err;
    for (int s = 0; s < 5; s++)
        for (int k = 0; k < 4; k++) {
            const int h = sizes[s][0], w = sizes[s][1];
            float *x = new_random((size_t)(2 * h * w), -2, 2, &random), *out = zeros((size_t)(2 * h * w), sizeof *out);
            unsigned char *removed = zeros((size_t)(h * w), 1);
            for (int i = 0; i < h * w; i++) {
                const int dy = i / w - h / 2, dx = i % w - w / 2;
                removed[i] = k < 3 ? random_uniform(&random, 0, 1) < shares[k]
                                   : dy * dy * w * w + dx * dx * h * h < w * w * h * h / 5;
            }
            removed[h * w - 1] = 0;
            must(cr_road_impute(out, x, removed, 2, h, w, 0, 1, &err), &err);
            for (int i = 0; i < 2 * h * w; i++) {
                const int c = i / (h * w), y = i / w % h, at = i % w;
                double sum = 0, weights = 0;
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++) {
                        const bool inside = y + dy >= 0 && y + dy < h && at + dx >= 0 && at + dx < w && (dy || dx);
                        const double weight = !inside ? 0 : dy && dx ? 1 / 12.0 : 1 / 6.0;
                        sum += inside ? weight * (double)out[c * h * w + (y + dy) * w + at + dx] : 0;
                        weights += weight;
                    }
                if (!removed[i % (h * w)] ? out[i] != x[i] : !(fabs((double)out[i] - sum / weights) < 1e-4))
                    fail_msg("%dx%d, holes %d: (%d,%d,%d) is %g, expected %g", h, w, k, c, y, at, (double)out[i],
                             removed[i % (h * w)] ? sum / weights : (double)x[i]);
            }
            free(x);
            free(out);
            free(removed);
        }
}

/* A slope is the mean of its neighbours everywhere, so it comes back whole from inside a large hole. */
static void test_impute_slope(void **state)
{
    (void)state;
    enum { H = 90, W = 120 };
    cr_error err;
    float *x = zeros(H * W, sizeof *x), *out = zeros(H * W, sizeof *out);
    unsigned char *removed = zeros(H * W, 1);
    for (int i = 0; i < H * W; i++) {
        x[i] = 0.02f * (float)(i / W) - 0.01f * (float)(i % W);
        removed[i] = i / W > 3 && i / W < H - 4 && i % W > 2 && i % W < W - 5;
    }
    must(cr_road_impute(out, x, removed, 1, H, W, 0, 1, &err), &err);
    check_close(out, x, H * W, 1e-3, "a slope");

    must(cr_road_impute(out, x, removed, 1, H, W, 0.1, 1, &err), &err);
    double sum = 0, squares = 0;
    int n = 0;
    for (int i = 0; i < H * W; i++)
        if (removed[i]) {
            sum += (double)(out[i] - x[i]);
            squares += (double)(out[i] - x[i]) * (double)(out[i] - x[i]);
            n++;
        }
    assert_true(fabs(sum / n) < 0.01 && fabs(sqrt(squares / n) - 0.1) < 0.01);
    free(x);
    free(out);
    free(removed);
}

/* ---- a network's answers ---- */

enum { SIDE = 40, CLASSES = 5, STEPS = 4, PIXELS = SIDE * SIDE };

enum { CLASS = 2 };

static double probability(const run *r, const subject *s, const float *x)
{
    float z[CLASSES], p[CLASSES];
    cr_error err;
    cr_tape_forward(r->tape, x);
    must(cr_tape_value(r->tape, s->net->n_nodes - 1, z, &err), &err);
    cr_softmax(p, z, 1, CLASSES);
    return (double)p[CLASS];
}

static cr_faith_scores judge(const subject *s, const float *maps, int n, int which, unsigned metrics)
{
    cr_error err;
    const cr_faith_request request = {.metrics = metrics, .h = SIDE, .w = SIDE, .steps = STEPS, .road_noise = 0.01};
    cr_faith_scores *scores = zeros((size_t)n, sizeof *scores);
    cr_faith *f = cr_faith_create(s->net, &request, &err);
    double clean;
    if (!f)
        fail_msg("%s", err.text);
    must(cr_faith_judge(f, scores, &clean, s->x, CLASS, maps, n, 7, &err), &err);
    const cr_faith_scores found = scores[which];
    cr_faith_free(f);
    free(scores);
    return found;
}

static void test_judge(void **state)
{
    (void)state;
    cr_error err;
    uint64_t random = SEED;
    subject s = make_subject("resnet18", 4, CLASSES, 1, SIDE, SIDE);
    float *maps = new_random(3 * PIXELS, 0, 1, &random), *image = zeros(3 * PIXELS, sizeof *image);
    float *blurred = zeros(3 * PIXELS, sizeof *blurred);
    for (int i = 0; i < PIXELS; i++) /* a map of ones leaves the picture as it is; an empty one leaves nothing */
        maps[PIXELS + i] = 1, maps[2 * PIXELS + i] = 0;
    const int threads = cr_threads();
    cr_set_threads(1);
    const cr_request request = {.n = 1, .h = SIDE, .w = SIDE};
    run r = start_run(s.net, &request);
    const double clean = probability(&r, &s, s.x), black = probability(&r, &s, image);
    const unsigned all = CR_FAITH_DROP | CR_FAITH_INSERTION | CR_FAITH_DELETION | CR_FAITH_ROAD;

    const cr_faith_scores ones = judge(&s, maps, 3, 1, all), none = judge(&s, maps, 3, 2, all);
    assert_true(ones.drop < 1e-6 && fabs(none.drop - cr_drop(clean, black)) < 1e-5);
    assert_true(none.increase == (black > clean));
    assert_true(isfinite(none.insertion) && isfinite(none.deletion) && isfinite(none.road));
    assert_true(none.insertion == ones.insertion && none.deletion == ones.deletion); /* pixels in the same order */

    /* By hand, one forward at a time. */
    const cr_faith_scores first = judge(&s, maps, 3, 0, all);
    int *order = zeros(PIXELS, sizeof *order);
    double in[STEPS + 1], out[STEPS + 1];
    must(cr_relevance_order(order, maps, PIXELS, &err) && cr_blur_input(blurred, s.x, 3, SIDE, SIDE, &err), &err);
    for (size_t i = 0; i <= STEPS; i++) {
        cr_replace_pixels(image, blurred, s.x, order, i * PIXELS / STEPS, 3, PIXELS);
        in[i] = probability(&r, &s, image);
        cr_replace_pixels(image, s.x, NULL, order, i * PIXELS / STEPS, 3, PIXELS);
        out[i] = probability(&r, &s, image);
    }
    assert_true(fabs(first.insertion - cr_curve_area(in, STEPS + 1)) < 1e-5);
    assert_true(fabs(first.deletion - cr_curve_area(out, STEPS + 1)) < 1e-5);
    assert_true(fabs(first.road - (first.road_least - first.road_most) / 2) < 1e-12);

    /* What was not asked for is not there; alone, with other maps and for any number of threads, the same. */
    const cr_faith_scores alone = judge(&s, maps, 1, 0, CR_FAITH_ROAD);
    assert_true(isnan(alone.drop) && isnan(alone.increase) && isnan(alone.insertion) && isnan(alone.deletion));
    cr_set_threads(3);
    const cr_faith_scores again = judge(&s, maps, 3, 0, all);
    assert_memory_equal(&again, &first, sizeof first);
    cr_set_threads(threads);
    stop_run(&r);
    assert_true(alone.road == first.road);
    free(order);
    free(maps);
    free(image);
    free(blurred);
    free_subject(&s);
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask),       cmocka_unit_test(test_blur),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_removed),
        cmocka_unit_test(test_impute_one), cmocka_unit_test(test_impute_equations),
        cmocka_unit_test(test_impute_slope), cmocka_unit_test(test_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
