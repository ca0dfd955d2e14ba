/* network.h - what all commands of camrun begin with: a network with its weights, the names of its classes, and how
 * pictures become its input. */
#ifndef CAMRUN_NETWORK_H
#define CAMRUN_NETWORK_H

#include <stddef.h>

#include "camrun.h"
#include "command_line.h"

typedef struct resize_value {
    int shorter; /* --resize N */
    int w, h;    /* --resize WxH */
} resize_value;

/* What the command line says of them. A text that is not given is NULL, a number 0. */
typedef struct network_options {
    const char *arch, *weights, *labels;
    int size;
    resize_value resize;
    bool no_crop, gray;
    channel_values mean, std;
    int threads;
} network_options;

bool set_resize(void *field, const char *text, const option *o, cr_error *err); /* resize_value */

enum { LONGEST_SIDE = 1 << 15 };

/* Rows of a command's table. at: the offset of the network_options in the command's own struct. The rest are the tasks
 * (option.use) that have to do with a network, run it, ask how large its input is, and make that of a picture. */
#define NETWORK_FIELD(at, member) ((at) + offsetof(network_options, member))
#define NETWORK_OPTIONS(at, any, runs, shape, picture)                                                                 \
    {"arch", 0, set_arch, NETWORK_FIELD(at, arch), any, 0, 0},                                                         \
    {"weights", 0, set_text, NETWORK_FIELD(at, weights), any, 0, 0},                                                   \
    {"labels", 0, set_text, NETWORK_FIELD(at, labels), runs, 0, 0},                                                    \
    {"threads", 0, set_count, NETWORK_FIELD(at, threads), runs, 1, 1024},                                              \
    {"resize", 0, set_resize, NETWORK_FIELD(at, resize), shape, 1, LONGEST_SIDE},                                      \
    {"size", 0, set_count, NETWORK_FIELD(at, size), shape, 1, LONGEST_SIDE},                                           \
    {"no-crop", 0, set_flag, NETWORK_FIELD(at, no_crop), picture, 0, 0},                                               \
    {"mean", 0, set_mean, NETWORK_FIELD(at, mean), picture, 0, 0},                                                     \
    {"std", 0, set_std, NETWORK_FIELD(at, std), picture, 0, 0},                                                        \
    {"gray", 0, set_flag, NETWORK_FIELD(at, gray), picture, 0, 0}

/* Whether weights are named, and nothing that contradicts. */
bool network_options_check(const network_options *o, cr_error *err);

typedef struct network {
    const network_options *options;
    cr_weights *weights;
    cr_net *net;
    cr_labels labels;
    cr_transform transform; /* the one in the weights file, or ImageNet's, with what the options change */
    double load_ms;
} network;

/* Sets the number of threads, and binds them, too. A network that is not open, and one that did not open, is closed by network_close. */
bool network_open(network *n, const network_options *o, cr_error *err);
void network_close(network *n);
/* A number that is another one, most probably, where weights differ. Reads them all. */
uint64_t network_fingerprint(const network *n);

/* The nodes that the list names, each item being names with commas between: *nodes is the caller's to free. Where the list
 * is empty: none. */
bool network_layers(const network *n, const text_list *list, int **nodes, int *n_nodes, cr_error *err);
/* The classes that the list names, likewise, "all" for every one; where it is empty: the network's first guess. */
bool network_targets(const network *n, const text_list *list, cr_target **targets, int *n_targets, cr_error *err);

/* A picture as the network sees it. */
typedef struct network_input {
    cr_image photo;
    cr_geometry geometry;
    float *x; /* (channels, geometry.h, geometry.w) */
} network_input;

/* Whether pictures have as many channels as the network reads. */
bool network_takes_pictures(const network *n, cr_error *err);
/* False, with the path in the message, where the file is no picture, or not one for this network. */
bool network_read(network_input *input, const network *n, const char *path, cr_error *err);
void network_input_free(network_input *input);

#endif
