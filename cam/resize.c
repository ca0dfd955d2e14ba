/* resize.c - Pillow's antialiased bilinear resampling in its 8-bit fixed-point arithmetic (resize.h).
 *
 * An output pixel is a weighted mean of the input pixels under a triangle centred on it, as wide as two output pixels
 * or two input pixels, whichever is more. The picture is resampled along x, rounded to 8 bits, then along y; weights
 * are fixed-point with 22 fractional bits. Values equal Pillow's bit for bit only with the same roundings in the same
 * order. */
#include "resize.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRACTION_BITS = 22 };

/* For each output position lo .. hi-1 the inputs it is made of: first[i] .. first[i]+count[i]-1 with weights
 * weight[i*size ..]. */
typedef struct taps {
    int n, size;
    int *first, *count;
    int32_t *weight;
} taps;

static void taps_free(taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weight);
}

static bool taps_create(taps *t, int in, int out, int lo, int hi, cr_error *err)
{
    double scale = (double)in / out;
    double reach = scale < 1 ? 1 : scale; /* half the triangle's base, in input pixels */
    size_t n = (size_t)(hi - lo), size = 2 * (size_t)ceil(reach) + 1;

    *t = (taps){.n = (int)n, .size = (int)size};
    double *raw = malloc(size * sizeof *raw);
    t->first = malloc(n * sizeof *t->first);
    t->count = malloc(n * sizeof *t->count);
    t->weight = size <= SIZE_MAX / sizeof *t->weight / n ? malloc(n * size * sizeof *t->weight) : NULL;
    if (!raw || !t->first || !t->count || !t->weight) {
        free(raw);
        taps_free(t);
        return cr_fail(err, "out of memory for resizing %d to %d pixels", in, out);
    }

    for (size_t i = 0; i < n; i++) {
        double centre = (lo + (int)i + 0.5) * scale;
        int first = (int)fmax(centre - reach + 0.5, 0);
        int last = (int)fmin(centre + reach + 0.5, in);
        double sum = 0;
        for (int k = 0; k < last - first; k++) {
            raw[k] = fmax(1 - fabs((first + k - centre + 0.5) * (1 / reach)), 0);
            sum += raw[k];
        }
        for (int k = 0; k < last - first; k++)
            t->weight[i * size + (size_t)k] = (int32_t)(raw[k] / sum * (1 << FRACTION_BITS) + 0.5);
        t->first[i] = first;
        t->count[i] = last - first;
    }
    free(raw);
    return true;
}

static unsigned char round_to_byte(int32_t sum)
{
    int32_t value = (sum + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
    return (unsigned char)(value > 255 ? 255 : value);
}

/* in (w, channels) -> out (t->n, channels) */
static void resample_row(unsigned char *out, const unsigned char *in, const taps *t, int channels)
{
    for (int i = 0; i < t->n; i++) {
        const int32_t *weight = t->weight + (size_t)i * (size_t)t->size;
        const unsigned char *from = in + (size_t)t->first[i] * (size_t)channels;
        for (int c = 0; c < channels; c++) {
            int32_t sum = 0;
            for (int k = 0; k < t->count[i]; k++)
                sum += weight[k] * from[(size_t)k * (size_t)channels + (size_t)c];
            *out++ = round_to_byte(sum);
        }
    }
}

/* rows (count, n) -> out (n): their weighted mean; sums (n) is scratch. */
static void mix_rows(unsigned char *out, const unsigned char *rows, const int32_t *weight, int count, size_t n,
                     int32_t *sums)
{
    memset(sums, 0, n * sizeof *sums);
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < n; i++)
            sums[i] += weight[k] * rows[(size_t)k * n + i];
    for (size_t i = 0; i < n; i++)
        out[i] = round_to_byte(sums[i]);
}

bool cr_resize(unsigned char *out, cr_rect window, int oh, int ow, const unsigned char *in, int h, int w, int channels,
               cr_error *err)
{
    assert(0 <= window.x0 && window.x0 < window.x1 && window.x1 <= ow);
    assert(0 <= window.y0 && window.y0 < window.y1 && window.y1 <= oh);
    taps across, down;
    if (!taps_create(&across, w, ow, window.x0, window.x1, err))
        return false;
    if (!taps_create(&down, h, oh, window.y0, window.y1, err)) {
        taps_free(&across);
        return false;
    }

    /* Only the input rows that the window's rows are made of. */
    int top = down.first[0];
    size_t rows = (size_t)(down.first[down.n - 1] + down.count[down.n - 1] - top);
    size_t stride = (size_t)across.n * (size_t)channels;
    unsigned char *narrowed = rows <= SIZE_MAX / stride ? malloc(rows * stride) : NULL;
    int32_t *sums = malloc(stride * sizeof *sums);
    bool ok = narrowed && sums;
    if (ok) {
        for (size_t y = 0; y < rows; y++) {
            resample_row(narrowed + y * stride, in + ((size_t)top + y) * (size_t)w * (size_t)channels, &across,
                         channels);
        }
        for (int y = 0; y < down.n; y++) {
            mix_rows(out + (size_t)y * stride, narrowed + (size_t)(down.first[y] - top) * stride,
                     down.weight + (size_t)y * (size_t)down.size, down.count[y], stride, sums);
        }
    } else {
        cr_fail(err, "out of memory for resizing %d x %d to %d x %d pixels", w, h, ow, oh);
    }
    free(narrowed);
    free(sums);
    taps_free(&across);
    taps_free(&down);
    return ok;
}
