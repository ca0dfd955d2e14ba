/* grid.h - many small pictures of one size in rows and columns on white: kernels, feature maps, inputs that excite filters.
 *
 * Small pictures are enlarged by a whole number, so that their pixels stay squares; those of more than 256 pixels a side
 * are reduced. Labels: under every picture, at the left of rows, and above columns. */
#ifndef CAMRUN_GRID_H
#define CAMRUN_GRID_H

#include "colormap.h"
#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_grid cr_grid;

typedef struct cr_grid_layout {
    int rows, columns;
    int w, h;                     /* of every picture, in its own pixels */
    const char *title;            /* above all, cut to fit */
    bool labels;                  /* there will be labels under pictures */
    bool row_labels, column_labels;
    const cr_colormap *colormap;  /* of a bar at the right, or NULL */
    const char *bar[3];           /* what is written beside its top, middle and bottom */
} cr_grid_layout;

/* How many columns show n pictures of w x h best: about a square, without a row that is cut short where there is a choice.
 * Few enough stand in one row. */
int cr_grid_columns(int n, int w, int h);

/* NULL where the whole would be too large to hold. The layout need not outlive the call. */
cr_grid *cr_grid_create(const cr_grid_layout *layout, cr_error *err);
void cr_grid_free(cr_grid *grid);

/* picture: w x h. label: NULL, or what is written under it where it fits. */
bool cr_grid_place(cr_grid *grid, int row, int column, const cr_image *picture, const char *label, cr_error *err);
void cr_grid_row_label(cr_grid *grid, int row, const char *label);
void cr_grid_column_label(cr_grid *grid, int column, const char *label);

/* Frees the grid and leaves its picture in *out, which is the caller's to free. */
void cr_grid_take(cr_grid *grid, cr_image *out);

/* values (h,w) -> a picture whose colours run from `low` to `high`; where they are equal, all has the middle colour. */
bool cr_picture_of_map(cr_image *out, const float *values, int w, int h, float low, float high, const cr_colormap *colormap,
                       cr_error *err);
/* values (3,h,w) or (1,h,w), in [0,1] -> a picture in colour, or in grey; what lies outside is clipped. */
bool cr_picture_of_planes(cr_image *out, const float *values, int channels, int w, int h, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
