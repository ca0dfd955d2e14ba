/* picture.c - the overlay and the panel (picture.h). */
#include "picture.h"

#include "draw.h"
#include "resize.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- overlay ---- */

/* The map over the photo's pixels; the caller frees it. */
static float *map_on_photo(const float *map, const cr_geometry *geometry, cr_error *err)
{
    float *out = malloc((size_t)geometry->photo_w * (size_t)geometry->photo_h * sizeof *out);
    if (out)
        cr_geometry_unmap(out, map, geometry);
    else
        cr_fail(err, "out of memory for a map of %d x %d pixels", geometry->photo_w, geometry->photo_h);
    return out;
}

static bool check_alpha(float alpha, cr_error *err)
{
    if (!(alpha >= 0 && alpha <= 1))
        return cr_fail(err, "expected an alpha of 0 to 1, found %g", (double)alpha);
    return true;
}

/* picture = alpha * colours + (1 - alpha) * picture, inside seen. pytorch-grad-cam divides this by its maximum; here it
 * is left as the weighted mean that it is, so that the photo is no brighter where it is seen than elsewhere, and
 * pictures of several classes can be compared. */
static void blend(cr_image *picture, const float *map, cr_rect seen, float alpha, const cr_colormap *colormap)
{
    for (int y = seen.y0; y < seen.y1; y++) {
        for (int x = seen.x0; x < seen.x1; x++) {
            size_t i = (size_t)y * (size_t)picture->w + (size_t)x;
            unsigned char heat[3], *rgb = picture->rgb + 3 * i;
            cr_colormap_rgb(colormap, map[i], heat);
            for (int c = 0; c < 3; c++)
                rgb[c] = (unsigned char)(alpha * heat[c] + (1 - alpha) * rgb[c] + 0.5f);
        }
    }
}

bool cr_picture_overlay(cr_image *out, const cr_image *photo, const float *map, const cr_geometry *geometry,
                        float alpha, const cr_colormap *colormap, cr_error *err)
{
    *out = (cr_image){0};
    if (!check_alpha(alpha, err))
        return false;
    float *spread = map_on_photo(map, geometry, err);
    bool ok = spread && cr_image_create(out, photo->w, photo->h, err);
    if (ok) {
        memcpy(out->rgb, photo->rgb, 3 * (size_t)photo->w * (size_t)photo->h);
        blend(out, spread, cr_geometry_seen(geometry), alpha, colormap);
    }
    free(spread);
    return ok;
}

/* ---- panel ---- */

/* Sizes in pixels. Text and margins grow with the pictures, so that the panel can be read when scaled to a window. */
typedef struct layout {
    int w, h;                 /* of the panel */
    int picture_w, picture_h; /* of each picture */
    int cell_w, cell_h;       /* its place, which is larger than a thin picture */
    int left[3], top;         /* of the cells of photo, map and overlay */
    cr_rect bar;
    int margin;
    double caption_size, label_size; /* heights of capitals */
} layout;

/* Longer side of the pictures, and the shorter side of pictures that would be too thin to see. */
enum { MIN_LONG = 336, MAX_LONG = 800, MIN_SHORT = 16 };

static layout plan_panel(int photo_w, int photo_h)
{
    int longer = photo_w > photo_h ? photo_w : photo_h;
    int size = longer < MIN_LONG ? MIN_LONG : longer > MAX_LONG ? MAX_LONG : longer;
    int w = (int)lround((double)photo_w * size / longer), h = (int)lround((double)photo_h * size / longer);

    layout l = {.picture_w = w > MIN_SHORT ? w : MIN_SHORT, .picture_h = h > MIN_SHORT ? h : MIN_SHORT};
    l.cell_w = l.picture_w > size / 2 ? l.picture_w : size / 2;
    l.cell_h = l.picture_h > size / 5 ? l.picture_h : size / 5;
    l.margin = size / 14;
    l.caption_size = size / 22.0;
    l.label_size = size / 28.0;

    int gap = l.margin, bar_w = size / 22, numbers_w = (int)(0.5 * l.label_size + cr_text_width("0.5", l.label_size));
    l.top = l.margin + (int)(2.2 * l.caption_size);
    l.left[0] = l.margin;
    l.left[1] = l.left[0] + l.cell_w + gap;
    l.bar.x0 = l.left[1] + (l.cell_w + l.picture_w) / 2 + gap / 3;
    l.bar.x1 = l.bar.x0 + bar_w;
    l.bar.y0 = l.top;
    l.bar.y1 = l.top + l.cell_h;
    int cell_end = l.left[1] + l.cell_w, bar_end = l.bar.x1 + numbers_w;
    l.left[2] = (cell_end > bar_end ? cell_end : bar_end) + gap;
    l.w = l.left[2] + l.cell_w + l.margin;
    l.h = l.top + l.cell_h + (int)(2.2 * l.label_size) + l.margin;
    return l;
}

/* Pastes a picture into the middle of its cell, and its label under it. */
static void place(cr_image *panel, const layout *l, int cell, const cr_image *picture, const char *label)
{
    int x = l->left[cell] + (l->cell_w - picture->w) / 2, y = l->top + (l->cell_h - picture->h) / 2;
    draw_paste(panel, x, y, picture);
    double width = fmin(cr_text_width(label, l->label_size), l->cell_w);
    draw_fitted(panel, l->left[cell] + (l->cell_w - width) / 2, l->top + l->cell_h + 2.2 * l->label_size, l->label_size,
                l->cell_w, DRAW_PALE_INK, label);
}

bool cr_picture_panel(cr_image *out, const cr_image *photo, const float *map, const cr_geometry *geometry, float alpha,
                      const cr_colormap *colormap, const char *caption, cr_error *err)
{
    *out = (cr_image){0};
    if (!check_alpha(alpha, err))
        return false;
    layout l = plan_panel(photo->w, photo->h);
    int w = l.picture_w, h = l.picture_h;
    cr_geometry scaled = *geometry; /* the same map on a photo of the panel's size */
    scaled.photo_w = w;
    scaled.photo_h = h;
    cr_rect whole = {0, 0, w, h}, seen = cr_geometry_seen(&scaled);
    bool cropped = memcmp(&seen, &whole, sizeof seen) != 0;

    cr_image picture = {0};
    float *spread = map_on_photo(map, &scaled, err);
    bool ok = spread && cr_image_create(&picture, w, h, err) && cr_image_create(out, l.w, l.h, err);
    if (ok) {
        draw_fill(out, (cr_rect){0, 0, l.w, l.h}, DRAW_WHITE);
        draw_fitted(out, l.margin, l.margin + l.caption_size, l.caption_size, l.w - 2 * l.margin, DRAW_INK, caption);
        draw_bar(out, l.bar, l.label_size, colormap);
        draw_fill(&picture, whole, DRAW_UNSEEN);
        blend(&picture, spread, seen, 1, colormap);
        place(out, &l, 1, &picture, cropped ? "map (grey: cropped)" : "map");
        ok = cr_resize(picture.rgb, whole, h, w, photo->rgb, photo->h, photo->w, 3, err);
    }
    if (ok) {
        place(out, &l, 0, &picture, "photograph");
        blend(&picture, spread, seen, alpha, colormap);
        place(out, &l, 2, &picture, "overlay");
    }
    free(spread);
    cr_image_free(&picture);
    if (!ok)
        cr_image_free(out);
    return ok;
}
