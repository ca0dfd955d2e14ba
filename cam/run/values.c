/* values.c - see values.h. */
#include "values.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static bool add_method(method_list *list, const char *name, cr_error *err)
{
    const cr_method *method = cr_method_find(name, err);
    for (int i = 0; method && i < list->n; i++)
        if (list->items[i] == method)
            return cr_fail(err, "method %s is named twice", name);
    if (method && list->n == (int)(sizeof list->items / sizeof list->items[0]))
        return cr_fail(err, "more than %d methods", list->n);
    if (method)
        list->items[list->n++] = method;
    return method != NULL;
}

bool add_methods(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    bool ok = true;
    for (const char *item = text, *end; ok && item; item = *end ? end + 1 : NULL) {
        char name[64];
        end = item + strcspn(item, ",");
        snprintf(name, sizeof name, "%.*s", (int)(end - item), item);
        ok = *name ? add_method(field, name, err)
                   : cr_fail(err, "a method is missing: expected names with commas between, found '%.60s'", text);
    }
    return ok;
}

bool add_indices(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    index_list *list = field;
    const int room = (int)(sizeof list->items / sizeof list->items[0]);
    for (const char *end = text;; end++) {
        int first, last;
        bool ok = read_count(&end, 0, INT_MAX, &first);
        last = first;
        if (ok && *end == '-') {
            end++;
            ok = read_count(&end, first, INT_MAX, &last);
        }
        if (!ok || (*end && *end != ','))
            return cr_fail(err, "expected numbers and ranges with commas between, as 0-7,45; found '%.60s'", text);
        if (last - first >= room - list->n)
            return cr_fail(err, "more than %d numbers in '%.60s'", room, text);
        for (int i = first; i <= last; i++)
            list->items[list->n++] = i;
        if (!*end)
            return true;
    }
}

bool index_list_check(const index_list *list, int count, const char *name, const char *what, cr_error *err)
{
    for (int i = 0; i < list->n; i++)
        if (list->items[i] >= count)
            return cr_fail(err, "--%s: expected numbers from 0 to %d, as %s has %d; found %d", name, count - 1, what, count,
                           list->items[i]);
    return true;
}

void index_list_default(index_list *list, int count, int most)
{
    const int room = (int)(sizeof list->items / sizeof list->items[0]);
    most = most > room ? room : most;
    if (!list->n)
        for (; list->n < count && list->n < most; list->n++)
            list->items[list->n] = list->n;
}

bool set_colormap(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    *(const cr_colormap **)field = cr_colormap_find(text, err);
    return *(const cr_colormap **)field != NULL;
}

bool set_fraction(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    const char *end = text;
    float value;
    if (!read_number(&end, &value) || *end || !(value >= 0 && value <= 1))
        return cr_fail(err, "expected a number from 0 to 1, found '%.60s'", text);
    *(float *)field = value;
    return true;
}
