/* pnm.h - the portable bitmap family: PBM, PGM and PPM, in text (P1 P2 P3) and in binary (P4 P5 P6). */
#ifndef CAMRUN_PNM_H
#define CAMRUN_PNM_H

#include "image.h"

/* Whether the bytes start as such a file does. */
bool cr_pnm_test(const unsigned char *file, size_t bytes);

/* Samples are scaled from 0..maxval to 0..255; image is created. path is for messages only. */
bool cr_pnm_decode(cr_image *image, const unsigned char *file, size_t bytes, const char *path, cr_error *err);

#endif
