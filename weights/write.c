/* write.c - writes the safetensors container (FORMATS.md): as scripts/safetensors_file.py does, tensor by tensor. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json_writer.h"
#include "reader.h"

enum { ALIGNMENT = 64, PIECE = 1 << 14 };

static size_t element_bytes(const cr_tensor *t)
{
    return t->dtype == CR_F16 ? 2 : 4;
}

/* ---- halves ---- */

/* The nearest half, of two equally near the even one. Half and float32 have 10 and 23 bits of fraction; halves below
 * 2^-14 are multiples of 2^-24. */
static uint16_t half_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) /* infinity and NaN */
        return (uint16_t)(sign | 0x7c00u | (magnitude > 0x7f800000u ? 0x200u : 0));
    if (magnitude < 0x38800000u) /* 2^-14 */
        return (uint16_t)(sign | (uint16_t)nearbyintf(fabsf(value) * 0x1p24f));
    magnitude += 0xfffu + (magnitude >> 13 & 1); /* what is cut off rounds up above a half, or at one from odd */
    magnitude -= (127 - 15) << 23;
    return (uint16_t)(sign | (magnitude < 0x7c00u << 13 ? magnitude >> 13 : 0x7c00u));
}

/* False where a number is too large to be a half. */
static bool add_halves(cr_file *file, const cr_tensor *t, size_t count, cr_error *err)
{
    const float *from = t->data;
    uint16_t piece[PIECE];
    for (size_t done = 0; done < count;) {
        size_t n = count - done < PIECE ? count - done : PIECE;
        for (size_t i = 0; i < n; i++) {
            piece[i] = half_of_float(from[done + i]);
            if ((piece[i] & 0x7fffu) == 0x7c00u && isfinite(from[done + i]))
                return cr_fail(err, "%.100s[%zu] is %g: too large for float16, whose largest number is 65504", t->name,
                               done + i, (double)from[done + i]);
        }
        cr_file_add(file, piece, n * sizeof *piece);
        done += n;
    }
    return true;
}

/* ---- order ---- */

typedef struct place {
    const cr_tensor *tensor;
    size_t bytes, begin;
    int index;
} place;

/* The largest power of two, up to the alignment, that divides a size. */
static size_t evenness(size_t bytes)
{
    size_t power = ALIGNMENT;
    while (bytes % power)
        power /= 2;
    return power;
}

/* The format allows no gaps, so alignment is had by order: all tensors whose size is a multiple of 64 bytes start at
 * one, and no float32 starts off a multiple of 4. */
static int by_evenness(const void *a, const void *b)
{
    const place *p = a, *q = b;
    size_t x = evenness(p->bytes), y = evenness(q->bytes);
    return x != y ? (x > y ? -1 : 1) : p->index - q->index;
}

/* ---- the file ---- */

/* The header's text, which the caller frees, padded with spaces so that the data are aligned; NULL out of memory. */
static char *make_header(const place *places, int n, const cr_meta *meta, int n_meta, size_t *length)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, length);
    if (!out)
        return NULL;
    json_writer j = {.out = out, .compact = true};
    json_open(&j, NULL, '{');
    json_open(&j, "__metadata__", '{');
    for (int i = 0; i < n_meta; i++)
        json_text(&j, meta[i].key, meta[i].value);
    json_close(&j, '}');
    for (int i = 0; i < n; i++) {
        const cr_tensor *t = places[i].tensor;
        json_open(&j, t->name, '{');
        json_text(&j, "dtype", t->dtype == CR_F16 ? "F16" : "F32");
        json_open(&j, "shape", '[');
        for (int d = 0; d < t->ndim; d++)
            json_integer(&j, NULL, t->dim[d]);
        json_close(&j, ']');
        json_open(&j, "data_offsets", '[');
        json_integer(&j, NULL, (int64_t)places[i].begin);
        json_integer(&j, NULL, (int64_t)(places[i].begin + places[i].bytes));
        json_close(&j, ']');
        json_close(&j, '}');
    }
    json_close(&j, '}');
    fflush(out); /* now *length counts */
    fprintf(out, "%*s", (int)(-(8 + *length) % ALIGNMENT), "");
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

static bool write_file(const char *path, const place *places, int n, const char *header, size_t length, bool durable,
                       cr_error *err)
{
    cr_file *file = cr_file_create(path, err);
    if (!file)
        return false;
    uint8_t announced[8];
    for (int i = 0; i < 8; i++)
        announced[i] = (uint8_t)((uint64_t)length >> (8 * i));
    cr_file_add(file, announced, sizeof announced);
    cr_file_add(file, header, length);
    for (int i = 0; i < n; i++) {
        const cr_tensor *t = places[i].tensor;
        cr_error why;
        if (t->dtype != CR_F16) {
            cr_file_add(file, t->data, places[i].bytes);
        } else if (!add_halves(file, t, places[i].bytes / element_bytes(t), &why)) {
            cr_file_discard(file);
            return cr_fail(err, "%s: %s", path, why.text);
        }
    }
    return cr_file_finish(file, durable, err);
}

bool cr_weights_write(const char *path, const cr_tensor *tensors, int n_tensors, const cr_meta *meta, int n_meta,
                      bool durable, cr_error *err)
{
    place *places = calloc((size_t)n_tensors + 1, sizeof *places);
    bool ok = places || cr_fail(err, "%s: out of memory for %d tensors", path, n_tensors);
    for (int i = 0; ok && i < n_tensors; i++) {
        places[i] = (place){.tensor = &tensors[i], .index = i};
        if (!cr_tensor_bytes(&tensors[i], element_bytes(&tensors[i]), &places[i].bytes))
            ok = cr_fail(err, "%s: %.100s has more bytes than can be counted", path, tensors[i].name);
    }
    char *header = NULL;
    size_t length = 0;
    if (ok) {
        qsort(places, (size_t)n_tensors, sizeof *places, by_evenness);
        for (int i = 1; i < n_tensors; i++)
            places[i].begin = places[i - 1].begin + places[i - 1].bytes;
        header = make_header(places, n_tensors, meta, n_meta, &length);
        ok = header || cr_fail(err, "%s: out of memory for the header", path);
    }
    ok = ok && write_file(path, places, n_tensors, header, length, durable, err);
    free(header);
    free(places);
    return ok;
}
