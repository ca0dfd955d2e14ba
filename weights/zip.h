/* zip.h - finds the stored (uncompressed) entries of a zip archive that lies in memory. */
#ifndef CAMRUN_ZIP_H
#define CAMRUN_ZIP_H

#include "reader.h"

typedef struct zip_entry {
    span name;           /* without the top folder, whose name differs from archive to archive */
    uint64_t header;     /* where in the file its local header begins */
    uint64_t size;
    bool stored;
} zip_entry;

typedef struct zip {
    span file;
    zip_entry *entries;  /* sorted by name, all different */
    size_t count;
} zip;

/* Reads the central directory, ZIP64 or not. The entries live in the arena. */
bool cr_zip_open(zip *z, span file, arena *memory, cr_error *err);
/* NULL where there is none. */
const zip_entry *cr_zip_find(const zip *z, const char *name);
/* The entry's bytes inside the file. */
bool cr_zip_data(const zip *z, const zip_entry *entry, span *data, cr_error *err);

#endif
