/* json.c - see json.h. */
#include <math.h>
#include <string.h>

#include "json.h"

static void skip_space(json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

bool cr_json_take(json *j, char c)
{
    skip_space(j);
    if (j->at == j->end || *j->at != (uint8_t)c)
        return false;
    j->at++;
    return true;
}

bool cr_json_done(json *j)
{
    skip_space(j);
    return j->at == j->end;
}

/* ---- strings ---- */

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int c = p[i], digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
                              c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The character an escape stands for; p is behind the backslash. Returns where it ends, NULL if it is malformed. */
static const uint8_t *escaped(const uint8_t *p, const uint8_t *end, uint32_t *code)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (p == end)
        return NULL;
    const char *simple = *p ? strchr(names, *p) : NULL;
    if (simple) {
        *code = (uint8_t)values[simple - names];
        return p + 1;
    }
    int32_t unit = *p == 'u' ? hex4(p + 1, end) : -1;
    if (unit < 0)
        return NULL;
    p += 5;
    *code = (uint32_t)unit;
    if (unit < 0xd800 || unit > 0xdfff)
        return p;
    /* Beyond 16 bits: a high surrogate (d800..) and a low one (dc00..), ten bits each. */
    int32_t low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
    if (unit >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
        return NULL;
    *code = 0x10000u + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return p + 6;
}

/* One character of a string. Returns where it ends, NULL if it is malformed. */
static const uint8_t *character(const uint8_t *p, const uint8_t *end, uint32_t *code)
{
    if (*p == '\\')
        return escaped(p + 1, end, code);
    if (*p < 0x80) {
        *code = *p;
        return *p < 0x20 ? NULL : p + 1;
    }
    int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (*p < 0xc0 || *p > 0xf7 || end - p <= more)
        return NULL;
    *code = *p & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return NULL;
        *code = *code << 6 | (p[i] & 0x3fu);
    }
    bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return *code < least[more] || *code > 0x10ffff || surrogate ? NULL : p + more + 1;
}

bool cr_json_string(json *j, span *raw)
{
    skip_space(j);
    if (j->at == j->end || *j->at != '"')
        return false;
    const uint8_t *begin = j->at + 1, *p = begin;
    while (p && p < j->end && *p != '"') {
        uint32_t code;
        p = character(p, j->end, &code);
        if (p && code == 0)
            return false;
    }
    if (!p || p == j->end)
        return false;
    *raw = (span){begin, (size_t)(p - begin)};
    j->at = p + 1;
    return true;
}

size_t cr_json_decode(span raw, char *text)
{
    char *out = text;
    const uint8_t *end = raw.data + raw.size;
    for (const uint8_t *p = raw.data; p < end;) {
        uint32_t code = 0;
        p = character(p, end, &code);
        if (code < 0x80) {
            *out++ = (char)code;
            continue;
        }
        int more = code >= 0x10000 ? 3 : code >= 0x800 ? 2 : 1;
        *out++ = (char)(uint8_t)(0xf0u << (3 - more) | code >> (6 * more)); /* 110xxxxx, 1110xxxx, 11110xxx */
        for (int i = more - 1; i >= 0; i--)
            *out++ = (char)(uint8_t)(0x80u | (code >> (6 * i) & 0x3fu));
    }
    *out++ = '\0';
    return (size_t)(out - text);
}

/* ---- numbers ---- */

static bool is_digit(const uint8_t *p, const uint8_t *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

bool cr_json_size(json *j, uint64_t *value)
{
    skip_space(j);
    const uint8_t *p = j->at;
    uint64_t n = 0;
    if (!is_digit(p, j->end) || (*p == '0' && is_digit(p + 1, j->end)))
        return false;
    for (; is_digit(p, j->end); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (p < j->end && (*p == '.' || *p == 'e' || *p == 'E'))
        return false;
    *value = n;
    j->at = p;
    return true;
}

/* Appends the digits from p on to a number that has room for 19. Each one kept behind the point, and each one left out
 * in front of it, moves the exponent of ten. Returns where the digits end. */
static const uint8_t *digits(const uint8_t *p, const uint8_t *end, bool fraction, uint64_t *number, int64_t *exponent)
{
    for (; is_digit(p, end); p++) {
        bool room = *number < UINT64_C(1000000000000000000);
        if (room)
            *number = *number * 10 + (uint64_t)(*p - '0');
        if (room && fraction)
            --*exponent;
        else if (!room && !fraction)
            ++*exponent;
    }
    return p;
}

bool cr_json_number(json *j, double *value)
{
    skip_space(j);
    const uint8_t *p = j->at, *end = j->end;
    bool negative = p < end && *p == '-';
    p += negative;
    if (!is_digit(p, end) || (*p == '0' && is_digit(p + 1, end)))
        return false;
    uint64_t number = 0;
    int64_t exponent = 0;
    p = digits(p, end, false, &number, &exponent);
    if (p < end && *p == '.') {
        if (!is_digit(++p, end))
            return false;
        p = digits(p, end, true, &number, &exponent);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        bool down = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        if (!is_digit(p, end))
            return false;
        int written = 0;
        for (; is_digit(p, end); p++)
            written = written < 10000 ? written * 10 + (*p - '0') : written;
        exponent += down ? -written : written;
    }
    /* Powers of ten up to 10^22 are exact in a double, so one division rounds once; multiplying by 10^-3 would not. */
    double power = pow(10, (double)(exponent < 0 ? -exponent : exponent));
    double magnitude = exponent < 0 ? (double)number / power : (double)number * power;
    *value = negative ? -magnitude : magnitude;
    j->at = p;
    return isfinite(magnitude);
}
