/* values.c - see values.h. */
#include "values.h"

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
