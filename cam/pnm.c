/* pnm.c - reading PBM, PGM and PPM (pnm.h). The header is 'P', a digit, width, height and (not for bitmaps) the largest
 * sample, in decimal with white space or #-comments between; one white space character; then the samples. */
#include "pnm.h"

#include <math.h>

enum { MAX_SAMPLE = 65535 };

typedef struct cursor {
    const unsigned char *at, *end;
} cursor;

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(cursor *c)
{
    for (; c->at < c->end && (is_space(*c->at) || *c->at == '#'); c->at++) {
        if (*c->at == '#')
            while (c->at + 1 < c->end && *c->at != '\n' && *c->at != '\r')
                c->at++;
    }
}

/* The next decimal number, or -1 where there is none or it exceeds max. */
static int take_number(cursor *c, int max)
{
    skip_space(c);
    if (c->at == c->end || !is_digit(*c->at))
        return -1;
    int64_t number = 0;
    for (; c->at < c->end && is_digit(*c->at); c->at++)
        number = number > max ? number : number * 10 + (*c->at - '0');
    return number > max ? -1 : (int)number;
}

/* The next sample of a text file, where bitmaps need no space between digits, and of a binary one of 8 or 16 bits. */
static int take_sample(cursor *c, char kind, int max)
{
    if (kind == '1') {
        skip_space(c);
        return c->at < c->end && (*c->at == '0' || *c->at == '1') ? *c->at++ - '0' : -1;
    }
    if (kind <= '3')
        return take_number(c, max);
    int size = max > 255 ? 2 : 1;
    if (c->end - c->at < size)
        return -1;
    int sample = size == 2 ? c->at[0] << 8 | c->at[1] : c->at[0];
    c->at += size;
    return sample < max ? sample : max;
}

/* Rows of eight pixels a byte, the first in the highest bit, a set bit being black. */
static bool decode_packed_bits(cr_image *image, cursor c)
{
    size_t stride = ((size_t)image->w + 7) / 8;
    if ((size_t)(c.end - c.at) / stride < (size_t)image->h)
        return false;
    unsigned char *rgb = image->rgb;
    for (int y = 0; y < image->h; y++, c.at += stride) {
        for (int x = 0; x < image->w; x++, rgb += 3)
            rgb[0] = rgb[1] = rgb[2] = c.at[x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
    }
    return true;
}

static bool decode_samples(cr_image *image, cursor c, char kind, int max)
{
    int channels = kind == '3' || kind == '6' ? 3 : 1;
    size_t pixels = (size_t)image->w * (size_t)image->h;
    for (unsigned char *rgb = image->rgb; pixels > 0; pixels--, rgb += 3) {
        for (int i = 0; i < channels; i++) {
            int sample = take_sample(&c, kind, max);
            if (sample < 0)
                return false;
            rgb[i] = (unsigned char)nearbyint((double)sample / max * 255);
        }
        if (kind == '1')
            rgb[0] = rgb[0] ? 0 : 255;
        if (channels == 1)
            rgb[1] = rgb[2] = rgb[0];
    }
    return true;
}

bool cr_pnm_test(const unsigned char *file, size_t bytes)
{
    return bytes > 2 && file[0] == 'P' && file[1] >= '1' && file[1] <= '6' && (is_space(file[2]) || file[2] == '#');
}

bool cr_pnm_decode(cr_image *image, const unsigned char *file, size_t bytes, const char *path, cr_error *err)
{
    cursor c = {file + 2, file + bytes};
    char kind = (char)file[1];
    int w = take_number(&c, INT32_MAX), h = take_number(&c, INT32_MAX);
    int max = kind == '1' || kind == '4' ? 1 : take_number(&c, MAX_SAMPLE);
    if (w < 0 || h < 0 || max <= 0)
        return cr_fail(err, "%s: damaged PNM header: expected a width, a height and a largest sample of 1 to %d", path,
                       MAX_SAMPLE);
    if (c.at < c.end)
        c.at++; /* the one white space character after the header */
    cr_error why;
    if (!cr_image_create(image, w, h, &why))
        return cr_fail(err, "%s: %s", path, why.text);
    if (kind == '4' ? !decode_packed_bits(image, c) : !decode_samples(image, c, kind, max)) {
        cr_image_free(image);
        return cr_fail(err, "%s: expected %d x %d pixels of PNM samples up to %d, found fewer or damaged ones", path, w,
                       h, max);
    }
    return true;
}
