/* draw.c - rectangles, pictures, lines of text and colour bars (draw.h). */
#include "draw.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

void draw_fill(cr_image *image, cr_rect r, uint32_t color)
{
    for (int y = r.y0; y < r.y1; y++) {
        for (int x = r.x0; x < r.x1; x++) {
            unsigned char *rgb = image->rgb + 3 * ((size_t)y * (size_t)image->w + (size_t)x);
            for (int c = 0; c < 3; c++)
                rgb[c] = (unsigned char)(color >> (16 - 8 * c) & 0xff);
        }
    }
}

void draw_paste(cr_image *image, int left, int top, const cr_image *part)
{
    for (int y = 0; y < part->h; y++)
        memcpy(image->rgb + 3 * ((size_t)(top + y) * (size_t)image->w + (size_t)left),
               part->rgb + 3 * (size_t)y * (size_t)part->w, 3 * (size_t)part->w);
}

void draw_fitted(cr_image *image, double x, double y, double size, double room, uint32_t color, const char *text)
{
    char line[256];
    size_t length = strlen(text);
    if (length >= sizeof line)
        length = sizeof line - 1;
    snprintf(line, sizeof line, "%s", text);
    while (cr_text_width(line, size) > room && length > 0) {
        do
            length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80); /* not inside a UTF-8 sequence */
        snprintf(line, sizeof line, "%.*s...", (int)(length < 252 ? length : 252), text);
    }
    cr_text_draw(image, x, y, size, color, line);
}

void draw_bar(cr_image *image, cr_rect bar, double size, const cr_colormap *colormap)
{
    static const char *const numbers[3] = {"1", "0.5", "0"};
    draw_labelled_bar(image, bar, size, colormap, numbers);
}

void draw_labelled_bar(cr_image *image, cr_rect bar, double size, const cr_colormap *colormap, const char *const text[3])
{
    int height = bar.y1 - bar.y0;
    for (int y = 0; y < height; y++) {
        unsigned char rgb[3];
        cr_colormap_rgb(colormap, 1 - ((float)y + 0.5f) / (float)height, rgb);
        draw_fill(image, (cr_rect){bar.x0, bar.y0 + y, bar.x1, bar.y0 + y + 1},
                  (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2]);
    }
    double x = bar.x1 + 0.5 * size;
    cr_text_draw(image, x, bar.y0 + size, size, DRAW_PALE_INK, text[0]);
    cr_text_draw(image, x, bar.y0 + 0.5 * (height + size), size, DRAW_PALE_INK, text[1]);
    cr_text_draw(image, x, bar.y1, size, DRAW_PALE_INK, text[2]);
}
