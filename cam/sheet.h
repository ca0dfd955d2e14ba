/* sheet.h - a contact sheet: one photograph's maps in rows and columns, each laid over it.
 *
 * A row begins with its title above and the photograph, and ends with a colour bar; every overlay has a label under it.
 * What a row or column stands for is the caller's choice: classes, methods, layers. */
#ifndef CAMRUN_SHEET_H
#define CAMRUN_SHEET_H

#include "picture.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_sheet cr_sheet;

/* An empty sheet, of maps over an input that lies on the photo as geometry says; alpha as in picture.h. The photo is not
 * needed any more afterwards. NULL where the sheet would be too large to hold. */
cr_sheet *cr_sheet_create(const cr_image *photo, const cr_geometry *geometry, int rows, int columns, float alpha,
                          const cr_colormap *colormap, cr_error *err);
void cr_sheet_free(cr_sheet *sheet);

/* Each row and each place once; a place that is left out stays empty. Text that is too long ends in dots. */
void cr_sheet_title(cr_sheet *sheet, int row, const char *title);
/* map: (geometry->h, geometry->w) in [0,1]. */
bool cr_sheet_overlay(cr_sheet *sheet, int row, int column, const float *map, const char *label, cr_error *err);

const cr_image *cr_sheet_image(const cr_sheet *sheet);

#ifdef __cplusplus
}
#endif
#endif
