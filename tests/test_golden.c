/* test_golden.c - whole networks and their maps against torchvision's, as tests/make_golden.py wrote them down.
 *
 * The weights come from the formula of synthetic.h; tests/golden/ARCH.bin holds the few that differ and the expected
 * logits and maps. make_golden.py describes its contents. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "synthetic.h"
#include "weights.h"

enum { MAX_LAYERS = 8, CLASSES_EACH = 2, SAMPLES = 600 };

/* Relative to the largest value of a layer's maps. Rounding in another order moves them by some 1e-6. */
static const double tolerance = 1e-4;

typedef struct golden {
    cr_net *net;
    float *weights;
    cr_weights *file;
} golden;

static const cr_tensor *find_tensor(const golden *g, const char *name)
{
    const cr_tensor *t = cr_weights_find(g->file, name);
    if (!t)
        fail_msg("tests/golden/%s.bin holds no %s", g->net->arch, name);
    return t;
}

static size_t count_of(const cr_tensor *t)
{
    size_t count = 1;
    for (int d = 0; d < t->ndim; d++)
        count *= (size_t)t->dim[d];
    return count;
}

static const float *floats(const golden *g, const char *name, size_t count)
{
    cr_error err;
    const cr_tensor *t = find_tensor(g, name);
    assert_int_equal(count_of(t), count);
    const float *values = cr_weights_f32(g->file, t, &err);
    if (!values)
        fail_msg("%s", err.text);
    return values;
}

static void integers(const golden *g, const char *name, int64_t *out, size_t count)
{
    const cr_tensor *t = find_tensor(g, name);
    assert_int_equal(t->dtype, CR_I64);
    assert_int_equal(count_of(t), count);
    memcpy(out, t->data, t->bytes);
}

/* make_golden.py has the same. */
static size_t sample_step(size_t count)
{
    return count <= SAMPLES ? 1 : (count / SAMPLES) | 1;
}

/* One layer's maps of all images, for classes number `which` of each, against the file's samples. */
static void check_maps(const golden *g, const char *name, const cr_raw_map *layer, int n, int which)
{
    const size_t pixels = (size_t)layer->h * (size_t)layer->w, step = sample_step(pixels);
    const size_t samples = (pixels + step - 1) / step, count = samples * (size_t)n;
    const float *expected = floats(g, name, CLASSES_EACH * count) + (size_t)which * count;
    float *found = zeros(count, sizeof *found);
    for (size_t image = 0, i = 0; image < (size_t)n; image++)
        for (size_t p = 0; p < pixels; p += step)
            found[i++] = layer->values[image * pixels + p];
    check_close(found, expected, count, tolerance, "%s %s class %d on %s", g->net->arch, name, which, cr_isa());
    free(found);
}

/* All layers the file has this method's maps of. */
static void check_method(const golden *g, const char *which_case, const char *method, const int64_t shape[4],
                         const float *x)
{
    cr_error err;
    int layers[MAX_LAYERS], n_layers = 0;
    const char *names[MAX_LAYERS];
    char prefix[64];
    const int length = snprintf(prefix, sizeof prefix, "%s.%s.", which_case, method);
    for (int i = 0; i < cr_weights_count(g->file); i++) {
        const char *name = cr_weights_at(g->file, i)->name;
        if (strncmp(name, prefix, (size_t)length) != 0)
            continue;
        assert_in_range(n_layers, 0, MAX_LAYERS - 1);
        names[n_layers] = name;
        layers[n_layers] = cr_net_find(g->net, name + length, &err);
        assert_true(layers[n_layers++] >= 0);
    }
    if (n_layers == 0) { /* cam, where the head has no use for it */
        assert_int_equal(cr_net_cam_head(g->net), -1);
        assert_string_equal(method, "cam");
        return;
    }

    const int n = (int)shape[0];
    const cr_method *one = cr_method_find(method, &err);
    const cr_explain_request request = {.methods = &one, .n_methods = 1, .layers = layers, .n_layers = n_layers,
                                        .n = n, .h = (int)shape[2], .w = (int)shape[3]};
    cr_explainer *e = cr_explainer_create(g->net, &request, &err);
    if (!e || !cr_explainer_forward(e, x, &err))
        fail_msg("%s %s: %s", g->net->arch, prefix, err.text);
    char name[64];
    snprintf(name, sizeof name, "%s.logits", which_case);
    const size_t count = (size_t)n * (size_t)g->net->classes;
    check_close(e->logits, floats(g, name, count), count, tolerance, "%s %s on %s", g->net->arch, name, cr_isa());

    int64_t *classes = zeros(CLASSES_EACH * (size_t)n, sizeof *classes);
    int *explained = zeros((size_t)n, sizeof *explained);
    snprintf(name, sizeof name, "%s.classes", which_case);
    integers(g, name, classes, CLASSES_EACH * (size_t)n);
    for (int which = 0; which < CLASSES_EACH; which++) {
        for (int image = 0; image < n; image++)
            explained[image] = (int)classes[which * n + image];
        if (!cr_explainer_backward(e, explained, &err) || !cr_explainer_maps(e, &err))
            fail_msg("%s %s: %s", g->net->arch, prefix, err.text);
        for (int i = 0; i < n_layers; i++)
            check_maps(g, names[i], &e->results[0].raw[i], n, which);
    }
    free(explained);
    free(classes);
    cr_explainer_free(e);
}

static void check_case(const golden *g, const char *which_case)
{
    char name[64];
    int64_t shape[4];
    snprintf(name, sizeof name, "%s.shape", which_case);
    integers(g, name, shape, 4);
    const size_t count = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
    float *x = zeros(count, sizeof *x);
    synthetic_fill(x, count, which_case, 1.7f, 0);
    static const char *const methods[] = {"gradcam", "layercam", "cam"}; /* of which the files hold maps */
    for (int m = 0; m < 3; m++)
        check_method(g, which_case, methods[m], shape, x);
    free(x);
}

/* Checks that the weights are the formula's and puts those in their place that the file has others for. */
static void check_and_adjust_weights(const golden *g)
{
    const float *expected = floats(g, "weights", 4 * (size_t)g->net->n_params);
    float *data = g->weights;
    for (int i = 0; i < g->net->n_params; i++) {
        const cr_param *p = &g->net->params[i];
        size_t count = 1;
        for (int d = 0; d < p->ndim; d++)
            count *= (size_t)p->dim[d];
        check_same_bits(data + count - 4, expected + 4 * i, 4, "the end of %s", p->name);

        if (cr_weights_find(g->file, p->name))
            memcpy(data, floats(g, p->name, count), count * sizeof *data);
        char name[CR_NAME_SIZE + 8];
        snprintf(name, sizeof name, "%s.shift", p->name);
        if (cr_weights_find(g->file, name)) {
            const float *shift = floats(g, name, (size_t)p->dim[0]);
            for (size_t k = 0; k < count; k++)
                data[k] += shift[k / (count / (size_t)p->dim[0])];
        }
        data += count;
    }
}

static void check_network(const char *arch, bool every_isa)
{
    cr_error err;
    char path[64];
    snprintf(path, sizeof path, "tests/golden/%s.bin", arch);
    golden g = {.file = cr_weights_open(path, &err)};
    if (!g.file)
        fail_msg("%s", err.text);
    g.net = cr_net_create(cr_arch_find(arch, &err), 3, 1000, 64, &err);
    assert_non_null(g.net);
    g.weights = synthetic_bind(g.net);
    assert_non_null(g.weights);

    check_and_adjust_weights(&g);
    check_case(&g, "square");
    check_case(&g, "wide");
    for (int i = 0; every_isa && use_isa(i); i++)
        check_case(&g, "wide");

    cr_net_free(g.net);
    free(g.weights);
    cr_weights_close(g.file);
}

/* Between them these two have every size of filter and every stride. */
static void test_network_on_every_isa(void **state)
{
    check_network(*state, true);
}

static void test_network(void **state)
{
    check_network(*state, false);
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        {"alexnet", test_network_on_every_isa, NULL, NULL, "alexnet"},
        {"vgg19", test_network, NULL, NULL, "vgg19"},
        {"resnet18", test_network_on_every_isa, NULL, NULL, "resnet18"},
        {"resnet34", test_network, NULL, NULL, "resnet34"},
        {"resnet50", test_network, NULL, NULL, "resnet50"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
