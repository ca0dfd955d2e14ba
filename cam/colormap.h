/* colormap.h - colours for values in [0,1]: jet, viridis, turbo, grey, and blue-white-red (bwr) for values
 * with a sign, in 256 steps. */
#ifndef CAMRUN_COLORMAP_H
#define CAMRUN_COLORMAP_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_colormap cr_colormap;

/* NULL with a message listing the known names where the name is unknown. */
const cr_colormap *cr_colormap_find(const char *name, cr_error *err);

/* In their order, jet first. NULL past the end. */
const cr_colormap *cr_colormap_at(int i);
const char *cr_colormap_name(const cr_colormap *colormap);

/* The colour of t, which is clamped to [0,1]; NaN is treated as 0. */
void cr_colormap_rgb(const cr_colormap *colormap, float t, unsigned char rgb[3]);

#ifdef __cplusplus
}
#endif
#endif
