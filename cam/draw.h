/* draw.h - what panels and contact sheets are drawn with. Parts that lie outside the image must not be drawn, but for text. */
#ifndef CAMRUN_DRAW_H
#define CAMRUN_DRAW_H

#include "colormap.h"
#include "image.h"

/* 0xRRGGBB; unseen: where the network saw nothing of a photograph. */
enum { DRAW_WHITE = 0xffffff, DRAW_INK = 0x222222, DRAW_PALE_INK = 0x666666, DRAW_UNSEEN = 0xe4e4e4 };

void draw_fill(cr_image *image, cr_rect r, uint32_t color);
void draw_paste(cr_image *image, int left, int top, const cr_image *part);

/* Text (text.h) no wider than `room`, with dots in place of what does not fit. */
void draw_fitted(cr_image *image, double x, double y, double size, double room, uint32_t color, const char *text);

/* The colour map from 1 at the top to 0 at the bottom, with its numbers to the right; or with other texts at its top, middle
 * and bottom. */
void draw_bar(cr_image *image, cr_rect bar, double size, const cr_colormap *colormap);
void draw_labelled_bar(cr_image *image, cr_rect bar, double size, const cr_colormap *colormap, const char *const text[3]);

#endif
