/* picture_list.h - the pictures that a command line means: files, folders, patterns and lists of paths, in a settled
 * order. None is opened yet. */
#ifndef CAMRUN_PICTURE_LIST_H
#define CAMRUN_PICTURE_LIST_H

#include <sys/types.h>

#include "command_line.h"

/* How the names of pictures in a folder end, in small or capital letters. */
#define PICTURE_ENDINGS ".png .jpg .jpeg .bmp .gif .tga .ppm .pgm .pbm .pnm"

typedef struct picture_file {
    char *path;       /* to open it by: what was named and, of a folder, what lies below it */
    const char *name; /* its path below the folder that holds all that was named, "cat/1.jpg": relative, without "..", and
                         no two pictures have the same. For files to be written elsewhere in the same sub-folders */
    int64_t bytes;    /* of the file; -1: there is none */
    char *full;       /* the absolute path, links in folders that were named resolved; name is its end */
} picture_file;

typedef struct picture_list {
    int n, capacity;
    picture_file *items;
    bool open;               /* what was named may hold any number of pictures: a folder, a pattern, a list */
    int passed_over;         /* files in folders that no picture's name ends like */
    char *first_passed_over; /* path */
    char *root;              /* the folder that holds all that was named */
    bool has_except;         /* a folder that is left out */
    dev_t except_device;
    ino_t except_inode;
} picture_list;

/* Each operand is
 *   a folder: the pictures in it and in all folders below, by folder, then by name, in the order of their bytes. What begins
 *     with a dot is passed over, and so is a link that leads back to a folder it lies in;
 *   a file, whatever its name; also one that does not exist: whoever opens it will say so;
 *   a pattern with * ? [, where there is no such file: what the shell would have put in its place, by name; ** in place of
 *     a folder's name stands for any number of folders inside each other;
 *   "@FILE": a list, one path on each line, to a file or a folder; "@-" is one on standard input. lists has more FILEs.
 * A picture that is meant twice is taken once. except: a folder that is left out though it may lie in one of the
 * operands, as the one that is written to; or NULL, and it need not exist. False where a folder cannot be read, or a folder,
 * pattern or list gives no picture. Either way, picture_list_free frees. */
bool picture_list_create(picture_list *l, const text_list *operands, const text_list *lists, const char *except,
                         cr_error *err);
void picture_list_free(picture_list *l);

/* Adds the pictures of one folder: path and bytes alone, as many as there are. l is zeroed, or was added to before. */
bool picture_list_add_folder(picture_list *l, const char *folder, cr_error *err);

/* "folder/name", malloc'ed; just the name where the folder is "". NULL: no memory. */
char *join_path(const char *folder, const char *name);

#endif
