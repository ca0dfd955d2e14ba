/* output.c - the names of output.h, and its stacks of arrays. */
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "npy.h"

/* ---- names ---- */

static bool is_folder(const char *path)
{
    struct stat info;
    return path[strlen(path) - 1] == '/' || (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

/* The part of a path behind its last slash. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Length of name without its last extension; a leading dot begins no extension. */
static size_t stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? (size_t)(dot - name) : strlen(name);
}

/* A class name as part of a file name: "_" for what shells and file systems trip over, cut at a whole character. */
static void file_safe(char *safe, size_t size, const char *name)
{
    size_t n = 0;
    for (; name[n] && n + 1 < size; n++) {
        unsigned char c = (unsigned char)name[n];
        bool plain = c >= 0x80 || strchr("-+.", c) || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        safe[n] = plain ? name[n] : '_';
    }
    while (name[n] && n && ((unsigned char)name[n] & 0xC0) == 0x80)
        n--;
    safe[n] = '\0';
}

bool output_path(char path[PATH_SIZE], const options *o, const char *source, const cr_method *method, int index,
                 int class_index, const char *name, cr_error *err)
{
    char stem[PATH_SIZE], image[16] = "", class_number[16] = "", class_name[48] = "";
    const char *extension = ".png";
    const char *source_name = base_name(source);
    int length;
    if (!o->output || is_folder(o->output)) {
        const char *folder = o->output ? o->output : "";
        const char *slash = *folder && folder[strlen(folder) - 1] != '/' ? "/" : "";
        length = snprintf(stem, sizeof stem, "%s%s%.*s_%s", folder, slash, (int)stem_length(source_name), source_name,
                          method ? method->name : "sheet");
    } else {
        size_t before = (size_t)(base_name(o->output) - o->output);
        size_t kept = before + stem_length(o->output + before);
        extension = o->output + kept;
        bool several = method && o->methods.n > 1;
        length = snprintf(stem, sizeof stem, "%.*s%s%s", (int)kept, o->output, several ? "_" : "",
                          several ? method->name : "");
    }
    if (index >= 0)
        snprintf(image, sizeof image, "_%d", index);
    if (class_index >= 0)
        snprintf(class_number, sizeof class_number, "_%d", class_index);
    if (class_index >= 0 && name) {
        class_name[0] = '_';
        file_safe(class_name + 1, sizeof class_name - 1, name);
    }
    if (length < 0 || length >= PATH_SIZE ||
        snprintf(path, PATH_SIZE, "%s%s%s%s%s", stem, image, class_number, class_name, extension) >= PATH_SIZE)
        return cr_fail(err, "the picture's path is too long: more than %d bytes for '%.100s...'", PATH_SIZE - 1, stem);
    return true;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
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
        if (ok && same_file(path, source))
            ok = cr_fail(err, "-o: '%.200s' is the picture itself: it would be lost", path);
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
