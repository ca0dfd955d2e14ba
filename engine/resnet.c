/* resnet.c - ResNet 18, 34, 50, 101 and 152 as torchvision defines them (He et al., arXiv:1512.03385, table 1; the
 * bottleneck's stride sits on its 3x3 convolution, which torchvision calls v1.5).
 *
 * Node names are torchvision's module names; the parts that are no modules of their own, or are used twice, are named as
 * torchvision.models.feature_extraction names them: relu, relu_1, relu_2, add. */
#include <stdio.h>

#include "builder.h"

static const struct {
    int depth, blocks[4];
    bool bottleneck;
} configurations[] = {
    {18, {2, 2, 2, 2}, false},
    {34, {3, 4, 6, 3}, false},
    {50, {3, 4, 6, 3}, true},
    {101, {3, 4, 23, 3}, true},
    {152, {3, 8, 36, 3}, true},
};

/* One row of a block's main path: a convolution, its batch normalisation and, but for the last, a ReLU. */
typedef struct block_conv {
    int out, k, stride;
} block_conv;

/* y = relu(F(x) + shortcut(x)) */
static int add_block(builder *b, int x, const char *block, const block_conv *convs, int n_convs)
{
    char name[CR_NAME_SIZE];
    int in = b->failed ? 0 : b->net->nodes[x].channels, out = convs[n_convs - 1].out, stride = 1;
    int y = x;
    for (int i = 0; i < n_convs; i++) {
        stride *= convs[i].stride;
        snprintf(name, sizeof name, "%.32s.conv%d", block, i + 1);
        y = add_conv2d(b, y, name, convs[i].out, convs[i].k, convs[i].stride, convs[i].k / 2, false);
        snprintf(name, sizeof name, "%.32s.bn%d", block, i + 1);
        y = add_batchnorm(b, y, name);
        if (i + 1 < n_convs) {
            snprintf(name, sizeof name, i ? "%.32s.relu_%d" : "%.32s.relu", block, i);
            y = add_relu(b, y, name);
        }
    }
    int shortcut = x;
    if (stride != 1 || in != out) {
        snprintf(name, sizeof name, "%.32s.downsample.0", block);
        shortcut = add_conv2d(b, x, name, out, 1, stride, 0, false);
        snprintf(name, sizeof name, "%.32s.downsample.1", block);
        shortcut = add_batchnorm(b, shortcut, name);
    }
    snprintf(name, sizeof name, "%.32s.add", block);
    y = add_add(b, y, shortcut, name);
    snprintf(name, sizeof name, "%.32s.relu_%d", block, n_convs - 1);
    return add_relu(b, y, name);
}

void build_resnet(builder *b, const net_sizes *sizes, int depth)
{
    size_t c = 0;
    while (configurations[c].depth != depth)
        c++;
    bool bottleneck = configurations[c].bottleneck;

    char name[CR_NAME_SIZE];
    int x = add_input(b, sizes->in_channels);
    x = add_conv2d(b, x, "conv1", sizes->width, 7, 2, 3, false);
    x = add_batchnorm(b, x, "bn1");
    x = add_relu(b, x, "relu");
    x = add_maxpool(b, x, "maxpool", 3, 2, 1);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < configurations[c].blocks[stage]; i++) {
            int planes = sizes->width << stage, stride = stage > 0 && i == 0 ? 2 : 1;
            const block_conv basic[] = {{planes, 3, stride}, {planes, 3, 1}};
            const block_conv narrow[] = {{planes, 1, 1}, {planes, 3, stride}, {4 * planes, 1, 1}};
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            x = bottleneck ? add_block(b, x, name, narrow, 3) : add_block(b, x, name, basic, 2);
        }
    x = add_adaptive_avgpool(b, x, "avgpool", 1);
    x = add_flatten(b, x, "flatten", (sizes->width << 3) * (bottleneck ? 4 : 1));
    add_linear(b, x, "fc", sizes->classes);
}
