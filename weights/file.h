/* file.h - whole files: read at once, and written so that a reader never sees half of one. */
#ifndef CAMRUN_FILE_H
#define CAMRUN_FILE_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads to the end of the file; *data is malloc'ed and the caller frees it (also where the file is empty). */
bool cr_file_read(const char *path, unsigned char **data, size_t *bytes, cr_error *err);

/* The text of a file in UTF-8, without a byte order mark; the caller frees it. NULL where it cannot be read, or holds a byte 0:
 * expected says what it should be, "a text file with ...". */
char *cr_file_read_text(const char *path, const char *expected, cr_error *err);

/* Writes to a temporary file beside path, then renames it over path: on failure path is what it was before. A path that
 * exists and is not a plain file (a device, a pipe, a link such as /dev/stdout) is written to directly. */
bool cr_file_write(const char *path, const void *data, size_t bytes, cr_error *err);

/* The same piece by piece. A failure is kept until cr_file_finish, which tells of it. */
typedef struct cr_file cr_file;

/* NULL where the file cannot be made. */
cr_file *cr_file_create(const char *path, cr_error *err);
void cr_file_add(cr_file *file, const void *data, size_t bytes);
/* Puts other bytes in the place of those from offset `at` on, all of which were added before. What is written to directly
 * must be a file. */
void cr_file_patch(cr_file *file, size_t at, const void *data, size_t bytes);
/* Renames, if all went well, and frees. durable: not before the disk has everything, so that path holds either what it
 * did or what is new also when the power fails. */
bool cr_file_finish(cr_file *file, bool durable, cr_error *err);
/* Leaves path as it was, and frees. */
void cr_file_discard(cr_file *file);

/* Removes the temporary files that programs which were killed left behind of files whose path begins so. */
void cr_file_sweep(const char *beginning);

#ifdef __cplusplus
}
#endif
#endif
