/* builder.h - what the topology files (alexnet.c, vgg.c, resnet.c) use to append nodes to a net.
 *
 * Each call appends one node that reads node x and returns the new node's index. A failure (out of memory) is kept in
 * the builder and reported once, by cr_net_create. */
#ifndef CAMRUN_BUILDER_H
#define CAMRUN_BUILDER_H

#include "engine.h"

typedef struct builder {
    cr_net *net;
    int node_capacity, param_capacity;
    bool failed;
} builder;

/* What the topology functions are told; the rest is in their tables. */
typedef struct net_sizes {
    int in_channels, classes, width;
} net_sizes;

int add_input(builder *b, int channels);
/* Square kernels, as all networks here have. The weight is (out, in, k, k). */
int add_conv2d(builder *b, int x, const char *name, int out, int k, int stride, int pad, bool bias);
int add_batchnorm(builder *b, int x, const char *name);
int add_relu(builder *b, int x, const char *name);
int add_maxpool(builder *b, int x, const char *name, int k, int stride, int pad);
int add_adaptive_avgpool(builder *b, int x, const char *name, int size);
/* features: what one image's flattened tensor holds, C * OH * OW. */
int add_flatten(builder *b, int x, const char *name, int features);
int add_dropout(builder *b, int x, const char *name);
int add_linear(builder *b, int x, const char *name, int out);
int add_add(builder *b, int x, int y, const char *name);
/* A ready node with any geometry (tests use it for pairs that differ). params: names and shapes are made from op. */
int add_node(builder *b, const cr_node *node);

/* Topologies. depth picks the row of the family's table. */
void build_alexnet(builder *b, const net_sizes *sizes, int depth);
void build_vgg(builder *b, const net_sizes *sizes, int depth);
void build_vgg_bn(builder *b, const net_sizes *sizes, int depth);
void build_resnet(builder *b, const net_sizes *sizes, int depth);

#endif
