/* output.h - where camrun's files go: the names of pictures, and arrays that grow image by image. */
#ifndef CAMRUN_OUTPUT_H
#define CAMRUN_OUTPUT_H

#include "engine.h"
#include "npy.h"
#include "options.h"
#include "picture_file.h"
#include "picture_list.h"


/* The pictures of a run. */
typedef struct series {
    picture_list pictures;
    bool many;    /* more than one was named, or what stands for any number */
    char **stems; /* of each picture: what the files made of it are named after, with its sub-folders, "cat/1" */
} series;

/* Lists the pictures; a folder or list is at fault where this is false. series_free frees in any case. */
bool series_list(series *s, const options *o, cr_error *err);
/* Names them, and sees to it that all files can be written: -o names a folder where there may be several, no two go to
 * the same file, and none replaces the picture it is made of. */
bool series_name(series *s, const options *o, cr_error *err);
void series_free(series *s);

/* The part of a path behind its last slash, without its ending: what files are named after that are made of one alone.
 * malloc'ed; NULL: no memory. */
char *output_stem(const char *path);

/* The path for one picture made from what stem names: -o, or STEM_METHOD.png in the current folder or in the folder -o
 * names; in_folder: -o is a folder, also if there is none yet. Without a method, that is for a sheet, STEM_sheet.png.
 * Suffixes tell apart several made from one source: _METHOD where -o names a file and there are several methods, _INDEX
 * unless index is negative (an image of a batch), and _CLASS_NAME unless class_index is negative (name may be NULL). */
bool output_path(char path[PATH_SIZE], const options *o, bool in_folder, const char *stem, const cr_method *method,
                 int index, int class_index, const char *name, cr_error *err);

/* Arrays of one shape for every image of a run, one behind the other: (classes, methods, h, w). The first wait in memory,
 * those that follow are written as they come. */
enum { STACK_DIMS = 4 };
typedef struct stack {
    const char *path; /* NULL: nothing is saved */
    int inner;        /* axes that are written also if their length is 1 */
    int images;
    int dim[STACK_DIMS];
    float *first;
    cr_npy *file;
} stack;

/* What one batch adds to a stack; data may be NULL. */
typedef struct block {
    int images;
    int dim[STACK_DIMS];
    float *data;
} block;

/* Fills b but for its data, which is zeroed. Nothing where the stack is not saved. */
bool block_create(block *b, const stack *s, int images, const int dim[STACK_DIMS], cr_error *err);
/* Takes the data. False where its size is not that of those before. */
bool stack_add(stack *s, block *b, cr_error *err);
/* Writes (images, dim...) without those leading axes that have length 1, but with the last `inner` in any case. */
bool stack_save(stack *s, cr_error *err);
void stack_free(stack *s);

#endif
