/* view.c - see view.h. */
#include "view.h"

#include <math.h>
#include <string.h>

enum { TRIES = 10 };
static const double narrowest = 3.0 / 4, widest = 4.0 / 3; /* width over height */

/* The box of w x h at a random place, or in the middle where s is NULL. */
static cr_rect place_box(int photo_w, int photo_h, int w, int h, stream *s)
{
    int x = s ? draw_below(s, photo_w - w + 1) : (photo_w - w) / 2;
    int y = s ? draw_below(s, photo_h - h + 1) : (photo_h - h) / 2;
    return (cr_rect){x, y, x + w, y + h};
}

static cr_rect draw_box(double least, int photo_w, int photo_h, stream *s)
{
    for (int i = 0; i < TRIES; i++) {
        double area = (least + (1 - least) * draw_unit(s)) * photo_w * photo_h;
        double aspect = exp(log(narrowest) + (log(widest) - log(narrowest)) * draw_unit(s));
        double w = nearbyint(sqrt(area * aspect)), h = nearbyint(sqrt(area / aspect));
        if (w > 0 && w <= photo_w && h > 0 && h <= photo_h)
            return place_box(photo_w, photo_h, (int)w, (int)h, s);
    }
    int w = photo_w, h = photo_h;
    if (photo_w < narrowest * photo_h)
        h = (int)fmax(nearbyint(photo_w / narrowest), 1);
    else if (photo_w > widest * photo_h)
        w = (int)fmax(nearbyint(photo_h * widest), 1);
    return place_box(photo_w, photo_h, w, h, NULL);
}

view view_draw(const augmentation *a, int w, int h, stream *s)
{
    view v = {.crop = a->least > 0, .box = {0, 0, w, h}};
    if (v.crop)
        v.box = draw_box((double)a->least, w, h, s);
    v.flip = a->flip && draw_below(s, 2);
    return v;
}

static void flip_rows(float *planes, int rows, int w)
{
    for (int i = 0; i < rows; i++) {
        float *row = planes + (size_t)i * (size_t)w;
        for (int l = 0, r = w - 1; l < r; l++, r--) {
            float value = row[l];
            row[l] = row[r];
            row[r] = value;
        }
    }
}

static bool cut(cr_image *part, const cr_image *photo, cr_rect box, cr_error *err)
{
    if (!cr_image_create(part, box.x1 - box.x0, box.y1 - box.y0, err))
        return false;
    size_t bytes = (size_t)part->w * 3;
    for (int y = 0; y < part->h; y++)
        memcpy(part->rgb + (size_t)y * bytes,
               photo->rgb + ((size_t)(box.y0 + y) * (size_t)photo->w + (size_t)box.x0) * 3, bytes);
    return true;
}

bool view_apply(float *out, int channels, const cr_image *photo, const view *v, const cr_transform *transform,
                cr_error *err)
{
    const int w = transform->crop_w, h = transform->crop_h;
    cr_transform t = *transform;
    cr_image part = {0};
    cr_geometry geometry;
    if (v->crop) {
        if (!cut(&part, photo, v->box, err))
            return false;
        photo = &part;
        t.resize = t.crop_w = t.crop_h = 0;
        t.resize_w = w;
        t.resize_h = h;
    }
    bool ok = cr_transform_geometry(&t, photo->w, photo->h, &geometry, err) &&
              cr_transform_apply(out, channels, photo, &t, &geometry, err);
    if (ok && v->flip)
        flip_rows(out, channels * h, w);
    cr_image_free(&part);
    return ok;
}
