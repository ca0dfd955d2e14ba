/* image.c - decoding pictures and writing PNG (image.h). The only file that includes stb's headers. */
#include "image.h"

#include "file.h"
#include "jpeg.h"
#include "pnm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Memory comes cleared, as stb leaves the missing pixels of some truncated files unset. Its assertions are off, as a
 * damaged file can fail one, without harm, and must not end the program. */
#define STBI_ASSERT(condition) ((void)0)
#define STBI_MALLOC(size)     calloc(1, size)
#define STBI_REALLOC(p, size) realloc(p, size)
#define STBI_FREE(p)          free(p)
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_PIC
#define STBI_NO_PNM /* reads only part of the family, and does not scale samples: see pnm.c */
#define STBI_NO_PSD
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#pragma GCC diagnostic ignored "-Wunused-function" /* gcc decides at the end of the file, so this stays on */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

/* stb counts bytes in int, and needs up to four times the pixels' bytes while it writes. */
enum { MAX_SIDE = 1 << 24, MAX_PIXELS = 1 << 27 };

static bool check_size(int w, int h, cr_error *err)
{
    if (w <= 0 || h <= 0)
        return cr_fail(err, "a picture of %d x %d pixels is empty", w, h);
    if (w > MAX_SIDE || h > MAX_SIDE || (int64_t)w * h > MAX_PIXELS)
        return cr_fail(err, "a picture of %d x %d pixels is too large: at most %d pixels, %d a side", w, h, MAX_PIXELS,
                       MAX_SIDE);
    return true;
}

bool cr_image_create(cr_image *image, int w, int h, cr_error *err)
{
    *image = (cr_image){0};
    if (!check_size(w, h, err))
        return false;
    unsigned char *rgb = calloc((size_t)w * (size_t)h, 3);
    if (!rgb)
        return cr_fail(err, "out of memory for a picture of %d x %d pixels", w, h);
    *image = (cr_image){w, h, rgb};
    return true;
}

void cr_image_free(cr_image *image)
{
    free(image->rgb);
    *image = (cr_image){0};
}

/* Whether each Huffman table of a JPEG file has at most 256 codes. stb_image before version 2.28 believes the counts
 * and writes past its tables. */
static bool huffman_tables_fit(const unsigned char *file, size_t bytes)
{
    enum { MARKER = 0xff, RST0 = 0xd0, SOI = 0xd8, EOI = 0xd9, DHT = 0xc4 };
    for (size_t at = 0; at + 4 <= bytes && !(file[at] == MARKER && file[at + 1] == EOI);) {
        int kind = file[at + 1];
        if (file[at] != MARKER || kind == 0 || kind == MARKER || (kind >= RST0 && kind <= SOI)) {
            at++; /* a byte of the scan, or a marker with nothing behind it */
            continue;
        }
        size_t end = at + 2 + ((size_t)file[at + 2] << 8 | file[at + 3]);
        for (size_t table = at + 4; kind == DHT && table < end;) {
            size_t codes = 0;
            for (size_t i = 1; i <= 16 && table + i < bytes; i++)
                codes += file[table + i];
            if (codes > 256)
                return false;
            table += 17 + codes;
        }
        at = end;
    }
    return true;
}

static const char *stb_reason(void)
{
    const char *reason = stbi_failure_reason(); /* not every failure of stb's has one */
    return reason ? reason : "corrupt";
}

static cr_jpeg_color jpeg_color(const stbi__jpeg *jpeg)
{
    int adobe = jpeg->app14_color_transform; /* -1 where the file has no such marker */
    switch (jpeg->s->img_n) {
    case 1:
        return CR_JPEG_GRAY;
    case 3:
        return !jpeg->jfif && (adobe == 0 || (adobe < 0 && jpeg->rgb == 3)) ? CR_JPEG_RGB : CR_JPEG_YCC;
    default:
        return adobe > 0 ? CR_JPEG_YCCK : CR_JPEG_CMYK;
    }
}

static bool jpeg_to_rgb(cr_image *image, const stbi__jpeg *jpeg, const char *path, cr_error *err)
{
    cr_jpeg_plane planes[4];
    for (int i = 0; i < jpeg->s->img_n; i++)
        planes[i] = (cr_jpeg_plane){
            .samples = jpeg->img_comp[i].data,
            .w = jpeg->img_comp[i].x,
            .h = jpeg->img_comp[i].y,
            .stride = jpeg->img_comp[i].w2,
            .across = jpeg->img_h_max / jpeg->img_comp[i].h,
            .down = jpeg->img_v_max / jpeg->img_comp[i].v,
        };
    cr_error why;
    if (cr_image_create(image, (int)jpeg->s->img_x, (int)jpeg->s->img_y, &why) &&
        cr_jpeg_to_rgb(image->rgb, image->h, image->w, planes, jpeg_color(jpeg), &why))
        return true;
    cr_image_free(image);
    return cr_fail(err, "%s: %s", path, why.text);
}

/* Whether the last thing read was the end marker. Version 2.27 of stb refuses a truncated file, but later ones return
 * what there is of it. A segment that claims to be longer than the file leaves img_buffer beyond it. */
static bool ends_with_marker(const stbi__context *source)
{
    const unsigned char *at = source->img_buffer;
    return at <= source->img_buffer_end && at[-2] == 0xff && at[-1] == 0xd9;
}

/* stb does the entropy decoding, jpeg.c the arithmetic. This relies on stb's internals as versions 2.27 to 2.30 have
 * them: stbi__decode_jpeg_image() hands each block, dequantized and in row order, to idct_block_kernel and leaves the
 * samples in img_comp[]: data, rows w2 apart, (y, x) of them real; h and v are their sampling factors, img_h_max and
 * img_v_max the largest. jfif and app14_color_transform tell of these markers, rgb counts the components named R, G and
 * B. stbi__cleanup_jpeg() frees the img_n components. */
static bool decode_jpeg(cr_image *image, const unsigned char *file, int bytes, const char *path, cr_error *err)
{
    stbi__context source = {0};
    stbi__jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (!jpeg)
        return cr_fail(err, "%s: out of memory", path);
    stbi__start_mem(&source, file, bytes);
    jpeg->s = &source;
    stbi__setup_jpeg(jpeg);
    jpeg->idct_block_kernel = cr_jpeg_idct;
    bool ok = stbi__decode_jpeg_image(jpeg) && ends_with_marker(&source);
    if (ok)
        ok = jpeg_to_rgb(image, jpeg, path, err);
    else
        cr_fail(err, "%s: a damaged JPEG picture, or a kind not supported (%s)", path, stb_reason());
    stbi__cleanup_jpeg(jpeg);
    free(jpeg);
    return ok;
}

static bool decode(cr_image *image, const unsigned char *file, size_t bytes, const char *path, cr_error *err)
{
    int w, h, channels;
    if (cr_pnm_test(file, bytes))
        return cr_pnm_decode(image, file, bytes, path, err);
    if (bytes > INT_MAX)
        return cr_fail(err, "%s: a file of %zu bytes is too large for a picture", path, bytes);
    /* stb passes over further bytes of 0xff before a marker, even before the first. */
    bool jpeg = bytes >= 2 && file[0] == 0xff && (file[1] == 0xd8 || file[1] == 0xff);
    if (jpeg && !huffman_tables_fit(file, bytes))
        return cr_fail(err, "%s: a damaged JPEG picture: a Huffman table of more than 256 codes", path);
    if (!stbi_info_from_memory(file, (int)bytes, &w, &h, &channels))
        return cr_fail(err, "%s: not a picture: expected PNG, JPEG, BMP, GIF, TGA or PNM", path);
    cr_error why;
    if (!check_size(w, h, &why))
        return cr_fail(err, "%s: %s", path, why.text);
    if (jpeg)
        return decode_jpeg(image, file, (int)bytes, path, err);
    unsigned char *rgb = stbi_load_from_memory(file, (int)bytes, &w, &h, &channels, 3);
    if (!rgb)
        return cr_fail(err, "%s: a damaged picture, or a kind not supported (%s)", path, stb_reason());
    *image = (cr_image){w, h, rgb};
    return true;
}

bool cr_image_load(cr_image *image, const char *path, cr_error *err)
{
    unsigned char *file;
    size_t bytes;
    *image = (cr_image){0};
    if (!cr_file_read(path, &file, &bytes, err))
        return false;
    bool ok = bytes > 0 ? decode(image, file, bytes, path, err) : cr_fail(err, "%s: the file is empty", path);
    free(file);
    return ok;
}

bool cr_image_encode_png(unsigned char **data, size_t *bytes, const unsigned char *pixels, int w, int h, int channels,
                         cr_error *err)
{
    int length = 0;
    *data = stbi_write_png_to_mem(pixels, w * channels, w, h, channels, &length);
    *bytes = (size_t)length;
    return *data || cr_fail(err, "out of memory for a picture of %d x %d pixels", w, h);
}

bool cr_image_write_png(const cr_image *image, const char *path, cr_error *err)
{
    unsigned char *png;
    size_t bytes;
    cr_error why;
    if (!cr_image_encode_png(&png, &bytes, image->rgb, image->w, image->h, 3, &why))
        return cr_fail(err, "%s: %s", path, why.text);
    bool ok = cr_file_write(path, png, bytes, err);
    free(png);
    return ok;
}

typedef struct growing {
    unsigned char *data;
    size_t bytes, capacity;
    bool failed;
} growing;

static void grow(void *owner, void *data, int bytes)
{
    growing *g = owner;
    if (!g->failed && g->bytes + (size_t)bytes > g->capacity) {
        const size_t capacity = 2 * (g->bytes + (size_t)bytes);
        unsigned char *larger = realloc(g->data, capacity);
        g->failed = !larger;
        g->data = larger ? larger : g->data;
        g->capacity = larger ? capacity : g->capacity;
    }
    if (g->failed)
        return;
    memcpy(g->data + g->bytes, data, (size_t)bytes);
    g->bytes += (size_t)bytes;
}

bool cr_image_encode_jpeg(unsigned char **data, size_t *bytes, const cr_image *image, cr_error *err)
{
    enum { QUALITY = 92 };
    growing g = {0};
    if (!stbi_write_jpg_to_func(grow, &g, image->w, image->h, 3, image->rgb, QUALITY) || g.failed) {
        free(g.data);
        g.data = NULL;
    }
    *data = g.data;
    *bytes = g.bytes;
    return g.data || cr_fail(err, "no JPEG picture of %d x %d pixels: out of memory, or too large", image->w, image->h);
}
