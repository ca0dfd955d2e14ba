/* json_writer.c - the writer of json_writer.h. */
#include "json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Length of the well-formed UTF-8 sequence s begins with (RFC 3629), 0 where there is none. */
static int utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    int length = s[0] >= 0xC2 && s[0] <= 0xDF ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
        (s[0] == 0xF4 && s[1] > 0x8F)) /* too long a form, a surrogate, beyond U+10FFFF */
        return 0;
    return length;
}

bool json_is_utf8(const char *text)
{
    for (int length; *text; text += length)
        if (!(length = utf8_length((const unsigned char *)text)))
            return false;
    return true;
}

static void put_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *s = (const unsigned char *)text; *s; ) {
        int length = utf8_length(s);
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7F)
            fprintf(out, "\\u%04x", *s);
        else if (length)
            fwrite(s, 1, (size_t)length, out);
        else
            fputs("\\ufffd", out);
        s += length ? length : 1;
    }
    putc('"', out);
}

static void begin_member(json_writer *j, const char *key)
{
    if (j->filled)
        fputs(j->compact ? ", " : ",", j->out);
    if (j->depth && !j->compact)
        fprintf(j->out, "\n%*s", 2 * j->depth, "");
    if (key) {
        put_string(j->out, key);
        fputs(": ", j->out);
    }
    j->filled = true;
}

void json_open(json_writer *j, const char *key, char bracket)
{
    begin_member(j, key);
    putc(bracket, j->out);
    j->depth++;
    j->filled = false;
}

void json_close(json_writer *j, char bracket)
{
    j->depth--;
    if (j->filled && !j->compact)
        fprintf(j->out, "\n%*s", 2 * j->depth, "");
    putc(bracket, j->out);
    if (j->depth == 0 && !j->compact)
        putc('\n', j->out);
    j->filled = true;
}

void json_text(json_writer *j, const char *key, const char *text)
{
    begin_member(j, key);
    if (text)
        put_string(j->out, text);
    else
        fputs("null", j->out);
}

static void put_number(json_writer *j, const char *key, double value, int digits)
{
    begin_member(j, key);
    if (isfinite(value))
        fprintf(j->out, "%.*g", digits, value);
    else
        fputs("null", j->out);
}

void json_float(json_writer *j, const char *key, float value)
{
    enum { ALWAYS_ENOUGH = 9 };
    char text[32];
    int digits = 1;
    do
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
    while (strtof(text, NULL) != value && digits++ < ALWAYS_ENOUGH);
    put_number(j, key, (double)value, digits);
}

void json_double(json_writer *j, const char *key, double value)
{
    put_number(j, key, value, 6);
}

void json_integer(json_writer *j, const char *key, int64_t value)
{
    begin_member(j, key);
    fprintf(j->out, "%" PRId64, value);
}

void json_bool(json_writer *j, const char *key, bool value)
{
    begin_member(j, key);
    fputs(value ? "true" : "false", j->out);
}
