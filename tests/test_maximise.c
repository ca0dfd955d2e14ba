/* test_maximise.c - gradient ascent on the input: it climbs, within the colours of pictures, the same way for any batch. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maximise.h"
#include "subject.h"

enum { H = 36, W = 41, COUNT = 3 * H * W };

static cr_transform transform;

static cr_ascent_options options(void)
{
    transform = cr_transform_default();
    return (cr_ascent_options){.steps = 12, .lr = 0.1, .jitter = 3, .blur = 0.5, .decay = 0.01, .transform = &transform};
}

static void check_colors(const float *x, size_t inputs)
{
    for (size_t i = 0; i < inputs * COUNT; i++) {
        const int c = (int)(i / (H * W) % 3);
        assert_true(x[i] >= cr_transform_level(&transform, 0, c, 3) - 1e-6f && x[i] <= cr_transform_level(&transform, 1, c, 3) + 1e-6f);
    }
}

static void test_climbs(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, H, W);
    const int nodes[] = {cr_net_find(s.net, "layer2.0.conv1", NULL), s.net->n_nodes - 1, cr_net_find(s.net, "layer1.0.conv2", NULL)};
    const int channels[] = {2, 0, 1};
    float *x = zeros(3 * COUNT, sizeof *x);
    double scores[3][2];
    for (size_t t = 0; t < 3; t++) {
        cr_error err;
        cr_ascent_options o = options();
        o.blur = 0; /* against these, few steps do not get far with random weights */
        o.jitter = 0;
        if (!cr_maximise(x, scores, s.net, nodes[t], channels, 3, H, W, &o, &err))
            fail_msg("%s", err.text);
        check_colors(x, 3);
        for (int i = 0; i < 3; i++)
            if (!(scores[i][1] > scores[i][0]))
                fail_msg("%s, channel %d: from %g to %g", s.net->nodes[nodes[t]].name, channels[i], scores[i][0], scores[i][1]);
        /* the last score is that of the input that is returned */
        oracle *o3 = oracle_create(s.net, 3, H, W, x);
        const size_t pixels = oracle_count(o3, nodes[t]) / 3 / (size_t)s.net->nodes[nodes[t]].channels;
        for (size_t i = 0; i < 3; i++) {
            double mean = 0;
            const float *map_of = o3->value[nodes[t]] + oracle_count(o3, nodes[t]) / 3 * i + (size_t)channels[i] * pixels;
            for (size_t k = 0; k < pixels; k++)
                mean += (double)map_of[k] / (double)pixels;
            assert_true(fabs(mean - scores[i][1]) < 1e-4 * (1 + fabs(mean)));
        }
        oracle_free(o3);
    }
    free(x);
    free_subject(&s);
}

/* More than one batch; an input has the same bits alone, and others with another seed. */
static void test_same_bits(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 11, 1, H, W);
    const int node = s.net->n_nodes - 1;
    int channels[11];
    float *all = zeros(11 * COUNT, sizeof *all), *one = zeros(COUNT, sizeof *one);
    double scores[11][2];
    cr_ascent_options o = options();
    o.steps = 5;
    for (int i = 0; i < 11; i++)
        channels[i] = 10 - i;
    assert_true(cr_maximise(all, scores, s.net, node, channels, 11, H, W, &o, NULL));
    for (int i = 0; i < 11; i += 5) {
        double score[1][2];
        cr_set_threads(1 + i % 3);
        assert_true(cr_maximise(one, score, s.net, node, &channels[i], 1, H, W, &o, NULL));
        check_same_bits(one, all + i * COUNT, COUNT, "channel %d alone", channels[i]);
        assert_true(score[0][0] <= scores[i][0] && score[0][0] >= scores[i][0]);
    }
    cr_set_threads(1);
    o.seed = 1;
    assert_true(cr_maximise(one, scores, s.net, node, channels, 1, H, W, &o, NULL));
    assert_memory_not_equal(one, all, COUNT * sizeof *one);
    free(all);
    free(one);
    free_subject(&s);
}

/* Without jitter, blur and decay a first step is lr * g / rms(g) from the noise. */
static void test_one_step(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, H, W);
    const int node = cr_net_find(s.net, "layer2.0.conv1", NULL), channel = 5;
    float *x[2] = {zeros(COUNT, sizeof *x[0]), zeros(COUNT, sizeof *x[1])};
    double scores[1][2];
    cr_ascent_options o = options();
    o.jitter = 0;
    o.blur = o.decay = 0;
    o.lr = 0.05;
    for (int steps = 0; steps < 2; steps++) {
        o.steps = steps;
        assert_true(cr_maximise(x[steps], scores, s.net, node, &channel, 1, H, W, &o, NULL));
    }
    oracle *from = oracle_create(s.net, 1, H, W, x[0]);
    float *seed = zeros(oracle_count(from, node), sizeof *seed), **at = zeros((size_t)s.net->n_nodes, sizeof *at);
    const size_t pixels = oracle_count(from, node) / (size_t)s.net->nodes[node].channels;
    for (size_t k = 0; k < pixels; k++)
        seed[(size_t)channel * pixels + k] = 1;
    from->end = node;
    oracle_backward(from, at, seed);
    double squares = 0;
    for (size_t i = 0; i < COUNT; i++)
        squares += (double)from->grad[0][i] * (double)from->grad[0][i] / COUNT;
    for (size_t i = 0; i < COUNT; i++)
        assert_true(fabs((double)x[1][i] - (double)x[0][i] - 0.05 * (double)from->grad[0][i] / sqrt(squares)) < 1e-3);
    free(seed);
    free(at);
    oracle_free(from);
    free(x[0]);
    free(x[1]);
    free_subject(&s);
}

/* Where pixels do not see each other, it does not matter that a step sees them moved. */
static void test_jitter(void **state)
{
    (void)state;
    builder b = new_net("pixels");
    int node = add_relu(&b, add_conv2d(&b, add_input(&b, 3), "conv", 8, 1, 1, 0, true), "relu");
    add_linear(&b, add_flatten(&b, add_adaptive_avgpool(&b, node, "pool", 1), "flatten", 8), "fc", 2);
    subject s = subject_of(b.net, 1, H, W);
    const int channels[] = {1, 6};
    float *still = zeros(2 * COUNT, sizeof *still), *moved = zeros(2 * COUNT, sizeof *moved);
    double scores[2][2];
    cr_ascent_options o = options();
    o.blur = 0;
    o.jitter = 0;
    assert_true(cr_maximise(still, scores, s.net, node, channels, 2, H, W, &o, NULL));
    o.jitter = 11;
    assert_true(cr_maximise(moved, scores, s.net, node, channels, 2, H, W, &o, NULL));
    check_close(moved, still, 2 * COUNT, 1e-5, "with jitter");
    free(still);
    free(moved);
    free_subject(&s);
}

static bool stop_at_four(void *owner, int done, int all)
{
    *(int *)owner = done;
    assert_true(done <= all);
    return done < 4;
}

static void test_stopping(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, H, W);
    const int node = s.net->n_nodes - 1, channel = 1, beyond = 3;
    float *x = zeros(2 * COUNT, sizeof *x);
    double scores[1][2];
    int done = 0;
    cr_ascent_options o = options();
    o.go_on = stop_at_four;
    o.owner = &done;
    assert_true(cr_maximise(x, scores, s.net, node, &channel, 1, H, W, &o, NULL));
    assert_int_equal(done, 4);
    o.go_on = NULL;
    o.steps = 4;
    assert_true(cr_maximise(x + COUNT, scores, s.net, node, &channel, 1, H, W, &o, NULL));
    check_same_bits(x, x + COUNT, COUNT, "four steps");
    cr_error err;
    assert_false(cr_maximise(x, scores, s.net, node, &beyond, 1, H, W, &o, &err));
    check_message(&err, "no channel 3", NULL);
    free(x);
    free_subject(&s);
}

static void test_dream(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, H, W);
    const int node = cr_net_find(s.net, "layer2", NULL), some[] = {1, 4};
    float *x = zeros(COUNT, sizeof *x), *first = zeros(COUNT, sizeof *first);
    for (int kind = 0; kind < 4; kind++) {
        cr_ascent_options o = options();
        cr_dream_octaves octaves = {kind == 2 ? 1 : 3, 1.5};
        double scores[2];
        o.decay = o.blur = 0;
        o.steps = kind == 3 ? 0 : 6;
        o.lr = 0.03;
        for (size_t i = 0; i < COUNT; i++)
            x[i] = s.x[i] / 2;
        cr_error err;
        if (!cr_dream(x, scores, s.net, node, some, kind == 1 ? 2 : 0, H, W, &octaves, &o, &err))
            fail_msg("%s", err.text);
        if (kind == 3) { /* no steps: the picture as it is */
            for (size_t i = 0; i < COUNT; i++)
                assert_true(fabsf(x[i] - s.x[i] / 2) < 1e-6f);
            continue;
        }
        check_colors(x, 1);
        assert_true(scores[1] > scores[0]);
        if (kind == 0)
            memcpy(first, x, COUNT * sizeof *x);
        else
            assert_memory_not_equal(first, x, COUNT * sizeof *x);
    }
    free(x);
    free(first);
    free_subject(&s);
}

/* Back from what the network sees to levels of a picture. */
static void test_levels(void **state)
{
    (void)state;
    transform = cr_transform_default();
    const float level[6] = {0, 1, 0.25f, 0.5f, 0.75f, 1};
    float x[6], back[6];
    for (int i = 0; i < 6; i++)
        x[i] = cr_transform_level(&transform, level[i], i / 2, 3);
    cr_transform_undo(back, x, 3, 2, &transform);
    check_close(back, level, 6, 1e-6, "levels");
    assert_true(fabsf(x[0] + 0.485f / 0.229f) < 1e-5f);
}

int main(void)
{
    cr_set_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_climbs),   cmocka_unit_test(test_same_bits), cmocka_unit_test(test_one_step),
        cmocka_unit_test(test_jitter),   cmocka_unit_test(test_stopping),  cmocka_unit_test(test_dream),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests_name("maximise", tests, NULL, NULL);
}
