/* alexnet.c - AlexNet as torchvision defines it (Krizhevsky, "One weird trick", arXiv:1404.5997): no groups. */
#include "builder.h"

void build_alexnet(builder *b, const net_sizes *sizes, int depth)
{
    (void)depth; /* the family has one member */
    int x = add_input(b, sizes->in_channels);
    x = add_conv2d(b, x, "features.0", 64, 11, 4, 2, true);
    x = add_relu(b, x, "features.1");
    x = add_maxpool(b, x, "features.2", 3, 2, 0);
    x = add_conv2d(b, x, "features.3", 192, 5, 1, 2, true);
    x = add_relu(b, x, "features.4");
    x = add_maxpool(b, x, "features.5", 3, 2, 0);
    x = add_conv2d(b, x, "features.6", 384, 3, 1, 1, true);
    x = add_relu(b, x, "features.7");
    x = add_conv2d(b, x, "features.8", 256, 3, 1, 1, true);
    x = add_relu(b, x, "features.9");
    x = add_conv2d(b, x, "features.10", 256, 3, 1, 1, true);
    x = add_relu(b, x, "features.11");
    x = add_maxpool(b, x, "features.12", 3, 2, 0);
    x = add_adaptive_avgpool(b, x, "avgpool", 6);
    x = add_flatten(b, x, "flatten", 256 * 6 * 6);
    x = add_dropout(b, x, "classifier.0");
    x = add_linear(b, x, "classifier.1", 4096);
    x = add_relu(b, x, "classifier.2");
    x = add_dropout(b, x, "classifier.3");
    x = add_linear(b, x, "classifier.4", 4096);
    x = add_relu(b, x, "classifier.5");
    add_linear(b, x, "classifier.6", sizes->classes);
}
