/* sheet.c - the contact sheet (sheet.h): where its parts lie, and drawing them as they come. */
#include "sheet.h"

#include "draw.h"
#include "resize.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>

struct cr_sheet {
    cr_image image;
    cr_image photo;       /* scaled to the size of every picture here */
    cr_geometry geometry; /* of that photo */
    float alpha;
    const cr_colormap *colormap;
    int cell_w, cell_h;   /* a picture's place, which is larger than a thin picture */
    int gap;
    int row_h;
    double title_size, label_size; /* heights of capitals */
};

/* Longer side of the pictures, by how many share the sheet's width; and what thin ones have at least. */
enum { SHEET_WIDTH = 1600, MIN_LONG = 180, MAX_LONG = 336, MIN_SHORT = 16 };

static int at_least(int low, int value)
{
    return value > low ? value : low;
}

/* Sizes in pixels. The photo stands in a column of its own before the others. */
static void plan_sheet(cr_sheet *s, int photo_w, int photo_h, int rows, int columns)
{
    int longer = photo_w > photo_h ? photo_w : photo_h, size = SHEET_WIDTH / (columns + 1);
    size = size < MIN_LONG ? MIN_LONG : size > MAX_LONG ? MAX_LONG : size;
    s->geometry.photo_w = at_least(MIN_SHORT, (int)lround((double)photo_w * size / longer));
    s->geometry.photo_h = at_least(MIN_SHORT, (int)lround((double)photo_h * size / longer));
    s->cell_w = at_least(size * 3 / 5, s->geometry.photo_w);
    s->cell_h = at_least(size / 4, s->geometry.photo_h);
    s->gap = size / 16;
    s->title_size = 0.72 * sqrt(size);
    s->label_size = 0.8 * s->title_size;
    s->row_h = (int)(2.0 * s->title_size) + s->cell_h + (int)(2.6 * s->label_size) + s->gap;
    int bar_w = size / 16 + (int)(s->label_size + cr_text_width("0.5", s->label_size));
    s->image.w = s->gap + (columns + 1) * (s->cell_w + s->gap) + bar_w + s->gap;
    s->image.h = s->gap + rows * s->row_h;
}

static int column_left(const cr_sheet *s, int column) /* -1: the photo's */
{
    return s->gap + (column + 1) * (s->cell_w + s->gap);
}

static int row_top(const cr_sheet *s, int row) /* of its pictures */
{
    return s->gap + row * s->row_h + (int)(2.0 * s->title_size);
}

/* A picture in the middle of its place, and its label under it. */
static void place(cr_sheet *s, int row, int column, const cr_image *picture, const char *label)
{
    int left = column_left(s, column), top = row_top(s, row);
    draw_paste(&s->image, left + (s->cell_w - picture->w) / 2, top + (s->cell_h - picture->h) / 2, picture);
    double width = fmin(cr_text_width(label, s->label_size), s->cell_w);
    draw_fitted(&s->image, left + (s->cell_w - width) / 2, top + s->cell_h + 2.0 * s->label_size, s->label_size, s->cell_w,
                DRAW_PALE_INK, label);
}

/* The parts that are there before any map. */
static void draw_rows(cr_sheet *s, int rows, int columns)
{
    int bar = column_left(s, columns);
    for (int row = 0; row < rows; row++) {
        place(s, row, -1, &s->photo, "photograph");
        int top = row_top(s, row);
        draw_bar(&s->image, (cr_rect){bar, top, bar + s->gap, top + s->cell_h}, s->label_size, s->colormap);
    }
}

cr_sheet *cr_sheet_create(const cr_image *photo, const cr_geometry *geometry, int rows, int columns, float alpha,
                          const cr_colormap *colormap, cr_error *err)
{
    cr_sheet *s = calloc(1, sizeof *s);
    if (!s) {
        cr_fail(err, "out of memory");
        return NULL;
    }
    s->geometry = *geometry;
    s->alpha = alpha;
    s->colormap = colormap;
    plan_sheet(s, photo->w, photo->h, rows, columns);
    int w = s->geometry.photo_w, h = s->geometry.photo_h;
    if (!cr_image_create(&s->image, s->image.w, s->image.h, err) || !cr_image_create(&s->photo, w, h, err) ||
        !cr_resize(s->photo.rgb, (cr_rect){0, 0, w, h}, h, w, photo->rgb, photo->h, photo->w, 3, err)) {
        cr_sheet_free(s);
        return NULL;
    }
    draw_fill(&s->image, (cr_rect){0, 0, s->image.w, s->image.h}, DRAW_WHITE);
    draw_rows(s, rows, columns);
    return s;
}

void cr_sheet_free(cr_sheet *s)
{
    if (!s)
        return;
    cr_image_free(&s->image);
    cr_image_free(&s->photo);
    free(s);
}

void cr_sheet_title(cr_sheet *s, int row, const char *title)
{
    draw_fitted(&s->image, s->gap, s->gap + row * s->row_h + 1.2 * s->title_size, s->title_size,
                s->image.w - 2 * s->gap, DRAW_INK, title);
}

bool cr_sheet_overlay(cr_sheet *s, int row, int column, const float *map, const char *label, cr_error *err)
{
    cr_image picture;
    bool ok = cr_picture_overlay(&picture, &s->photo, map, &s->geometry, s->alpha, s->colormap, err);
    if (ok)
        place(s, row, column, &picture, label);
    cr_image_free(&picture);
    return ok;
}

const cr_image *cr_sheet_image(const cr_sheet *s)
{
    return &s->image;
}
