/* drawings.c - see drawings.h. */
#include "drawings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"

bool drawings_create(drawings *d, bool make_folders, cr_error *err)
{
    *d = (drawings){.make_folders = make_folders, .capacity = cr_threads()};
    d->items = calloc((size_t)d->capacity, sizeof *d->items);
    return d->items || cr_fail(err, "out of memory");
}

void drawings_free(drawings *d)
{
    for (int i = 0; i < d->n; i++)
        cr_image_free(&d->items[i].image);
    free(d->items);
    *d = (drawings){0};
}

void drawings_add(drawings *d, cr_image *image, const char *path, cr_error *failure)
{
    drawing *to = &d->items[d->n++];
    to->image = *image;
    to->failure = failure;
    snprintf(to->path, sizeof to->path, "%s", path);
    *image = (cr_image){0};
    if (d->n == d->capacity)
        drawings_write(d);
}

void drawings_write(drawings *d)
{
    cr_error why;
    interrupt_hold();
    for (int i = 0; d->make_folders && i < d->n; i++)
        if (!make_folders(d->items[i].path, &why))
            *d->items[i].failure = why;
#pragma omp parallel for schedule(dynamic) num_threads(d->capacity) private(why)
    for (int i = 0; i < d->n; i++) {
        drawing *item = &d->items[i];
        bool ok = cr_image_write_png(&item->image, item->path, &why);
        cr_image_free(&item->image);
#pragma omp critical
        if (!ok && !item->failure->text[0])
            *item->failure = why;
    }
    d->n = 0;
    interrupt_release();
}
