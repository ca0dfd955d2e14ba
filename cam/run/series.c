/* series.c - see series.h. */
#include "series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interrupt.h"
#include "program.h"
#include "progress.h"

/* ---- which pictures ---- */

bool series_list(series *s, const text_list *operands, const text_list *lists, cr_error *err)
{
    for (int i = 0; s->output && i < operands->n; i++)
        if (is_folder(operands->items[i]) && same_file(s->output, operands->items[i]))
            return cr_fail(err, "-o: '%.200s' is the folder of the pictures: expected another one", s->output);
    if (!picture_list_create(&s->pictures, operands, lists, s->output, err))
        return false;
    s->many = s->pictures.open || s->pictures.n > 1;
    s->stems = calloc((size_t)s->pictures.n + 1, sizeof *s->stems);
    return s->stems || cr_fail(err, "out of memory");
}

void series_free(series *s)
{
    for (int i = 0; s->stems && i < s->pictures.n; i++)
        free(s->stems[i]);
    free(s->stems);
    picture_list_free(&s->pictures);
    *s = (series){0};
}

/* ---- names of what is made of them ---- */

char *picture_stem(const char *path)
{
    const char *name = base_name(path);
    return strndup(name, path_stem_length(name));
}

bool series_path(char path[PATH_SIZE], const series *s, const char *stem, const char *kind, const char *suffix, cr_error *err)
{
    if (s->many)
        return picture_path_in(path, s->output, stem, kind, suffix, err);
    char all[PATH_SIZE];
    const bool named = s->output && !is_folder(s->output) && s->n_kinds > 1;
    snprintf(all, sizeof all, "%s%s%s", named ? "_" : "", named ? kind : "", suffix);
    return picture_path(path, s->output, stem, kind, all, err);
}

/* A picture's place in the order of stems. */
typedef struct planned {
    const char *stem;
    int picture;
} planned;

static int by_stem(const void *a, const void *b)
{
    return strcmp(((const planned *)a)->stem, ((const planned *)b)->stem);
}

/* Where several files would have one name: with their folders kept, pictures whose names differ in the ending alone keep
 * it, too; without, there is no telling them apart. A picture that does not exist is no reason. */
static bool tell_apart(series *s, planned *order, cr_error *err)
{
    const picture_file *pictures = s->pictures.items;
    int n = 0;
    for (int i = 0; i < s->pictures.n; i++)
        if (pictures[i].bytes >= 0)
            order[n++] = (planned){s->stems[i], i};
    qsort(order, (size_t)n, sizeof *order, by_stem);
    for (int i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && strcmp(order[i].stem, order[next].stem) == 0; next++)
            continue;
        if (next > i + 1 && !s->output)
            return cr_fail(err, "'%.100s' and '%.100s' would both be written to '%.100s_%s.png': explain them in separate "
                           "runs, or add -o FOLDER, which keeps their folders", pictures[order[i].picture].path,
                           pictures[order[i + 1].picture].path, order[i].stem, s->kinds[0]);
        for (int k = i; next > i + 1 && k < next; k++) {
            free(s->stems[order[k].picture]);
            if (!(s->stems[order[k].picture] = strdup(pictures[order[k].picture].name)))
                return cr_fail(err, "out of memory");
        }
    }
    return true;
}

bool series_name(series *s, cr_error *err)
{
    const picture_list *l = &s->pictures;
    struct stat info;
    const bool names_file = s->output && !is_folder(s->output) &&
                            (s->output[path_stem_length(s->output)] || stat(s->output, &info) == 0);
    if (s->many && names_file)
        return cr_fail(err, "-o: %d picture%s need%s a folder: expected its name, found '%.200s'", l->n, l->n > 1 ? "s" : "",
                       l->n > 1 ? "" : "s", s->output);
    if (l->open && !s->output)
        return cr_fail(err, "the pictures of a folder, pattern or list go to a folder: add -o FOLDER");
    planned *order = calloc((size_t)l->n + 1, sizeof *order);
    bool ok = order != NULL;
    for (int i = 0; ok && i < l->n; i++) {
        const char *name = l->items[i].name;
        s->stems[i] = s->output && s->many ? strndup(name, path_stem_length(name)) : picture_stem(name);
        ok = s->stems[i] != NULL;
    }
    ok = ok ? tell_apart(s, order, err) : cr_fail(err, "out of memory");
    free(order);
    for (int i = 0; ok && i < l->n * s->n_kinds; i++) {
        char path[PATH_SIZE];
        ok = series_path(path, s, s->stems[i / s->n_kinds], s->kinds[i % s->n_kinds], "", err) &&
             check_not_itself(path, l->items[i / s->n_kinds].path, err);
    }
    return ok;
}

/* ---- running over them ---- */

bool series_write(const series *s, const cr_image *image, const char *path, cr_error *err)
{
    return (!s->many || !s->output || make_folders(path, err)) && picture_write(image, path, err);
}

int series_status(int pictures, int failed, cr_error *err)
{
    if (!failed)
        return DONE;
    if (pictures == 1)
        cr_fail(err, "the only picture failed");
    else if (failed == pictures)
        cr_fail(err, "all %d pictures failed", failed);
    else
        cr_fail(err, "%d of %d pictures failed", failed, pictures);
    return failed == pictures ? BAD_INPUT : SOME_FAILED;
}

static void show_progress(const series *s, const series_work *w, progress *line, int i)
{
    if (!s->many || (!w->silent && isatty(STDOUT_FILENO)) || !progress_due(line))
        return;
    fprintf(stderr, "\r\033[K%d/%d ", i + 1, s->pictures.n);
    put_printable(stderr, s->pictures.items[i].name);
    fflush(stderr);
}

/* Of a run of many that it does not end: the picture is told of and passed over. */
static bool pass_over(const series *s, const series_work *w, progress *line, verdict v, int *failed, const cr_error *err)
{
    if (v != PICTURE_FAILED || !s->many)
        return false;
    progress_clear(line);
    complain(w->program, err, 0);
    ++*failed;
    return true;
}

int series_run(const series *s, const series_work *w, cr_error *err)
{
    progress line = progress_start();
    int done = 0, failed = 0;
    bool ok = true;
    if (s->many)
        interrupt_hold();
    for (int i = 0; ok && i < s->pictures.n && !(s->many && interrupt_waits()); i++) {
        show_progress(s, w, &line, i);
        const verdict v = w->one(w->owner, &s->pictures.items[i], s->stems[i], err);
        done += v == PICTURE_DONE;
        ok = v == PICTURE_DONE || pass_over(s, w, &line, v, &failed, err);
    }
    progress_clear(&line);
    ok = ok && (!done || !w->finish || w->finish(w->owner, done, err));
    fflush(stdout);
    if (s->many)
        interrupt_release(); /* a signal that was held ends the program here */
    return ok ? series_status(s->pictures.n, failed, err) : BAD_INPUT;
}
