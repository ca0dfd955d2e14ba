/* reader.h - what the readers of the file formats share: the file's bytes, memory that lives as long as something does,
 * and where to put what was found.
 *
 *   weights.c      opens the file, tells the formats apart, answers questions about tensors
 *   safetensors.c  reads one format, with json.c
 *   pth.c          reads the other two, with zip.c (the archive), pickle.c (Python values) and torch.c (what they mean)
 *   bind.c         the one file that knows networks
 *   meta.c         values of the metadata
 *
 * Nothing a file says is believed before it was compared with the file's size, and no memory is asked for in a file's
 * name without a limit. A reader's message leaves out the file's path: weights.c puts it in front. */
#ifndef CAMRUN_READER_H
#define CAMRUN_READER_H

#include "weights.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are used as the file has them: little-endian");

/* ---- bytes ---- */

typedef struct span {
    const uint8_t *data;
    size_t size;
} span;

bool cr_span_is(span s, const char *text);
/* -1, 0, 1; any fixed total order would do. */
int cr_span_compare(span a, span b);

/* A little-endian integer of n <= 8 bytes. */
static inline uint64_t cr_little_endian(const uint8_t *p, int n)
{
    uint64_t value = 0;
    for (int i = n - 1; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

/* ---- memory ---- */

/* Many allocations, freed together. */
typedef struct arena {
    struct arena_chunk *chunks;
    size_t used, limit; /* bytes handed out, and how many may be */
} arena;

/* Zeroed and aligned to 16 bytes. NULL with a message past the limit or where memory is short. */
void *cr_arena_alloc(arena *a, size_t count, size_t size, cr_error *err);
/* A copy that ends in NUL. NULL with a message, too, where the text itself holds one. */
char *cr_arena_text(arena *a, span text, cr_error *err);
void cr_arena_free(arena *a);

/* What names, metadata or one file's Python values may take. */
#define CR_ARENA_LIMIT ((size_t)256 << 20)

/* ---- what was found ---- */

typedef struct weights_meta {
    const char *key, *value;
    const struct weights_meta *next;
} weights_meta;

struct cr_weights {
    char *path;
    span file;
    bool mapped;
    arena memory;              /* names, metadata */
    arena copies;              /* tensors that the file does not have in the form asked for */
    cr_tensor *tensors;        /* in the file's order */
    int count, capacity;
    const cr_tensor **by_name; /* the same, sorted */
    const float **floats;      /* per tensor: what cr_weights_f32 returned, NULL before */
    const weights_meta *meta;
};

/* The name must live as long as the weights. Two of one name are found when all are there. */
bool cr_weights_add(cr_weights *w, const cr_tensor *tensor, cr_error *err);
bool cr_weights_add_meta(cr_weights *w, const char *key, const char *value, cr_error *err);
/* "path: why" on one line. */
void cr_fail_at(const char *path, const cr_error *why, cr_error *err);
/* Product of the tensor's dims and an element's size. False where one is negative or the product overflows. */
bool cr_tensor_bytes(const cr_tensor *tensor, size_t element, size_t *bytes);

bool cr_safetensors_read(cr_weights *w, cr_error *err);
bool cr_pth_zip_read(cr_weights *w, cr_error *err);
bool cr_pth_legacy_read(cr_weights *w, cr_error *err);

#endif
