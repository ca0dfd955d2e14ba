/* test_net.c - the networks as topology: parameters, names, shapes and multiply-adds, without any weights. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As torchvision publishes them, for 1000 classes: parameters, and multiply-adds for a 224x224 picture in units of 10^9
 * (their documentation's GFLOPS). */
static const struct published {
    const char *name;
    int64_t params;
    double macs;
    const char *last_feature_map;
    int shape[3];
    bool cam_head;
} published[] = {
    {"alexnet", 61100840, 0.714, "features.12", {256, 6, 6}, false},
    {"vgg11", 132863336, 7.609, "features.20", {512, 7, 7}, false},
    {"vgg13", 133047848, 11.308, "features.24", {512, 7, 7}, false},
    {"vgg16", 138357544, 15.470, "features.30", {512, 7, 7}, false},
    {"vgg19", 143667240, 19.632, "features.36", {512, 7, 7}, false},
    {"vgg11_bn", 132868840, 7.609, "features.28", {512, 7, 7}, false},
    {"vgg13_bn", 133053736, 11.308, "features.34", {512, 7, 7}, false},
    {"vgg16_bn", 138365992, 15.470, "features.43", {512, 7, 7}, false},
    {"vgg19_bn", 143678248, 19.632, "features.52", {512, 7, 7}, false},
    {"resnet18", 11689512, 1.814, "layer4.1.relu_1", {512, 7, 7}, true},
    {"resnet34", 21797672, 3.664, "layer4.2.relu_1", {512, 7, 7}, true},
    {"resnet50", 25557032, 4.089, "layer4.2.relu_2", {2048, 7, 7}, true},
    {"resnet101", 44549160, 7.801, "layer4.2.relu_2", {2048, 7, 7}, true},
    {"resnet152", 60192808, 11.514, "layer4.2.relu_2", {2048, 7, 7}, true},
};

enum { PUBLISHED = sizeof published / sizeof published[0] };

static cr_net *create(const char *arch, int in_channels, int classes, int width)
{
    cr_error err;
    const cr_arch *a = cr_arch_find(arch, &err);
    cr_net *net = a ? cr_net_create(a, in_channels, classes, width, &err) : NULL;
    if (!net)
        fail_msg("%s", err.text);
    return net;
}

static int find(const cr_net *net, const char *name)
{
    cr_error err;
    int node = cr_net_find(net, name, &err);
    if (node < 0)
        fail_msg("%s", err.text);
    return node;
}

static void test_published_figures(void **state)
{
    (void)state;
    assert_null(cr_arch_at(-1));
    assert_null(cr_arch_at(PUBLISHED));
    for (int i = 0; i < PUBLISHED; i++) {
        const struct published *p = &published[i];
        assert_string_equal(cr_arch_at(i)->name, p->name);
        cr_net *net = create(p->name, 3, 1000, cr_arch_at(i)->width);
        int(*dims)[3] = zeros((size_t)net->n_nodes, sizeof *dims);
        cr_error err;
        assert_true(cr_net_shapes(net, 224, 224, dims, &err));

        int64_t params = 0;
        double macs = 0.0;
        for (int k = 0; k < net->n_nodes; k++) {
            params += cr_node_params(net, k);
            macs += (double)cr_node_macs(net, k, dims);
        }
        assert_int_equal(params, p->params);
        assert_true(macs / 1e9 > p->macs - 0.0006 && macs / 1e9 < p->macs + 0.0006);

        const int map = cr_net_last_feature_map(net), last = net->n_nodes - 1;
        assert_string_equal(net->nodes[map].name, p->last_feature_map);
        assert_memory_equal(dims[map], p->shape, sizeof p->shape);
        assert_int_equal(dims[last][0], 1000);
        assert_int_equal(cr_net_cam_head(net), p->cam_head ? last : -1);
        free(dims);
        cr_net_free(net);
    }
}

/* What a net must be for everything behind it: inputs before their readers, unique names, parameters that belong to
 * one node each and are named after it. */
static void test_topology_is_well_formed(void **state)
{
    (void)state;
    for (int i = 0; cr_arch_at(i); i++) {
        cr_net *net = create(cr_arch_at(i)->name, 3, 10, cr_arch_at(i)->width);
        int next_param = 0;
        for (int k = 0; k < net->n_nodes; k++) {
            const cr_node *n = &net->nodes[k];
            assert_int_equal(n->op == CR_INPUT, k == 0);
            assert_true(n->in[0] < k && (k == 0) == (n->in[0] < 0));
            assert_true(n->in[1] < k && (n->op == CR_ADD) == (n->in[1] >= 0));
            assert_int_equal(find(net, n->name), k);
            assert_non_null(cr_op_name(n->op));
            assert_int_equal(n->param, next_param);
            for (int p = n->param; p < n->param + n->n_params; p++) {
                assert_int_equal(strncmp(net->params[p].name, n->name, strlen(n->name)), 0);
                assert_int_equal(net->params[p].name[strlen(n->name)], '.');
                assert_null(net->params[p].data);
            }
            next_param += n->n_params;
        }
        assert_int_equal(next_param, net->n_params);
        const cr_node *conv = &net->nodes[find(net, cr_arch_at(i)->first_conv)];
        const cr_node *linear = &net->nodes[find(net, cr_arch_at(i)->last_linear)];
        assert_int_equal(conv->op, CR_CONV2D);
        assert_int_equal(conv->channels, cr_arch_at(i)->width);
        assert_int_equal(linear->op, CR_LINEAR);
        assert_int_equal(linear->channels, 10);
        cr_net_free(net);
    }
}

static void test_free_sizes(void **state)
{
    (void)state;
    cr_net *net = create("resnet34", 1, 5, 16);
    const cr_param *conv = &net->params[net->nodes[find(net, "conv1")].param];
    const cr_param *fc = &net->params[net->nodes[find(net, "fc")].param];
    assert_string_equal(conv->name, "conv1.weight");
    assert_memory_equal(conv->dim, ((const int[]){16, 1, 7, 7}), sizeof conv->dim);
    assert_string_equal(fc->name, "fc.weight");
    assert_int_equal(fc->ndim, 2);
    assert_memory_equal(fc->dim, ((const int[]){5, 128}), 2 * sizeof(int));
    assert_int_equal(net->in_channels, 1);
    assert_int_equal(net->classes, 5);
    cr_net_free(net);

    net = create("resnet50", 4, 2, 1);
    assert_int_equal(net->nodes[find(net, "layer4")].channels, 32);
    cr_net_free(net);
    net = create("alexnet", 3, 2, 64);
    assert_int_equal(cr_node_params(net, find(net, "classifier.6")), 2 * 4096 + 2);
    cr_net_free(net);
}

static void check_refused(const char *arch, int in_channels, int classes, int width, const char *found)
{
    cr_error err;
    assert_null(cr_net_create(cr_arch_find(arch, NULL), in_channels, classes, width, &err));
    check_message(&err, arch, "expected", "found", found, NULL);
    assert_null(cr_net_create(cr_arch_find(arch, NULL), in_channels, classes, width, NULL));
}

static void test_impossible_sizes_are_refused(void **state)
{
    (void)state;
    check_refused("resnet18", 0, 10, 64, "found 0");
    check_refused("resnet18", 3, 0, 64, "found 0");
    check_refused("resnet18", 3, -5, 64, "found -5");
    check_refused("resnet18", 3, 10, 0, "found 0");
    check_refused("resnet18", 3, 10, 1 << 30, "found 1073741824");
    check_refused("alexnet", 3, 10, 32, "found 32");
    check_refused("vgg19", 1 << 30, 10, 64, "found 1073741824");

    cr_error err;
    assert_null(cr_arch_find("resnet19", &err));
    check_message(&err, "'resnet19'", "alexnet", "vgg16_bn", "resnet152", NULL);
    assert_null(cr_arch_find("", NULL));
}

static void check_found(const cr_net *net, const char *name, const char *node)
{
    assert_string_equal(net->nodes[find(net, name)].name, node);
}

static void test_find_by_name(void **state)
{
    (void)state;
    cr_net *net = create("resnet18", 3, 10, 64);
    check_found(net, "input", "input");
    check_found(net, "relu", "relu"); /* the first layer's, not one inside a block */
    check_found(net, "layer4.1.conv2", "layer4.1.conv2");
    check_found(net, "layer4", "layer4.1.relu_1"); /* a module's output: behind the addition and its ReLU */
    check_found(net, "layer4.0", "layer4.0.relu_1");
    check_found(net, "layer1", "layer1.1.relu_1");
    check_found(net, "layer2.0.downsample", "layer2.0.downsample.1");
    cr_net_free(net);

    net = create("resnet101", 3, 10, 64);
    check_found(net, "layer3.1", "layer3.1.relu_2"); /* not layer3.10 to layer3.19 */
    check_found(net, "layer3", "layer3.22.relu_2");
    cr_net_free(net);

    net = create("alexnet", 3, 10, 64);
    check_found(net, "features", "features.12");
    check_found(net, "features.1", "features.1");
    check_found(net, "classifier", "classifier.6");
    cr_net_free(net);
}

static void check_not_found(const cr_net *net, const char *name, const char *near)
{
    cr_error err;
    assert_int_equal(cr_net_find(net, name, &err), -1);
    check_message(&err, net->arch, near, NULL);
    assert_int_equal(cr_net_find(net, name, NULL), -1);
}

static void test_unknown_names_get_near_candidates(void **state)
{
    (void)state;
    cr_net *net = create("resnet50", 3, 10, 64);
    check_not_found(net, "layer4.7", "layer4.2");
    check_not_found(net, "layer4.2.conv9", "layer4.2.conv1, layer4.2.conv2, layer4.2.conv3");
    check_not_found(net, "layer", "layer1, layer2, layer3, layer4"); /* a beginning of a name is no module */
    check_not_found(net, "layer4.", "layer4.2");
    check_not_found(net, "Layer4", "conv1, bn1, relu, maxpool");
    check_not_found(net, "", "conv1");
    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    check_not_found(net, longest, "conv1");
    memcpy(longest, "layer1.0.", 9);
    check_not_found(net, longest, "layer1.0.conv1");
    cr_net_free(net);
}

static void check_no_param(const cr_net *net, const char *name, const char *near)
{
    cr_error err;
    assert_int_equal(cr_net_find_param(net, name, &err), -1);
    check_message(&err, net->arch, near, NULL);
    assert_int_equal(cr_net_find_param(net, name, NULL), -1);
}

static void test_parameters_by_name(void **state)
{
    (void)state;
    cr_net *net = create("resnet18", 3, 10, 64);
    for (int i = 0; i < net->n_params; i++)
        assert_int_equal(cr_net_find_param(net, net->params[i].name, NULL), i);
    check_no_param(net, "conv1.bias", "'conv1.bias'; the first of layer 'conv1' is conv1.weight");
    check_no_param(net, "layer2.0.weight", "layer 'layer2.0.relu_1' has none");
    check_no_param(net, "layer5.weight", "no layer 'layer5'; near it: layer1");
    check_no_param(net, "fc", "fc.weight");
    check_no_param(net, "conv2", "near it: conv1");
    check_no_param(net, "", "conv1");
    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 2] = '.';
    longest[sizeof longest - 1] = '\0';
    check_no_param(net, longest, "conv1");
    cr_net_free(net);
}

static void check_shape(const char *arch, int h, int w, const char *name, int C, int H, int W)
{
    cr_net *net = create(arch, 3, 10, 64);
    int(*dims)[3] = zeros((size_t)net->n_nodes, sizeof *dims);
    cr_error err;
    if (!cr_net_shapes(net, h, w, dims, &err))
        fail_msg("%s", err.text);
    const int expected[3] = {C, H, W};
    assert_memory_equal(dims[find(net, name)], expected, sizeof expected);
    free(dims);
    cr_net_free(net);
}

static void test_shapes(void **state)
{
    (void)state;
    check_shape("alexnet", 224, 224, "features.0", 64, 55, 55);
    check_shape("alexnet", 224, 224, "features.2", 64, 27, 27);
    check_shape("alexnet", 224, 224, "avgpool", 256, 6, 6);
    check_shape("alexnet", 224, 224, "flatten", 9216, 1, 1);
    check_shape("alexnet", 63, 127, "features", 256, 1, 3);
    check_shape("vgg16", 33, 70, "features", 512, 1, 2);
    check_shape("vgg16", 33, 70, "avgpool", 512, 7, 7);
    check_shape("resnet18", 225, 97, "conv1", 64, 113, 49);
    check_shape("resnet18", 225, 97, "maxpool", 64, 57, 25);
    check_shape("resnet18", 225, 97, "layer2", 128, 29, 13);
    check_shape("resnet50", 225, 97, "layer4", 2048, 8, 4);
    check_shape("resnet50", 1, 1, "layer4", 2048, 1, 1);
    check_shape("resnet50", 225, 97, "fc", 10, 1, 1);
}

static void check_too_small(const char *arch, int h, int w, const char *layer)
{
    cr_net *net = create(arch, 3, 10, 64);
    int(*dims)[3] = zeros((size_t)net->n_nodes, sizeof *dims);
    cr_error err;
    assert_false(cr_net_shapes(net, h, w, dims, &err));
    check_message(&err, arch, layer, NULL);
    assert_false(cr_net_shapes(net, h, w, dims, NULL));
    free(dims);
    cr_net_free(net);
}

static void test_too_small_inputs(void **state)
{
    (void)state;
    check_too_small("alexnet", 62, 224, "features.12"); /* 62x224: 14 -> 6 -> 2 rows, and a 3x3 pool */
    check_too_small("alexnet", 224, 62, "62x224");      /* it says WxH */
    check_too_small("alexnet", 6, 224, "features.0");
    check_too_small("vgg11", 31, 32, "features.20");
    check_too_small("resnet18", 0, 32, "0");
    check_too_small("resnet18", -1, 32, "-1");
    check_too_small("resnet18", 32, 1 << 20, "1048576");
}

static void test_check_finite(void **state)
{
    (void)state;
    cr_net *net = create("resnet18", 3, 10, 4);
    uint64_t seed = SEED;
    float *weights = bind_random(net, &seed);
    cr_error err;
    assert_true(cr_net_check_finite(net, &err));
    for (int i = 0; i < 2; i++) {
        const int param = net->nodes[find(net, "layer3.0.bn1")].param + 2;
        float *value = weights + (net->params[param].data - weights) + 3, kept = *value;
        *value = i ? (float)NAN : -(float)INFINITY;
        assert_false(cr_net_check_finite(net, &err));
        check_message(&err, "layer3.0.bn1.running_mean[3]", i ? "nan" : "-inf", NULL);
        *value = kept;
    }
    assert_true(cr_net_check_finite(net, NULL));
    cr_net_free(net);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_figures),
        cmocka_unit_test(test_topology_is_well_formed),
        cmocka_unit_test(test_free_sizes),
        cmocka_unit_test(test_impossible_sizes_are_refused),
        cmocka_unit_test(test_find_by_name),
        cmocka_unit_test(test_unknown_names_get_near_candidates),
        cmocka_unit_test(test_parameters_by_name),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_too_small_inputs),
        cmocka_unit_test(test_check_finite),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
