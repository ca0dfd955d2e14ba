/* test_camtrain_model.c - parameters to begin with: random ones, another network's, frozen ones. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/model.h"

static model make(const char *arch, int channels, int classes, int width)
{
    model m = {0};
    cr_error err = {""};
    const cr_arch *found = cr_arch_find(arch, &err);
    if (!found || !model_create(&m, found, channels, classes, width, &err))
        fail_msg("%s", err.text);
    return m;
}

static int find(const model *m, const char *name)
{
    cr_error err = {""};
    int param = cr_net_find_param(m->net, name, &err);
    if (param < 0)
        fail_msg("%s", err.text);
    return param;
}

static void test_a_new_model(void **state)
{
    (void)state;
    model m = make("resnet18", 3, 5, 4);
    size_t values = 0, trained = 0;
    int statistics = 0;
    for (int i = 0; i < m.net->n_params; i++) {
        bool running = strstr(m.net->params[i].name, ".running_") != NULL;
        assert_int_equal(is_running_statistic(m.net, i), running);
        assert_int_equal(m.trained[i], !running);
        assert_ptr_equal(m.net->params[i].data, m.param[i]);
        statistics += running;
        values += m.count[i];
        trained += running ? 0 : m.count[i];
    }
    assert_int_equal(statistics, 40); /* two for each of 20 batch normalisations */
    assert_int_equal(m.values, values);
    assert_int_equal(m.trained_values, trained);
    model_free(&m);
}

/* ---- random weights ---- */

typedef enum shape { NORMAL, UNIFORM } shape;

/* Whether mean, variance and form of the distribution are those of a sample: five standard deviations of each. For a
 * uniform number the fourth moment is 9/5 of the square of the second, for a normal one three times it. */
static void check_distribution(const model *m, const char *name, shape form, double deviation)
{
    const int param = find(m, name);
    const double n = (double)m->count[param], kurtosis = form == NORMAL ? 3 : 1.8;
    double mean = 0, second = 0, fourth = 0, largest = 0;
    for (size_t i = 0; i < m->count[param]; i++) {
        const double x = (double)m->param[param][i] / deviation;
        mean += x / n;
        second += x * x / n;
        fourth += x * x * x * x / n;
        largest = fmax(largest, fabs(x));
    }
    assert_true(n > 1000);
    if (!(fabs(mean) < 5 / sqrt(n)))
        fail_msg("%s: mean %g deviations", name, mean);
    if (!(fabs(second - 1) < 5 * sqrt((kurtosis - 1) / n)))
        fail_msg("%s: variance %g times what was expected", name, second);
    if (!(fabs(fourth - kurtosis) < 5 * sqrt((form == NORMAL ? 96 : 5) / n)))
        fail_msg("%s: fourth moment %g, expected %g", name, fourth, kurtosis);
    if (form == UNIFORM)
        assert_true(largest <= sqrt(3) && largest > 0.99 * sqrt(3));
}

static void check_all(const model *m, const char *name, float value)
{
    const int param = find(m, name);
    for (size_t i = 0; i < m->count[param]; i++)
        if (m->param[param][i] != value)
            fail_msg("%s[%zu] is %g", name, i, (double)m->param[param][i]);
}

/* torchvision's ResNet.__init__ and torch.nn.Linear's defaults. */
static void test_random_resnet(void **state)
{
    (void)state;
    model m = make("resnet18", 3, 40, 16);
    model_init(&m, 3);
    check_distribution(&m, "conv1.weight", NORMAL, sqrt(2.0 / (16 * 49)));
    check_distribution(&m, "layer1.0.conv1.weight", NORMAL, sqrt(2.0 / (16 * 9)));
    check_distribution(&m, "layer2.0.conv1.weight", NORMAL, sqrt(2.0 / (32 * 9))); /* fan-out, not fan-in */
    check_distribution(&m, "layer4.0.downsample.0.weight", NORMAL, sqrt(2.0 / 128));
    check_distribution(&m, "fc.weight", UNIFORM, 1 / sqrt(128) / sqrt(3));
    const int bias = find(&m, "fc.bias");
    for (size_t i = 0; i < m.count[bias]; i++)
        assert_true(fabsf(m.param[bias][i]) <= 1 / sqrtf(128) && m.param[bias][i] != 0);
    check_all(&m, "layer3.1.bn2.weight", 1);
    check_all(&m, "layer3.1.bn2.bias", 0);
    check_all(&m, "layer3.1.bn2.running_mean", 0);
    check_all(&m, "layer3.1.bn2.running_var", 1);
    model_free(&m);
}

static void test_random_vgg_and_alexnet(void **state)
{
    (void)state;
    model m = make("alexnet", 1, 2, 64);
    model_init(&m, 3);
    check_distribution(&m, "features.0.weight", UNIFORM, 1 / sqrt(121) / sqrt(3));
    check_distribution(&m, "features.8.weight", UNIFORM, 1 / sqrt(384 * 9) / sqrt(3));
    check_distribution(&m, "classifier.1.bias", UNIFORM, 1 / sqrt(9216) / sqrt(3));
    check_distribution(&m, "classifier.4.weight", UNIFORM, 1 / sqrt(4096) / sqrt(3));
    model_free(&m);
    m = make("vgg11_bn", 3, 2, 64);
    model_init(&m, 3);
    check_distribution(&m, "features.4.weight", NORMAL, sqrt(2.0 / (128 * 9)));
    check_distribution(&m, "classifier.3.weight", NORMAL, 0.01);
    check_all(&m, "features.4.bias", 0);
    check_all(&m, "classifier.0.bias", 0);
    check_all(&m, "features.5.weight", 1);
    model_free(&m);
}

static void test_streams_of_parameters(void **state)
{
    (void)state;
    model a = make("resnet18", 3, 5, 4), b = make("resnet18", 3, 7, 4), c = make("resnet18", 3, 5, 4);
    model_init(&a, 3);
    model_init(&b, 3);
    model_init(&c, 4);
    const int conv = find(&a, "layer2.0.conv2.weight"), next = find(&a, "layer2.1.conv1.weight");
    check_same_bits(a.param[conv], b.param[conv], a.count[conv], "the number of classes changes nothing else");
    assert_memory_not_equal(a.param[conv], c.param[conv], a.count[conv] * sizeof(float));
    assert_memory_not_equal(a.param[conv], a.param[next], a.count[conv] * sizeof(float)); /* of one shape */
    model_free(&a);
    model_free(&b);
    model_free(&c);
}

/* ---- another network's weights ---- */

static void test_taking_weights(void **state)
{
    (void)state;
    cr_error err;
    transfer done;
    model from = make("resnet18", 3, 5, 4), m = make("resnet18", 3, 5, 4);
    model_init(&from, 1);
    model_init(&m, 2);
    assert_true(model_take(&m, from.net, true, &done, &err));
    assert_true(!done.new_head && !done.from_channels);
    check_same_bits(m.memory, from.memory, m.values, "all");

    model_init(&m, 2);
    const int head = find(&m, "fc.weight");
    float before = m.param[head][7];
    assert_true(model_take(&m, from.net, false, &done, &err)); /* as many classes, but others */
    assert_true(done.new_head && m.param[head][7] == before);
    check_same_bits(m.memory, from.memory, (size_t)(m.param[head] - m.memory), "all but the head");
    model_free(&m);

    m = make("resnet18", 3, 9, 4);
    model_init(&m, 2);
    before = m.param[head][7];
    assert_true(model_take(&m, from.net, true, &done, &err));
    assert_true(done.new_head && m.param[head][7] == before);
    model_free(&m);
    model_free(&from);
}

static void test_taking_weights_for_other_channels(void **state)
{
    (void)state;
    enum { OUT = 4, WINDOW = 49 };
    cr_error err;
    transfer done;
    model color = make("resnet18", 3, 5, 4), gray = make("resnet18", 1, 5, 4);
    model_init(&color, 1);
    assert_true(model_take(&gray, color.net, true, &done, &err));
    assert_int_equal(done.from_channels, 3);
    for (int oc = 0; oc < OUT; oc++)
        for (int k = 0; k < WINDOW; k++) {
            const float *w = color.param[0] + oc * 3 * WINDOW + k;
            const double sum = (double)w[0] + (double)w[WINDOW] + (double)w[2 * WINDOW];
            assert_true(gray.param[0][oc * WINDOW + k] == (float)sum);
        }
    check_same_bits(gray.param[1], color.param[1], color.values - color.count[0], "the rest");

    assert_true(model_take(&color, gray.net, true, &done, &err));
    assert_int_equal(done.from_channels, 1);
    for (int oc = 0; oc < OUT; oc++)
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < WINDOW; k++)
                assert_true(color.param[0][(oc * 3 + c) * WINDOW + k] ==
                            (float)((double)gray.param[0][oc * WINDOW + k] / 3));
    model_free(&gray);
    model two = make("resnet18", 2, 5, 4), wide = make("resnet18", 3, 5, 8);
    assert_false(model_take(&color, two.net, true, &done, &err));
    check_message(&err, "3 input channels", "found 2", NULL);
    assert_false(model_take(&color, wide.net, true, &done, &err));
    check_message(&err, "conv1.weight", "width", NULL);
    model_free(&two);
    model_free(&wide);
    model_free(&color);
}

/* Logits (classes) of a picture of noise. */
static void run(const model *m, float *logits)
{
    enum { SIZE = 32 };
    static float x[3 * SIZE * SIZE];
    cr_error err = {""};
    stream s = stream_of(5, FOR_DROPOUT, 0, 0);
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
        x[i] = (float)draw_normal(&s);
    cr_request request = {.n = 1, .h = SIZE, .w = SIZE};
    cr_plan *plan = cr_plan_create(m->net, &request, &err);
    cr_tape *tape = plan ? cr_tape_create(plan, &err) : NULL;
    if (!tape)
        fail_msg("%s", err.text);
    cr_tape_forward(tape, x);
    assert_true(cr_tape_value(tape, m->net->n_nodes - 1, logits, &err));
    cr_tape_free(tape);
    cr_plan_free(plan);
}

/* A VGG with batch normalisation, of statistics as a training leaves them, becomes one without that computes the same. */
static void test_folding_batchnorm(void **state)
{
    (void)state;
    enum { CLASSES = 3 };
    cr_error err;
    transfer done;
    float expected[CLASSES], found[CLASSES];
    model from = make("vgg11_bn", 3, CLASSES, 64), m = make("vgg11", 3, CLASSES, 64);
    model_init(&from, 1);
    model_init(&m, 2);
    stream s = stream_of(9, FOR_WEIGHTS, 0, 0);
    for (int i = 0; i < from.net->n_params; i++)
        for (size_t k = 0; from.net->params[i].ndim == 1 && k < from.count[i]; k++)
            from.param[i][k] += (float)(0.5 * draw_unit(&s)); /* biases, gamma, beta, mean and variance */
    run(&from, expected);
    assert_true(model_take(&m, from.net, true, &done, &err));
    assert_true(done.folded && !done.new_head && !done.from_channels);
    run(&m, found);
    /* Against the largest logit, for a small one is what larger terms leave: roundings are seen to reach 1.2e-5 of it, and
       an eps left out of the folding 7e-5. */
    float largest = 0;
    for (int c = 0; c < CLASSES; c++)
        largest = fmaxf(largest, fabsf(expected[c]));
    for (int c = 0; c < CLASSES; c++)
        if (!(fabsf(found[c] - expected[c]) <= 3e-5f * largest))
            fail_msg("logit %d is %g, expected %g (largest: %g)", c, (double)found[c], (double)expected[c], (double)largest);
    assert_true(expected[0] != expected[1]);

    assert_false(model_take(&from, m.net, true, &done, &err)); /* what is not there cannot be made up */
    check_message(&err, "features.1.weight", "same network", NULL);
    model_free(&m);
    model_free(&from);
}

/* ---- freezing ---- */

static void test_freezing(void **state)
{
    (void)state;
    cr_error err;
    model m = make("resnet18", 3, 5, 4);
    assert_true(model_freeze(&m, "conv1,layer1,layer2.0.bn1.bias", &err));
    size_t trained = 0;
    for (int i = 0; i < m.net->n_params; i++) {
        const char *name = m.net->params[i].name;
        bool frozen = strncmp(name, "conv1.", 6) == 0 || strncmp(name, "layer1.", 7) == 0 ||
                      strcmp(name, "layer2.0.bn1.bias") == 0;
        assert_int_equal(m.trained[i], !frozen && !is_running_statistic(m.net, i));
        trained += m.trained[i] ? m.count[i] : 0;
    }
    assert_int_equal(m.trained_values, trained);
    assert_true(model_freeze(&m, "layer1", &err)); /* again */
    assert_int_equal(m.trained_values, trained);
    assert_false(model_freeze(&m, "layer", &err));
    check_message(&err, "--freeze", "'layer'", "layer1", NULL);
    assert_false(model_freeze(&m, "relu", &err));
    check_message(&err, "relu has no parameters", NULL);
    assert_false(model_freeze(&m, "layer1,,bn1", &err));
    assert_false(model_freeze(&m, "bn1,layer2,layer3,layer4,fc", &err));
    check_message(&err, "nothing to train", NULL);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_model),
        cmocka_unit_test(test_random_resnet),
        cmocka_unit_test(test_random_vgg_and_alexnet),
        cmocka_unit_test(test_streams_of_parameters),
        cmocka_unit_test(test_taking_weights),
        cmocka_unit_test(test_taking_weights_for_other_channels),
        cmocka_unit_test(test_folding_batchnorm),
        cmocka_unit_test(test_freezing),
    };
    print_setup();
    return cmocka_run_group_tests_name("camtrain_model", tests, NULL, NULL);
}
