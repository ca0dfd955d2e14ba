/* results.c - lines, manifest and what is done (results.h). */
#include "results.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"
#include "json.h"

/* ---- settings ---- */

static void write_list(json_writer *j, const char *key, const text_list *list)
{
    json_open(j, key, '[');
    for (int i = 0; i < list->n; i++)
        json_text(j, NULL, list->items[i]);
    json_close(j, ']');
}

/* Everything that changes a line or a picture. */
static void write_settings(json_writer *j, const options *o, const run_facts *f, uint64_t weights)
{
    char number[32];
    uint64_t labels = HASH_START;
    for (int i = 0; i < f->net->classes && cr_label(f->labels, i); i++)
        labels = hash_bytes(labels, cr_label(f->labels, i), strlen(cr_label(f->labels, i)) + 1);
    json_open(j, "settings", '{');
    json_text(j, "camrun", CAMRUN_VERSION);
    json_text(j, "arch", f->net->arch);
    snprintf(number, sizeof number, "%016" PRIx64, weights);
    json_text(j, "weights_fingerprint", number);
    snprintf(number, sizeof number, "%016" PRIx64, labels);
    json_text(j, "class_names_fingerprint", number);
    json_transform(j, f->transform);
    json_open(j, "methods", '[');
    for (int i = 0; i < f->n_methods; i++)
        json_text(j, NULL, f->methods[i]->name);
    json_close(j, ']');
    json_open(j, "layers", '[');
    for (int i = 0; i < f->n_layers; i++)
        json_text(j, NULL, f->net->nodes[f->layers[i]].name);
    json_close(j, ']');
    write_list(j, "classes", &o->classes);
    json_bool(j, "eigen_smooth", o->eigen_smooth);
    json_bool(j, "aug_smooth", o->aug_smooth);
    json_bool(j, "average_classes", o->average_classes);
    json_bool(j, "direct", o->direct);
    json_integer(j, "seed", o->seed);
    json_text(j, "output", o->output);
    json_bool(j, "panel", o->panel);
    json_bool(j, "sheet", o->sheet);
    json_float(j, "alpha", o->alpha);
    json_text(j, "colormap", o->colormap ? cr_colormap_name(o->colormap) : NULL);
    json_bool(j, "timing", o->timing);
    json_close(j, '}');
}

/* The manifest's text: settings alone where c is NULL. NULL: no memory. */
static char *manifest_text(const results *r, const options *o, const run_facts *f, uint64_t weights, const counts *c,
                           bool complete)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    json_writer j = {.out = out};
    if (!c) {
        json_open(&j, NULL, '{');
        write_settings(&j, o, f, weights);
    } else {
        fputs(r->settings, out);
        j = (json_writer){.out = out, .depth = 1, .filled = true};
        json_text(&j, "weights", f->weights);
        json_text(&j, "results", r->path);
        json_integer(&j, "threads", cr_threads());
        json_text(&j, "isa", cr_isa());
        json_integer(&j, "pictures", c->pictures);
        json_integer(&j, "done", c->before + c->done);
        json_integer(&j, "failed", c->failed);
        json_bool(&j, "complete", complete);
        json_double(&j, "seconds", c->ms / 1e3);
        json_close(&j, '}');
    }
    bool ok = !ferror(out);
    if (fclose(out) != 0 || !ok) {
        free(text);
        return NULL;
    }
    return text;
}

/* "results.jsonl" has results.manifest.json beside it. */
static char *manifest_path(const char *path)
{
    static const char suffix[] = ".jsonl";
    size_t length = strlen(path), cut = sizeof suffix - 1, size = length + 32;
    char *to = malloc(size);
    if (length > cut && strcmp(path + length - cut, suffix) == 0)
        length -= cut;
    if (to)
        snprintf(to, size, "%.*s.manifest.json", (int)length, path);
    return to;
}

bool results_end(results *r, const counts *c, bool complete, cr_error *err)
{
    if (!r->path)
        return true;
    char *text = manifest_text(r, NULL, r->facts, 0, c, complete);
    bool ok = (text || cr_fail(err, "out of memory")) && cr_file_write(r->manifest, text, strlen(text), err);
    free(text);
    return ok;
}

/* ---- what is done ---- */

/* The line of `text` at *at, without white space and comma, and moves *at behind it. */
static void take_line(const char **at, char *line, size_t size)
{
    size_t length = strcspn(*at, "\n"), blank = strspn(*at, " ");
    size_t end = length && (*at)[length - 1] == ',' ? length - 1 : length;
    blank = blank < end ? blank : end;
    snprintf(line, size, "%.*s", (int)(end - blank), *at + blank);
    *at += length + ((*at)[length] == '\n');
}

/* Of a line "key": value. An element of an array is one itself. */
static const char *value_of(const char *line)
{
    const char *colon = strstr(line, "\": ");
    return colon ? colon + 3 : line;
}

/* Whether the manifest that is there begins with the settings of this run. */
static bool same_settings(const results *r, cr_error *err)
{
    unsigned char *data;
    size_t bytes, length = strlen(r->settings);
    if (!cr_file_read(r->manifest, &data, &bytes, err))
        return false;
    bool same = bytes >= length && memcmp(data, r->settings, length) == 0;
    char *found = same ? NULL : strndup((char *)data, bytes);
    free(data);
    if (same)
        return true;
    char key[64] = "", was[160] = "", is[160] = "";
    for (const char *a = found, *b = r->settings; a && *b && strcmp(was, is) == 0;) {
        take_line(&a, was, sizeof was);
        take_line(&b, is, sizeof is);
        if (strstr(is, "\": "))
            snprintf(key, sizeof key, "%.*s", (int)strcspn(is + 1, "\""), is + 1);
    }
    free(found);
    return cr_fail(err, "%.200s: --resume goes on with the same settings alone: expected %s %.100s, found %.100s; name other "
                   "results, or remove these", r->manifest, key, value_of(was), value_of(is));
}

typedef struct place {
    const char *path;
    int picture;
} place;

static int by_path(const void *a, const void *b)
{
    return strcmp(((const place *)a)->path, ((const place *)b)->path);
}

/* The pictures in an order to find them by path in. NULL: no memory. */
static place *index_pictures(const picture_list *l)
{
    place *places = calloc((size_t)l->n + 1, sizeof *places);
    for (int i = 0; places && i < l->n; i++)
        places[i] = (place){l->items[i].path, i};
    if (places)
        qsort(places, (size_t)l->n, sizeof *places, by_path);
    return places;
}

static bool take_key(json *j, const char *key)
{
    span raw;
    return cr_json_string(j, &raw) && cr_span_is(raw, key) && cr_json_take(j, ':');
}

/* A string, at most as long as a path; no file has a longer one's name. */
static bool take_path(json *j, char path[PATH_SIZE])
{
    span raw;
    if (!cr_json_string(j, &raw) || raw.size >= PATH_SIZE)
        return false;
    cr_json_decode(raw, path);
    return true;
}

/* What a line says. */
typedef struct record {
    char source[PATH_SIZE];
    bool failed;
    uint64_t bytes; /* of the source */
    bool whole;     /* all pictures that it names are there */
} record;

static bool read_record(record *to, const char *line, size_t length)
{
    json j = {(const uint8_t *)line, (const uint8_t *)line + length};
    char picture[PATH_SIZE];
    *to = (record){.whole = true};
    if (!cr_json_take(&j, '{') || !take_key(&j, "source") || !take_path(&j, to->source) || !cr_json_take(&j, ','))
        return false;
    json error = j;
    if ((to->failed = take_key(&error, "error")))
        return true;
    if (!take_key(&j, "bytes") || !cr_json_size(&j, &to->bytes) || !cr_json_take(&j, ',') || !take_key(&j, "pictures") ||
        !cr_json_take(&j, '['))
        return false;
    while (!cr_json_take(&j, ']')) {
        struct stat st;
        if (!take_path(&j, picture))
            return false;
        to->whole = to->whole && stat(picture, &st) == 0;
        cr_json_take(&j, ',');
    }
    return true;
}

/* Whether a line stays: it is of a picture that is done, or of none of this run's. */
static bool keep_record(results *r, const picture_list *l, const place *places, const record *found)
{
    const place wanted = {.path = found->source};
    const place *at = bsearch(&wanted, places, (size_t)l->n, sizeof *places, by_path);
    if (!at)
        return true;
    if (found->failed || !found->whole || r->done[at->picture] ||
        (int64_t)found->bytes != l->items[at->picture].bytes)
        return false;
    r->done[at->picture] = true;
    r->n_done++;
    return true;
}

/* Reads the lines that are there, a torn one at the end left out, and writes anew those that stay. */
static bool read_done(results *r, const picture_list *l, cr_error *err)
{
    FILE *in = fopen(r->path, "r");
    if (!in)
        return cr_fail(err, "%.300s: cannot open: %s", r->path, strerror(errno));
    place *places = index_pictures(l);
    record *found = malloc(sizeof *found);
    cr_file *out = places && found ? cr_file_create(r->path, err) : NULL;
    bool ok = out || (places && found) || cr_fail(err, "out of memory");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    for (int number = 1; out && ok && (length = getline(&line, &room, in)) > 0 && line[length - 1] == '\n'; number++) {
        ok = read_record(found, line, (size_t)length) ||
             cr_fail(err, "%.300s: line %d is none of --jsonl's: name another file", r->path, number);
        if (ok && keep_record(r, l, places, found))
            cr_file_add(out, line, (size_t)length);
    }
    if (out && ok)
        ok = cr_file_finish(out, false, err);
    else if (out)
        cr_file_discard(out);
    free(line);
    free(found);
    free(places);
    fclose(in);
    return ok && out;
}

/* ---- the whole ---- */

bool results_open(results *r, const options *o, const run_facts *facts, uint64_t weights, const picture_list *pictures,
                  cr_error *err)
{
    struct stat st;
    *r = (results){.path = o->jsonl, .facts = facts, .fd = -1};
    r->done = calloc((size_t)pictures->n + 1, sizeof *r->done);
    if (!r->path)
        return r->done || cr_fail(err, "out of memory");
    r->manifest = manifest_path(r->path);
    r->settings = manifest_text(r, o, facts, weights, NULL, false);
    if (!r->done || !r->manifest || !r->settings)
        return cr_fail(err, "out of memory");
    const bool exists = stat(r->path, &st) == 0 && st.st_size > 0;
    if (exists && !o->resume)
        return cr_fail(err, "%.300s: there are results already: add --resume to go on with them, or name another file",
                       r->path);
    if (o->resume) {
        cr_file_sweep(r->path);
        cr_file_sweep(r->manifest);
    }
    if (exists && (!same_settings(r, err) || !read_done(r, pictures, err)))
        return false;
    if ((r->fd = open(r->path, O_WRONLY | O_CREAT | O_APPEND, 0666)) < 0)
        return cr_fail(err, "%.300s: cannot write: %s", r->path, strerror(errno));
    return results_end(r, &(counts){.pictures = pictures->n, .before = r->n_done}, false, err);
}

bool results_add(results *r, const char *line, cr_error *err)
{
    for (size_t done = 0, bytes = strlen(line); r->path && done < bytes;) {
        ssize_t put = write(r->fd, line + done, bytes - done);
        if (put < 0 && errno != EINTR)
            return cr_fail(err, "%.300s: cannot write: %s", r->path, strerror(errno));
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

void results_free(results *r)
{
    if (r->path && r->fd >= 0)
        close(r->fd);
    free(r->manifest);
    free(r->settings);
    free(r->done);
    *r = (results){0};
}
