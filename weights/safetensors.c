/* safetensors.c - reads the safetensors container, as strictly as its definition asks.
 *
 * A file is: 8 bytes, the header's length as a little-endian integer; the header, JSON padded with spaces; the tensors'
 * bytes without holes. The header maps each tensor's name to {"dtype": "F32", "shape": [..], "data_offsets": [begin,
 * end]}, and "__metadata__", where it is there, to an object of strings. */
#include <stdlib.h>
#include <string.h>

#include "json.h"

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000 };

static const struct {
    const char *name;
    cr_dtype dtype;
    size_t bytes;
} dtypes[] = {
    {"F32", CR_F32, 4},     {"F16", CR_F16, 2},   {"BF16", CR_BF16, 2}, {"F64", CR_F64, 8},   {"I64", CR_I64, 8},
    {"BOOL", CR_OTHER, 1},  {"U8", CR_OTHER, 1},  {"I8", CR_OTHER, 1},  {"U16", CR_OTHER, 2}, {"I16", CR_OTHER, 2},
    {"U32", CR_OTHER, 4},   {"I32", CR_OTHER, 4}, {"U64", CR_OTHER, 8}, {"C64", CR_OTHER, 8}, {"F8_E4M3", CR_OTHER, 1},
    {"F8_E5M2", CR_OTHER, 1},
};

typedef struct reader {
    cr_weights *weights;
    json header;
    const uint8_t *header_begin;
    span data;
    cr_error *err;
} reader;

static bool malformed(const reader *r, const char *expected)
{
    return cr_fail(r->err, "safetensors header, byte %zu: expected %s", (size_t)(r->header.at - r->header_begin),
                   expected);
}

static bool take(reader *r, char c)
{
    return cr_json_take(&r->header, c) || malformed(r, (const char[]){'\'', c, '\'', '\0'});
}

static const char *take_text(reader *r)
{
    span raw;
    if (!cr_json_string(&r->header, &raw)) {
        malformed(r, "a string");
        return NULL;
    }
    char *text = cr_arena_alloc(&r->weights->memory, raw.size + 1, 1, r->err);
    if (text)
        cr_json_decode(raw, text);
    return text;
}

/* An array of at most max sizes; -1 where it is something else. */
static int take_sizes(reader *r, uint64_t *sizes, int max)
{
    int count = 0;
    if (!take(r, '['))
        return -1;
    if (cr_json_take(&r->header, ']'))
        return 0;
    do {
        uint64_t size;
        if (!cr_json_size(&r->header, &size)) {
            malformed(r, "a whole number");
            return -1;
        }
        if (count == max) {
            malformed(r, "no more numbers in this array");
            return -1;
        }
        sizes[count++] = size;
    } while (cr_json_take(&r->header, ','));
    return take(r, ']') ? count : -1;
}

static bool take_metadata(reader *r)
{
    if (!take(r, '{'))
        return false;
    if (cr_json_take(&r->header, '}'))
        return true;
    do {
        const char *key = take_text(r);
        if (!key || !take(r, ':'))
            return false;
        const char *value = take_text(r);
        if (!value || !cr_weights_add_meta(r->weights, key, value, r->err))
            return false;
    } while (cr_json_take(&r->header, ','));
    return take(r, '}');
}

/* Sets the tensor's dtype and returns its bytes per element, 0 for an unknown dtype. */
static size_t set_dtype(cr_tensor *t, span name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (cr_span_is(name, dtypes[i].name)) {
            t->dtype = dtypes[i].dtype;
            return dtypes[i].bytes;
        }
    return 0;
}

static bool take_tensor(reader *r, const char *name)
{
    cr_tensor t = {.name = name, .ndim = -1};
    span dtype = {0};
    uint64_t shape[CR_TENSOR_DIMS], offsets[2];
    bool has_offsets = false;
    if (!take(r, '{'))
        return false;
    do {
        span key;
        if (!cr_json_string(&r->header, &key))
            return malformed(r, "a string");
        if (!take(r, ':'))
            return false;
        if (cr_span_is(key, "dtype") && !dtype.data) {
            if (!cr_json_string(&r->header, &dtype))
                return malformed(r, "a string");
        } else if (cr_span_is(key, "shape") && t.ndim < 0) {
            t.ndim = take_sizes(r, shape, CR_TENSOR_DIMS);
            if (t.ndim < 0)
                return false;
        } else if (cr_span_is(key, "data_offsets") && !has_offsets) {
            has_offsets = take_sizes(r, offsets, 2) == 2;
            if (!has_offsets)
                return malformed(r, "two offsets");
        } else {
            return malformed(r, "dtype, shape and data_offsets, each once");
        }
    } while (cr_json_take(&r->header, ','));
    if (!dtype.data || t.ndim < 0 || !has_offsets)
        return malformed(r, "dtype, shape and data_offsets, each once");
    if (!take(r, '}'))
        return false;

    size_t element = set_dtype(&t, dtype);
    if (!element)
        return cr_fail(r->err, "%.100s: unknown dtype '%.*s'", name, (int)(dtype.size < 20 ? dtype.size : 20),
                       (const char *)dtype.data);
    for (int d = 0; d < t.ndim; d++)
        t.dim[d] = (int64_t)shape[d];
    if (!cr_tensor_bytes(&t, element, &t.bytes))
        return cr_fail(r->err, "%.100s: its shape asks for more bytes than can be counted", name);
    if (offsets[0] > offsets[1] || offsets[1] > r->data.size)
        return cr_fail(r->err,
                       "%.100s: its bytes %llu to %llu lie outside the file's %zu bytes of data; is it cut off?", name,
                       (unsigned long long)offsets[0], (unsigned long long)offsets[1], r->data.size);
    if (offsets[1] - offsets[0] != t.bytes)
        return cr_fail(r->err, "%.100s: expected %zu bytes for its shape and dtype, found data_offsets %llu to %llu",
                       name, t.bytes, (unsigned long long)offsets[0], (unsigned long long)offsets[1]);
    t.data = r->data.data + offsets[0];
    return cr_weights_add(r->weights, &t, r->err);
}

static bool take_header(reader *r)
{
    bool has_metadata = false;
    if (!take(r, '{'))
        return false;
    if (!cr_json_take(&r->header, '}')) {
        do {
            const char *name = take_text(r);
            if (!name || !take(r, ':'))
                return false;
            if (strcmp(name, "__metadata__") == 0) {
                if (has_metadata)
                    return malformed(r, "__metadata__ only once");
                has_metadata = true;
                if (!take_metadata(r))
                    return false;
            } else if (!take_tensor(r, name)) {
                return false;
            }
        } while (cr_json_take(&r->header, ','));
        if (!take(r, '}'))
            return false;
    }
    return cr_json_done(&r->header) || malformed(r, "nothing behind the closing '}'");
}

static int by_place(const void *a, const void *b)
{
    const cr_tensor *s = *(const cr_tensor *const *)a, *t = *(const cr_tensor *const *)b;
    if (s->data != t->data)
        return (const uint8_t *)s->data < (const uint8_t *)t->data ? -1 : 1;
    return (s->bytes > t->bytes) - (s->bytes < t->bytes);
}

/* The format allows no byte of the data to belong to no tensor, or to two. */
static bool check_places(const reader *r)
{
    const cr_weights *w = r->weights;
    const cr_tensor **sorted = malloc(((size_t)w->count + 1) * sizeof(const cr_tensor *));
    if (!sorted)
        return cr_fail(r->err, "out of memory for %d tensors", w->count);
    for (int i = 0; i < w->count; i++)
        sorted[i] = &w->tensors[i];
    qsort(sorted, (size_t)w->count, sizeof(const cr_tensor *), by_place);

    const uint8_t *next = r->data.data;
    bool ok = true;
    for (int i = 0; ok && i < w->count; i++) {
        const uint8_t *begin = sorted[i]->data;
        if (begin != next)
            ok = cr_fail(r->err, "%.100s: its data begins at byte %zu, where byte %zu is next: tensors %s",
                         sorted[i]->name, (size_t)(begin - r->data.data), (size_t)(next - r->data.data),
                         begin < next ? "overlap" : "leave a hole");
        next = begin + sorted[i]->bytes;
    }
    free(sorted);
    size_t used = (size_t)(next - r->data.data);
    if (ok && used != r->data.size)
        ok = cr_fail(r->err, "the header tells of %zu bytes of data, the file has %zu", used, r->data.size);
    return ok;
}

bool cr_safetensors_read(cr_weights *w, cr_error *err)
{
    const uint8_t *begin = w->file.data + LENGTH_BYTES;
    size_t rest = w->file.size - LENGTH_BYTES; /* the caller saw the header's first byte */
    uint64_t length = cr_little_endian(w->file.data, LENGTH_BYTES);
    if (length > rest)
        return cr_fail(err,
                       "a safetensors header of %llu bytes is announced, only %zu follow: cut off, or no weights file",
                       (unsigned long long)length, rest);
    if (length > MAX_HEADER)
        return cr_fail(err, "a safetensors header of %llu bytes, expected at most %d", (unsigned long long)length,
                       MAX_HEADER);
    reader r = {
        .weights = w,
        .header = {begin, begin + length},
        .header_begin = begin,
        .data = {begin + length, rest - (size_t)length},
        .err = err,
    };
    return take_header(&r) && check_places(&r);
}
