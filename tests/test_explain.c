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
#include "random.h"
#include "scores.h"

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

/* The oracle's gradients of the score that a method explains, for these classes. */
static void explain_oracle(oracle *o, const cr_method *m, const int *classes)
{
    float seed[BATCH * CLASSES] = {0};
    const float *logits = o->value[net->n_nodes - 1];
    for (int n = 0; n < BATCH; n++)
        if (m->score)
            m->score(seed + n * CLASSES, logits + n * CLASSES, CLASSES, classes[n]);
        else
            seed[n * CLASSES + classes[n]] = 1;
    float **own = zeros((size_t)net->n_nodes, sizeof *own);
    oracle_backward(o, own, seed);
    free(own);
}

/* Raw maps are the method on the oracle's values and gradients; finished ones are map.h on the raw ones. */
static void check_against_oracle(const oracle *o, const cr_method *m, const char *name, const int *classes)
{
    int layer = find(name);
    cr_explainer *e = explained(m->name, &layer, 1, BATCH, x, classes);
    const cr_explained_layer *l = e->layers;
    const float *raw = e->results[0].raw[0].values;
    size_t pixels = (size_t)l->h * (size_t)l->w, one = (size_t)l->c * pixels;
    double *sum = zeros(pixels, sizeof *sum);
    float *expected = zeros(pixels, sizeof *expected), *map = zeros((size_t)H * W, sizeof *map);
    float *share = zeros((size_t)H * W, sizeof *share);
    check_close(e->logits, o->value[net->n_nodes - 1], BATCH * CLASSES, 1e-5, "logits");
    for (size_t n = 0; n < BATCH; n++) {
        const cr_evidence known = {.c = l->c, .h = l->h, .w = l->w, .a = o->value[layer] + n * one,
                                   .g = o->grad[layer] + n * one};
        cr_error err;
        assert_true(cr_method_map(sum, m, &known, false, &err));
        for (size_t p = 0; p < pixels; p++)
            expected[p] = (float)sum[p];
        check_close(raw + n * pixels, expected, pixels, 1e-4, "%s at %s, image %zu", m->name, name, n);
        assert_true(cr_map_share(share, H, W, raw + n * pixels, l->h, l->w, &err));
        assert_true(cr_map_finish(map, share, 1, (size_t)H * W, &err));
        check_same_bits(e->results[0].maps + n * H * W, map, (size_t)H * W, "finished map at %s", name);
    }
    free(sum);
    free(expected);
    free(map);
    free(share);
    cr_explainer_free(e);
}

static void test_against_oracle(void **state)
{
    (void)state;
    static const char *const names[] = {"conv1", "layer1.0.conv2", "layer2", "layer3.1.relu", "layer4"};
    static const int classes[BATCH] = {4, 0, 2};
    oracle *o = oracle_create(net, BATCH, H, W, x);
    for (int m = 0; cr_method_at(m); m++) {
        const cr_method *one = cr_method_at(m);
        if (one->needs & ~(unsigned)(CR_NEEDS_GRADIENT | CR_NEEDS_SEED))
            continue;
        const bool divides = strcmp(one->name, "gradcam++") == 0 || strcmp(one->name, "xgradcam") == 0;
        explain_oracle(o, one, classes);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (!divides || !strstr(names[i], "conv")) /* by sums over pixels of both signs, which may be near zero */
                check_against_oracle(o, one, names[i], classes);
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

static void check_batch_is_its_images(const char *name)
{
    static const int classes[BATCH] = {0, 4, 1};
    const int layers[2] = {find("layer3"), find("layer4.0.conv1")};
    cr_explainer *batch = explained(name, layers, 2, BATCH, x, classes);
    for (int n = 0; n < BATCH; n++) {
        cr_explainer *one = explained(name, layers, 2, 1, x + (size_t)n * image, &classes[n]);
        check_same_bits(batch->logits + n * CLASSES, one->logits, CLASSES, "logits of image %d", n);
        for (int i = 0; i < one->results[0].n_raw; i++) {
            const cr_raw_map *raw = &one->results[0].raw[i];
            size_t pixels = (size_t)raw->h * (size_t)raw->w;
            check_same_bits(batch->results[0].raw[i].values + (size_t)n * pixels, raw->values, pixels,
                            "raw map %d of %d, %s", i, n, name);
        }
        check_same_bits(batch->results[0].maps + n * H * W, one->results[0].maps, (size_t)H * W, "map of image %d", n);
        cr_explainer_free(one);
    }
    cr_explainer_free(batch);
}

static void test_batch_is_its_images(void **state)
{
    (void)state;
    for (int m = 0; cr_method_at(m); m++)
        if (!(cr_method_at(m)->needs & CR_NEEDS_FC_WEIGHT))
            check_batch_is_its_images(cr_method_at(m)->name);
}

/* Several layers: the mean of all layers' shares, normalised again. */
static void test_layers_are_averaged(void **state)
{
    (void)state;
    static const int class_index = 2;
    const int layers[3] = {find("layer4"), find("relu"), find("layer3")};
    float *shares = zeros(3 * (size_t)H * W, sizeof *shares), *expected = zeros((size_t)H * W, sizeof *expected);
    cr_error err;
    for (int i = 0; i < 3; i++) {
        cr_explainer *one = explained("gradcam", &layers[i], 1, 1, x, &class_index);
        const cr_raw_map *raw = one->results[0].raw;
        assert_true(cr_map_share(shares + i * H * W, H, W, raw->values, raw->h, raw->w, &err));
        cr_explainer_free(one);
    }
    assert_true(cr_map_finish(expected, shares, 3, (size_t)H * W, &err));
    cr_explainer *e = explained("gradcam", layers, 3, 1, x, &class_index);
    check_close(e->results[0].maps, expected, (size_t)H * W, 1e-5, "three layers");
    cr_explainer_free(e);
    free(shares);
    free(expected);
}

/* A second class, and a second input, on the same explainer give what a fresh one gives. */
/* Each layer's own map of several is the map of a run with that layer alone. */
static void test_map_of_each_layer(void **state)
{
    (void)state;
    static const int classes[2] = {3, 0};
    const int layers[2] = {find("layer2"), find("layer4")};
    cr_explainer *both = explained("gradcam", layers, 2, 2, x, classes);
    float *map = zeros((size_t)H * W, sizeof *map);
    cr_error err;
    for (int i = 0; i < 2; i++) {
        cr_explainer *alone = explained("gradcam", &layers[i], 1, 2, x, classes);
        for (int n = 0; n < 2; n++) {
            assert_true(cr_explanation_layer_map(map, both, both->results, i, n, &err));
            check_close(map, alone->results[0].maps + (size_t)n * H * W, (size_t)H * W, 1e-5, "layer %d", i);
        }
        cr_explainer_free(alone);
    }
    free(map);
    cr_explainer_free(both);
}

/* The map that the mean of all classes' weights gives. */
static void check_mean_weights(const cr_explainer *e, float *expected, size_t count)
{
    const cr_explained_layer *l = e->layers;
    const float *fc = net->params[net->nodes[net->n_nodes - 1].param].data; /* (CLASSES,C) */
    const size_t size = (size_t)l->h * (size_t)l->w;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (int c = 0; c < l->c; c++)
            for (int k = 0; k < CLASSES; k++)
                sum += (double)fc[k * l->c + c] * l->value[(i / size * (size_t)l->c + (size_t)c) * size + i % size];
        expected[i] = (float)(sum / CLASSES);
    }
    check_close(e->results[0].raw[0].values, expected, count, 1e-5, "mean weights");
}

/* Raw maps of several classes together are the means of theirs; those of one class, and the finished ones, are its own. */
static void test_mean_of_classes(void **state)
{
    (void)state;
    enum { N = 2 };
    static const int all[CLASSES][N] = {{0, 4}, {1, 3}, {2, 2}, {3, 1}, {4, 0}};
    static const char *const names[] = {"gradcam", "layercam", "fullgrad", "cam"};
    const int layers[2] = {find("layer3"), find("layer4")};
    cr_error err;
    for (int m = 0; m < 4; m++) {
        const bool is_cam = m == 3;
        cr_explainer *e = explained(names[m], layers + is_cam, is_cam ? 1 : 2, N, x, all[0]);
        const cr_explanation *r = e->results;
        const size_t count = (size_t)N * (size_t)r->raw[0].h * (size_t)r->raw[0].w, pixels = (size_t)N * H * W;
        float *expected = zeros(count, sizeof *expected), *map = zeros(pixels, sizeof *map);
        memcpy(map, r->maps, pixels * sizeof *map);
        assert_true(cr_explainer_mean(e, all[0], 1, &err));
        check_same_bits(r->maps, map, pixels, "%s of one class", names[m]);
        for (int k = 0; k < CLASSES; k++) {
            assert_true(cr_explainer_backward(e, all[k], &err) && cr_explainer_maps(e, &err));
            for (size_t p = 0; p < count; p++)
                expected[p] += r->raw[0].values[p] / CLASSES;
        }
        assert_true(cr_explainer_mean(e, all[0], CLASSES, &err));
        check_close(r->raw[0].values, expected, count, 1e-5, "%s", names[m]);
        assert_true(memcmp(map, r->maps, pixels * sizeof *map) != 0);
        if (is_cam)
            check_mean_weights(e, expected, count);
        free(expected);
        free(map);
        cr_explainer_free(e);
    }
}

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

/* Many methods and layers at once give, each of them, what it gives alone: the same bits, unless FullGrad is among them,
 * for which no batchnorm can be folded into a convolution. */
static void check_shared_run(bool with_fullgrad)
{
    static const int classes[2] = {2, 0};
    const int layers[2] = {find("layer2.0.conv2"), cr_net_last_feature_map(net)};
    const cr_method *all[32];
    cr_explain_request r = {.methods = all, .layers = layers, .n_layers = 2, .n = 2, .h = H, .w = W};
    for (int m = 0; cr_method_at(m); m++)
        if (!(cr_method_at(m)->needs & (CR_NEEDS_FC_WEIGHT | (with_fullgrad ? 0 : CR_NEEDS_BIASES))))
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
        for (int i = 0; i < found->n_raw; i++) {
            const size_t count = 2 * (size_t)found->raw[i].h * (size_t)found->raw[i].w;
            const float *values = found->raw[i].values, *expected = alone->results[0].raw[i].values;
            if (with_fullgrad)
                check_close(values, expected, count, 1e-4, "raw map of %s", found->method->name);
            else
                check_same_bits(values, expected, count, "raw map of %s", found->method->name);
        }
        if (!with_fullgrad)
            check_same_bits(found->maps, alone->results[0].maps, 2 * (size_t)H * W, "map of %s", found->method->name);
        cr_explainer_free(alone);
    }
    cr_explainer_free(e);
}

static void test_methods_share_a_run(void **state)
{
    (void)state;
    check_shared_run(false);
    check_shared_run(true);
}

/* ---- FullGrad ---- */

/* sum(x dx) and, over all nodes, sum(bias gradient) of image 0's logit c. */
static double sum_of_parts(const cr_net *some, int c, const float *input, float *logit)
{
    cr_error err = {""};
    const int last = some->n_nodes - 1;
    int *all = zeros((size_t)some->n_nodes, sizeof *all);
    for (int i = 0; i < some->n_nodes; i++)
        all[i] = i;
    const cr_request request = {.n = 1, .h = H, .w = W, .grad = all, .n_grad = some->n_nodes};
    cr_plan *plan = cr_plan_create(some, &request, &err);
    cr_tape *tape = plan ? cr_tape_create(plan, &err) : NULL;
    if (!tape)
        fail_msg("%s", err.text);
    float *logits = zeros((size_t)some->classes, sizeof *logits), *seed = zeros((size_t)some->classes, sizeof *seed);
    seed[c] = 1;
    cr_tape_forward(tape, input);
    assert_true(cr_tape_value(tape, last, logits, &err) && cr_tape_backward(tape, seed, &err));
    double total = 0;
    for (int i = 0; i < some->n_nodes; i++) {
        int dim[3];
        cr_plan_shape(plan, i, dim);
        const int pixels = dim[1] * dim[2];
        float *g = zeros((size_t)dim[0] * (size_t)pixels, sizeof *g), *bias = zeros((size_t)dim[0], sizeof *bias);
        assert_true(cr_tape_grad(tape, i, g, &err));
        if (i == 0 || cr_node_bias(some, i, bias))
            for (int k = 0; k < dim[0] * pixels; k++)
                total += (double)g[k] * (double)(i == 0 ? input[k] : bias[k / pixels]);
        free(g);
        free(bias);
    }
    *logit = logits[c];
    free(all);
    free(logits);
    free(seed);
    cr_tape_free(tape);
    cr_plan_free(plan);
    return total;
}

/* FullGrad's completeness: input and biases, each times its gradient, make up the logit. With and without batchnorm, and
 * with biases in front of one. */
static void test_biases_complete_the_logit(void **state)
{
    (void)state;
    uint64_t seed = SEED + 1;
    builder b = new_net("biased");
    int y = add_input(&b, 3);
    y = add_relu(&b, add_conv2d(&b, y, "first", 20, 3, 2, 1, true), "relu");
    y = add_maxpool(&b, y, "pool", 3, 2, 0);
    y = add_relu(&b, add_batchnorm(&b, add_conv2d(&b, y, "second", 17, 5, 1, 2, true), "norm"), "relu2");
    y = add_flatten(&b, add_adaptive_avgpool(&b, y, "avgpool", 2), "flatten", 17 * 4);
    add_linear(&b, add_relu(&b, add_linear(&b, y, "hidden", 30), "relu3"), "fc", CLASSES);
    b.net->classes = CLASSES;
    b.net->in_channels = 3;
    float *own_weights = bind_random(b.net, &seed);
    const cr_net *const nets[] = {net, b.net};
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < CLASSES; c++) {
            float logit;
            const float total = (float)sum_of_parts(nets[i], c, x, &logit);
            check_close(&total, &logit, 1, 1e-4, "%s, class %d", nets[i]->arch, c);
        }
    cr_net_free(b.net);
    free(own_weights);
}

/* Adds |b g|, or |x g|, of one node: each channel scaled to [0,1], then resized. */
static void add_scaled(float *total, const float *g, const float *input, const float *bias, const int dim[3])
{
    const size_t pixels = (size_t)dim[1] * (size_t)dim[2];
    float *channel = zeros(pixels, sizeof *channel), *resized = zeros((size_t)H * W, sizeof *resized);
    for (size_t k = 0; k < (size_t)dim[0]; k++) {
        float least = INFINITY, most = 0;
        for (size_t p = 0; p < pixels; p++) {
            channel[p] = fabsf(g[k * pixels + p] * (input ? input[k * pixels + p] : bias[k]));
            least = fminf(least, channel[p]);
            most = fmaxf(most, channel[p]);
        }
        for (size_t p = 0; p < pixels; p++)
            channel[p] = (channel[p] - least) / (1e-7f + (most - least));
        cr_map_resize(resized, H, W, channel, dim[1], dim[2]);
        for (size_t p = 0; p < (size_t)H * W; p++)
            total[p] += resized[p];
    }
    free(channel);
    free(resized);
}

static void test_fullgrad(void **state)
{
    (void)state;
    static const int classes[BATCH] = {4, 0, 2};
    oracle *o = oracle_create(net, BATCH, H, W, x);
    explain_oracle(o, method("gradcam"), classes);
    float *expected = zeros((size_t)BATCH * H * W, sizeof *expected);
    for (int i = 0; i < net->n_nodes; i++) {
        float *bias = zeros((size_t)o->shape[i][0], sizeof *bias);
        const size_t one = oracle_count(o, i) / BATCH;
        if (i == 0 || (net->nodes[i].op != CR_LINEAR && cr_node_bias(net, i, bias)))
            for (size_t n = 0; n < BATCH; n++)
                add_scaled(expected + n * H * W, o->grad[i] + n * one, i ? NULL : x + n * one, bias, o->shape[i]);
        free(bias);
    }
    cr_explainer *e = explained("fullgrad", NULL, 0, BATCH, x, classes);
    assert_int_equal(e->results[0].n_raw, 1);
    check_close(e->results[0].raw[0].values, expected, (size_t)BATCH * H * W, 1e-4, "fullgrad");
    cr_explainer_free(e);
    free(expected);
    oracle_free(o);
}

/* ---- noise and augmentation ---- */

static void test_noisy_gradients(void **state)
{
    (void)state;
    static const int classes[2] = {3, 1};
    const size_t input = 3 * (size_t)H * W;
    int layer = find("layer3");
    cr_explainer *smooth = explained("smoothgradcam++", &layer, 1, 2, x, classes);
    const cr_explained_layer *l = smooth->layers;
    const size_t count = 2 * (size_t)l->c * (size_t)l->h * (size_t)l->w;
    float *noisy = zeros(2 * input, sizeof *noisy), *means = zeros(3 * count, sizeof *means);
    for (uint64_t copy = 0; copy < CR_NOISY_COPIES; copy++) {
        for (size_t i = 0; i < 2 * input; i++)
            noisy[i] = x[i] + (float)(CR_NOISE * random_normal_at(0, copy * input + i % input));
        cr_explainer *one = explained("gradcam", &layer, 1, 2, noisy, classes);
        for (size_t i = 0; i < count; i++) {
            const float g = one->layers[0].grad[i];
            means[i] += g / CR_NOISY_COPIES;
            means[count + i] += g * g / CR_NOISY_COPIES;
            means[2 * count + i] += g * g * g / CR_NOISY_COPIES;
        }
        cr_explainer_free(one);
    }
    for (size_t power = 0; power < 3; power++)
        check_close(l->noisy + power * count, means + power * count, count, 1e-5, "mean of power %zu", power + 1);
    cr_explainer_free(smooth);
    free(noisy);
    free(means);
}

/* Noise has mean 0, deviation 1, and no two neighbours alike. */
static void test_noise_is_normal(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    double mean = 0, square = 0, beyond = 0, product = 0, last = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        const double value = random_normal_at(5, i);
        mean += value / MANY;
        square += value * value / MANY;
        beyond += (fabs(value) > 1.959964) / (double)MANY;
        product += value * last / MANY;
        last = value;
    }
    assert_true(fabs(mean) < 0.015 && fabs(square - 1) < 0.02 && fabs(beyond - 0.05) < 0.003 && fabs(product) < 0.015);
}

static void mirror(float *y, const float *from, size_t rows, size_t w)
{
    for (size_t i = 0; i < rows * w; i++)
        y[i] = from[i / w * w + (w - 1 - i % w)];
}

/* Six versions of the input, each explained alone; the explainer is as good as new for the next class. */
static void test_aug_smooth(void **state)
{
    (void)state;
    static const int classes[2][2] = {{3, 1}, {0, 4}};
    static const float factors[3] = {0.9f, 1, 1.1f};
    const size_t input = 2 * 3 * (size_t)H * W, pixels = 2 * (size_t)H * W;
    const int layers[2] = {find("layer2"), find("layer4")};
    const cr_method *const methods[2] = {method("gradcam"), method("fullgrad")};
    const cr_explain_request r = {.methods = methods, .n_methods = 2, .layers = layers, .n_layers = 2, .n = 2, .h = H,
                                  .w = W, .aug_smooth = true};
    float *version = zeros(input, sizeof *version), *mean = zeros(pixels, sizeof *mean), *map = zeros(pixels, sizeof *map);
    cr_error err = {""};
    cr_explainer *e = cr_explainer_create(net, &r, &err);
    if (!e || !cr_explainer_forward(e, x, &err))
        fail_msg("%s", err.text);
    for (int again = 0; again < 2; again++) {
        if (!cr_explainer_smooth(e, classes[again], &err))
            fail_msg("%s", err.text);
        for (int m = 0; m < 2; m++) {
            memset(mean, 0, pixels * sizeof *mean);
            for (int v = 0; v < 6; v++) {
                memcpy(version, x, input * sizeof *version);
                if (v % 2)
                    mirror(version, x, 2 * 3 * H, W);
                for (size_t i = 0; i < input; i++)
                    version[i] *= factors[v / 2];
                cr_explainer *one = explained(methods[m]->name, layers, 2, 2, version, classes[again]);
                memcpy(map, one->results[0].maps, pixels * sizeof *map);
                if (v % 2)
                    mirror(map, one->results[0].maps, 2 * H, W);
                for (size_t i = 0; i < pixels; i++)
                    mean[i] += map[i] / 6;
                if (v == 2)
                    check_same_bits(e->results[m].raw[0].values, one->results[0].raw[0].values,
                                    2 * (size_t)one->results[0].raw[0].h * (size_t)one->results[0].raw[0].w, "raw map");
                cr_explainer_free(one);
            }
            check_close(e->results[m].maps, mean, pixels, 1e-6, "%s, classes %d", methods[m]->name, again);
        }
    }
    cr_explainer_free(e);
    free(version);
    free(mean);
    free(map);
}

/* ---- a forward for every channel ---- */

/* The logits of one input. */
static void run_once(float *logits, const float *input)
{
    cr_error err = {""};
    const cr_request request = {.n = 1, .h = H, .w = W};
    cr_plan *plan = cr_plan_create(net, &request, &err);
    cr_tape *tape = plan ? cr_tape_create(plan, &err) : NULL;
    if (!tape)
        fail_msg("%s", err.text);
    cr_tape_forward(tape, input);
    assert_true(cr_tape_value(tape, net->n_nodes - 1, logits, &err));
    cr_tape_free(tape);
    cr_plan_free(plan);
}

static cr_param *parameter(const char *name)
{
    const int param = cr_net_find_param(net, name, NULL);
    assert_true(param >= 0);
    return &net->params[param];
}

/* A parameter's values, to be changed; the net's own memory holds them. */
static float *values_of(const char *name)
{
    return weights + (parameter(name)->data - weights);
}

/* Score-CAM's mask as its formula, corner pixels of the map on corner pixels of the input. */
static void masked_input(float *to, const float *input, const float *a, int h, int w)
{
    double *mask = zeros((size_t)H * W, sizeof *mask), least = INFINITY, most = -INFINITY;
    for (int y = 0; y < H; y++)
        for (int c = 0; c < W; c++) {
            const double at[2] = {y * (h - 1.0) / (H - 1), c * (w - 1.0) / (W - 1)};
            const int top = (int)at[0], left = (int)at[1], below = top + (top < h - 1), right = left + (left < w - 1);
            const double v = at[0] - top, u = at[1] - left;
            mask[y * W + c] = (1 - v) * ((1 - u) * (double)a[top * w + left] + u * (double)a[top * w + right]) +
                              v * ((1 - u) * (double)a[below * w + left] + u * (double)a[below * w + right]);
            least = fmin(least, mask[y * W + c]);
            most = fmax(most, mask[y * W + c]);
        }
    for (size_t i = 0; i < image; i++)
        to[i] = (float)((double)input[i] * (mask[i % (H * W)] - least) / (most - least + 1e-8));
    free(mask);
}

/* Two channels are made constant: they let nothing through. */
static void test_masked_scores(void **state)
{
    (void)state;
    static const int classes[2] = {1, 3};
    const int layers[2] = {find("layer3.1.relu"), find("layer4.1.conv2")};
    float *gamma = values_of("layer3.1.bn1.weight"), *beta = values_of("layer3.1.bn1.bias");
    const float saved[4] = {gamma[2], beta[2], gamma[5], beta[5]};
    gamma[2] = gamma[5] = 0;
    beta[2] = -1;
    beta[5] = 1;
    cr_explainer *e = explained("scorecam", layers, 2, 2, x, classes);
    float *input = zeros(image, sizeof *input), logits[CLASSES];
    for (int i = 0; i < 2; i++)
        for (size_t n = 0; n < 2; n++) {
            const cr_explained_layer *l = &e->layers[i];
            const size_t pixels = (size_t)l->h * (size_t)l->w;
            for (size_t k = 0; k < (size_t)l->c; k += k < 6 ? 1 : 5) {
                masked_input(input, x + n * image, l->value + (n * (size_t)l->c + k) * pixels, l->h, l->w);
                run_once(logits, input);
                check_close(l->masked + (n * (size_t)l->c + k) * CLASSES, logits, CLASSES, 1e-4, "channel %zu of %s", k,
                            net->nodes[l->node].name);
            }
        }
    check_same_bits(e->layers[0].masked + 2 * CLASSES, e->layers[0].masked + 5 * CLASSES, CLASSES, "constant channels");
    gamma[2] = saved[0];
    beta[2] = saved[1];
    gamma[5] = saved[2];
    beta[5] = saved[3];
    cr_explainer_free(e);
    free(input);
}

/* Sets the weights by which a convolution or linear layer reads (or, with out, writes) channel k to 0; returns what they
 * were. */
static float *cut(const char *name, int k, bool out, float *restore)
{
    const cr_param *p = parameter(name);
    float *value = values_of(name);
    const int taps = p->ndim > 2 ? p->dim[2] * p->dim[3] : 1, size = p->dim[0] * p->dim[1] * taps;
    float *saved = restore ? restore : zeros((size_t)size, sizeof *saved);
    for (int i = 0; i < size; i++)
        if ((out ? i / taps / p->dim[1] : i / taps % p->dim[1]) == k) {
            saved[i] = restore ? restore[i] : value[i];
            value[i] = restore ? restore[i] : 0;
        }
    return saved;
}

/* A channel is gone where nothing reads it: against networks whose weights that read it are 0. The layers: the last,
 * where nothing is run; one between two blocks, which two convolutions read; and two within a block, around which the
 * shortcut leads. */
static void test_ablated_scores(void **state)
{
    (void)state;
    static const struct {
        const char *layer, *readers[2];
        bool out;
    } cases[] = {{"layer4", {"fc.weight"}, false},
                 {"layer2", {"layer3.0.conv1.weight", "layer3.0.downsample.0.weight"}, false},
                 {"layer3.1.relu", {"layer3.1.conv2.weight"}, false},
                 {"layer2.0.conv2", {"layer2.0.conv2.weight"}, true}};
    static const int classes[2] = {1, 3};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int layer = find(cases[i].layer);
        cr_explainer *e = explained("ablationcam", &layer, 1, 2, x, classes);
        const cr_explained_layer *l = e->layers;
        for (int k = 0; k < l->c; k += 3) {
            float *saved[2] = {NULL, NULL}, logits[CLASSES];
            for (int r = 0; r < 2 && cases[i].readers[r]; r++)
                saved[r] = cut(cases[i].readers[r], k, cases[i].out, NULL);
            for (int n = 0; n < 2; n++) {
                run_once(logits, x + (size_t)n * image);
                check_close(l->ablated + (n * l->c + k) * CLASSES, logits, CLASSES, 1e-5, "%s without channel %d",
                            cases[i].layer, k);
            }
            for (int r = 0; r < 2 && cases[i].readers[r]; r++)
                free(cut(cases[i].readers[r], k, cases[i].out, saved[r]));
        }
        cr_explainer_free(e);
    }
}

/* At the last map the closed form is what running from there gives, and the weights follow from the head: w_k =
 * W_ck mean(A_k) / s. A channel that is 0 already weighs nothing, wherever it is. */
static void test_ablation_at_a_linear_head(void **state)
{
    (void)state;
    static const int class_index = 3;
    const int layer = cr_net_last_feature_map(net);
    cr_explainer *e = explained("ablationcam", &layer, 1, 1, x, &class_index);
    const cr_explained_layer *l = e->layers;
    const size_t pixels = (size_t)l->h * (size_t)l->w, count = (size_t)l->c * CLASSES;
    cr_error err;
    scorer *s = scorer_create(net, layer, H, W, false, &err);
    assert_non_null(s);
    float *brute = zeros(count, sizeof *brute), *dead = zeros((size_t)l->c * pixels, sizeof *dead);
    channel_progress progress = {0};
    assert_true(scorer_ablated(s, brute, e->logits, l->value, l->c, l->h, l->w, &progress, &err));
    check_close(l->ablated, brute, count, 1e-5, "closed form against runs");
    assert_int_equal(progress.done, l->c);

    const float *fc = parameter("fc.weight")->data + class_index * l->c;
    float *expected = zeros(pixels, sizeof *expected);
    for (size_t k = 0; k < (size_t)l->c; k++) {
        double mean = 0;
        for (size_t p = 0; p < pixels; p++)
            mean += (double)l->value[k * pixels + p] / (double)pixels;
        for (size_t p = 0; p < pixels; p++)
            expected[p] += (float)((double)fc[k] * mean / (double)e->logits[class_index] * (double)l->value[k * pixels + p]);
    }
    check_close(e->results[0].raw[0].values, expected, pixels, 1e-4, "map of the closed form");

    assert_true(scorer_ablated(s, brute, e->logits, dead, l->c, l->h, l->w, &progress, &err));
    for (int k = 0; k < l->c; k++)
        check_same_bits(brute + k * CLASSES, e->logits, CLASSES, "without a channel that is 0 already");
    scorer_free(s);
    free(brute);
    free(dead);
    free(expected);
    cr_explainer_free(e);
}

static void note_progress(void *owner, int done, int all)
{
    int *last = owner;
    assert_true(done >= last[0] && done <= all);
    last[0] = done;
    last[1] = all;
}

/* Scores serve all classes of a forward, and are found anew after the next one. */
static void test_scores_are_found_once(void **state)
{
    (void)state;
    static const int first = 1, second = 4;
    const int layers[2] = {find("layer3"), find("layer4")};
    const cr_method *const methods[2] = {method("scorecam"), method("ablationcam")};
    int progress[2] = {0, 0};
    const cr_explain_request r = {.methods = methods, .n_methods = 2, .layers = layers, .n_layers = 2, .n = 1, .h = H,
                                  .w = W, .progress = note_progress, .progress_owner = progress};
    cr_error err = {""};
    cr_explainer *e = cr_explainer_create(net, &r, &err);
    if (!e || !cr_explainer_forward(e, x, &err))
        fail_msg("%s", err.text);
    assert_true(e->needs_scores && !e->needs_backward);
    assert_int_equal(progress[1], 0);
    assert_true(cr_explainer_score(e, &err));
    assert_int_equal(progress[0], 2 * (e->layers[0].c + e->layers[1].c));
    assert_int_equal(progress[1], progress[0]);
    progress[0] = progress[1] = 0;
    assert_true(cr_explainer_backward(e, &first, &err) && cr_explainer_maps(e, &err));
    assert_true(cr_explainer_backward(e, &second, &err) && cr_explainer_maps(e, &err));
    assert_int_equal(progress[1], 0);
    assert_true(cr_explainer_forward(e, x + image, &err) && cr_explainer_backward(e, &second, &err) &&
                cr_explainer_maps(e, &err));
    assert_true(progress[1] > 0);
    for (int m = 0; m < 2; m++) {
        cr_explainer *fresh = explained(methods[m]->name, layers, 2, 1, x + image, &second);
        check_same_bits(e->results[m].maps, fresh->results[0].maps, (size_t)H * W, "after another input");
        cr_explainer_free(fresh);
    }
    cr_explainer_free(e);
}

/* ---- evidence there is none of ---- */

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
        cmocka_unit_test(test_map_of_each_layer), cmocka_unit_test(test_mean_of_classes),
        cmocka_unit_test(test_reuse),           cmocka_unit_test(test_methods_share_a_run),
        cmocka_unit_test(test_biases_complete_the_logit), cmocka_unit_test(test_fullgrad),
        cmocka_unit_test(test_noisy_gradients), cmocka_unit_test(test_noise_is_normal),
        cmocka_unit_test(test_masked_scores),   cmocka_unit_test(test_ablated_scores),
        cmocka_unit_test(test_ablation_at_a_linear_head), cmocka_unit_test(test_scores_are_found_once),
        cmocka_unit_test(test_aug_smooth),      cmocka_unit_test(test_no_evidence),
        cmocka_unit_test(test_refused_layers),  cmocka_unit_test(test_feature_maps),
        cmocka_unit_test(test_non_finite_is_named),
    };
    return cmocka_run_group_tests_name("explain", tests, set_up, tear_down);
}
