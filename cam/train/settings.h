/* settings.h - camtrain's command line: every option is a row of the table in settings.c, read, checked, and written to
 * a checkpoint and read back from there, by it alone. */
#ifndef CAMRUN_TRAIN_SETTINGS_H
#define CAMRUN_TRAIN_SETTINGS_H

#include "command_line.h"
#include "view.h"
#include "weights.h"

typedef enum train_task { TRAIN, SHOW_HELP, SHOW_VERSION } train_task;
typedef enum optimizer_kind { SGD, ADAM } optimizer_kind;

/* A text that is not given is NULL, a number 0, unless it says otherwise. */
typedef struct settings {
    train_task task;
    const char *data;         /* DIR */
    const char *val;          /* a folder, or a share of the data; see settings_val_share */
    augmentation augment;
    int size, resize;
    channel_values mean, std;
    int channels;
    int cache;                /* megabytes */
    const char *arch;
    int width;
    const char *init, *freeze;
    int epochs, batch, seed;
    optimizer_kind optimizer;
    double lr, momentum, weight_decay;
    int schedule;             /* of cr_schedule's kinds */
    int step_size, warmup;    /* epochs */
    double gamma;
    const char *output, *checkpoint, *json, *resume;
    cr_dtype dtype;
    int threads;

    text_list operands;
    char **saved;             /* texts of a checkpoint, to which some of the above point */
    char *derived_checkpoint; /* likewise, where --checkpoint is not given */
} settings;

extern const char *const settings_help;

/* Reads the command line and fills in the defaults that do not depend on files. settings_free empties *s again, whether
 * this succeeds or not. */
bool settings_parse(settings *s, int argc, char **argv, cr_error *err);
void settings_free(settings *s);

/* The held-out share of the data where --val is a number, from 0 to less than 1; else -1: a folder. */
double settings_val_share(const settings *s);

/* The settings as a JSON array of texts, for a checkpoint; the caller frees. NULL out of memory. */
char *settings_save(const settings *s);
/* For --resume: takes the settings from a checkpoint's text, and from the command line those that a run may change on its
 * way: files, --epochs, --cache, --threads. An error where the command line contradicts one of the others. */
bool settings_resume(settings *s, const char *saved, int argc, char **argv, cr_error *err);

/* Names as on the command line. */
const char *optimizer_name(optimizer_kind kind);
const char *schedule_name(int kind);

#endif
