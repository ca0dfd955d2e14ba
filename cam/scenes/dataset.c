/* dataset.c - drawing a set of scenes on all threads and writing them (dataset.h). */
#include "dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "interrupt.h"

/* Pictures between two looks at whether the user wants to stop, for each thread. */
enum { ROUND = 16, PATH_SIZE = 4096, NAME_SIZE = 64 };

static bool make_folder(const char *path, cr_error *err)
{
    return mkdir(path, 0777) == 0 || cr_fail(err, "%.400s: cannot make this folder: %s", path, strerror(errno));
}

/* Makes dir, where there is none, and sees that nothing is in it. */
static bool take_folder(const char *dir, cr_error *err)
{
    if (mkdir(dir, 0777) == 0)
        return true;
    if (errno != EEXIST)
        return cr_fail(err, "%.400s: cannot make this folder: %s", dir, strerror(errno));
    DIR *open = opendir(dir);
    if (!open)
        return cr_fail(err, "%.400s: cannot be used as a folder: %s", dir, strerror(errno));
    const struct dirent *entry;
    do
        entry = readdir(open);
    while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    bool ok = !entry || cr_fail(err, "%.200s: expected a new or empty folder, found '%.100s' in it: name another", dir,
                                entry->d_name);
    closedir(open);
    return ok;
}

/* "train/arrow/000120.png" */
static void name_picture(char name[NAME_SIZE], const cr_scene *scene)
{
    snprintf(name, NAME_SIZE, "%s/%s/%06d.png", cr_scene_split_name(scene->split),
             cr_scene_class_name(cr_scene_class(scene)), (int)scene->number);
}

static void drop_colors(cr_image *image)
{
    for (size_t i = 0; i < (size_t)image->w * (size_t)image->h; i++)
        memset(image->rgb + 3 * i, cr_luma(image->rgb + 3 * i), 3);
}

static bool write_picture(const dataset *d, const cr_scene *scene, cr_scene_object *objects, cr_error *err)
{
    char name[NAME_SIZE], path[PATH_SIZE];
    cr_image image = {0};
    name_picture(name, scene);
    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    bool ok = cr_image_create(&image, scene->size, scene->size, err) &&
              cr_scene_draw(scene, image.rgb, NULL, objects, err);
    if (ok && d->gray)
        drop_colors(&image);
    ok = ok && cr_image_write_png(&image, path, err);
    cr_image_free(&image);
    return ok;
}

/* ---- one split ---- */

static void put_boxes(FILE *boxes, const cr_scene *scene, const cr_scene_object *objects)
{
    char name[NAME_SIZE];
    name_picture(name, scene);
    for (int i = 0; i < cr_scene_objects(scene->split); i++) {
        const cr_rect *b = &objects[i].box;
        fprintf(boxes, "%s,%s,%d,%d,%d,%d\n", name, cr_scene_class_name(objects[i].class_index), b->x0, b->y0, b->x1,
                b->y1);
    }
}

static void show_progress(const char *split, int done, int count)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s %d/%d", split, done, count);
}

/* Pictures [first, end), on all threads; signals wait until all of them are whole. */
static bool write_round(const dataset *d, cr_scene_split split, int first, int end,
                        cr_scene_object (*objects)[CR_SCENE_MAX_OBJECTS], cr_error *err)
{
    bool ok = true;
    interrupt_hold();
#pragma omp parallel for schedule(dynamic)
    for (int i = first; i < end; i++) {
        cr_error why;
        cr_scene scene = {d->seed, split, (uint64_t)i, d->size, d->difficulty};
        if (!write_picture(d, &scene, objects[i - first], &why))
#pragma omp critical
        {
            if (ok)
                *err = why;
            ok = false;
        }
    }
    interrupt_release();
    return ok;
}

static bool write_split(const dataset *d, cr_scene_split split, FILE *boxes, cr_error *err)
{
    char path[PATH_SIZE];
    const char *name = cr_scene_split_name(split);
    int count = d->count[split], round = ROUND * cr_threads();
    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    bool ok = make_folder(path, err);
    for (int i = 0; ok && i < CR_SCENE_CLASSES && i < count; i++) { /* ImageFolder refuses a class without pictures */
        snprintf(path, sizeof path, "%s/%s/%s", d->dir, name, cr_scene_class_name(i));
        ok = make_folder(path, err);
    }
    cr_scene_object(*objects)[CR_SCENE_MAX_OBJECTS] = calloc((size_t)round, sizeof *objects);
    if (ok && !objects)
        ok = cr_fail(err, "out of memory");
    for (int first = 0; ok && first < count; first += round) {
        int end = count - first < round ? count : first + round;
        show_progress(name, first, count);
        ok = write_round(d, split, first, end, objects, err);
        for (int i = first; ok && i < end; i++)
            put_boxes(boxes, &(cr_scene){d->seed, split, (uint64_t)i, d->size, d->difficulty}, objects[i - first]);
    }
    free(objects);
    return ok;
}

/* ---- the set ---- */

static bool write_splits(const dataset *d, FILE *boxes, cr_error *err)
{
    bool ok = true;
    fputs("file,class,x0,y0,x1,y1\n", boxes);
    for (int split = 0; ok && split < CR_SCENE_SPLITS; split++)
        ok = !d->count[split] || write_split(d, (cr_scene_split)split, boxes, err);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    return ok;
}

bool dataset_write(const dataset *d, cr_error *err)
{
    if (strlen(d->dir) + NAME_SIZE >= PATH_SIZE)
        return cr_fail(err, "%.100s...: a folder's name is at most %d bytes long", d->dir, PATH_SIZE - NAME_SIZE - 1);
    char *text = NULL, path[PATH_SIZE];
    size_t bytes = 0;
    FILE *boxes = open_memstream(&text, &bytes);
    if (!boxes)
        return cr_fail(err, "out of memory");
    bool ok = take_folder(d->dir, err) && write_splits(d, boxes, err);
    if (fclose(boxes) != 0 && ok)
        ok = cr_fail(err, "out of memory for the boxes");
    snprintf(path, sizeof path, "%s/boxes.csv", d->dir);
    interrupt_hold();
    ok = ok && cr_file_write(path, text, bytes, err);
    interrupt_release();
    free(text);
    return ok;
}
