/* jpeg.c - inverse DCT, chroma upsampling and color conversion with libjpeg's rounding (jpeg.h): all in integers. */
#include "jpeg.h"

#include <stdint.h>
#include <stdlib.h>

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

static unsigned char byte(int v)
{
    return (unsigned char)clamp(v, 0, 255);
}

/* ---- inverse transform ---- */

/* basis[x][u] = 2^13 sqrt(2) cos((2x + 1) u pi / 16), and 2^13 for u = 0: what a coefficient of frequency u adds to
 * sample x of 8. The other four samples mirror these: even frequencies alike, odd ones negated.
 *
 * libjpeg uses the factorization of Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11
 * multiplications" (ICASSP 1989), with each multiplier rounded to 13 bits. It rounds nothing else before its final
 * shift, so that it is a product with a matrix of integers. This is the matrix: its entries are sums of the rounded
 * multipliers, and therefore here and there one away from the nearest integer (11362 beside 11363). */
static const short basis[4][8] = {
    {8192, 11363, 10703, 9633, 8192, 6437, 4433, 2260},
    {8192, 9633, 4433, -2259, -8192, -11362, -10704, -6436},
    {8192, 6437, -4433, -11362, -8192, 2261, 10704, 9633},
    {8192, 2260, -10703, -6436, 8192, 9633, -4433, -11363},
};
enum { BASIS_BITS = 13, PASS1_BITS = 2 }; /* the first pass keeps two bits below the point for the second */

/* Transforms each column and transposes: out[i][x] = sum over u of basis[x][u] in[u][i] / 2^shift, rounded.
 * A row of |basis| sums to 61215 at most: times 2^15 that is below 2^31, whatever a damaged file says. */
static void idct_columns(short out[8][8], const short in[8][8], int shift)
{
    for (int x = 0; x < 4; x++) {
        const short *b = basis[x];
        for (int i = 0; i < 8; i++) {
            int even = in[0][i] * b[0] + in[2][i] * b[2] + in[4][i] * b[4] + in[6][i] * b[6] + (1 << (shift - 1));
            int odd = in[1][i] * b[1] + in[3][i] * b[3] + in[5][i] * b[5] + in[7][i] * b[7];
            out[i][x] = (short)clamp((even + odd) >> shift, INT16_MIN, INT16_MAX);
            out[i][7 - x] = (short)clamp((even - odd) >> shift, INT16_MIN, INT16_MAX);
        }
    }
}

void cr_jpeg_idct(unsigned char *samples, int stride, short coef[64])
{
    short half[8][8], whole[8][8];
    idct_columns(half, (const short(*)[8])coef, BASIS_BITS - PASS1_BITS);
    idct_columns(whole, (const short(*)[8])half, BASIS_BITS + PASS1_BITS + 3); /* 3: each pass scales by sqrt(8) */
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++)
            samples[y * stride + x] = byte(whole[y][x] + 128);
}

/* ---- upsampling ---- */

/* Row y of the picture from a plane: line gets plane->w * plane->across samples, of which the last may lie outside.
 *
 * Twice as many pixels as samples lie at 1/4 and 3/4 between two of them, so that a triangle filter weighs the nearer
 * by 3 and the farther by 1; beyond the edges the last sample repeats. Halves round down at one pixel and up at its
 * neighbor. libjpeg repeats samples for all other ratios, and where a row has fewer than three.
 * sums has room for plane->w + 2. */
static void upsample_row(unsigned char *line, const cr_jpeg_plane *plane, int y, int *sums)
{
    int n = plane->w, across = plane->across, down = plane->down, row = y / down;
    const unsigned char *near = plane->samples + (ptrdiff_t)row * plane->stride;
    if ((across == 1 && down == 1) || across > 2 || down > 2 || (across == 2 && n < 3)) {
        for (int x = 0; x < n; x++)
            for (int i = 0; i < across; i++)
                line[x * across + i] = near[x];
        return;
    }
    int below = y % 2, next = clamp(below ? row + 1 : row - 1, 0, plane->h - 1);
    const unsigned char *far = plane->samples + (ptrdiff_t)next * plane->stride;
    for (int x = 0; x < n; x++)
        sums[x + 1] = down == 2 ? 3 * near[x] + far[x] : near[x];
    if (across == 1) {
        for (int x = 0; x < n; x++)
            line[x] = (unsigned char)((sums[x + 1] + (below ? 2 : 1)) >> 2);
        return;
    }
    sums[0] = sums[1];
    sums[n + 1] = sums[n];
    int shift = down == 2 ? 4 : 2, round_left = down == 2 ? 8 : 1, round_right = down == 2 ? 7 : 2;
    for (int x = 0; x < n; x++) {
        line[2 * x] = (unsigned char)((3 * sums[x + 1] + sums[x] + round_left) >> shift);
        line[2 * x + 1] = (unsigned char)((3 * sums[x + 1] + sums[x + 2] + round_right) >> shift);
    }
}

/* ---- color ---- */

static int planes_of(cr_jpeg_color color)
{
    return color == CR_JPEG_GRAY ? 1 : color == CR_JPEG_CMYK || color == CR_JPEG_YCCK ? 4 : 3;
}

/* ITU-R BT.601 over the full range, in 16-bit fixed point. */
static void ycc_to_rgb(unsigned char rgb[3], int y, int cb, int cr)
{
    enum { HALF = 1 << 15, R_CR = 91881, G_CB = 22554, G_CR = 46802, B_CB = 116130 }; /* 1.402 0.34414 0.71414 1.772 */
    cb -= 128;
    cr -= 128;
    rgb[0] = byte(y + ((R_CR * cr + HALF) >> 16));
    rgb[1] = byte(y + ((-G_CB * cb - G_CR * cr + HALF) >> 16));
    rgb[2] = byte(y + ((B_CB * cb + HALF) >> 16));
}

/* a b / 255 to the nearest integer. */
static unsigned char scale(int a, int b)
{
    return (unsigned char)((2 * a * b + 255) / 510);
}

static void convert_row(unsigned char *rgb, int w, unsigned char *const lines[4], cr_jpeg_color color)
{
    for (int x = 0; x < w; x++, rgb += 3) {
        switch (color) {
        case CR_JPEG_GRAY:
            rgb[0] = rgb[1] = rgb[2] = lines[0][x];
            break;
        case CR_JPEG_RGB:
        case CR_JPEG_CMYK:
            for (int i = 0; i < 3; i++)
                rgb[i] = lines[i][x];
            break;
        case CR_JPEG_YCC:
        case CR_JPEG_YCCK:
            ycc_to_rgb(rgb, lines[0][x], lines[1][x], lines[2][x]);
            break;
        }
        for (int i = 0; i < 3 && planes_of(color) == 4; i++)
            rgb[i] = scale(color == CR_JPEG_YCCK ? 255 - rgb[i] : rgb[i], lines[3][x]);
    }
}

bool cr_jpeg_to_rgb(unsigned char *rgb, int h, int w, const cr_jpeg_plane *planes, cr_jpeg_color color, cr_error *err)
{
    enum { MORE = 3 }; /* a last sample's pixels beyond the edge, and a sum at either end */
    size_t room = (size_t)w + MORE;
    int *sums = malloc(room * sizeof *sums);
    unsigned char *pixels = malloc(4 * room), *lines[4];
    for (size_t i = 0; pixels && i < 4; i++)
        lines[i] = pixels + i * room;
    for (int y = 0; sums && pixels && y < h; y++) {
        for (int i = 0; i < planes_of(color); i++)
            upsample_row(lines[i], &planes[i], y, sums);
        convert_row(rgb + (size_t)y * (size_t)w * 3, w, lines, color);
    }
    bool ok = sums && pixels;
    free(sums);
    free(pixels);
    return ok ? true : cr_fail(err, "out of memory for a picture of %d x %d pixels", w, h);
}
