/* transform.h - from photograph to network input as torchvision's evaluation transform does it (resize, centre crop,
 * scale to [0,1], normalise), and from a map over the network's input back to the photograph. */
#ifndef CAMRUN_TRANSFORM_H
#define CAMRUN_TRANSFORM_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cr_transform {
    int resize;             /* length of the shorter side; 0: squash to resize_w x resize_h */
    int resize_w, resize_h; /* used where resize is 0; both 0: no resizing */
    int crop_w, crop_h;     /* centre crop, padded with black where the picture is smaller; both 0: no crop */
    bool gray;              /* luma in every channel of the input; always done for a network of one channel */
    int n_mean, n_std;      /* 1 or 3. One value serves all channels; three given for one channel are averaged */
    float mean[3], std[3];  /* of values in [0,1] */
} cr_transform;

/* Where the network's input lies on the photograph. */
typedef struct cr_geometry {
    int photo_w, photo_h;
    int resized_w, resized_h;
    int left, top; /* of the crop inside the resized picture; negative where it was padded */
    int w, h;      /* of the network's input */
} cr_geometry;

/* Resize 256, crop 224, ImageNet's mean and std. */
cr_transform cr_transform_default(void);

/* What the transform does to a photo_w x photo_h picture. False where a size is not positive or too large. */
bool cr_transform_geometry(const cr_transform *transform, int photo_w, int photo_h, cr_geometry *geometry,
                           cr_error *err);

/* What a network of so many channels sees in channel c where a picture has this level, from 0 (black) to 1. Where it has the
 * mean's colour, that is 0. */
float cr_transform_level(const cr_transform *transform, float level, int c, int channels);

/* out: (channels, geometry->h, geometry->w), channels 1 or 3; geometry is cr_transform_geometry's for this photo. */
bool cr_transform_apply(float *out, int channels, const cr_image *photo, const cr_transform *transform,
                        const cr_geometry *geometry, cr_error *err);

/* From the network's input x (channels, pixels) back to levels from 0 to 1, where they were that before. */
void cr_transform_undo(float *levels, const float *x, int channels, size_t pixels, const cr_transform *transform);

/* The part of the photograph the network saw: the pixels that the crop covers, be it in part. Never empty. */
cr_rect cr_geometry_seen(const cr_geometry *geometry);

/* map (geometry->h, geometry->w) -> out (photo_h, photo_w): at each pixel's centre the map's bilinear value; 0 where
 * the network saw nothing. */
void cr_geometry_unmap(float *out, const float *map, const cr_geometry *geometry);

#ifdef __cplusplus
}
#endif
#endif
