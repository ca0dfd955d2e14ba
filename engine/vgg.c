/* vgg.c - VGG 11, 13, 16 and 19, with and without batch normalisation, as torchvision defines them
 * (Simonyan & Zisserman, arXiv:1409.1556, table 1: columns A, B, D and E). */
#include <stdio.h>

#include "builder.h"

/* Convolutions in each of the five stages; every stage ends in a 2x2 max-pool. */
static const struct {
    int depth, convs[5];
} configurations[] = {
    {11, {1, 1, 2, 2, 2}},
    {13, {2, 2, 2, 2, 2}},
    {16, {2, 2, 3, 3, 3}},
    {19, {2, 2, 4, 4, 4}},
};

static void build(builder *b, const net_sizes *sizes, int depth, bool batchnorm)
{
    static const int channels[5] = {64, 128, 256, 512, 512};
    size_t c = 0;
    while (configurations[c].depth != depth)
        c++;
    const int *convs = configurations[c].convs;

    char name[CR_NAME_SIZE];
    int module = 0; /* index in torchvision's nn.Sequential */
    int x = add_input(b, sizes->in_channels);
    for (int stage = 0; stage < 5; stage++) {
        for (int i = 0; i < convs[stage]; i++) {
            snprintf(name, sizeof name, "features.%d", module++);
            x = add_conv2d(b, x, name, channels[stage], 3, 1, 1, true);
            if (batchnorm) {
                snprintf(name, sizeof name, "features.%d", module++);
                x = add_batchnorm(b, x, name);
            }
            snprintf(name, sizeof name, "features.%d", module++);
            x = add_relu(b, x, name);
        }
        snprintf(name, sizeof name, "features.%d", module++);
        x = add_maxpool(b, x, name, 2, 2, 0);
    }
    x = add_adaptive_avgpool(b, x, "avgpool", 7);
    x = add_flatten(b, x, "flatten", 512 * 7 * 7);
    x = add_linear(b, x, "classifier.0", 4096);
    x = add_relu(b, x, "classifier.1");
    x = add_dropout(b, x, "classifier.2");
    x = add_linear(b, x, "classifier.3", 4096);
    x = add_relu(b, x, "classifier.4");
    x = add_dropout(b, x, "classifier.5");
    add_linear(b, x, "classifier.6", sizes->classes);
}

void build_vgg(builder *b, const net_sizes *sizes, int depth)
{
    build(b, sizes, depth, false);
}

void build_vgg_bn(builder *b, const net_sizes *sizes, int depth)
{
    build(b, sizes, depth, true);
}
