/* arena.c - many allocations, freed together; and comparing spans of bytes. */
#include <stdlib.h>
#include <string.h>

#include "reader.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

enum { ALIGNMENT = 16, CHUNK_BYTES = 1 << 16 };

static void *allocate(arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes > a->limit - a->used)
        return NULL;
    struct arena_chunk *chunk = a->chunks;
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = calloc(1, sizeof *chunk + size);
        if (!chunk)
            return NULL;
        chunk->size = size;
        chunk->next = a->chunks;
        a->chunks = chunk;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += bytes;
    a->used += bytes;
    return p;
}

void *cr_arena_alloc(arena *a, size_t count, size_t size, cr_error *err)
{
    void *p = size && count > SIZE_MAX / size ? NULL : allocate(a, count * size);
    if (!p)
        cr_fail(err, "out of memory, or more than a weights file may ask for (%zu bytes)", a->limit);
    return p;
}

char *cr_arena_text(arena *a, span text, cr_error *err)
{
    if (text.size && memchr(text.data, 0, text.size)) {
        cr_fail(err, "a name or value in the file holds a NUL character");
        return NULL;
    }
    char *copy = text.size < SIZE_MAX ? cr_arena_alloc(a, text.size + 1, 1, err) : NULL;
    if (copy && text.size)
        memcpy(copy, text.data, text.size);
    return copy;
}

void cr_arena_free(arena *a)
{
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}

bool cr_span_is(span s, const char *text)
{
    return s.size == strlen(text) && (s.size == 0 || memcmp(s.data, text, s.size) == 0);
}

int cr_span_compare(span a, span b)
{
    if (a.size != b.size)
        return a.size < b.size ? -1 : 1;
    int order = a.size ? memcmp(a.data, b.data, a.size) : 0;
    return (order > 0) - (order < 0);
}
