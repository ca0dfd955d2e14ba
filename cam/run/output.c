/* output.c - the names of output.h, and its stacks of arrays. */
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "picture_file.h"

/* ---- names ---- */

char *output_stem(const char *path)
{
    const char *name = base_name(path);
    return strndup(name, path_stem_length(name));
}

bool output_path(char path[PATH_SIZE], const options *o, bool in_folder, const char *stem, const cr_method *method,
                 int index, int class_index, const char *name, cr_error *err)
{
    char suffix[160] = "", image[16] = "", class[64] = "";
    const char *kind = method ? method->name : "sheet";
    const bool folder = !o->output || in_folder || is_folder(o->output), named = !folder && method && o->methods.n > 1;
    if (index >= 0)
        snprintf(image, sizeof image, "_%d", index);
    if (class_index >= 0)
        class_suffix(class, sizeof class, class_index, name);
    snprintf(suffix, sizeof suffix, "%s%s%s%s", named ? "_" : "", named ? kind : "", image, class);
    return folder ? picture_path_in(path, o->output, stem, kind, suffix, err)
                  : picture_path(path, o->output, NULL, kind, suffix, err);
}

/* ---- series ---- */

bool series_list(series *s, const options *o, cr_error *err)
{
    *s = (series){0};
    for (int i = 0; o->output && i < o->images.n; i++)
        if (is_folder(o->images.items[i]) && same_file(o->output, o->images.items[i]))
            return cr_fail(err, "-o: '%.200s' is the folder of the pictures: expected another one", o->output);
    if (!picture_list_create(&s->pictures, &o->images, &o->lists, o->output, err))
        return false;
    s->many = s->pictures.open || s->pictures.n > 1;
    s->stems = calloc((size_t)s->pictures.n + 1, sizeof *s->stems);
    return s->stems || cr_fail(err, "out of memory");
}

void series_free(series *s)
{
    for (int i = 0; s->stems && i < s->pictures.n; i++)
        free(s->stems[i]);
    free(s->stems);
    picture_list_free(&s->pictures);
    *s = (series){0};
}

/* A picture's place in the order of stems. */
typedef struct planned {
    const char *stem;
    int picture;
} planned;

static int by_stem(const void *a, const void *b)
{
    return strcmp(((const planned *)a)->stem, ((const planned *)b)->stem);
}

/* Where several files would have one name: with their folders kept, pictures whose names differ in the ending alone keep
 * it, too; without, there is no telling them apart. A picture that does not exist is no reason. */
static bool tell_apart(series *s, const options *o, planned *order, cr_error *err)
{
    const picture_file *pictures = s->pictures.items;
    int n = 0;
    for (int i = 0; i < s->pictures.n; i++)
        if (pictures[i].bytes >= 0)
            order[n++] = (planned){s->stems[i], i};
    qsort(order, (size_t)n, sizeof *order, by_stem);
    for (int i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && strcmp(order[i].stem, order[next].stem) == 0; next++)
            continue;
        if (next > i + 1 && !o->output)
            return cr_fail(err, "'%.100s' and '%.100s' would both be written to '%.100s_%s.png': explain them in separate "
                           "runs, or add -o FOLDER, which keeps their folders", pictures[order[i].picture].path,
                           pictures[order[i + 1].picture].path, order[i].stem, o->sheet ? "sheet" : o->methods.items[0]->name);
        for (int k = i; next > i + 1 && k < next; k++) {
            free(s->stems[order[k].picture]);
            if (!(s->stems[order[k].picture] = strdup(pictures[order[k].picture].name)))
                return cr_fail(err, "out of memory");
        }
    }
    return true;
}

bool series_name(series *s, const options *o, cr_error *err)
{
    const picture_list *l = &s->pictures;
    struct stat info;
    const bool names_file = o->output && !is_folder(o->output) &&
                            (o->output[path_stem_length(o->output)] || stat(o->output, &info) == 0);
    if (s->many && names_file)
        return cr_fail(err, "-o: %d picture%s need%s a folder: expected its name, found '%.200s'", l->n, l->n > 1 ? "s" : "",
                       l->n > 1 ? "" : "s", o->output);
    if (l->open && !o->output)
        return cr_fail(err, "the pictures of a folder, pattern or list go to a folder: add -o FOLDER");
    planned *order = calloc((size_t)l->n + 1, sizeof *order);
    bool ok = order != NULL;
    for (int i = 0; ok && i < l->n; i++) {
        const char *name = l->items[i].name;
        s->stems[i] = o->output && s->many ? strndup(name, path_stem_length(name)) : output_stem(name);
        ok = s->stems[i] != NULL;
    }
    ok = ok ? tell_apart(s, o, order, err) : cr_fail(err, "out of memory");
    free(order);
    const int methods = o->sheet ? 1 : o->methods.n;
    for (int i = 0; ok && i < l->n * methods; i++) {
        char path[PATH_SIZE];
        ok = output_path(path, o, s->many, s->stems[i / methods], o->sheet ? NULL : o->methods.items[i % methods], -1, -1,
                         NULL, err) &&
             check_not_itself(path, l->items[i / methods].path, err);
    }
    return ok;
}

/* ---- arrays ---- */

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
    if (!b->data)
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

void stack_free(stack *s)
{
    cr_npy_discard(s->file);
    free(s->first);
    *s = (stack){0};
}
