/* transform.c - photograph to network input and map back to photograph (transform.h). */
#include "transform.h"

#include "map.h"
#include "resize.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

cr_transform cr_transform_default(void)
{
    return (cr_transform){
        .resize = 256,
        .crop_w = 224,
        .crop_h = 224,
        .n_mean = 3,
        .n_std = 3,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
    };
}

/* ---- where things go ---- */

/* Where a crop of n pixels starts in a side of `size`: in the middle, a half rounded to even as Python's round does;
 * negative where the side is shorter and the crop padded. */
static int crop_start(int size, int n)
{
    if (size < n)
        return -((n - size) / 2);
    int twice = size - n;
    return twice / 2 + (twice % 4 == 3);
}

bool cr_transform_geometry(const cr_transform *transform, int photo_w, int photo_h, cr_geometry *geometry,
                           cr_error *err)
{
    int64_t w = photo_w, h = photo_h;
    if (w <= 0 || h <= 0)
        return cr_fail(err, "a picture of %d x %d pixels is empty", photo_w, photo_h);
    if (transform->resize > 0 && w <= h) {
        h = transform->resize * h / w;
        w = transform->resize;
    } else if (transform->resize > 0) {
        w = transform->resize * w / h;
        h = transform->resize;
    } else if (transform->resize_w > 0 && transform->resize_h > 0) {
        w = transform->resize_w;
        h = transform->resize_h;
    } else if (transform->resize != 0 || transform->resize_w != 0 || transform->resize_h != 0) {
        return cr_fail(err, "expected a size above 0 to resize to, found %d or %d x %d", transform->resize,
                       transform->resize_w, transform->resize_h);
    }
    if (w > INT_MAX / 2 || h > INT_MAX / 2)
        return cr_fail(err, "a picture of %d x %d pixels becomes too large when resized: %lld x %lld", photo_w, photo_h,
                       (long long)w, (long long)h);
    *geometry = (cr_geometry){photo_w, photo_h, (int)w, (int)h, 0, 0, (int)w, (int)h};
    if (transform->crop_w == 0 && transform->crop_h == 0)
        return true;
    if (transform->crop_w <= 0 || transform->crop_h <= 0)
        return cr_fail(err, "expected a size above 0 to crop to, found %d x %d", transform->crop_w, transform->crop_h);
    geometry->left = crop_start((int)w, transform->crop_w);
    geometry->top = crop_start((int)h, transform->crop_h);
    geometry->w = transform->crop_w;
    geometry->h = transform->crop_h;
    return true;
}

/* The photo pixels first <= x < last that a crop of n pixels from `start` covers at least in part. */
static void covered(int photo, int resized, int start, int n, int *first, int *last)
{
    int64_t from = start > 0 ? start : 0, to = start + n < resized ? start + n : resized;
    *first = (int)(from * photo / resized);
    *last = (int)((to * photo + resized - 1) / resized);
}

cr_rect cr_geometry_seen(const cr_geometry *g)
{
    cr_rect seen;
    covered(g->photo_w, g->resized_w, g->left, g->w, &seen.x0, &seen.x1);
    covered(g->photo_h, g->resized_h, g->top, g->h, &seen.y0, &seen.y1);
    return seen;
}

void cr_geometry_unmap(float *out, const float *map, const cr_geometry *g)
{
    /* The centre of photo pixel x is at (x + 0.5) * dx in the resized picture; left leads from there to the crop, and
     * 0.5 from a place to an index. */
    double dx = (double)g->resized_w / g->photo_w, dy = (double)g->resized_h / g->photo_h;
    cr_map_sample(out, g->photo_h, g->photo_w, map, g->h, g->w, 0.5 * dy - g->top - 0.5, dy, 0.5 * dx - g->left - 0.5,
                  dx);
    cr_rect seen = cr_geometry_seen(g);
    for (int y = 0; y < g->photo_h; y++) {
        for (int x = 0; x < g->photo_w; x++) {
            if (y < seen.y0 || y >= seen.y1 || x < seen.x0 || x >= seen.x1)
                out[(size_t)y * (size_t)g->photo_w + (size_t)x] = 0;
        }
    }
}

/* ---- pixels to numbers ---- */

static unsigned char *luma(const cr_image *photo, cr_error *err)
{
    size_t pixels = (size_t)photo->w * (size_t)photo->h;
    unsigned char *gray = malloc(pixels);
    if (!gray) {
        cr_fail(err, "out of memory for a picture of %d x %d pixels", photo->w, photo->h);
        return NULL;
    }
    for (size_t i = 0; i < pixels; i++)
        gray[i] = cr_luma(photo->rgb + 3 * i);
    return gray;
}

/* Resizes and crops, all but the padding: window is the part of the resized picture inside the crop. */
static unsigned char *resize_window(const cr_image *photo, bool gray, cr_rect window, const cr_geometry *g,
                                    cr_error *err)
{
    int channels = gray ? 1 : 3;
    size_t pixels = (size_t)(window.x1 - window.x0) * (size_t)(window.y1 - window.y0);
    unsigned char *from = gray ? luma(photo, err) : photo->rgb;
    if (!from)
        return NULL;
    unsigned char *to = malloc(pixels * (size_t)channels);
    if (!to)
        cr_fail(err, "out of memory for a network input of %d x %d pixels", g->w, g->h);
    if (to && !cr_resize(to, window, g->resized_h, g->resized_w, from, photo->h, photo->w, channels, err)) {
        free(to);
        to = NULL;
    }
    if (gray)
        free(from);
    return to;
}

/* The mean or std of channel c of `channels`, out of the 1 or 3 values that were given. */
static float pick(const float *value, int n, int c, int channels)
{
    if (n == 1)
        return value[0];
    return channels == 1 ? (value[0] + value[1] + value[2]) / 3 : value[c];
}

float cr_transform_level(const cr_transform *t, float level, int c, int channels)
{
    return (level - pick(t->mean, t->n_mean, c, channels)) / pick(t->std, t->n_std, c, channels);
}

void cr_transform_undo(float *levels, const float *x, int channels, size_t pixels, const cr_transform *t)
{
    for (int c = 0; c < channels; c++)
        for (size_t i = (size_t)c * pixels; i < (size_t)(c + 1) * pixels; i++)
            levels[i] = x[i] * pick(t->std, t->n_std, c, channels) + pick(t->mean, t->n_mean, c, channels);
}

static bool check_numbers(const cr_transform *t, int channels, cr_error *err)
{
    if (channels != 1 && channels != 3)
        return cr_fail(err, "the network takes %d channels, a picture has 1 or 3", channels);
    if ((t->n_mean != 1 && t->n_mean != 3) || (t->n_std != 1 && t->n_std != 3))
        return cr_fail(err, "expected 1 or 3 values for mean and std, found %d and %d", t->n_mean, t->n_std);
    for (int c = 0; c < t->n_std; c++) {
        if (!(t->std[c] > 0))
            return cr_fail(err, "expected a std above 0, found %g", (double)t->std[c]);
    }
    return true;
}

bool cr_transform_apply(float *out, int channels, const cr_image *photo, const cr_transform *transform,
                        const cr_geometry *g, cr_error *err)
{
    assert(photo->w == g->photo_w && photo->h == g->photo_h);
    if (!check_numbers(transform, channels, err))
        return false;
    bool gray = transform->gray || channels == 1;
    cr_rect window = {
        .x0 = g->left > 0 ? g->left : 0,
        .y0 = g->top > 0 ? g->top : 0,
        .x1 = g->left + g->w < g->resized_w ? g->left + g->w : g->resized_w,
        .y1 = g->top + g->h < g->resized_h ? g->top + g->h : g->resized_h,
    };
    unsigned char *bytes = resize_window(photo, gray, window, g, err);
    if (!bytes)
        return false;

    size_t step = gray ? 1 : 3, stride = (size_t)(window.x1 - window.x0) * step;
    for (int c = 0; c < channels; c++) {
        float mean = pick(transform->mean, transform->n_mean, c, channels);
        float std = pick(transform->std, transform->n_std, c, channels);
        float value[256];
        for (int byte = 0; byte < 256; byte++)
            value[byte] = ((float)byte / 255.0f - mean) / std;

        const unsigned char *plane = bytes + (gray ? 0 : c);
        for (int i = 0; i < g->h; i++) {
            int y = g->top + i - window.y0;
            bool inside = y >= 0 && y < window.y1 - window.y0;
            for (int j = 0; j < g->w; j++) {
                int x = g->left + j - window.x0;
                bool padded = !inside || x < 0 || x >= window.x1 - window.x0;
                *out++ = value[padded ? 0 : plane[(size_t)y * stride + (size_t)x * step]];
            }
        }
    }
    free(bytes);
    return true;
}
