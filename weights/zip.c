/* zip.c - see zip.h. The format is APPNOTE.TXT of PKWARE, sections 4.3 (records) and 4.5.3 (ZIP64).
 *
 * A zip archive is read from its end: the end record says where the central directory is, and the directory where
 * each entry's local header is, with the entry's bytes behind it. Where a number does not fit the record's 16 or 32
 * bits, all of them are set, and the number is in a ZIP64 record (end of directory) or extra field (entry). */
#include <stdlib.h>
#include <string.h>

#include "zip.h"

enum {
    END_BYTES = 22,      /* end of central directory, without its comment */
    END64_BYTES = 56,    /* the ZIP64 one */
    LOCATOR_BYTES = 20,  /* stands before END and says where END64 is */
    ENTRY_BYTES = 46,    /* central directory, without name, extra fields and comment */
    LOCAL_BYTES = 30,    /* local header, without name and extra fields */
    MAX_COMMENT = 0xffff,
    ZIP64_EXTRA = 1
};

static const char END[] = "PK\5\6", END64[] = "PK\6\6", LOCATOR[] = "PK\6\7", ENTRY[] = "PK\1\2", LOCAL[] = "PK\3\4";

static uint64_t u16(const uint8_t *p)
{
    return cr_little_endian(p, 2);
}

static uint64_t u32(const uint8_t *p)
{
    return cr_little_endian(p, 4);
}

static uint64_t u64(const uint8_t *p)
{
    return cr_little_endian(p, 8);
}

/* The record of `bytes` bytes at this place of the file, NULL if it does not fit or does not begin with the
 * signature. */
static const uint8_t *record(span file, uint64_t place, size_t bytes, const char *signature)
{
    if (place > file.size || bytes > file.size - place)
        return NULL;
    const uint8_t *p = file.data + place;
    return memcmp(p, signature, 4) == 0 ? p : NULL;
}

/* The last thing in the file, but for a comment of up to 65535 bytes, which is seldom there. */
static const uint8_t *find_end(span file)
{
    for (size_t comment = 0; comment <= MAX_COMMENT && comment + END_BYTES <= file.size; comment++) {
        const uint8_t *end = record(file, file.size - END_BYTES - comment, END_BYTES, END);
        if (end && u16(end + 20) == comment)
            return end;
    }
    return NULL;
}

/* Where the central directory lies, and how many entries it has. */
static bool find_directory(span file, span *directory, uint64_t *count, cr_error *err)
{
    const uint8_t *end = find_end(file);
    if (!end)
        return cr_fail(err, "a zip archive without its last record: the file is cut off");
    *count = u16(end + 10);
    uint64_t size = u32(end + 12), place = u32(end + 16), limit = (uint64_t)(end - file.data);
    if (*count == 0xffff || size == 0xffffffff || place == 0xffffffff) {
        const uint8_t *locator = limit < LOCATOR_BYTES ? NULL :
                                 record(file, limit - LOCATOR_BYTES, LOCATOR_BYTES, LOCATOR);
        const uint8_t *end64 = locator ? record(file, u64(locator + 8), END64_BYTES, END64) : NULL;
        if (!end64)
            return cr_fail(err, "a damaged zip archive: its ZIP64 record is missing");
        *count = u64(end64 + 32);
        size = u64(end64 + 40);
        place = u64(end64 + 48);
    }
    if (place > limit || size > limit - place || *count > size / ENTRY_BYTES)
        return cr_fail(err,
                       "a damaged zip archive: a directory of %llu entries, %llu bytes at %llu, in a file of %zu bytes",
                       (unsigned long long)*count, (unsigned long long)size, (unsigned long long)place, file.size);
    *directory = (span){file.data + place, (size_t)size};
    return true;
}

/* The sizes and the place that did not fit the entry's 32 bits, in this order, out of its ZIP64 extra field. */
static bool read_zip64(span extra, uint64_t *size, uint64_t *compressed, uint64_t *place)
{
    uint64_t *fields[] = {size, compressed, place};
    while (extra.size >= 4) {
        size_t id = u16(extra.data), length = u16(extra.data + 2);
        const uint8_t *p = extra.data + 4, *end = p + length;
        if (length > extra.size - 4)
            return false;
        for (int i = 0; id == ZIP64_EXTRA && i < 3; i++)
            if (*fields[i] == 0xffffffff) {
                if (end - p < 8)
                    return false;
                *fields[i] = u64(p);
                p += 8;
            }
        extra = (span){end, extra.size - 4 - length};
    }
    return true;
}

/* Takes one entry off the front of the directory. */
static bool read_entry(span *directory, zip_entry *entry)
{
    const uint8_t *p = record(*directory, 0, ENTRY_BYTES, ENTRY);
    if (!p)
        return false;
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    size_t bytes = ENTRY_BYTES + name + extra + comment;
    if (bytes > directory->size)
        return false;
    uint64_t compressed = u32(p + 20);
    *entry = (zip_entry){.name = {p + ENTRY_BYTES, name}, .size = u32(p + 24), .header = u32(p + 42)};
    if (!read_zip64((span){p + ENTRY_BYTES + name, extra}, &entry->size, &compressed, &entry->header))
        return false;
    bool encrypted = p[8] & 1;
    entry->stored = u16(p + 10) == 0 && compressed == entry->size && !encrypted;

    const uint8_t *slash = name ? memchr(entry->name.data, '/', name) : NULL;
    if (slash)
        entry->name = (span){slash + 1, name - (size_t)(slash + 1 - entry->name.data)};
    *directory = (span){directory->data + bytes, directory->size - bytes};
    return true;
}

static int by_name(const void *a, const void *b)
{
    return cr_span_compare(((const zip_entry *)a)->name, ((const zip_entry *)b)->name);
}

bool cr_zip_open(zip *z, span file, arena *memory, cr_error *err)
{
    span directory = {0};
    uint64_t count = 0;
    if (!find_directory(file, &directory, &count, err))
        return false;
    *z = (zip){.file = file, .count = (size_t)count};
    z->entries = cr_arena_alloc(memory, z->count, sizeof *z->entries, err);
    if (!z->entries)
        return false;
    for (size_t i = 0; i < z->count; i++)
        if (!read_entry(&directory, &z->entries[i]))
            return cr_fail(err, "a damaged zip archive: entry %zu of %zu in its directory makes no sense", i + 1,
                           z->count);
    qsort(z->entries, z->count, sizeof *z->entries, by_name);
    for (size_t i = 1; i < z->count; i++)
        if (z->entries[i].name.size && by_name(&z->entries[i - 1], &z->entries[i]) == 0)
            return cr_fail(err, "a damaged zip archive: it has two entries '%.*s'", (int)z->entries[i].name.size,
                           (const char *)z->entries[i].name.data);
    return true;
}

const zip_entry *cr_zip_find(const zip *z, const char *name)
{
    zip_entry wanted = {.name = {(const uint8_t *)name, strlen(name)}};
    return bsearch(&wanted, z->entries, z->count, sizeof wanted, by_name);
}

bool cr_zip_data(const zip *z, const zip_entry *entry, span *data, cr_error *err)
{
    int shown = (int)(entry->name.size < 80 ? entry->name.size : 80);
    const char *name = (const char *)entry->name.data;
    if (!entry->stored)
        return cr_fail(err,
                       "%.*s is compressed or encrypted inside the zip archive, which torch.save never does: unpack it "
                       "and pack it again with zip -0 -r",
                       shown, name);
    const uint8_t *local = record(z->file, entry->header, LOCAL_BYTES, LOCAL);
    if (!local)
        return cr_fail(err, "a damaged zip archive: no header of %.*s at byte %llu", shown, name,
                       (unsigned long long)entry->header);
    uint64_t begin = entry->header + LOCAL_BYTES + u16(local + 26) + u16(local + 28);
    if (begin > z->file.size || entry->size > z->file.size - begin)
        return cr_fail(err, "a damaged zip archive: the %llu bytes of %.*s at byte %llu do not fit the file's %zu",
                       (unsigned long long)entry->size, shown, name, (unsigned long long)begin, z->file.size);
    *data = (span){z->file.data + begin, (size_t)entry->size};
    return true;
}
