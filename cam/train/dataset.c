/* dataset.c - scanning, splitting and ordering (dataset.h). */
#define _DEFAULT_SOURCE /* scandir */
#include "dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "hash.h"
#include "json_writer.h"
#include "picture_list.h"
#include "stream.h"

/* ---- one folder ---- */

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Bytes of UTF-8 sort as its code points do, and code points are what Python sorts by. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

typedef struct listing {
    struct dirent **entries;
    int n;
} listing;

static bool list(listing *l, const char *folder, cr_error *err)
{
    l->n = scandir(folder, &l->entries, not_hidden, by_name);
    if (l->n >= 0)
        return true;
    *l = (listing){0};
    return cr_fail(err, "%s: cannot read the folder: %s", folder, strerror(errno));
}

static void listing_free(listing *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->entries[i]);
    free(l->entries);
}

static bool no_memory(const dataset *d, cr_error *err)
{
    return cr_fail(err, "%s: out of memory for the list of its %d pictures", d->folder, d->n);
}

/* ---- pictures ---- */

/* Adds a class's pictures, those of a folder and of all below it. */
static bool add_folder(dataset *d, const char *folder, int label, cr_error *err)
{
    picture_list l = {.passed_over = d->passed_over, .first_passed_over = d->first_passed_over};
    bool ok = picture_list_add_folder(&l, folder, err);
    d->passed_over = l.passed_over;
    d->first_passed_over = l.first_passed_over;
    l.first_passed_over = NULL;
    sample *bigger = ok && l.n ? realloc(d->samples, ((size_t)d->n + (size_t)l.n) * sizeof *bigger) : NULL;
    if (bigger)
        d->samples = bigger;
    else if (ok && l.n)
        ok = no_memory(d, err);
    for (int i = 0; ok && i < l.n; i++) {
        d->samples[d->n++] = (sample){l.items[i].path, label, l.items[i].bytes};
        l.items[i].path = NULL;
    }
    picture_list_free(&l);
    return ok;
}

/* ---- classes ---- */

/* Which of the names this is, -1 where it is none. */
static int find_class(char *const *classes, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(classes[i], name) == 0)
            return i;
    return -1;
}

/* The sub-folders' names become the classes; *files counts what else is there. */
static bool find_classes(dataset *d, int *files, cr_error *err)
{
    listing l;
    *files = 0;
    if (!list(&l, d->folder, err))
        return false;
    bool ok = (d->classes = calloc((size_t)l.n + 1, sizeof *d->classes)) || no_memory(d, err);
    for (int i = 0; ok && i < l.n; i++) {
        struct stat st;
        char *path = join_path(d->folder, l.entries[i]->d_name);
        if (!path)
            ok = no_memory(d, err);
        else if (stat(path, &st) != 0)
            ok = cr_fail(err, "%s: %s", path, strerror(errno));
        else if (!S_ISDIR(st.st_mode))
            ++*files;
        else if (!json_is_utf8(l.entries[i]->d_name))
            ok = cr_fail(err, "%s: expected a class's name in UTF-8; rename the folder", path);
        else if ((d->classes[d->n_classes] = strdup(l.entries[i]->d_name)))
            d->n_classes++;
        else
            ok = no_memory(d, err);
        free(path);
    }
    listing_free(&l);
    return ok;
}

static bool is_part_name(const char *name)
{
    static const char *const parts[] = {"train", "training", "val", "valid", "validation", "test"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcasecmp(name, parts[i]) == 0)
            return true;
    return false;
}

/* What a class must be, and what users take for classes. */
static bool check_classes(const dataset *d, int files, cr_error *err)
{
    if (d->n_classes == 0)
        return cr_fail(err, "%s: expected one folder of pictures for each class, found no folders and %d file%s", d->folder,
                       files, files == 1 ? "" : "s");
    int parts = 0;
    for (int i = 0; i < d->n_classes; i++)
        parts += is_part_name(d->classes[i]);
    if (parts == d->n_classes)
        return cr_fail(err, "%s: expected one folder for each class, found parts of a data set (%s%s%s): give the one to "
                       "train on, and a held-out one with --val", d->folder, d->classes[0], parts > 1 ? ", " : "",
                       parts > 1 ? d->classes[1] : "");
    if (d->n_classes == 1)
        return cr_fail(err, "%s: expected a folder for each of two classes or more, found only '%.100s'", d->folder,
                       d->classes[0]);
    return true;
}

/* Takes over the classes of another data set: no folder here may be of another class. */
static bool adopt_classes(dataset *d, const dataset *of, cr_error *err)
{
    for (int i = 0; i < d->n_classes; i++)
        if (find_class(of->classes, of->n_classes, d->classes[i]) < 0)
            return cr_fail(err, "%s: '%.100s' is none of the %d classes in %.200s", d->folder, d->classes[i],
                           of->n_classes, of->folder);
    char **classes = calloc((size_t)of->n_classes + 1, sizeof *classes);
    bool ok = classes != NULL;
    for (int i = 0; ok && i < of->n_classes; i++)
        ok = (classes[i] = strdup(of->classes[i])) != NULL;
    for (int i = 0; i < d->n_classes; i++)
        free(d->classes[i]);
    free(d->classes);
    d->classes = classes;
    d->n_classes = classes ? of->n_classes : 0;
    return ok || no_memory(d, err);
}

/* ---- the whole ---- */

bool dataset_scan(dataset *d, const char *folder, const dataset *classes_of, cr_error *err)
{
    *d = (dataset){.folder = strdup(folder)};
    int files = 0;
    if (!d->folder)
        return cr_fail(err, "out of memory");
    if (!find_classes(d, &files, err) ||
        !(classes_of && d->n_classes ? adopt_classes(d, classes_of, err) : check_classes(d, files, err)))
        return false;
    for (int c = 0; c < d->n_classes; c++) {
        int before = d->n;
        struct stat st;
        char *path = join_path(d->folder, d->classes[c]);
        bool ok = path || no_memory(d, err);
        if (ok && (!classes_of || stat(path, &st) == 0))
            ok = add_folder(d, path, c, err);
        if (ok && d->n == before && !classes_of)
            ok = cr_fail(err, "%s: no picture of this class: expected names that end in " PICTURE_ENDINGS, path);
        free(path);
        if (!ok)
            return false;
    }
    return d->n || cr_fail(err, "%s: no pictures: expected names that end in " PICTURE_ENDINGS, d->folder);
}

void dataset_free(dataset *d)
{
    for (int i = 0; i < d->n; i++)
        free(d->samples[i].path);
    for (int i = 0; i < d->n_classes; i++)
        free(d->classes[i]);
    free(d->samples);
    free(d->classes);
    free(d->folder);
    free(d->first_passed_over);
    *d = (dataset){0};
}

bool dataset_split(dataset *d, dataset *held_out, double share, uint64_t seed, cr_error *err)
{
    *held_out = (dataset){.folder = strdup(d->folder)};
    int *order = malloc((size_t)d->n * sizeof *order);
    bool *moves = calloc((size_t)d->n, sizeof *moves);
    held_out->samples = calloc((size_t)d->n, sizeof *held_out->samples);
    bool ok = (order && moves && held_out->folder && held_out->samples) || no_memory(d, err);
    ok = ok && adopt_classes(held_out, d, err);
    for (int first = 0, n; ok && first < d->n; first += n) {
        int label = d->samples[first].label;
        for (n = 0; first + n < d->n && d->samples[first + n].label == label; n++)
            order[n] = first + n;
        stream s = stream_of(seed, FOR_SPLIT, (uint64_t)label, 0);
        shuffle(order, n, &s);
        int moved = (int)(share * n + 0.5);
        for (int i = 0; i < moved && i < n - 1; i++)
            moves[order[i]] = true;
    }
    int kept = 0;
    for (int i = 0; ok && i < d->n; i++) {
        if (moves[i])
            held_out->samples[held_out->n++] = d->samples[i];
        else
            d->samples[kept++] = d->samples[i];
    }
    if (ok) {
        d->n = kept;
        ok = held_out->n > 0 || cr_fail(err, "%s: %g of the pictures of each class are none to hold out: expected a larger "
                                        "share, a folder of others, or 0", d->folder, share);
    }
    free(order);
    free(moves);
    return ok;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

uint64_t dataset_fingerprint(const dataset *d)
{
    size_t folder = strlen(d->folder);
    uint64_t hash = HASH_START;
    for (int i = 0; i < d->n_classes; i++)
        hash = hash_text(hash, d->classes[i]);
    for (int i = 0; i < d->n; i++) {
        hash = hash_text(hash, d->samples[i].path + folder + (d->samples[i].path[folder] == '/'));
        hash = hash_bytes(hash, &d->samples[i].bytes, sizeof d->samples[i].bytes);
    }
    return hash;
}

void dataset_order(int *order, int n, uint64_t seed, int epoch)
{
    for (int i = 0; i < n; i++)
        order[i] = i;
    stream s = stream_of(seed, FOR_ORDER, (uint64_t)epoch, 0);
    shuffle(order, n, &s);
}
