/* arch.c - the table of networks: one row each. */
#include <stdlib.h>
#include <string.h>

#include "builder.h"

typedef struct row {
    cr_arch arch;
    void (*build)(builder *b, const net_sizes *sizes, int depth);
    int depth;
} row;

static const row rows[] = {
    {{"alexnet", "features.0", "classifier.6", 64}, build_alexnet, 8},
    {{"vgg11", "features.0", "classifier.6", 64}, build_vgg, 11},
    {{"vgg13", "features.0", "classifier.6", 64}, build_vgg, 13},
    {{"vgg16", "features.0", "classifier.6", 64}, build_vgg, 16},
    {{"vgg19", "features.0", "classifier.6", 64}, build_vgg, 19},
    {{"vgg11_bn", "features.0", "classifier.6", 64}, build_vgg_bn, 11},
    {{"vgg13_bn", "features.0", "classifier.6", 64}, build_vgg_bn, 13},
    {{"vgg16_bn", "features.0", "classifier.6", 64}, build_vgg_bn, 16},
    {{"vgg19_bn", "features.0", "classifier.6", 64}, build_vgg_bn, 19},
    {{"resnet18", "conv1", "fc", 64}, build_resnet, 18},
    {{"resnet34", "conv1", "fc", 64}, build_resnet, 34},
    {{"resnet50", "conv1", "fc", 64}, build_resnet, 50},
    {{"resnet101", "conv1", "fc", 64}, build_resnet, 101},
    {{"resnet152", "conv1", "fc", 64}, build_resnet, 152},
};

enum { ROWS = sizeof rows / sizeof rows[0], MAX_CHANNELS = 1 << 16, MAX_CLASSES = 1 << 20 };

const cr_arch *cr_arch_at(int i)
{
    return i >= 0 && i < ROWS ? &rows[i].arch : NULL;
}

const cr_arch *cr_arch_find(const char *name, cr_error *err)
{
    char known[256] = "";
    for (int i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].arch.name, name) == 0)
            return &rows[i].arch;
        strcat(strcat(known, i ? ", " : ""), rows[i].arch.name);
    }
    cr_fail(err, "unknown network '%.60s': expected one of %s", name, known);
    return NULL;
}

cr_net *cr_net_create(const cr_arch *arch, int in_channels, int classes, int width, cr_error *err)
{
    const row *r = (const row *)(const void *)arch; /* an arch is the first member of its row */
    bool any_width = r->build == build_resnet;
    if (in_channels < 1 || in_channels > MAX_CHANNELS)
        cr_fail(err, "%s: expected 1 to %d input channels, found %d", arch->name, MAX_CHANNELS, in_channels);
    else if (classes < 1 || classes > MAX_CLASSES)
        cr_fail(err, "%s: expected 1 to %d classes, found %d", arch->name, MAX_CLASSES, classes);
    else if (any_width ? width < 1 || width > MAX_CHANNELS / 64 : width != arch->width)
        cr_fail(err, "%s: expected %d channels after the first convolution%s, found %d", arch->name, arch->width,
                any_width ? " (or any number up to 1024)" : "", width);
    else {
        builder b = {.net = calloc(1, sizeof(cr_net))};
        net_sizes sizes = {in_channels, classes, width};
        if (b.net) {
            strcpy(b.net->arch, arch->name);
            b.net->in_channels = in_channels;
            b.net->classes = classes;
            r->build(&b, &sizes, r->depth);
            if (!b.failed)
                return b.net;
            cr_net_free(b.net);
        }
        cr_fail(err, "%s: out of memory for the network's nodes", arch->name);
    }
    return NULL;
}
