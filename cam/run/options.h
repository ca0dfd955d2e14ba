/* options.h - the command line of camrun without a sub-command: every option is a row of the table in options.c, read and checked here alone.
 *
 * What can be decided from the command line itself is decided here, so that main.c meets only sound combinations. */
#ifndef CAMRUN_OPTIONS_H
#define CAMRUN_OPTIONS_H

#include "command_line.h"
#include "network.h"
#include "values.h"

/* What the program is to do; an option that has no part in it is refused, not ignored. */
typedef enum task {
    EXPLAIN_PICTURES = 1,
    EXPLAIN_TENSOR = 2, /* --tensor */
    LIST_LAYERS = 4,    /* --list-layers */
    LIST_METHODS = 8,   /* --list-methods */
    SHOW_HELP = 16,
    SHOW_VERSION = 32,
} task;

/* A text that is not given is NULL, a number 0. */
typedef struct options {
    task task;
    network_options network;
    const char *tensor;
    method_list methods;
    text_list layers, classes; /* each item may itself be a list with commas */
    text_list images, lists; /* as picture_list.h takes them */
    const char *jsonl;
    bool resume;
    bool eigen_smooth, aug_smooth, average_classes;
    const char *output, *save_map, *save_raw, *save_logits;
    float alpha;
    const cr_colormap *colormap;
    bool panel, sheet, json, timing, direct;
    int repeat, seed;
} options;

extern const char *const options_help;

/* Fills *o, which options_free empties again whether this succeeds or not. */
bool options_parse(options *o, int argc, char **argv, cr_error *err);
void options_free(options *o);

#endif
