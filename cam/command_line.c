/* command_line.c - the parser of command_line.h, and the readers of values. */
#include "command_line.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"

bool text_list_create(text_list *list, int argc, cr_error *err)
{
    *list = (text_list){.items = calloc((size_t)argc + 1, sizeof *list->items)};
    return list->items || cr_fail(err, "out of memory");
}

void text_list_free(text_list *list)
{
    free(list->items);
    *list = (text_list){0};
}

/* ---- values ---- */

bool set_flag(void *field, const char *text, const option *o, cr_error *err)
{
    (void)text, (void)o, (void)err;
    *(bool *)field = true;
    return true;
}

bool set_text(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    if (!*text)
        return cr_fail(err, "expected a value, found an empty one");
    *(const char **)field = text;
    return true;
}

bool add_text(void *field, const char *text, const option *o, cr_error *err)
{
    text_list *list = field;
    if (!set_text(&list->items[list->n], text, o, err))
        return false;
    list->n++;
    return true;
}

bool set_arch(void *field, const char *text, const option *o, cr_error *err)
{
    return cr_arch_find(text, err) && set_text(field, text, o, err);
}

bool read_count(const char **text, int low, int high, int *value)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    long found = strtol(*text, &end, 10);
    if (found < low || found > high || errno)
        return false;
    *value = (int)found;
    *text = end;
    return true;
}

bool set_count(void *field, const char *text, const option *o, cr_error *err)
{
    const char *end = text;
    int value, low = (int)o->low, high = (int)o->high;
    if (!read_count(&end, low, high, &value) || *end)
        return cr_fail(err, "expected a whole number from %d to %d, found '%.60s'", low, high, text);
    *(int *)field = value;
    return true;
}

bool read_number(const char **text, float *value)
{
    char *end;
    *value = strtof(*text, &end);
    bool ok = end != *text && isfinite(*value);
    *text = end;
    return ok;
}

bool set_number(void *field, const char *text, const option *o, cr_error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= o->low && value <= o->high))
        return cr_fail(err, "expected a number from %g to %g, found '%.60s'", o->low, o->high, text);
    *(double *)field = value;
    return true;
}

static bool read_channels(channel_values *values, const char *text, cr_error *err)
{
    const char *end = text;
    bool ok = read_number(&end, &values->v[0]);
    for (values->n = 1; ok && *end && values->n < 3; values->n++)
        ok = *end++ == ',' && read_number(&end, &values->v[values->n]);
    if (!ok || *end || values->n == 2)
        return cr_fail(err, "expected three numbers, as 0.485,0.456,0.406, or one for all; found '%.60s'", text);
    for (int i = 0; i < values->n; i++)
        if (values->v[i] > 1)
            return cr_fail(err, "expected values for pixels from 0 to 1, found %g; if for 0 to 255, divide by 255",
                           (double)values->v[i]);
    return true;
}

bool set_mean(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    channel_values *values = field;
    if (!read_channels(values, text, err))
        return false;
    for (int i = 0; i < values->n; i++)
        if (values->v[i] < 0)
            return cr_fail(err, "expected values of at least 0, found %g", (double)values->v[i]);
    return true;
}

bool set_std(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    channel_values *values = field;
    if (!read_channels(values, text, err))
        return false;
    for (int i = 0; i < values->n; i++)
        if (values->v[i] <= 0)
            return cr_fail(err, "expected values above 0, found %g", (double)values->v[i]);
    return true;
}

/* ---- the parser ---- */

/* Whether arg, up to length, is --name or -letter. */
static bool is_option(const char *arg, size_t length, const char *name, char letter)
{
    if (strncmp(arg, "--", 2) == 0)
        return strlen(name) == length - 2 && strncmp(arg + 2, name, length - 2) == 0;
    return letter && length == 2 && arg[1] == letter;
}

static bool unknown_option(const command *c, const char *arg, size_t length, cr_error *err)
{
    char typed[64];
    snprintf(typed, sizeof typed, "%.*s", (int)length, arg);
    const char *word = typed + strspn(typed, "-"), *best = NULL;
    for (int i = 0; i < c->n_options + c->n_tasks; i++) {
        const char *name = i < c->n_options ? c->options[i].name : c->tasks[i - c->n_options].name;
        if (cr_is_near(word, name) && (!best || cr_edit_distance(word, name) < cr_edit_distance(word, best)))
            best = name;
    }
    if (best)
        return cr_fail(err, "unknown option '%s'; did you mean --%s?", typed, best);
    return cr_fail(err, "unknown option '%s' (--help lists them all)", typed);
}

/* Parses argv[*i] and, where it takes its value from there, argv[*i + 1]. *end: the rest is not to be read. */
static bool parse_option(const command *c, void *fields, command_line *line, int argc, char **argv, int *i, bool *end,
                         cr_error *err)
{
    const char *arg = argv[*i], *equals = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
    size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
    for (int k = 0; k < c->n_tasks; k++)
        if (is_option(arg, length, c->tasks[k].name, c->tasks[k].letter)) {
            if (equals)
                return cr_fail(err, "--%s takes no value, found '%.60s'", c->tasks[k].name, equals + 1);
            line->task = c->tasks[k].task;
            *end = c->tasks[k].at_once;
            return true;
        }
    const option *o = c->options;
    while (o < c->options + c->n_options && !is_option(arg, length, o->name, o->letter))
        o++;
    if (o == c->options + c->n_options)
        return unknown_option(c, arg, length, err);

    const char *value = NULL;
    if (o->set == set_flag) {
        if (equals)
            return cr_fail(err, "--%s takes no value, found '%.60s'", o->name, equals + 1);
    } else if (equals) {
        value = equals + 1;
    } else if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0) {
        return cr_fail(err, "--%s needs a value, as in --%s=VALUE", o->name, o->name);
    } else {
        value = argv[++*i];
    }
    line->given[o - c->options] = true;
    cr_error why;
    return o->set((char *)fields + o->field, value, o, &why) || cr_fail(err, "--%s: %s", o->name, why.text);
}

bool is_given(const option *options, const bool *given, const char *name)
{
    int i = 0;
    while (strcmp(options[i].name, name) != 0)
        i++;
    return given[i];
}

bool command_parse(const command *c, void *fields, command_line *line, int argc, char **argv, cr_error *err)
{
    bool only_operands = false, end = false;
    for (int i = 1; i < argc && !end; i++) {
        if (only_operands || argv[i][0] != '-' || argv[i][1] == '\0')
            line->operands.items[line->operands.n++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_operands = true;
        else if (!parse_option(c, fields, line, argc, argv, &i, &end, err))
            return false;
    }
    return true;
}
