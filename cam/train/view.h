/* view.h - how a picture looks when the network trains on it: a random part of it, mirrored or not. */
#ifndef CAMRUN_TRAIN_VIEW_H
#define CAMRUN_TRAIN_VIEW_H

#include "stream.h"
#include "transform.h"

typedef struct augmentation {
    bool flip;   /* mirror left and right, of every second picture */
    float least; /* a random part of at least this share of the area; 0: what evaluation sees of it */
} augmentation;

typedef struct view {
    bool crop;   /* else the evaluation's resize and crop from the centre */
    cr_rect box; /* the part of the picture, which is squashed to the network's input */
    bool flip;
} view;

/* A view of a w x h picture. The part is that of torchvision's RandomResizedCrop: its share of the area uniform from
 * `least` to 1, the logarithm of its width over its height uniform between those of 3/4 and 4/3; where ten draws do not
 * fit into the picture, the largest part from the centre within those proportions. */
view view_draw(const augmentation *a, int w, int h, stream *s);

/* out: (channels, transform->crop_h, transform->crop_w). transform is the evaluation's. */
bool view_apply(float *out, int channels, const cr_image *photo, const view *v, const cr_transform *transform,
                cr_error *err);

#endif
