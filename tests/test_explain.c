/* test_explain.c - the pipeline from input to maps: against the oracle's values and gradients, batch against single
 * images, and every way it refuses. */
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "map.h"
#include "oracle.h"

enum { CLASSES = 5, WIDTH = 8, H = 70, W = 101, BATCH = 3 };

static cr_net *net;
static float *weights;
static float *x; /* (BATCH,3,H,W) */
static const size_t image = 3 * (size_t)H * W;

static int set_up(void **state)
{
    (void)state;
    cr_error err;
    uint64_t seed = SEED;
    const cr_arch *arch = cr_arch_find("resnet18", &err);
    net = cr_net_create(arch, 3, CLASSES, WIDTH, &err);
    assert_non_null(net);
    weights = bind_random(net, &seed);
    x = new_random(BATCH * image, -2, 2, &seed);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(x);
    cr_net_free(net);
    free(weights);
    return 0;
}

static const cr_method *method(const char *name)
{
    cr_error err;
    const cr_method *found = cr_method_find(name, &err);
    assert_non_null(found);
    return found;
}

static int find(const char *layer)
{
    cr_error err;
    int node = cr_net_find(net, layer, &err);
    assert_true(node >= 0);
    return node;
}

static cr_explainer *create(const cr_net *some, const char *name, const int *layers, int n_layers, int n, cr_error *err)
{
    const cr_method *m = method(name);
    const cr_explain_request r = {.methods = &m, .n_methods = 1, .layers = layers, .n_layers = n_layers, .n = n,
                                  .h = H, .w = W};
    return cr_explainer_create(some, &r, err);
}

/* An explainer that has done everything for the first n images of x. */
static cr_explainer *explained(const char *name, const int *layers, int n_layers, int n, const float *input,
                               const int *classes)
{
    cr_error err = {""};
    cr_explainer *e = create(net, name, layers, n_layers, n, &err);
    if (!e || !cr_explainer_forward(e, input, &err) || !cr_explainer_backward(e, classes, &err) ||
        !cr_explainer_maps(e, &err))
        fail_msg("%s: %s", name, err.text);
    return e;
}

static void check_refused(const cr_net *some, const char *name, int layer, const char *word, const char *hint)
{
    cr_error err;
    assert_null(create(some, name, &layer, 1, 1, &err));
    check_message(&err, word, hint, NULL);
}

/* Raw maps are the method on the oracle's values and gradients; finished ones are map.h on the raw ones. */
static void test_against_oracle(void **state)
{
    (void)state;
    static const char *const names[] = {"conv1", "layer1.0.conv2", "layer2", "layer3.1.relu", "layer4"};
    static const int classes[BATCH] = {4, 0, 2};
    oracle *o = oracle_create(net, BATCH, H, W, x);
    float seed[BATCH * CLASSES] = {0};
    for (int n = 0; n < BATCH; n++)
        seed[n * CLASSES + classes[n]] = 1;
    float **own = zeros((size_t)net->n_nodes, sizeof *own);
    oracle_backward(o, own, seed);
    free(own);
    for (int m = 0; cr_method_at(m); m++) {
        const cr_method *one_method = cr_method_at(m);
        if (one_method->needs & ~(unsigned)(CR_NEEDS_GRADIENT | CR_NEEDS_SEED))
            continue;
        const bool divides = strcmp(one_method->name, "gradcam++") == 0 || strcmp(one_method->name, "xgradcam") == 0;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            if (divides && strstr(names[i], "conv"))
                continue; /* by sums over pixels of both signs, which may be near zero */
            int layer = find(names[i]);
            cr_explainer *e = explained(one_method->name, &layer, 1, BATCH, x, classes);
            const cr_explained_layer *l = e->layers;
            const float *raw = e->results[0].raw[0].values;
            size_t pixels = (size_t)l->h * (size_t)l->w, one = (size_t)l->c * pixels;
            double *sum = zeros(pixels, sizeof *sum);
            float *expected = zeros(pixels, sizeof *expected), *map = zeros((size_t)H * W, sizeof *map);
            check_close(e->logits, o->value[net->n_nodes - 1], BATCH * CLASSES, 1e-5, "logits");
            for (size_t n = 0; n < BATCH; n++) {
                const cr_evidence known = {.c = l->c, .h = l->h, .w = l->w, .a = o->value[layer] + n * one,
                                           .g = o->grad[layer] + n * one};
                cr_error err;
                assert_true(cr_method_map(sum, one_method, &known, false, &err));
                for (size_t p = 0; p < pixels; p++)
                    expected[p] = (float)sum[p];
                check_close(raw + n * pixels, expected, pixels, 1e-4, "%s at %s, image %zu", one_method->name,
                            names[i], n);
                assert_true(cr_map_finish(map, H, W, raw + n * pixels, l->h, l->w, &err));
                check_same_bits(e->results[0].maps + n * H * W, map, (size_t)H * W, "finished map at %s", names[i]);
            }
            free(sum);
            free(expected);
            free(map);
            cr_explainer_free(e);
        }
    }
    oracle_free(o);
}

/* The head is a mean over pixels and a linear layer: so CAM is H W times Grad-CAM, and its mean plus the class's bias
 * is the logit. */
static void test_cam_at_the_last_map(void **state)
{
    (void)state;
    static const int classes[BATCH] = {1, 3, 3};
    int layer = cr_net_last_feature_map(net);
    cr_explainer *cam = explained("cam", &layer, 1, BATCH, x, classes);
    cr_explainer *gradcam = explained("gradcam", &layer, 1, BATCH, x, classes);
    const cr_explained_layer *l = cam->layers;
    assert_null(l->grad);
    float *raw = cam->results[0].raw[0].values, *gradcam_raw = gradcam->results[0].raw[0].values;
    size_t pixels = (size_t)l->h * (size_t)l->w;
    assert_int_equal(pixels, 3 * 4);
    const float *bias = net->params[net->nodes[net->n_nodes - 1].param + 1].data;
    float found[BATCH], expected[BATCH];
    for (size_t n = 0; n < BATCH; n++) {
        double sum = 0;
        for (size_t p = 0; p < pixels; p++) {
            sum += (double)raw[n * pixels + p];
            gradcam_raw[n * pixels + p] *= (float)pixels;
        }
        found[n] = (float)(sum / (double)pixels) + bias[classes[n]];
        expected[n] = cam->logits[n * CLASSES + (size_t)classes[n]];
    }
    check_close(found, expected, BATCH, 1e-5, "mean of CAM plus bias against the logit");
    check_close(gradcam_raw, raw, BATCH * pixels, 1e-5, "H W Grad-CAM against CAM");
    check_close(gradcam->results[0].maps, cam->results[0].maps, (size_t)BATCH * H * W, 1e-5, "finished maps");
    cr_explainer_free(cam);
    cr_explainer_free(gradcam);
}

static void test_batch_is_its_images(void **state)
{
    (void)state;
    static const int classes[BATCH] = {0, 4, 1};
    const int layers[2] = {find("layer2"), find("layer4.0.conv1")};
    cr_explainer *batch = explained("layercam", layers, 2, BATCH, x, classes);
    for (int n = 0; n < BATCH; n++) {
        cr_explainer *one = explained("layercam", layers, 2, 1, x + (size_t)n * image, &classes[n]);
        check_same_bits(batch->logits + n * CLASSES, one->logits, CLASSES, "logits of image %d", n);
        for (int i = 0; i < 2; i++) {
            const cr_raw_map *raw = &one->results[0].raw[i];
            size_t pixels = (size_t)raw->h * (size_t)raw->w;
            check_same_bits(batch->results[0].raw[i].values + (size_t)n * pixels, raw->values, pixels,
                            "raw map %d of %d", i, n);
        }
        check_same_bits(batch->results[0].maps + n * H * W, one->results[0].maps, (size_t)H * W, "map of image %d", n);
        cr_explainer_free(one);
    }
    cr_explainer_free(batch);
}

/* Several layers: the mean of each layer's finished map, normalised again. */
static void test_layers_are_averaged(void **state)
{
    (void)state;
    static const int class_index = 2;
    const int layers[3] = {find("layer4"), find("relu"), find("layer3")};
    float *parts = zeros(3 * (size_t)H * W, sizeof *parts), *merged = zeros((size_t)H * W, sizeof *merged);
    for (int i = 0; i < 3; i++) {
        cr_explainer *one = explained("gradcam", &layers[i], 1, 1, x, &class_index);
        memcpy(parts + i * H * W, one->results[0].maps, sizeof(float) * H * W);
        cr_explainer_free(one);
    }
    cr_error err;
    assert_true(cr_map_merge(merged, parts, 3, (size_t)H * W, &err));
    cr_explainer *e = explained("gradcam", layers, 3, 1, x, &class_index);
    check_close(e->results[0].maps, merged, (size_t)H * W, 1e-5, "three layers");
    cr_explainer_free(e);
    free(parts);
    free(merged);
}

/* A second class, and a second input, on the same explainer give what a fresh one gives. */
static void test_reuse(void **state)
{
    (void)state;
    static const int first = 1, second = 4;
    int layer = find("layer3");
    cr_error err;
    cr_explainer *fresh = explained("gradcam", &layer, 1, 1, x + image, &second);
    cr_explainer *e = explained("gradcam", &layer, 1, 1, x + image, &first);
    assert_true(cr_explainer_backward(e, &second, &err) && cr_explainer_maps(e, &err));
    check_same_bits(e->results[0].maps, fresh->results[0].maps, (size_t)H * W, "a second class");
    assert_true(cr_explainer_forward(e, x, &err) && cr_explainer_backward(e, &first, &err) &&
                cr_explainer_maps(e, &err));
    assert_true(cr_explainer_forward(e, x + image, &err) && cr_explainer_backward(e, &second, &err) &&
                cr_explainer_maps(e, &err));
    check_same_bits(e->results[0].maps, fresh->results[0].maps, (size_t)H * W, "a second input");
    cr_explainer_free(e);
    cr_explainer_free(fresh);
}

/* Many methods and layers at once give, each of them, what it gives alone. */
static void test_methods_share_a_run(void **state)
{
    (void)state;
    static const int classes[2] = {2, 0};
    const int layers[2] = {find("layer2.0.conv2"), cr_net_last_feature_map(net)};
    const cr_method *all[32];
    cr_explain_request r = {.methods = all, .layers = layers, .n_layers = 2, .n = 2, .h = H, .w = W};
    for (int m = 0; cr_method_at(m); m++)
        if (!(cr_method_at(m)->needs & CR_NEEDS_FC_WEIGHT))
            all[r.n_methods++] = cr_method_at(m);
    cr_error err = {""};
    cr_explainer *e = cr_explainer_create(net, &r, &err);
    if (!e || !cr_explainer_forward(e, x, &err) || !cr_explainer_backward(e, classes, &err) ||
        !cr_explainer_maps(e, &err))
        fail_msg("%s", err.text);
    assert_true(e->n_results == r.n_methods && e->n_results > 2);
    for (int m = 0; m < e->n_results; m++) {
        const cr_explanation *found = &e->results[m];
        assert_ptr_equal(found->method, all[m]);
        cr_explainer *alone = explained(found->method->name, layers, 2, 2, x, classes);
        for (int i = 0; i < found->n_raw; i++)
            check_same_bits(found->raw[i].values, alone->results[0].raw[i].values,
                            2 * (size_t)found->raw[i].h * (size_t)found->raw[i].w, "raw map of %s", found->method->name);
        check_same_bits(found->maps, alone->results[0].maps, 2 * (size_t)H * W, "map of %s", found->method->name);
        cr_explainer_free(alone);
    }
    cr_explainer_free(e);
}

/* Where the class's weights are all negative no pixel speaks for it: a map of zeros, and no NaN from dividing by its
 * maximum. */
static void test_no_evidence(void **state)
{
    (void)state;
    static const int class_index = 3;
    int layer = cr_net_last_feature_map(net);
    cr_param *fc = &net->params[net->nodes[net->n_nodes - 1].param];
    float *changed = zeros((size_t)fc->dim[0] * (size_t)fc->dim[1], sizeof *changed);
    const float *saved = fc->data;
    for (int i = 0; i < fc->dim[0] * fc->dim[1]; i++)
        changed[i] = -fabsf(saved[i]);
    fc->data = changed;
    for (int m = 0; cr_method_at(m); m++) {
        const cr_method *one = cr_method_at(m);
        if (one->principal || !(one->needs & (CR_NEEDS_GRADIENT | CR_NEEDS_FC_WEIGHT)))
            continue; /* it is relative to its own mean, or asks no class */
        cr_explainer *e = explained(one->name, &layer, 1, 1, x, &class_index);
        for (int p = 0; p < H * W; p++)
            assert_true(e->results[0].maps[p] == 0);
        cr_explainer_free(e);
    }
    fc->data = saved;
    free(changed);
}

static void test_refused_layers(void **state)
{
    (void)state;
    check_refused(net, "gradcam", find("fc"), "layer fc", "layer4.1.relu_1");
    check_refused(net, "gradcam", find("flatten"), "layer flatten", "layer4.1.relu_1");
    check_refused(net, "cam", find("layer3"), "layer3.1.relu_1", "try gradcam");

    cr_error err;
    cr_net *alexnet = cr_net_create(cr_arch_find("alexnet", &err), 3, 2, 64, &err);
    assert_non_null(alexnet);
    check_refused(alexnet, "cam", cr_net_last_feature_map(alexnet), "alexnet", "try gradcam");
    check_refused(alexnet, "gradcam", alexnet->n_nodes - 3, "classifier", "features.12");
    cr_net_free(alexnet);
}

static void test_feature_maps(void **state)
{
    (void)state;
    assert_true(cr_is_feature_map(net, 0));
    assert_true(cr_is_feature_map(net, find("layer4")));
    assert_true(cr_is_feature_map(net, find("avgpool")));
    assert_false(cr_is_feature_map(net, find("flatten")));
    assert_false(cr_is_feature_map(net, find("fc")));
}

static void test_non_finite_is_named(void **state)
{
    (void)state;
    int layer = find("layer4");
    cr_error err;
    cr_explainer *e = create(net, "gradcam", &layer, 1, BATCH, &err);
    assert_non_null(e);
    float *bad = zeros(BATCH * image, sizeof *bad);
    memcpy(bad, x, BATCH * image * sizeof *bad);
    bad[image + 2 * H * W + 7 * W + 11] = NAN;
    assert_false(cr_explainer_forward(e, bad, &err));
    check_message(&err, "input", "nan", "(1,2,7,11)", NULL);

    memcpy(bad, x, BATCH * image * sizeof *bad);
    for (size_t i = 0; i < BATCH * image; i++)
        bad[i] *= 1e38f;
    assert_false(cr_explainer_forward(e, bad, &err));
    check_message(&err, "float32", "normalised", NULL);
    cr_explainer_free(e);

    weights[11] = INFINITY; /* of the first parameter */
    e = create(net, "gradcam", &layer, 1, BATCH, &err);
    assert_non_null(e);
    assert_false(cr_explainer_forward(e, x, &err));
    check_message(&err, "weights", "conv1.weight", "11", NULL);
    weights[11] = 0.01f;
    cr_explainer_free(e);
    free(bad);
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_oracle),  cmocka_unit_test(test_cam_at_the_last_map),
        cmocka_unit_test(test_batch_is_its_images), cmocka_unit_test(test_layers_are_averaged),
        cmocka_unit_test(test_reuse),           cmocka_unit_test(test_methods_share_a_run),
        cmocka_unit_test(test_no_evidence),
        cmocka_unit_test(test_refused_layers),  cmocka_unit_test(test_feature_maps),
        cmocka_unit_test(test_non_finite_is_named),
    };
    return cmocka_run_group_tests_name("explain", tests, set_up, tear_down);
}
