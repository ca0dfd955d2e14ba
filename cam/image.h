/* image.h - pictures as 8-bit RGB, read from files and written as PNG. */
#ifndef CAMRUN_IMAGE_H
#define CAMRUN_IMAGE_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_image {
    int w, h;
    unsigned char *rgb; /* (h, w, 3) */
} cr_image;

/* Pixels x0 <= x < x1, y0 <= y < y1. */
typedef struct cr_rect {
    int x0, y0, x1, y1;
} cr_rect;

/* A black picture. False where w x h is empty or too large to hold. */
bool cr_image_create(cr_image *image, int w, int h, cr_error *err);
/* Frees the pixels and leaves an empty image; harmless on a zeroed one. */
void cr_image_free(cr_image *image);

/* ITU-R 601 luma of a pixel, in Pillow's arithmetic. */
static inline unsigned char cr_luma(const unsigned char rgb[3])
{
    return (unsigned char)((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

/* PNG, JPEG, BMP, GIF (first frame), TGA and PNM, told apart by content. The result is that of Pillow's
 * Image.open(path).convert("RGB"): grey is replicated, a palette looked up, alpha dropped and not blended, EXIF
 * orientation not applied, JPEG exact to the bit (jpeg.h). It differs in two places: 16-bit grey is reduced to its
 * high byte as 16-bit colour is, where Pillow clips it to white; and transparent pixels of a GIF have its background's
 * colour. */
bool cr_image_load(cr_image *image, const char *path, cr_error *err);
bool cr_image_write_png(const cr_image *image, const char *path, cr_error *err);

/* Pictures as files in memory: *data is malloc'ed, and the caller frees it. pixels: (h, w, channels), 1 or 3 channels. The
 * JPEG's quality is one at which the eye sees no loss. */
bool cr_image_encode_png(unsigned char **data, size_t *bytes, const unsigned char *pixels, int w, int h, int channels,
                         cr_error *err);
bool cr_image_encode_jpeg(unsigned char **data, size_t *bytes, const cr_image *image, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
