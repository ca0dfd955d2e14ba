/* drawings.h - pictures that are drawn and wait to be written: compressing them takes longer than a network does, so several
 * are compressed at once, one on each thread. */
#ifndef CAMRUN_DRAWINGS_H
#define CAMRUN_DRAWINGS_H

#include "image.h"
#include "picture_file.h"

typedef struct drawing {
    cr_image image;
    char path[PATH_SIZE];
    cr_error *failure;
} drawing;

typedef struct drawings {
    bool make_folders; /* those that a path names are made where there are none */
    int n;
    drawing *items;    /* room for one on each thread */
    int capacity;
} drawings;

bool drawings_create(drawings *d, bool make_folders, cr_error *err);
void drawings_free(drawings *d);

/* Takes the image, which will be written to path as a PNG, now or later. failure is where to say why it could not be: it
 * must have an empty text, and outlive the next drawings_write. */
void drawings_add(drawings *d, cr_image *image, const char *path, cr_error *failure);
/* Writes what waits. */
void drawings_write(drawings *d);

#endif
