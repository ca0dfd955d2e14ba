/* channels.c - see channels.h. */
#include "channels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "grid.h"

/* Labels under the pictures of more columns than that could not be read: then rows are labelled. */
enum { LABELLED_COLUMNS = 40, FEW_INPUTS = 8 };

/* ---- ranges ---- */

typedef struct range {
    float low, high;
} range;

static range range_of(const float *values, size_t n, range r)
{
    for (size_t i = 0; i < n; i++) {
        r.low = fminf(r.low, values[i]);
        r.high = fmaxf(r.high, values[i]);
    }
    return r;
}

static const range nothing = {INFINITY, -INFINITY};

/* From -m to m. */
static range symmetric(range r)
{
    const float m = fmaxf(fabsf(r.low), fabsf(r.high));
    return (range){-m, m};
}

/* ---- what both have ---- */

typedef struct bar_text {
    char text[3][24];
} bar_text;

static void describe_bar(cr_grid_layout *layout, bar_text *bar, const cr_channel_view *view, range all)
{
    layout->colormap = view->colormap;
    static const char *const own[3] = {"each one's largest", "", "its smallest"};
    const float ends[3] = {all.high, (all.low + all.high) / 2, all.low};
    for (int i = 0; i < 3; i++) {
        snprintf(bar->text[i], sizeof bar->text[i], "%.3g", (double)ends[i]);
        layout->bar[i] = view->each ? own[i] : bar->text[i];
    }
}

/* Picture i of a grid that is filled row by row, under which or at whose row's begin its channel's number stands. */
static bool place_channel(cr_grid *grid, const cr_grid_layout *layout, int i, const cr_image *picture, int channel, cr_error *err)
{
    char label[16];
    snprintf(label, sizeof label, "%d", channel);
    if (layout->row_labels && i % layout->columns == 0)
        cr_grid_row_label(grid, i / layout->columns, label);
    return cr_grid_place(grid, i / layout->columns, i % layout->columns, picture, layout->labels ? label : NULL, err);
}

static cr_grid_layout flow(const cr_channel_view *view, int w, int h)
{
    cr_grid_layout l = {.w = w, .h = h, .title = view->title, .columns = cr_grid_columns(view->n_channels, w, h)};
    l.rows = (view->n_channels + l.columns - 1) / l.columns;
    l.labels = l.columns <= LABELLED_COLUMNS;
    l.row_labels = !l.labels;
    return l;
}

/* ---- kernels ---- */

static const float *kernel_of(const float *w, const int dim[4], int oc, int ic)
{
    return w + ((size_t)oc * (size_t)dim[1] + (size_t)ic) * (size_t)dim[2] * (size_t)dim[3];
}

static range range_of_filter(const float *w, const int dim[4], const cr_channel_view *view, int oc, range r)
{
    for (int i = 0; i < view->n_inputs; i++)
        r = range_of(kernel_of(w, dim, oc, view->inputs[i]), (size_t)dim[2] * (size_t)dim[3], r);
    return r;
}

static range scale_of(const float *w, const int dim[4], const cr_channel_view *view, int oc, range all)
{
    return view->each ? symmetric(range_of_filter(w, dim, view, oc, nothing)) : all;
}

static bool kernel_picture(cr_image *out, const float *w, const int dim[4], const cr_channel_view *view, int oc, int ic, range r,
                           cr_error *err)
{
    return cr_picture_of_map(out, kernel_of(w, dim, oc, ic), dim[3], dim[2], r.low, r.high, view->colormap, err);
}

static cr_grid *kernel_matrix(const float *w, const int dim[4], const cr_channel_view *view, range all, cr_error *err)
{
    cr_grid_layout layout = {.rows = view->n_channels, .columns = view->n_inputs, .w = dim[3], .h = dim[2],
                             .title = view->title, .row_labels = true, .column_labels = true};
    bar_text bar;
    describe_bar(&layout, &bar, view, all);
    cr_grid *grid = cr_grid_create(&layout, err);
    bool ok = grid != NULL;
    char label[16];
    for (int j = 0; ok && j < view->n_inputs; j++) {
        snprintf(label, sizeof label, "%d", view->inputs[j]);
        cr_grid_column_label(grid, j, label);
    }
    for (int i = 0; ok && i < view->n_channels; i++) {
        const range r = scale_of(w, dim, view, view->channels[i], all);
        snprintf(label, sizeof label, "%d", view->channels[i]);
        cr_grid_row_label(grid, i, label);
        for (int j = 0; ok && j < view->n_inputs; j++) {
            cr_image kernel;
            ok = kernel_picture(&kernel, w, dim, view, view->channels[i], view->inputs[j], r, err) &&
                 cr_grid_place(grid, i, j, &kernel, NULL, err);
            cr_image_free(&kernel);
        }
    }
    if (!ok)
        cr_grid_free(grid);
    return ok ? grid : NULL;
}

/* A filter's kernels side by side, a pixel of grey between. */
static bool strip_of(cr_image *out, const float *w, const int dim[4], const cr_channel_view *view, int oc, range r, cr_error *err)
{
    if (!cr_image_create(out, view->n_inputs * (dim[3] + 1) - 1, dim[2], err))
        return false;
    draw_fill(out, (cr_rect){0, 0, out->w, out->h}, DRAW_UNSEEN);
    bool ok = true;
    for (int j = 0; ok && j < view->n_inputs; j++) {
        cr_image kernel;
        ok = kernel_picture(&kernel, w, dim, view, oc, view->inputs[j], r, err);
        if (ok)
            draw_paste(out, j * (dim[3] + 1), 0, &kernel);
        cr_image_free(&kernel);
    }
    return ok;
}

static bool colored(cr_image *out, const float *w, const int dim[4], int oc, range r, cr_error *err)
{
    const size_t count = 3 * (size_t)dim[2] * (size_t)dim[3];
    float *planes = malloc(count * sizeof *planes);
    if (!planes)
        return cr_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++)
        planes[i] = r.high > r.low ? (kernel_of(w, dim, oc, 0)[i] - r.low) / (r.high - r.low) : 0.5f;
    const bool ok = cr_picture_of_planes(out, planes, 3, dim[3], dim[2], err);
    free(planes);
    return ok;
}

static cr_grid *kernel_strips(const float *w, const int dim[4], const cr_channel_view *view, range all, cr_error *err)
{
    const int strip_w = view->rgb ? dim[3] : view->n_inputs * (dim[3] + 1) - 1;
    cr_grid_layout layout = flow(view, strip_w, dim[2]);
    bar_text bar;
    if (!view->rgb)
        describe_bar(&layout, &bar, view, all);
    cr_grid *grid = cr_grid_create(&layout, err);
    bool ok = grid != NULL;
    for (int i = 0; ok && i < view->n_channels; i++) {
        const int oc = view->channels[i];
        cr_image picture;
        ok = (view->rgb ? colored(&picture, w, dim, oc, range_of(kernel_of(w, dim, oc, 0), 3 * (size_t)dim[2] * (size_t)dim[3],
                                                                 nothing), err)
                        : strip_of(&picture, w, dim, view, oc, scale_of(w, dim, view, oc, all), err)) &&
             place_channel(grid, &layout, i, &picture, oc, err);
        cr_image_free(&picture);
    }
    if (!ok)
        cr_grid_free(grid);
    return ok ? grid : NULL;
}

bool cr_kernels_draw(cr_image *out, const float *w, const int dim[4], const cr_channel_view *view, cr_error *err)
{
    range all = nothing;
    *out = (cr_image){0};
    for (int i = 0; i < view->n_channels; i++)
        all = range_of_filter(w, dim, view, view->channels[i], all);
    all = symmetric(all);
    cr_grid *grid = view->rgb || view->n_inputs < FEW_INPUTS ? kernel_strips(w, dim, view, all, err)
                                                             : kernel_matrix(w, dim, view, all, err);
    if (grid)
        cr_grid_take(grid, out);
    return grid != NULL;
}

/* ---- feature maps ---- */

bool cr_features_draw(cr_image *out, const float *values, const int dim[3], const cr_channel_view *view, cr_error *err)
{
    const size_t pixels = (size_t)dim[1] * (size_t)dim[2];
    range all = nothing;
    *out = (cr_image){0};
    for (int i = 0; i < view->n_channels; i++)
        all = range_of(values + (size_t)view->channels[i] * pixels, pixels, all);
    cr_grid_layout layout = flow(view, dim[2], dim[1]);
    bar_text bar;
    describe_bar(&layout, &bar, view, all);
    cr_grid *grid = cr_grid_create(&layout, err);
    bool ok = grid != NULL;
    for (int i = 0; ok && i < view->n_channels; i++) {
        const float *map = values + (size_t)view->channels[i] * pixels;
        range r = view->each ? range_of(map, pixels, nothing) : all;
        if (!(r.high > r.low))
            r.high = r.low + 1; /* a map that is the same everywhere has the lowest colour */
        cr_image picture;
        ok = cr_picture_of_map(&picture, map, dim[2], dim[1], r.low, r.high, view->colormap, err) &&
             place_channel(grid, &layout, i, &picture, view->channels[i], err);
        cr_image_free(&picture);
    }
    if (ok)
        cr_grid_take(grid, out);
    else
        cr_grid_free(grid);
    return ok;
}
