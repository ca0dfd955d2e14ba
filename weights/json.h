/* json.h - a strict reader of the JSON (RFC 8259) that weights files hold, pulled token by token.
 *
 * Each function takes one token from the front and returns true, or returns false and leaves `at` where it was, but for
 * white space. What may come next is the caller's to know; nothing is built and nothing allocated. */
#ifndef CAMRUN_JSON_H
#define CAMRUN_JSON_H

#include "reader.h"

typedef struct json {
    const uint8_t *at, *end;
} json;

/* One of []{}:, */
bool cr_json_take(json *j, char c);
/* True where nothing but white space is left. */
bool cr_json_done(json *j);
/* A string, as it is written between its quotes. It was checked: well-formed escapes and UTF-8, no NUL. */
bool cr_json_string(json *j, span *raw);
/* Its text in UTF-8, with a NUL behind it: at most raw.size + 1 bytes. Returns how many. */
size_t cr_json_decode(span raw, char *text);
/* A number without sign, fraction or exponent, below 2^63. */
bool cr_json_size(json *j, uint64_t *value);
/* Any number. Right to the last bit of a float for up to 19 digits. */
bool cr_json_number(json *j, double *value);

#endif
