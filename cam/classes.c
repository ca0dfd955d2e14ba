/* classes.c - reading class names, and finding the class a word means. */
#include "classes.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "nearest.h"

/* ---- names ---- */

const char *cr_label(const cr_labels *labels, int class_index)
{
    return class_index >= 0 && class_index < labels->n ? labels->names[class_index] : NULL;
}

void cr_class_title(char *title, size_t size, const cr_labels *labels, int class_index)
{
    const char *name = cr_label(labels, class_index);
    if (name)
        snprintf(title, size, "%d %s", class_index, name);
    else
        snprintf(title, size, "class %d", class_index);
}

void cr_labels_free(cr_labels *labels)
{
    for (int i = 0; i < labels->n; i++)
        free(labels->names[i]);
    free(labels->names);
    *labels = (cr_labels){0};
}

bool cr_labels_create(cr_labels *labels, char *const *names, int n, cr_error *err)
{
    *labels = (cr_labels){.names = calloc((size_t)n + 1, sizeof *labels->names)};
    while (labels->names && labels->n < n && (labels->names[labels->n] = strdup(names[labels->n])))
        labels->n++;
    if (labels->n == n && labels->names)
        return true;
    cr_labels_free(labels);
    return cr_fail(err, "out of memory for %d class names", n);
}

/* Cuts white space from both ends. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length && strchr(" \t\r\n", text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

/* Cuts text, which is changed, into lines and keeps pointers to at most max of them; *n counts all. */
static bool split_lines(char **lines, int *n, int max, char *text, const char *path, cr_error *err)
{
    size_t length = strlen(text);
    while (length && strchr(" \t\r\n", text[length - 1])) /* blank lines at the end are no names */
        text[--length] = '\0';
    *n = 0;
    for (char *line = text, *end; line; line = end) {
        if ((end = strchr(line, '\n')))
            *end++ = '\0';
        line = trim(line);
        if (!*line)
            return cr_fail(err, "%.200s:%d: expected a class name, found a blank line", path, *n + 1);
        if (*n < max)
            lines[*n] = line;
        ++*n;
    }
    return true;
}

bool cr_labels_read(cr_labels *labels, const char *path, int classes, cr_error *err)
{
    *labels = (cr_labels){0};
    char *text = cr_file_read_text(path, "a text file with one class name a line", err);
    char **lines = calloc((size_t)classes, sizeof *lines);
    int n;
    bool ok = text && (lines || cr_fail(err, "%.200s: out of memory", path)) && split_lines(lines, &n, classes, text, path, err);
    if (ok && n != classes)
        ok = cr_fail(err, "%.200s: expected %d class names, one a line, as the network has classes; found %d", path, classes, n);
    ok = ok && cr_labels_create(labels, lines, n, err);
    free(lines);
    free(text);
    return ok;
}

/* ---- from a word to a class ---- */

/* As names are compared: case and the choice of "_" or " " do not matter. */
static int fold(char c)
{
    return c == '_' ? ' ' : tolower((unsigned char)c);
}

/* Whether name begins with word; *whole tells whether that is all of it. */
static bool begins_with(const char *name, const char *word, bool *whole)
{
    while (*word && fold(*name) == fold(*word))
        name++, word++;
    *whole = *word == '\0' && *name == '\0';
    return *word == '\0';
}

static bool is_name(const char *name, const char *word)
{
    bool whole;
    begins_with(name, word, &whole);
    return whole;
}

static bool is_part(const char *name, const char *word)
{
    bool whole;
    for (; *name; name++)
        if (begins_with(name, word, &whole))
            return true;
    return false;
}

/* Counts the classes whose names match; *first is the first of them, and `list` the first few as "12 tabby, 15 cat". */
static int find_names(const cr_labels *labels, const char *word, bool (*match)(const char *, const char *), int *first,
                      char *list, size_t size)
{
    enum { LISTED = 5 };
    int found = 0;
    list[0] = '\0';
    for (int i = 0; i < labels->n; i++) {
        if (!match(labels->names[i], word))
            continue;
        if (found++ == 0)
            *first = i;
        size_t used = strlen(list);
        if (found <= LISTED)
            snprintf(list + used, size - used, "%s%d %.40s", found > 1 ? ", " : "", i, labels->names[i]);
        else if (found == LISTED + 1)
            snprintf(list + used, size - used, ", ...");
    }
    return found;
}

static bool near_name(const char *name, const char *word)
{
    return cr_is_near(word, name);
}

/* A number that is all of text: *value is -1 where it is too large for an int. */
static bool read_digits(const char *text, int *value)
{
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    errno = 0;
    long number = strtol(text, NULL, 10);
    *value = errno || number > 1 << 30 ? -1 : (int)number;
    return true;
}

bool cr_target_parse(cr_target *target, const char *text, const cr_labels *labels, int classes, cr_error *err)
{
    int number, first = -1;
    char list[300];
    if (read_digits(text, &number)) {
        *target = (cr_target){.index = number};
        return (number >= 0 && number < classes) ||
               cr_fail(err, "no class %.20s: the network has %d, numbered from 0 to %d", text, classes, classes - 1);
    }
    if (strncmp(text, "top", 3) == 0 && read_digits(text + 3, &number)) {
        *target = (cr_target){.index = -1, .rank = number};
        return (number >= 1 && number <= classes) ||
               cr_fail(err, "no class %.20s: the network has %d, from top1 to top%d", text, classes, classes);
    }
    if (!*text)
        return cr_fail(err, "a class is missing: expected an index, a name, or top1, top2...");
    if (!labels->n)
        return cr_fail(err, "no class '%.60s': the weights file names none; add --labels FILE, or give an index from 0 "
                       "to %d or top1", text, classes - 1);

    int found = find_names(labels, text, is_name, &first, list, sizeof list);
    if (found == 0)
        found = find_names(labels, text, is_part, &first, list, sizeof list);
    if (found == 1) {
        *target = (cr_target){.index = first};
        return true;
    }
    if (found > 1)
        return cr_fail(err, "'%.60s' may be any of %d classes: %s; give the index", text, found, list);
    if (find_names(labels, text, near_name, &first, list, sizeof list))
        return cr_fail(err, "no class '%.60s'; near it: %s", text, list);
    return cr_fail(err, "no class '%.60s' among the network's %d, as 0 %.40s and %d %.40s", text, classes,
                   labels->names[0], classes - 1, labels->names[classes - 1]);
}

bool cr_targets_parse(cr_target *targets, int *n, const char *text, const cr_labels *labels, int classes,
                      cr_error *err)
{
    for (int i = 0; i < labels->n; i++)
        if (is_name(labels->names[i], text))
            return cr_target_parse(&targets[(*n)++], text, labels, classes, err);

    char *copy = strdup(text);
    if (!copy)
        return cr_fail(err, "out of memory");
    bool ok = true;
    for (char *word = copy, *next; ok && word; word = next) {
        if ((next = strchr(word, ',')))
            *next++ = '\0';
        ok = cr_target_parse(&targets[(*n)++], trim(word), labels, classes, err);
    }
    free(copy);
    return ok;
}

/* ---- ranking ---- */

void cr_top_classes(int *top, int k, const float *logits, int classes)
{
    int found = 0;
    for (int c = 0; c < classes; c++) {
        if (found == k && !(logits[c] > logits[top[k - 1]]))
            continue;
        int place = found < k ? found++ : k - 1;
        for (; place > 0 && logits[c] > logits[top[place - 1]]; place--)
            top[place] = top[place - 1];
        top[place] = c;
    }
}

int cr_target_class(const cr_target *target, const float *logits, int classes)
{
    if (target->index >= 0)
        return target->index;
    /* The class that exactly rank - 1 others come before. */
    for (int c = 0; c < classes; c++) {
        int before = 0;
        for (int other = 0; other < classes; other++)
            before += logits[other] > logits[c] || (logits[other] == logits[c] && other < c);
        if (before == target->rank - 1)
            return c;
    }
    return 0;
}
