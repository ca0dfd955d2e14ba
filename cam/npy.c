/* npy.c - NumPy's .npy files (npy.h).
 *
 * A file is the magic "\x93NUMPY", a version (major, minor), the length of the header (2 bytes in version 1, else 4,
 * little-endian), the header, which is a Python dict in text, and the values. The machine is taken to be
 * little-endian, as everywhere in this program. */
#include "npy.h"

#include "file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "\x93NUMPY";
enum { MAGIC_SIZE = 6, PREFIX_SIZE = 10, ALIGNMENT = 64, START_SIZE = 192 };

/* ---- writing ---- */

/* Fills the start of a file, what comes before the values, and returns its length: the least multiple of 64, or all. */
static size_t make_start(unsigned char file[START_SIZE], bool all, int ndim, const int *dims)
{
    char shape[CR_NPY_DIMS * 16] = "";
    for (int i = 0, at = 0; i < ndim; i++)
        at += snprintf(shape + at, sizeof shape - (size_t)at, ndim == 1 ? "%d," : i ? ", %d" : "%d", dims[i]);
    memset(file, ' ', START_SIZE);
    memcpy(file, magic, MAGIC_SIZE);
    int length = snprintf((char *)file + PREFIX_SIZE, START_SIZE - PREFIX_SIZE,
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape);
    size_t end = PREFIX_SIZE + (size_t)length, size = (end + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size = all ? START_SIZE : size;
    file[end] = ' ';
    file[6] = 1;
    file[7] = 0;
    file[8] = (unsigned char)((size - PREFIX_SIZE) & 0xff);
    file[9] = (unsigned char)((size - PREFIX_SIZE) >> 8);
    file[size - 1] = '\n';
    return size;
}

bool cr_npy_write(const char *path, const float *data, int ndim, const int *dims, cr_error *err)
{
    unsigned char start[START_SIZE];
    size_t count = 1, size = make_start(start, false, ndim, dims);
    for (int i = 0; i < ndim; i++)
        count *= (size_t)dims[i];
    cr_file *file = cr_file_create(path, err);
    if (!file)
        return false;
    cr_file_add(file, start, size);
    cr_file_add(file, data, count * sizeof *data);
    return cr_file_finish(file, false, err);
}

/* A cr_npy is the file itself: its start, of the full size, is written over at the end. */

cr_npy *cr_npy_create(const char *path, cr_error *err)
{
    static const unsigned char start[START_SIZE];
    cr_file *file = cr_file_create(path, err);
    if (file)
        cr_file_add(file, start, sizeof start);
    return (cr_npy *)file;
}

void cr_npy_add(cr_npy *npy, const float *data, size_t count)
{
    cr_file_add((cr_file *)npy, data, count * sizeof *data);
}

bool cr_npy_finish(cr_npy *npy, int ndim, const int *dims, cr_error *err)
{
    unsigned char start[START_SIZE];
    make_start(start, true, ndim, dims);
    cr_file_patch((cr_file *)npy, 0, start, sizeof start);
    return cr_file_finish((cr_file *)npy, false, err);
}

void cr_npy_discard(cr_npy *npy)
{
    if (npy)
        cr_file_discard((cr_file *)npy);
}

/* ---- reading the header ---- */

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

/* Takes the token if the text goes on with it. */
static bool take(cursor *c, const char *token)
{
    size_t length = strlen(token);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, token, length) != 0)
        return false;
    c->at += length;
    return true;
}

static bool take_string(cursor *c, char *out, size_t size)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    char quote = *c->at++;
    size_t length = 0;
    for (; c->at < c->end && *c->at != quote; c->at++) {
        if (length + 1 == size || *c->at < ' ' || *c->at > '~')
            return false;
        out[length++] = *c->at;
    }
    out[length] = '\0';
    return take(c, quote == '"' ? "\"" : "'");
}

/* A whole number above zero; *value is 0 where it is zero or does not fit. */
static bool take_size(cursor *c, int *value)
{
    skip_space(c);
    if (c->at == c->end || *c->at < '0' || *c->at > '9')
        return false;
    int64_t number = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        number = number > INT_MAX ? number : number * 10 + (*c->at - '0');
    *value = number > INT_MAX ? 0 : (int)number;
    return true;
}

/* "(2, 3)", "(2,)" or "()" */
static bool parse_shape(cursor *c, const char *path, int *ndim, int dims[CR_NPY_DIMS], cr_error *err)
{
    if (!take(c, "("))
        return cr_fail(err, "%s: damaged .npy header: the shape is not a tuple", path);
    *ndim = 0;
    while (!take(c, ")")) {
        int size;
        if (!take_size(c, &size) || (!take(c, ",") && (c->at == c->end || *c->at != ')')))
            return cr_fail(err, "%s: damaged .npy header: the shape is not a tuple of whole numbers", path);
        if (*ndim == CR_NPY_DIMS)
            return cr_fail(err, "%s: expected at most %d dimensions, found more", path, CR_NPY_DIMS);
        if (size == 0)
            return cr_fail(err, "%s: dimension %d of the array is empty or too large", path, *ndim);
        dims[(*ndim)++] = size;
    }
    return true;
}

/* The dict must hold exactly the keys descr, fortran_order and shape. *item is the size of a value in the file. */
static bool parse_header(cursor c, const char *path, size_t *item, int *ndim, int dims[CR_NPY_DIMS], cr_error *err)
{
    bool have_descr = false, have_order = false, have_shape = false;
    if (!take(&c, "{"))
        return cr_fail(err, "%s: damaged .npy header: expected a dict", path);
    while (!take(&c, "}")) {
        char key[16];
        if (!take_string(&c, key, sizeof key) || !take(&c, ":"))
            return cr_fail(err, "%s: damaged .npy header: expected 'key': value", path);
        if (!strcmp(key, "descr") && !have_descr) {
            char descr[16];
            have_descr = take_string(&c, descr, sizeof descr);
            *item = !have_descr ? 0 : !strcmp(descr, "<f4") ? 4 : !strcmp(descr, "<f8") ? 8 : 0;
            if (*item == 0)
                return cr_fail(err, "%s: expected values of type '<f4' or '<f8', found %s; save array.astype('<f4')",
                               path, have_descr ? descr : "another kind of type");
        } else if (!strcmp(key, "fortran_order") && !have_order) {
            if (take(&c, "True"))
                return cr_fail(err, "%s: expected C order, found Fortran order; save numpy.ascontiguousarray(array)",
                               path);
            have_order = take(&c, "False");
            if (!have_order)
                return cr_fail(err, "%s: damaged .npy header: fortran_order is neither True nor False", path);
        } else if (!strcmp(key, "shape") && !have_shape) {
            have_shape = parse_shape(&c, path, ndim, dims, err);
            if (!have_shape)
                return false;
        } else {
            return cr_fail(err, "%s: damaged .npy header: unexpected or repeated key '%s'", path, key);
        }
        skip_space(&c);
        if (!take(&c, ",") && (c.at == c.end || *c.at != '}'))
            return cr_fail(err, "%s: damaged .npy header: expected ',' or '}' after '%s'", path, key);
    }
    skip_space(&c);
    if (c.at != c.end)
        return cr_fail(err, "%s: damaged .npy header: text after the dict", path);
    if (!have_descr || !have_order || !have_shape)
        return cr_fail(err, "%s: damaged .npy header: expected descr, fortran_order and shape, one is missing", path);
    return true;
}

/* ---- reading the file ---- */

/* Finds the header and where the values start. */
static bool find_header(const unsigned char *file, size_t bytes, const char *path, cursor *header, size_t *start,
                        cr_error *err)
{
    if (bytes < PREFIX_SIZE + 2 || memcmp(file, magic, MAGIC_SIZE) != 0)
        return cr_fail(err, "%s: not a .npy file", path);
    if (file[6] < 1 || file[6] > 3)
        return cr_fail(err, "%s: expected .npy format version 1 to 3, found %d.%d", path, file[6], file[7]);
    size_t prefix = file[6] == 1 ? PREFIX_SIZE : PREFIX_SIZE + 2;
    size_t length = file[8] | (size_t)file[9] << 8;
    if (file[6] > 1)
        length |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
    if (length > bytes - prefix)
        return cr_fail(err, "%s: cut short: a header of %zu bytes is announced, %zu are left", path, length,
                       bytes - prefix);
    *header = (cursor){(const char *)file + prefix, (const char *)file + prefix + length};
    *start = prefix + length;
    return true;
}

static bool parse_file(const unsigned char *file, size_t bytes, const char *path, float **data, int *ndim,
                       int dims[CR_NPY_DIMS], cr_error *err)
{
    cursor header;
    size_t start = 0, item = 0, count = 1;
    if (!find_header(file, bytes, path, &header, &start, err) || !parse_header(header, path, &item, ndim, dims, err))
        return false;
    for (int i = 0; i < *ndim; i++) {
        if (count > SIZE_MAX / sizeof(double) / (size_t)dims[i])
            return cr_fail(err, "%s: the shape is too large", path);
        count *= (size_t)dims[i];
    }
    if (count * item != bytes - start)
        return cr_fail(err, "%s: the shape takes %zu bytes of values, the file has %zu", path, count * item,
                       bytes - start);
    *data = malloc(count * sizeof **data);
    if (!*data)
        return cr_fail(err, "%s: out of memory for %zu values", path, count);
    if (item == sizeof **data)
        memcpy(*data, file + start, count * item);
    for (size_t i = 0; i < count && item == sizeof(double); i++) {
        double value;
        memcpy(&value, file + start + i * item, item);
        (*data)[i] = (float)value;
    }
    return true;
}

bool cr_npy_read(const char *path, float **data, int *ndim, int dims[CR_NPY_DIMS], cr_error *err)
{
    unsigned char *file;
    size_t bytes;
    *data = NULL;
    if (!cr_file_read(path, &file, &bytes, err))
        return false;
    bool ok = parse_file(file, bytes, path, data, ndim, dims, err);
    free(file);
    return ok;
}
