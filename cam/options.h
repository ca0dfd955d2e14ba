/* options.h - camrun's command line: every option is a row of the table in options.c, read and checked here alone.
 *
 * What can be decided from the command line itself is decided here, so that main.c meets only sound combinations. */
#ifndef CAMRUN_OPTIONS_H
#define CAMRUN_OPTIONS_H

#include "colormap.h"
#include "command_line.h"
#include "methods.h"

/* What the program is to do; an option that has no part in it is refused, not ignored. */
typedef enum task {
    EXPLAIN_PICTURES = 1,
    EXPLAIN_TENSOR = 2, /* --tensor */
    LIST_LAYERS = 4,    /* --list-layers */
    LIST_METHODS = 8,   /* --list-methods */
    SHOW_HELP = 16,
    SHOW_VERSION = 32,
} task;

typedef struct resize_value {
    int shorter; /* --resize N */
    int w, h;    /* --resize WxH */
} resize_value;

/* Without --method: the default. No method twice. */
typedef struct method_list {
    int n;
    const cr_method *items[32];
} method_list;

/* A text that is not given is NULL, a number 0. */
typedef struct options {
    task task;
    const char *arch, *weights, *labels, *tensor;
    method_list methods;
    text_list layers, classes; /* each item may itself be a list with commas */
    text_list images;
    int size;
    resize_value resize;
    bool eigen_smooth, aug_smooth;
    bool no_crop, gray;
    channel_values mean, std;
    const char *output, *save_map, *save_raw, *save_logits;
    float alpha;
    const cr_colormap *colormap;
    bool panel, json, timing, direct;
    int repeat, threads, seed;
} options;

extern const char *const options_help;

/* Fills *o, which options_free empties again whether this succeeds or not. */
bool options_parse(options *o, int argc, char **argv, cr_error *err);
void options_free(options *o);

#endif
