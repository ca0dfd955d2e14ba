/* series.h - the pictures that a command is run on: which they are, how what is made of each is called, and running over
 * them, one after the other. */
#ifndef CAMRUN_SERIES_H
#define CAMRUN_SERIES_H

#include "image.h"
#include "picture_file.h"
#include "picture_list.h"

typedef struct series {
    const char *output;       /* -o: a PNG file, a folder, or NULL */
    const char *const *kinds; /* what is made of each picture: "gradcam" */
    int n_kinds;
    picture_list pictures;
    bool many;                /* more than one was named, or what stands for any number */
    char **stems;             /* of each picture: what the files made of it are named after, with its sub-folders, "cat/1" */
} series;

/* Lists the pictures (picture_list.h); s->output is set already. A folder or list is at fault where this is false.
 * series_free frees in any case. */
bool series_list(series *s, const text_list *operands, const text_list *lists, cr_error *err);
/* Names them, kinds being set, and sees to it that all files can be written: -o names a folder where there may be several, no
 * two go to the same file, and none replaces the picture it is made of. Otherwise the command line is at fault. */
bool series_name(series *s, cr_error *err);
void series_free(series *s);

/* The part of a path behind its last slash, without its ending: what files are named after that are made of one alone.
 * malloc'ed; NULL: no memory. */
char *picture_stem(const char *path);

/* The path for one picture made from what stem names: -o, or STEM_KIND.png in the current folder or in the folder -o names,
 * which it does where pictures are many, also if there is none yet. The suffix tells apart several of one kind; where -o names a
 * file and there are several kinds, _KIND comes before it. */
bool series_path(char path[PATH_SIZE], const series *s, const char *stem, const char *kind, const char *suffix, cr_error *err);
/* picture_write; folders are made as needed where pictures are many. */
bool series_write(const series *s, const cr_image *image, const char *path, cr_error *err);

typedef enum verdict {
    PICTURE_DONE,
    PICTURE_FAILED, /* of many, it is told of and passed over */
    RUN_FAILED,     /* others would fail, too */
} verdict;

typedef struct series_work {
    const char *program; /* that tells of failures: "camrun features" */
    void *owner;
    /* What is done with one picture; the message names its path. */
    verdict (*one)(void *owner, const picture_file *picture, const char *stem, cr_error *err);
    /* Behind the last, `done` having worked, one at least: writes what is made of all together. May be
     * NULL. */
    bool (*finish)(void *owner, int done, cr_error *err);
    bool silent;         /* `one` writes nothing on standard output */
} series_work;

/* Runs over the pictures and returns the exit status, with the message of one that is not DONE. A signal ends a run over many
 * behind the picture at hand, and the program behind `finish`. */
int series_run(const series *s, const series_work *w, cr_error *err);
/* The exit status where so many failed, and the message. */
int series_status(int pictures, int failed, cr_error *err);

#endif
