/* output.h - where camrun's files go: the names of pictures, and arrays that grow image by image. */
#ifndef CAMRUN_OUTPUT_H
#define CAMRUN_OUTPUT_H

#include "engine.h"
#include "options.h"
#include "picture_file.h"

/* Whether the pictures of all of o->images can be written: -o names a folder where there are several, no two go to the
 * same file, and none replaces the picture it is made of. */
bool output_check(const options *o, cr_error *err);

/* The path for one picture made from source: -o, or SOURCE_METHOD.png in the current folder or in the folder -o names;
 * without a method, that is for a sheet, SOURCE_sheet.png.
 * Suffixes tell apart several made from one source: _METHOD where -o names a file and there are several methods, _INDEX
 * unless index is negative (an image of a batch), and _CLASS_NAME unless class_index is negative (name may be NULL). */
bool output_path(char path[PATH_SIZE], const options *o, const char *source, const cr_method *method, int index,
                 int class_index, const char *name, cr_error *err);

/* Arrays of one shape for every image of a run, one behind the other: (classes, methods, h, w). Zeroed: empty. */
enum { STACK_DIMS = 4 };
typedef struct stack {
    float *data;
    int images;
    int dim[STACK_DIMS];
} stack;

/* Room for `images` more, to be filled by the caller, in *block. False where their size is not that of those before. */
bool stack_grow(stack *s, int images, const int dim[STACK_DIMS], float **block, cr_error *err);
/* Writes (images, dim...) without those leading axes that have length 1, but with the last `inner` in any case. Does
 * nothing where path is NULL. */
bool stack_save(const stack *s, const char *path, int inner, cr_error *err);
void stack_free(stack *s);

#endif
