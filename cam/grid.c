/* grid.c - the grid of small pictures (grid.h): where its parts lie, and drawing them as they come. */
#include "grid.h"

#include "draw.h"
#include "resize.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct cr_grid {
    cr_image image;
    int w, h;             /* of a picture, as it comes */
    int cell_w, cell_h;   /* and as it is drawn */
    int step_x, step_y;   /* from one to the next */
    int left, top;        /* of the first */
    int row_label_w;
    double label_size;    /* heights of capitals */
};

/* In pixels: what pictures share, how large small ones become and large ones stay, and the least that can be read. */
enum { GRID_WIDTH = 1600, ENLARGED = 176, MOST_SCALE = 24, MOST_SIDE = 256, MARGIN = 16, SMALLEST_TEXT = 6, LARGEST_TEXT = 10, BAR = 16 };

int cr_grid_columns(int n, int w, int h)
{
    const int few = 6;
    if (n <= few)
        return n;
    const double square = sqrt((double)n * h / w);
    int columns = (int)ceil(square);
    columns = columns < 1 ? 1 : columns > n ? n : columns;
    for (int c = columns; c <= n && c <= 2 * square; c++)
        if (n % c == 0)
            return c;
    return columns;
}

/* ---- layout ---- */

/* Enlarged by a whole number or, the largest, reduced. */
static void choose_size(cr_grid *g, int columns)
{
    const int longer = g->w > g->h ? g->w : g->h, share = (GRID_WIDTH - 2 * MARGIN) / columns;
    int scale = (share - share / 10) / g->w;
    if (scale > ENLARGED / longer)
        scale = ENLARGED / longer;
    if (scale > MOST_SCALE)
        scale = MOST_SCALE;
    if (scale < 1)
        scale = 1;
    g->cell_w = g->w * scale;
    g->cell_h = g->h * scale;
    if (longer > MOST_SIDE) {
        g->cell_w = g->w * MOST_SIDE / longer > 0 ? g->w * MOST_SIDE / longer : 1;
        g->cell_h = g->h * MOST_SIDE / longer > 0 ? g->h * MOST_SIDE / longer : 1;
    }
}

static double clamp(double value, double low, double high)
{
    return fmin(fmax(value, low), high);
}

/* How wide the text beside a bar is. */
static double bar_text(const cr_grid_layout *l, double size)
{
    double width = 0;
    for (int i = 0; i < 3; i++)
        width = fmax(width, cr_text_width(l->bar[i], size));
    return width;
}

/* False where the whole does not fit an int. */
static bool plan_grid(cr_grid *g, const cr_grid_layout *l, double *title_size, cr_rect *bar)
{
    choose_size(g, l->columns);
    const int gap = g->cell_w / 16 > 2 ? g->cell_w / 16 : 2;
    g->label_size = clamp(g->cell_w / 6.0, SMALLEST_TEXT, LARGEST_TEXT);
    g->row_label_w = l->row_labels ? (int)ceil(cr_text_width("0000", g->label_size) + 0.8 * g->label_size) : 0;
    g->step_x = g->cell_w + gap;
    g->step_y = g->cell_h + (l->labels ? (int)ceil(2.2 * g->label_size) : gap);
    g->left = MARGIN + g->row_label_w;
    const int64_t cells_w = (int64_t)l->columns * g->step_x - gap, cells_h = (int64_t)l->rows * g->step_y;
    const double text = LARGEST_TEXT, bar_w = l->colormap ? 2 * BAR + 0.5 * text + bar_text(l, text) : 0;
    int64_t width = g->left + cells_w + (int64_t)ceil(bar_w) + MARGIN;
    width = width < 320 ? 320 : width; /* room for a title */
    *title_size = clamp((double)width / 75, 10, 18);
    g->top = MARGIN + (int)ceil(2 * *title_size) + (l->column_labels ? (int)ceil(1.8 * g->label_size) : 0);
    int64_t height = g->top + cells_h + MARGIN;
    const int64_t bar_h = cells_h > 90 ? cells_h : 90;
    height = l->colormap && height < g->top + bar_h + MARGIN ? g->top + bar_h + MARGIN : height;
    if (width > INT32_MAX || height > INT32_MAX)
        return false;
    g->image.w = (int)width;
    g->image.h = (int)height;
    bar->x0 = g->left + (int)cells_w + BAR;
    bar->x1 = bar->x0 + BAR;
    bar->y0 = g->top;
    bar->y1 = g->top + (int)(bar_h > 400 ? 400 : bar_h);
    return true;
}

cr_grid *cr_grid_create(const cr_grid_layout *l, cr_error *err)
{
    cr_grid *g = calloc(1, sizeof *g);
    if (!g) {
        cr_fail(err, "out of memory");
        return NULL;
    }
    g->w = l->w;
    g->h = l->h;
    double title_size;
    cr_rect bar;
    const bool fits = plan_grid(g, l, &title_size, &bar) ||
                      cr_fail(err, "%d x %d pictures of %dx%d are too many for one: show fewer of them", l->columns, l->rows,
                              l->w, l->h);
    if (!fits || !cr_image_create(&g->image, g->image.w, g->image.h, err)) {
        cr_grid_free(g);
        return NULL;
    }
    draw_fill(&g->image, (cr_rect){0, 0, g->image.w, g->image.h}, DRAW_WHITE);
    draw_fitted(&g->image, MARGIN, MARGIN + title_size, title_size, g->image.w - 2 * MARGIN, DRAW_INK, l->title);
    if (l->colormap)
        draw_labelled_bar(&g->image, bar, LARGEST_TEXT, l->colormap, l->bar);
    return g;
}

void cr_grid_free(cr_grid *g)
{
    if (!g)
        return;
    cr_image_free(&g->image);
    free(g);
}

void cr_grid_take(cr_grid *g, cr_image *out)
{
    *out = g->image;
    g->image = (cr_image){0};
    cr_grid_free(g);
}

/* ---- pictures and labels ---- */

static void enlarge(cr_image *to, const cr_image *from)
{
    const int scale = to->w / from->w;
    for (int y = 0; y < to->h; y++)
        for (int x = 0; x < to->w; x++)
            memcpy(to->rgb + 3 * ((size_t)y * (size_t)to->w + (size_t)x),
                   from->rgb + 3 * ((size_t)(y / scale) * (size_t)from->w + (size_t)(x / scale)), 3);
}

bool cr_grid_place(cr_grid *g, int row, int column, const cr_image *picture, const char *label, cr_error *err)
{
    cr_image cell;
    const int left = g->left + column * g->step_x, top = g->top + row * g->step_y;
    if (!cr_image_create(&cell, g->cell_w, g->cell_h, err))
        return false;
    bool ok = true;
    if (g->cell_w >= g->w)
        enlarge(&cell, picture);
    else
        ok = cr_resize(cell.rgb, (cr_rect){0, 0, cell.w, cell.h}, cell.h, cell.w, picture->rgb, g->h, g->w, 3, err);
    if (ok)
        draw_paste(&g->image, left, top, &cell);
    cr_image_free(&cell);
    const double room = g->step_x - 2;
    if (ok && label) {
        const double width = fmin(cr_text_width(label, g->label_size), room);
        draw_fitted(&g->image, left + (g->cell_w - width) / 2, top + g->cell_h + 1.45 * g->label_size, g->label_size, room,
                    DRAW_PALE_INK, label);
    }
    return ok;
}

void cr_grid_row_label(cr_grid *g, int row, const char *label)
{
    const double width = cr_text_width(label, g->label_size), middle = g->top + row * g->step_y + g->cell_h / 2.0;
    cr_text_draw(&g->image, g->left - 0.8 * g->label_size - width, middle + g->label_size / 2, g->label_size, DRAW_PALE_INK,
                 label);
}

void cr_grid_column_label(cr_grid *g, int column, const char *label)
{
    const double width = fmin(cr_text_width(label, g->label_size), g->step_x);
    draw_fitted(&g->image, g->left + column * g->step_x + (g->cell_w - width) / 2, g->top - 0.6 * g->label_size, g->label_size,
                g->step_x, DRAW_PALE_INK, label);
}

/* ---- values as pictures ---- */

bool cr_picture_of_map(cr_image *out, const float *values, int w, int h, float low, float high, const cr_colormap *colormap,
                       cr_error *err)
{
    if (!cr_image_create(out, w, h, err))
        return false;
    for (size_t i = 0; i < (size_t)w * (size_t)h; i++)
        cr_colormap_rgb(colormap, high > low ? (values[i] - low) / (high - low) : 0.5f, out->rgb + 3 * i);
    return true;
}

bool cr_picture_of_planes(cr_image *out, const float *values, int channels, int w, int h, cr_error *err)
{
    if (!cr_image_create(out, w, h, err))
        return false;
    const size_t pixels = (size_t)w * (size_t)h;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++) {
            const float value = values[(channels == 3 ? c * pixels : 0) + i];
            out->rgb[3 * i + c] = (unsigned char)(255 * (value > 1 ? 1 : value > 0 ? value : 0) + 0.5f);
        }
    return true;
}
