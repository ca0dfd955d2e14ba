/* picture.h - what a person looks at: a map laid over its photograph, and the panel of photograph, map and overlay. */
#ifndef CAMRUN_PICTURE_H
#define CAMRUN_PICTURE_H

#include "colormap.h"
#include "image.h"
#include "transform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = photo with colormap(map) blended in by alpha, 0 (photo only) to 1 (colours only). map: (photo->h, photo->w) in
 * [0,1]. Outside `seen` the network saw nothing and the photo is left as it is. Creates out; the caller frees it. */
bool cr_picture_overlay(cr_image *out, const cr_image *photo, const float *map, cr_rect seen, float alpha,
                        const cr_colormap *colormap, cr_error *err);

/* Photograph, map with a colour bar, and overlay side by side under a caption, scaled so that the text can be read.
 * overlay is what cr_picture_overlay made. Creates out; the caller frees it. */
bool cr_picture_panel(cr_image *out, const cr_image *photo, const float *map, cr_rect seen, const cr_image *overlay,
                      const cr_colormap *colormap, const char *caption, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
