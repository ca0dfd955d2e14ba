/* jpeg.h - the arithmetic of JPEG after its entropy decoding: from coefficients to samples, from samples to RGB.
 *
 * Decoders may round as they like, and do. Networks are trained and compared on what libjpeg-turbo gives by default, so
 * this gives the same bits: the "islow" inverse transform and the "fancy" upsampling of chroma. Left out is only the
 * smoothing of progressive files whose last scans are missing. */
#ifndef CAMRUN_JPEG_H
#define CAMRUN_JPEG_H

#include "engine.h"

typedef enum cr_jpeg_color {
    CR_JPEG_GRAY, /* 1 plane */
    CR_JPEG_RGB,  /* 3 planes */
    CR_JPEG_YCC,  /* 3 planes: Y, Cb, Cr */
    CR_JPEG_CMYK, /* 4 planes, each 255 - ink: as Adobe writes them, and everyone after it */
    CR_JPEG_YCCK, /* 4 planes: Y, Cb, Cr of 255 - C, M, Y; then K as above */
} cr_jpeg_color;

/* One component's samples, (h, w) of them, rows stride apart. Each covers across x down pixels, both at most 4. */
typedef struct cr_jpeg_plane {
    const unsigned char *samples;
    int w, h, stride, across, down;
} cr_jpeg_plane;

/* The 8 x 8 samples (rows stride apart) of a block of dequantized coefficients, coef[8 * vertical + horizontal]. */
void cr_jpeg_idct(unsigned char *samples, int stride, short coef[64]);

/* rgb (h, w, 3) from the planes of color. Each plane covers h x w pixels and no whole sample more. */
bool cr_jpeg_to_rgb(unsigned char *rgb, int h, int w, const cr_jpeg_plane *planes, cr_jpeg_color color, cr_error *err);

#endif
