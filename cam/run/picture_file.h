/* picture_file.h - the names of pictures that camrun writes, and writing them. */
#ifndef CAMRUN_PICTURE_FILE_H
#define CAMRUN_PICTURE_FILE_H

#include <stddef.h>

#include "image.h"

enum { PATH_SIZE = 4096 };

bool is_folder(const char *path);
/* Whether -o names a PNG file, or a folder. */
bool picture_name_check(const char *path, cr_error *err);

/* The path for a picture: `output` with the suffix before its extension, .png where it has none; where output is NULL or names
 * a folder, STEM_NAME and the suffix in the current folder or in that one; NAME and the suffix where stem is "". */
bool picture_path(char path[PATH_SIZE], const char *output, const char *stem, const char *name, const char *suffix,
                  cr_error *err);
/* "FOLDER/STEM_NAME", with the suffix, as a PNG; folder may be NULL, for the current one, and need not be there yet. */
bool picture_path_in(char path[PATH_SIZE], const char *folder, const char *stem, const char *name, const char *suffix,
                     cr_error *err);
/* The length of a path without its file's extension; a leading dot begins none. */
size_t path_stem_length(const char *path);
/* The part of a path behind its last slash. */
const char *base_name(const char *path);
/* "_INDEX_NAME" of a class, or "_INDEX" where name is NULL; what shells and file systems trip over becomes "_". */
void class_suffix(char *suffix, size_t size, int class_index, const char *name);

/* Whether two paths are one file. */
bool same_file(const char *a, const char *b);
/* Whether a picture made from source may go to path. */
bool check_not_itself(const char *path, const char *source, cr_error *err);

/* Makes the folders that path leads through, where there are none. */
bool make_folders(const char *path, cr_error *err);
/* Not interrupted half-way (interrupt.h). */
bool picture_write(const cr_image *image, const char *path, cr_error *err);

#endif
