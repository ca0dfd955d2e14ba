/* boxes.c - reading boxes.h's CSV. */
#include "boxes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

enum { FILE_NAME, CLASS, X0, Y0, X1, Y1, COLUMNS };
static const char *const column_names[COLUMNS] = {"file", "class", "x0", "y0", "x1", "y1"};

enum { MOST_FIELDS = 64 };

/* The text that is left to read, and where it is from. */
typedef struct csv {
    const char *path;
    char *text;
    int line; /* of the row read last */
    int next; /* of the one after it */
} csv;

/* ---- rows ---- */

/* Cuts the field at *text off, unquoted in place, and moves *text behind it; *end is what ended it: ',', '\n' or '\0'. */
static bool read_field(csv *c, char **field, char *end, cr_error *err)
{
    char *from = c->text, *to = c->text;
    *field = to;
    bool quoted = *from == '"';
    if (quoted) {
        for (from++; *from && (*from != '"' || from[1] == '"'); *to++ = *from++) {
            from += *from == '"';
            c->next += *from == '\n';
        }
        if (*from++ != '"')
            return cr_fail(err, "%.200s:%d: a quote that is opened here is never closed", c->path, c->line);
    } else {
        while (*from && *from != ',' && *from != '\n')
            *to++ = *from++;
    }
    if (*from == '\r' && from[1] == '\n')
        from++;
    *end = *from;
    if (*end && *end != ',' && *end != '\n')
        return cr_fail(err, "%.200s:%d: expected a comma behind a closing quote, found '%.*s'", c->path, c->line,
                       (int)strcspn(from, ",\r\n"), from);
    c->text = *end ? from + 1 : from;
    if (!quoted && to > *field && to[-1] == '\r')
        to--;
    *to = '\0';
    return true;
}

/* *n is 0 at the end of the text; blank lines are passed over. */
static bool read_row(csv *c, char *fields[MOST_FIELDS], int *n, cr_error *err)
{
    char end = '\n';
    *n = 0;
    while (*c->text == '\n' || (*c->text == '\r' && c->text[1] == '\n')) {
        c->next++;
        c->text += *c->text == '\r' ? 2 : 1;
    }
    c->line = c->next;
    if (!*c->text)
        return true;
    do {
        if (*n == MOST_FIELDS)
            return cr_fail(err, "%.200s:%d: more than %d columns", c->path, c->line, MOST_FIELDS);
        if (!read_field(c, &fields[(*n)++], &end, err))
            return false;
    } while (end == ',');
    c->next += end == '\n';
    return true;
}

static bool find_columns(int column[COLUMNS], char *const *names, int n, const csv *c, cr_error *err)
{
    for (int i = 0; i < COLUMNS; i++) {
        column[i] = -1;
        for (int k = 0; k < n; k++) {
            if (strcmp(names[k], column_names[i]) != 0)
                continue;
            if (column[i] >= 0)
                return cr_fail(err, "%.200s:%d: two columns are called %s", c->path, c->line, column_names[i]);
            column[i] = k;
        }
        if (column[i] < 0)
            return cr_fail(err, "%.200s:%d: expected a first line that names the columns, as file,class,x0,y0,x1,y1; there "
                           "is no %s", c->path, c->line, column_names[i]);
    }
    return true;
}

/* ---- values ---- */

static bool read_pixel(int *value, const char *text, int which, const csv *c, cr_error *err)
{
    char *end;
    errno = 0;
    const long v = strtol(text, &end, 10);
    if (end == text || *end || errno || v < -(1 << 20) || v > 1 << 20)
        return cr_fail(err, "%.200s:%d: %s: expected a whole number of pixels, found '%.40s'", c->path, c->line,
                       column_names[which], text);
    *value = (int)v;
    return true;
}

static char *path_beside(const char *csv_path, const char *file)
{
    const char *slash = strrchr(csv_path, '/');
    const int folder = *file == '/' || !slash ? 0 : (int)(slash + 1 - csv_path);
    const size_t size = (size_t)folder + strlen(file) + 1;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%.*s%s", folder, csv_path, file);
    return path;
}

static bool read_box(cr_box *box, char *const fields[COLUMNS], const csv *c, const cr_labels *labels, int classes,
                     cr_error *err)
{
    cr_error why;
    cr_target target;
    *box = (cr_box){.line = c->line};
    if (!*fields[FILE_NAME])
        return cr_fail(err, "%.200s:%d: expected a picture's file name, found nothing", c->path, c->line);
    if (!cr_target_parse(&target, fields[CLASS], labels, classes, &why))
        return cr_fail(err, "%.150s:%d: class: %.300s", c->path, c->line, why.text);
    const char *name = cr_label(labels, target.index); /* of one class: half a name is no answer here */
    const bool digits = strspn(fields[CLASS], "0123456789") == strlen(fields[CLASS]);
    if (target.index < 0 || (!digits && strlen(name) != strlen(fields[CLASS])))
        return cr_fail(err, "%.200s:%d: class: expected a whole name or an index, found '%.40s'", c->path, c->line,
                       fields[CLASS]);
    box->class_index = target.index;
    cr_rect *r = &box->rect;
    int *const values[COLUMNS] = {[X0] = &r->x0, [Y0] = &r->y0, [X1] = &r->x1, [Y1] = &r->y1};
    for (int i = X0; i <= Y1; i++)
        if (!read_pixel(values[i], fields[i], i, c, err))
            return false;
    if (r->x0 >= r->x1 || r->y0 >= r->y1)
        return cr_fail(err, "%.200s:%d: expected x0 < x1 and y0 < y1, found a box from (%d,%d) to (%d,%d), which holds no "
                       "pixel", c->path, c->line, r->x0, r->y0, r->x1, r->y1);
    box->file = path_beside(c->path, fields[FILE_NAME]);
    return box->file || cr_fail(err, "out of memory for the boxes of %.200s", c->path);
}

/* ---- the file ---- */

static bool grow(cr_boxes *boxes, int *room, const csv *c, cr_error *err)
{
    if (boxes->n < *room)
        return true;
    const int more = *room ? *room * 2 : 256;
    cr_box *rows = more <= 1 << 26 ? realloc(boxes->rows, (size_t)more * sizeof *rows) : NULL;
    if (!rows)
        return cr_fail(err, "out of memory for the boxes of %.200s", c->path);
    boxes->rows = rows;
    *room = more;
    return true;
}

static bool read_rows(cr_boxes *boxes, csv *c, const cr_labels *labels, int classes, cr_error *err)
{
    char *fields[MOST_FIELDS], *values[COLUMNS];
    int n, columns, column[COLUMNS], room = 0;
    if (!read_row(c, fields, &columns, err) || !find_columns(column, fields, columns, c, err))
        return false;
    while (read_row(c, fields, &n, err)) {
        if (!n)
            return boxes->n || cr_fail(err, "%.200s: expected boxes below the first line, found none", c->path);
        if (n != columns)
            return cr_fail(err, "%.200s:%d: expected %d values, as the first line has, found %d", c->path, c->line, columns,
                           n);
        for (int i = 0; i < COLUMNS; i++)
            values[i] = fields[column[i]];
        if (!grow(boxes, &room, c, err) || !read_box(&boxes->rows[boxes->n], values, c, labels, classes, err))
            return false;
        boxes->n++;
    }
    return false;
}

bool cr_boxes_read(cr_boxes *boxes, const char *path, const cr_labels *labels, int classes, cr_error *err)
{
    *boxes = (cr_boxes){0};
    char *text = cr_file_read_text(path, "a text file of boxes, file,class,x0,y0,x1,y1", err);
    csv c = {path, text, 1, 1};
    const bool ok = text && read_rows(boxes, &c, labels, classes, err);
    if (!ok)
        cr_boxes_free(boxes);
    free(text);
    return ok;
}

void cr_boxes_free(cr_boxes *boxes)
{
    for (int i = 0; i < boxes->n; i++)
        free(boxes->rows[i].file);
    free(boxes->rows);
    *boxes = (cr_boxes){0};
}
