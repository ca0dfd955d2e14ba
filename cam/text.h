/* text.h - lines of text in a stroke font, drawn with an antialiased round pen at any size. */
#ifndef CAMRUN_TEXT_H
#define CAMRUN_TEXT_H

#include "image.h"

/* Both read UTF-8. Accents of Western European letters are dropped; what the font lacks becomes '?'. size is the height
 * of a capital in pixels; letters reach a third of it below the baseline. */

double cr_text_width(const char *text, double size);

/* x is the left end and y the baseline; what falls outside the image is left out. color is 0xRRGGBB. */
void cr_text_draw(cr_image *image, double x, double y, double size, uint32_t color, const char *text);

#endif
