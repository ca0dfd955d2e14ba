/* picture.h - what a person looks at: a map laid over its photograph, and the panel of photograph, map and overlay. */
#ifndef CAMRUN_PICTURE_H
#define CAMRUN_PICTURE_H

#include "colormap.h"
#include "image.h"
#include "transform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In both: map (geometry->h, geometry->w) in [0,1] is over the network's input, and geometry puts it back on the photo.
 * alpha is the weight of the colours, 0 (photo only) to 1 (colours only). Where the network saw nothing the photo is
 * left as it is. out is created; the caller frees it. */

/* The photo at its full size with the coloured map blended in. */
bool cr_picture_overlay(cr_image *out, const cr_image *photo, const float *map, const cr_geometry *geometry,
                        float alpha, const cr_colormap *colormap, cr_error *err);

/* Photo, map with a colour bar, and overlay side by side under a caption, scaled so that the text can be read. */
bool cr_picture_panel(cr_image *out, const cr_image *photo, const float *map, const cr_geometry *geometry, float alpha,
                      const cr_colormap *colormap, const char *caption, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
