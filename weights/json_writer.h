/* json_writer.h - writes one JSON document: commas, indentation and escapes are its business.
 *
 * key is the member's name inside an object and NULL inside an array. A document ends in a line break, a compact one has
 * none. */
#ifndef CAMRUN_JSON_WRITER_H
#define CAMRUN_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct json_writer {
    FILE *out;
    bool compact; /* all on one line */
    int depth;
    bool filled; /* the innermost object or array has a member already */
} json_writer;

void json_open(json_writer *j, const char *key, char bracket); /* '{' or '[' */
void json_close(json_writer *j, char bracket);                 /* '}' or ']' */
/* Bytes that are not UTF-8 are written as U+FFFD; a NULL text as null. */
bool json_is_utf8(const char *text);
void json_text(json_writer *j, const char *key, const char *text);
/* null where the value is not finite. A float has the fewest digits that read back to the same one, a double six. */
void json_float(json_writer *j, const char *key, float value);
void json_double(json_writer *j, const char *key, double value);
void json_integer(json_writer *j, const char *key, int64_t value);
void json_bool(json_writer *j, const char *key, bool value);

#endif
