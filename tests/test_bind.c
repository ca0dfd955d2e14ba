/* test_bind.c - weights files become nets: sizes read from the tensors, every tensor bound, and what the messages
 * say when they do not fit. The files are safetensors of narrow ResNets, made in memory. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights.h"

/* ---- files ---- */

typedef struct entry {
    char name[CR_NAME_SIZE];
    const char *dtype;
    int ndim;
    int64_t dim[CR_TENSOR_DIMS];
} entry;

/* What a file is to hold; tests change it before it is written. */
typedef struct content {
    const char *arch; /* metadata; NULL: none */
    const char *prefix;
    int count;
    entry entries[1024];
} content;

static content *content_of(const char *arch, int in_channels, int classes, int width)
{
    cr_error err = {""};
    cr_net *net = cr_net_create(cr_arch_find(arch, &err), in_channels, classes, width, &err);
    if (!net)
        fail_msg("%s", err.text);
    content *c = zeros(1, sizeof *c);
    c->prefix = "";
    c->count = net->n_params;
    for (int i = 0; i < net->n_params; i++) {
        const cr_param *p = &net->params[i];
        entry *e = &c->entries[i];
        *e = (entry){.dtype = "F32", .ndim = p->ndim};
        memcpy(e->name, p->name, sizeof e->name);
        for (int d = 0; d < p->ndim; d++)
            e->dim[d] = p->dim[d];
    }
    cr_net_free(net);
    return c;
}

static entry *entry_called(content *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->entries[i].name, name) == 0)
            return &c->entries[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void add_entry(content *c, const char *name, const char *dtype, int64_t size)
{
    entry *e = &c->entries[c->count++];
    *e = (entry){.dtype = dtype, .ndim = 1, .dim = {size}};
    snprintf(e->name, sizeof e->name, "%s", name);
}

static void remove_entry(content *c, const char *name)
{
    entry *removed = entry_called(c, name);
    *removed = c->entries[--c->count];
}

static size_t elements(const entry *e)
{
    size_t count = 1;
    for (int d = 0; d < e->ndim; d++)
        count *= (size_t)e->dim[d];
    return count;
}

/* The file's k-th float32 has this value, so that a misplaced tensor shows. */
static float value_at(size_t k)
{
    return (float)(k % 1000003);
}

/* Opens a file of this content. Its bytes are *file's, to be freed after the weights. */
static cr_weights *open_content(const content *c, uint8_t **file)
{
    char *header = zeros((size_t)c->count + 1, 256);
    size_t used = (size_t)sprintf(header, "{\"__metadata__\":{%s%s%s}", c->arch ? "\"arch\":\"" : "",
                                  c->arch ? c->arch : "", c->arch ? "\"" : "");
    size_t bytes = 0;
    for (int i = 0; i < c->count; i++) {
        const entry *e = &c->entries[i];
        used += (size_t)sprintf(header + used, ",\"%s%s\":{\"dtype\":\"%s\",\"shape\":[", c->prefix, e->name, e->dtype);
        for (int d = 0; d < e->ndim; d++)
            used += (size_t)sprintf(header + used, "%s%lld", d ? "," : "", (long long)e->dim[d]);
        size_t begin = bytes;
        bytes += elements(e) * (strcmp(e->dtype, "I64") == 0 ? 8 : 4);
        used += (size_t)sprintf(header + used, "],\"data_offsets\":[%zu,%zu]}", begin, bytes);
    }
    used += (size_t)sprintf(header + used, "}");

    *file = zeros(8 + used + bytes, 1);
    for (int i = 0; i < 8; i++)
        (*file)[i] = (uint8_t)((uint64_t)used >> (8 * i));
    memcpy(*file + 8, header, used);
    for (size_t k = 0; k < bytes / 4; k++)
        memcpy(*file + 8 + used + 4 * k, &(float){value_at(k)}, 4);
    free(header);

    cr_error err = {""};
    cr_weights *w = cr_weights_open_memory("w.bin", *file, 8 + used + bytes, &err);
    if (!w)
        fail_msg("%s", err.text);
    return w;
}

/* ---- what fits ---- */

static void check_loads(const content *c, const char *option, const char *arch, int in_channels, int classes)
{
    uint8_t *file;
    cr_weights *w = open_content(c, &file);
    cr_error err = {""};
    cr_net *net = cr_net_load(w, option, &err);
    if (!net)
        fail_msg("%s", err.text);
    assert_string_equal(net->arch, arch);
    assert_int_equal(net->in_channels, in_channels);
    assert_int_equal(net->classes, classes);
    size_t k = 0;
    for (int i = 0; i < net->n_params; i++) { /* content_of wrote them in this order */
        const cr_param *p = &net->params[i];
        const size_t count = elements(&c->entries[i]);
        assert_string_equal(p->name, c->entries[i].name);
        if (p->data[0] != value_at(k) || p->data[count - 1] != value_at(k + count - 1))
            fail_msg("%s is bound to another tensor's values", p->name);
        k += count;
    }
    cr_net_free(net);
    cr_weights_close(w);
    free(file);
}

static void test_loads(void **state)
{
    (void)state;
    content *c = content_of("resnet18", 3, 10, 4);
    check_loads(c, "resnet18", "resnet18", 3, 10);
    check_loads(c, NULL, "resnet18", 3, 10); /* known by its tensors */
    c->arch = "resnet18";
    check_loads(c, NULL, "resnet18", 3, 10); /* known by its metadata */
    c->arch = "mine";
    check_loads(c, "resnet18", "resnet18", 3, 10); /* what the caller says goes */
    c->prefix = "module.";
    check_loads(c, "resnet18", "resnet18", 3, 10);
    add_entry(c, "bn1.num_batches_tracked", "I64", 1);
    add_entry(c, "layer4.1.bn2.num_batches_tracked", "I64", 1);
    check_loads(c, "resnet18", "resnet18", 3, 10);
    free(c);
}

static void test_sizes_come_from_the_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        int in_channels, classes, width;
    } nets[] = {{"resnet18", 1, 2, 1}, {"resnet34", 4, 5, 3}, {"resnet50", 3, 1, 2}, {"resnet152", 2, 7, 1}};
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        content *c = content_of(nets[i].arch, nets[i].in_channels, nets[i].classes, nets[i].width);
        check_loads(c, nets[i].arch, nets[i].arch, nets[i].in_channels, nets[i].classes);
        check_loads(c, NULL, nets[i].arch, nets[i].in_channels, nets[i].classes);
        free(c);
    }
}

/* ---- what does not ---- */

typedef enum change {
    NOTHING,
    REMOVE,       /* tensor `name` */
    ADD,          /* a tensor of that name */
    ADD_TWO,      /* and one more */
    ANOTHER_TYPE, /* int64 */
    ANOTHER_SIZE, /* of its first dimension */
    ONE_DIMENSION_MORE
} change;

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *of, *option, *metadata;
        change change;
        const char *name, *words[3];
    } files[] = {
        {"resnet18", "resnet34", NULL, NOTHING, "",
         {"no tensor layer1.2.conv1.weight, which resnet34 has", "102 of its 182",
          "these weights fit resnet18: --arch resnet18"}},
        {"resnet18", NULL, "resnet34", NOTHING, "",
         {"which resnet34 has", "these weights fit resnet18: --arch resnet18"}},
        {"resnet34", "resnet18", NULL, NOTHING, "",
         {"80 tensors that resnet18 does not have, the first layer1.2.conv1.weight",
          "these weights fit resnet34: --arch resnet34"}},
        {"resnet18", "resnet50", NULL, NOTHING, "",
         {"layer1.0.conv1.weight: expected shape (4,4,1,1) for resnet50", "found (4,4,3,3)", "fit resnet18"}},
        {"resnet18", "vgg16", NULL, NOTHING, "",
         {"no tensor features.0.weight, which every vgg16 has", "fit resnet18"}},
        {"resnet18", "resnet34", "resnet18", REMOVE, "fc.bias", {"no tensor", "the file says it is for resnet18"}},
        {"resnet18", NULL, "densenet121", NOTHING, "", {"w.bin", "unknown network 'densenet121'", "resnet152"}},
        {"resnet18", "resnet18", NULL, REMOVE, "layer3.0.downsample.1.running_var",
         {"w.bin: no tensor layer3.0.downsample.1.running_var, which resnet18 has", "101 of its 102"}},
        {"resnet18", "resnet18", NULL, REMOVE, "conv1.weight", {"no tensor conv1.weight, which every resnet18 has"}},
        {"resnet18", NULL, NULL, REMOVE, "fc.bias", {"does not say which network", "--arch"}},
        {"resnet18", "resnet18", NULL, ADD, "head.weight",
         {"1 tensor that resnet18 does not have, the first head.weight"}},
        {"resnet18", "resnet18", NULL, ADD_TWO, "bn1.num_batches",
         {"2 tensors that resnet18", "the first bn1.num_batches"}},
        {"resnet18", "resnet18", NULL, ANOTHER_TYPE, "bn1.bias",
         {"bn1.bias: expected floating-point numbers, found int64"}},
        {"resnet18", "resnet18", NULL, ANOTHER_SIZE, "bn1.bias",
         {"bn1.bias: expected shape (4) for resnet18, found (5)"}},
        {"resnet18", "resnet18", NULL, ANOTHER_SIZE, "fc.bias",
         {"fc.bias: expected shape (10) for resnet18, found (11)"}},
        {"resnet18", "resnet18", NULL, ANOTHER_SIZE, "conv1.weight",
         {"bn1.weight: expected shape (5) for resnet18, found (4)"}},
        {"resnet18", "resnet18", NULL, ONE_DIMENSION_MORE, "bn1.bias",
         {"bn1.bias: expected shape (4) for resnet18, found (4,1)"}},
        {"resnet18", "resnet18", NULL, ONE_DIMENSION_MORE, "fc.weight",
         {"fc.weight: expected 2 dimensions for resnet18, found 3"}},
        {"resnet18", "resnet18", NULL, ONE_DIMENSION_MORE, "conv1.weight",
         {"conv1.weight: expected 4 dimensions for resnet18, found 5"}},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        content *c = content_of(files[i].of, 3, 10, 4);
        const char *name = files[i].name;
        c->arch = files[i].metadata;
        switch (files[i].change) {
        case NOTHING: break;
        case REMOVE: remove_entry(c, name); break;
        case ADD: add_entry(c, name, "F32", 3); break;
        case ADD_TWO: add_entry(c, name, "F32", 3), add_entry(c, "more", "F32", 1); break;
        case ANOTHER_TYPE: entry_called(c, name)->dtype = "I64"; break;
        case ANOTHER_SIZE: entry_called(c, name)->dim[0]++; break;
        case ONE_DIMENSION_MORE: entry_called(c, name)->dim[entry_called(c, name)->ndim++] = 1; break;
        }
        uint8_t *file;
        cr_weights *w = open_content(c, &file);
        cr_error err = {""};
        if (cr_net_load(w, files[i].option, &err))
            fail_msg("case %zu: accepted", i);
        check_message(&err, "w.bin: ", files[i].words[0], files[i].words[1], files[i].words[2], NULL);
        assert_null(cr_net_load(w, files[i].option, NULL));
        cr_weights_close(w);
        free(file);
        free(c);
    }
}

static void test_unknown_option(void **state)
{
    (void)state;
    content *c = content_of("resnet18", 3, 10, 1);
    uint8_t *file;
    cr_weights *w = open_content(c, &file);
    cr_error err = {""};
    assert_null(cr_net_load(w, "resnet19", &err));
    check_message(&err, "unknown network 'resnet19'", "resnet18", NULL);
    assert_null(strstr(err.text, "w.bin")); /* the file has no part in it */
    cr_weights_close(w);
    free(file);
    free(c);
}

/* Sizes that no net can have come from files too. */
static void test_absurd_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *conv, *linear, *words; /* shapes */
    } files[] = {
        {"0,3,7,7", "10,0", "channels after the first convolution"},
        {"4,0,7,7", "10,4", "input channels, found 0"},
        {"4,3,0,7", "0,4", "classes, found 0"},
        {"4294967300,3,0,7", "10,0", "found 2147483647"},
        {"1,1152921504606846976,0,7", "10,0", "input channels, found 2147483647"},
        {"4,3,0,7", "1152921504606846976,0", "classes, found 2147483647"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char bytes[512] = "", *header = bytes + 8;
        size_t linear = strcmp(files[i].linear, "10,4") == 0 ? 160 : 0;
        size_t length = (size_t)snprintf(header, 300,
                                         "{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,0]},"
                                         "\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,%zu]}}",
                                         files[i].conv, files[i].linear, linear);
        bytes[0] = (char)length;
        bytes[1] = (char)(length >> 8);
        cr_error err = {""};
        cr_weights *w = cr_weights_open_memory("w.bin", bytes, 8 + length + linear, &err);
        if (!w)
            fail_msg("%s", err.text);
        assert_null(cr_net_load(w, "resnet18", &err));
        check_message(&err, files[i].words, NULL);
        assert_null(cr_net_load(w, NULL, &err));
        cr_weights_close(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads),          cmocka_unit_test(test_sizes_come_from_the_tensors),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_unknown_option),
        cmocka_unit_test(test_absurd_sizes),
    };
    return cmocka_run_group_tests_name("binding", tests, NULL, NULL);
}
