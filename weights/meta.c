/* meta.c - the metadata's values that are JSON arrays: mean, std, class names. */
#include <stdlib.h>
#include <string.h>

#include "json.h"

static json json_of(const char *text)
{
    const uint8_t *bytes = (const uint8_t *)text;
    return (json){bytes, bytes + strlen(text)};
}

int cr_meta_floats(const char *text, float *out, int max)
{
    json j = json_of(text);
    int count = 0;
    if (!cr_json_take(&j, '['))
        return -1;
    if (!cr_json_take(&j, ']')) {
        do {
            double value;
            if (count == max || !cr_json_number(&j, &value))
                return -1;
            out[count++] = (float)value;
        } while (cr_json_take(&j, ','));
        if (!cr_json_take(&j, ']'))
            return -1;
    }
    return cr_json_done(&j) ? count : -1;
}

/* One block: the pointers, then the texts. A string takes at least three characters of JSON, and no more when read. */
char **cr_meta_strings(const char *text, int *count, cr_error *err)
{
    size_t length = strlen(text), most = length / 3 + 1;
    char **strings = length < SIZE_MAX / 16 ? malloc(most * sizeof *strings + length + 1) : NULL;
    if (!strings) {
        cr_fail(err, "out of memory for a list of %zu characters", length);
        return NULL;
    }
    char *out = (char *)(strings + most);
    json j = json_of(text);
    int n = 0;
    bool ok = cr_json_take(&j, '[');
    if (ok && !cr_json_take(&j, ']')) {
        do {
            span raw;
            ok = cr_json_string(&j, &raw) && n < INT32_MAX;
            if (ok) {
                strings[n++] = out;
                out += cr_json_decode(raw, out);
            }
        } while (ok && cr_json_take(&j, ','));
        ok = ok && cr_json_take(&j, ']');
    }
    if (!ok || !cr_json_done(&j)) {
        cr_fail(err, "expected a JSON array of strings, found '%.40s' at character %zu", (const char *)j.at,
                (size_t)(j.at - (const uint8_t *)text));
        free(strings);
        return NULL;
    }
    *count = n;
    return strings;
}

void cr_meta_strings_free(char **strings)
{
    free(strings);
}
