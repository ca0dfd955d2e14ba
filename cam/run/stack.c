/* stack.c - see stack.h. */
#include "stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool block_create(block *b, const stack *s, int images, const int dim[STACK_DIMS], cr_error *err)
{
    size_t count = (size_t)images;
    bool fits = true;
    if (!s->path)
        return true;
    b->images = images;
    memcpy(b->dim, dim, sizeof b->dim);
    for (int i = 0; i < STACK_DIMS; i++)
        fits = fits && !__builtin_mul_overflow(count, (size_t)dim[i], &count);
    b->data = fits ? calloc(count, sizeof *b->data) : NULL;
    return b->data || cr_fail(err, "out of memory for the arrays to be saved");
}

static size_t count_values(const int dim[STACK_DIMS], int images)
{
    size_t count = (size_t)images;
    for (int i = 0; i < STACK_DIMS; i++)
        count *= (size_t)dim[i];
    return count;
}

bool stack_add(stack *s, block *b, cr_error *err)
{
    const int *dim = b->dim, h = dim[STACK_DIMS - 2], w = dim[STACK_DIMS - 1];
    if (!s->path || !b->data)
        return true;
    if (s->images && memcmp(s->dim, dim, sizeof s->dim) != 0)
        return cr_fail(err, "arrays of pictures that differ in size do not fit one file: found %dx%d after %dx%d "
                       "(WxH); save them in separate runs", w, h, s->dim[STACK_DIMS - 1], s->dim[STACK_DIMS - 2]);
    memcpy(s->dim, dim, sizeof s->dim);
    if (!s->images) {
        s->first = b->data;
        b->data = NULL;
    } else if (!s->file) {
        if (!(s->file = cr_npy_create(s->path, err)))
            return false;
        cr_npy_add(s->file, s->first, count_values(dim, s->images));
    }
    s->images += b->images;
    if (s->file)
        cr_npy_add(s->file, b->data, count_values(dim, b->images));
    free(b->data);
    b->data = NULL;
    return true;
}

bool stack_save(stack *s, cr_error *err)
{
    if (!s->images)
        return true;
    int dims[1 + STACK_DIMS], n = 0;
    for (int i = 0; i < 1 + STACK_DIMS; i++) {
        int length = i ? s->dim[i - 1] : s->images;
        if (length != 1 || i >= 1 + STACK_DIMS - s->inner)
            dims[n++] = length;
    }
    if (!s->file)
        return cr_npy_write(s->path, s->first, n, dims, err);
    cr_npy *file = s->file;
    s->file = NULL;
    return cr_npy_finish(file, n, dims, err);
}

bool stack_save_values(stack *s, cr_error *err)
{
    if (!stack_save(s, err))
        return false;
    if (s->path)
        printf("values written to %s\n", s->path);
    return true;
}

void stack_free(stack *s)
{
    cr_npy_discard(s->file);
    free(s->first);
    *s = (stack){0};
}
