/* output.c - the names of output.h, and its stacks of arrays. */
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "npy.h"
#include "picture_file.h"

/* ---- names ---- */

bool output_path(char path[PATH_SIZE], const options *o, const char *source, const cr_method *method, int index,
                 int class_index, const char *name, cr_error *err)
{
    char suffix[160] = "", image[16] = "", class[64] = "";
    const bool named = method && o->methods.n > 1 && o->output && !is_folder(o->output);
    if (index >= 0)
        snprintf(image, sizeof image, "_%d", index);
    if (class_index >= 0)
        class_suffix(class, sizeof class, class_index, name);
    snprintf(suffix, sizeof suffix, "%s%s%s%s", named ? "_" : "", named ? method->name : "", image, class);
    return picture_path(path, o->output, source, method ? method->name : "sheet", suffix, err);
}

typedef struct planned {
    char *path;
    const char *source;
} planned;

static int by_path(const void *a, const void *b)
{
    return strcmp(((const planned *)a)->path, ((const planned *)b)->path);
}

bool output_check(const options *o, cr_error *err)
{
    int n = o->images.n;
    if (o->output && n > 1 && !is_folder(o->output))
        return cr_fail(err, "-o: %d pictures need a folder: expected one that exists or a name with a slash behind it, "
                       "found '%.200s'", n, o->output);
    const int methods = o->sheet ? 1 : o->methods.n;
    n *= methods;
    planned *all = calloc((size_t)n + 1, sizeof *all);
    bool ok = all || cr_fail(err, "out of memory");
    for (int i = 0; ok && i < n; i++) {
        char path[PATH_SIZE];
        const char *source = o->images.items[i / methods];
        ok = output_path(path, o, source, o->sheet ? NULL : o->methods.items[i % methods], -1, -1, NULL, err);
        ok = ok && check_not_itself(path, source, err);
        all[i] = (planned){ok ? strdup(path) : NULL, source};
        if (ok && !all[i].path)
            ok = cr_fail(err, "out of memory");
    }
    if (ok)
        qsort(all, (size_t)n, sizeof *all, by_path);
    for (int i = 1; ok && i < n; i++)
        if (strcmp(all[i - 1].path, all[i].path) == 0)
            ok = cr_fail(err, "'%.120s' and '%.120s' would both be written to '%.120s': explain them in separate runs",
                         all[i - 1].source, all[i].source, all[i].path);
    for (int i = 0; all && i < n; i++)
        free(all[i].path);
    free(all);
    return ok;
}

/* ---- arrays ---- */

bool stack_grow(stack *s, int images, const int dim[STACK_DIMS], float **block, cr_error *err)
{
    const int h = dim[STACK_DIMS - 2], w = dim[STACK_DIMS - 1];
    if (s->images && memcmp(s->dim, dim, sizeof s->dim) != 0)
        return cr_fail(err, "arrays of pictures that differ in size do not fit one file: found %dx%d after %dx%d "
                       "(WxH); save them in separate runs", w, h, s->dim[STACK_DIMS - 1], s->dim[STACK_DIMS - 2]);
    size_t one = 1, bytes;
    bool fits = true;
    for (int i = 0; i < STACK_DIMS; i++)
        fits = fits && !__builtin_mul_overflow(one, (size_t)dim[i], &one);
    fits = fits && !__builtin_mul_overflow(one, (size_t)(s->images + images) * sizeof *s->data, &bytes);
    float *data = fits ? realloc(s->data, bytes) : NULL;
    if (!data)
        return cr_fail(err, "out of memory for the arrays to be saved");
    *block = data + one * (size_t)s->images;
    s->data = data;
    s->images += images;
    memcpy(s->dim, dim, sizeof s->dim);
    return true;
}

bool stack_save(const stack *s, const char *path, int inner, cr_error *err)
{
    if (!path)
        return true;
    int dims[1 + STACK_DIMS], n = 0;
    for (int i = 0; i < 1 + STACK_DIMS; i++) {
        int length = i ? s->dim[i - 1] : s->images;
        if (length != 1 || i >= 1 + STACK_DIMS - inner)
            dims[n++] = length;
    }
    return cr_npy_write(path, s->data, n, dims, err);
}

void stack_free(stack *s)
{
    free(s->data);
    *s = (stack){0};
}
