/* evaluate_subjects.c - which classes in which pictures are evaluated. */
#define _DEFAULT_SOURCE /* realpath */
#include "evaluate.h"

#include <stdlib.h>
#include <string.h>

/* By picture, then class, then as in the CSV file. */
static int by_subject(const void *a, const void *b)
{
    const cr_box *x = a, *y = b;
    const int order = strcmp(x->file, y->file);
    return order ? order : x->class_index != y->class_index ? x->class_index - y->class_index : x->line - y->line;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- which boxes' pictures are named ---- */

/* Real paths of pictures, sorted, and the first picture of each. */
typedef struct named {
    int n;
    char **paths;
    bool *found;
} named;

static void named_free(named *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->paths[i]);
    free(p->paths);
    free(p->found);
}

static bool named_create(named *p, const picture_list *pictures, cr_error *err)
{
    *p = (named){.paths = calloc((size_t)pictures->n + 1, sizeof *p->paths),
                 .found = calloc((size_t)pictures->n + 1, sizeof *p->found)};
    if (!p->paths || !p->found)
        return cr_fail(err, "out of memory");
    for (int i = 0; i < pictures->n; i++)
        if (!(p->paths[p->n++] = realpath(pictures->items[i].path, NULL))) {
            p->n--;
            return cr_fail(err, "%.300s: no such picture", pictures->items[i].path);
        }
    qsort(p->paths, (size_t)p->n, sizeof *p->paths, by_text);
    return true;
}

/* Whether file is one of them. */
static bool is_named(const named *p, const char *file)
{
    char *path = realpath(file, NULL);
    char **at = path ? bsearch(&path, p->paths, (size_t)p->n, sizeof path, by_text) : NULL;
    if (at)
        p->found[at - p->paths] = true;
    free(path);
    return at != NULL;
}

/* Frees the boxes of pictures that are not named; sees that each that is has one. */
static bool keep_named(cr_boxes *boxes, const picture_list *pictures, const char *csv, cr_error *err)
{
    named p;
    bool ok = named_create(&p, pictures, err);
    int kept = 0;
    for (int i = 0; ok && i < boxes->n; i++) {
        cr_box *box = &boxes->rows[i];
        if ((kept && strcmp(box->file, boxes->rows[kept - 1].file) == 0) || is_named(&p, box->file))
            boxes->rows[kept++] = *box;
        else
            free(box->file);
    }
    boxes->n = ok ? kept : boxes->n;
    for (int i = 0; ok && i < p.n; i++)
        if (!p.found[i] && (i == 0 || strcmp(p.paths[i], p.paths[i - 1]) != 0))
            ok = cr_fail(err, "%.200s: no box for this picture in %.200s", p.paths[i], csv);
    named_free(&p);
    return ok;
}

/* ---- subjects ---- */

static bool from_boxes(subjects *s, const evaluate_options *o, const network *n, cr_error *err)
{
    cr_boxes *boxes = &s->boxes;
    if (!cr_boxes_read(boxes, o->boxes, &n->labels, n->net->classes, err))
        return false;
    qsort(boxes->rows, (size_t)boxes->n, sizeof *boxes->rows, by_subject);
    if (s->pictures.n && !keep_named(boxes, &s->pictures, o->boxes, err))
        return false;
    const size_t room = (size_t)boxes->n + 1;
    if (!(s->all = calloc(room, sizeof *s->all)) || !(s->rects = calloc(room, sizeof *s->rects)) ||
        !(s->lines = calloc(room, sizeof *s->lines)))
        return cr_fail(err, "out of memory");
    for (int i = 0; i < boxes->n; i++) {
        const cr_box *box = &boxes->rows[i];
        s->rects[i] = box->rect;
        s->lines[i] = box->line;
        subject *last = s->n ? &s->all[s->n - 1] : NULL;
        if (last && strcmp(last->path, box->file) == 0 && last->target.index == box->class_index)
            last->n_boxes++;
        else
            s->all[s->n++] = (subject){box->file, {.index = box->class_index}, &s->rects[i], &s->lines[i], 1};
    }
    return true;
}

static bool from_targets(subjects *s, const evaluate_options *o, const network *n, cr_error *err)
{
    int n_targets;
    if (!network_targets(n, &o->classes, &s->targets, &n_targets, err))
        return false;
    if (!(s->all = calloc((size_t)s->pictures.n, (size_t)n_targets * sizeof *s->all)))
        return cr_fail(err, "out of memory");
    for (int i = 0; i < s->pictures.n; i++)
        for (int k = 0; k < n_targets; k++)
            s->all[s->n++] = (subject){.path = s->pictures.items[i].path, .target = s->targets[k]};
    return true;
}

bool subjects_find(subjects *s, const evaluate_options *o, const text_list *pictures, const network *n, cr_error *err)
{
    *s = (subjects){0};
    if (pictures->n && !picture_list_create(&s->pictures, pictures, &(text_list){0}, NULL, err))
        return false;
    return o->boxes ? from_boxes(s, o, n, err) : from_targets(s, o, n, err);
}

void subjects_free(subjects *s)
{
    picture_list_free(&s->pictures);
    free(s->all);
    free(s->rects);
    free(s->lines);
    free(s->targets);
    cr_boxes_free(&s->boxes);
    *s = (subjects){0};
}
