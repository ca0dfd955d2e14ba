/* stack.h - arrays that grow picture by picture, for --save-... */
#ifndef CAMRUN_STACK_H
#define CAMRUN_STACK_H

#include "npy.h"

/* Arrays of one shape for every image of a run, one behind the other: (classes, methods, c, h, w). The first wait in memory,
 * those that follow are written as they come. */
enum { STACK_DIMS = 5 };
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
/* Takes the data, where the stack is saved. False where its size is not that of those before. */
bool stack_add(stack *s, block *b, cr_error *err);
/* Writes (images, dim...) without those leading axes that have length 1, but with the last `inner` in any case. */
bool stack_save(stack *s, cr_error *err);
/* The same, where anything is saved, and "values written to PATH" on standard output. */
bool stack_save_values(stack *s, cr_error *err);
void stack_free(stack *s);

#endif
