/* channels.h - a layer's kernels, and its feature maps, as a grid of small pictures. */
#ifndef CAMRUN_CHANNELS_H
#define CAMRUN_CHANNELS_H

#include "colormap.h"
#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is shown, and how. */
typedef struct cr_channel_view {
    const int *channels;         /* of the output, in this order: filters, feature maps */
    int n_channels;
    const int *inputs;           /* of kernels: the input channels they are shown of */
    int n_inputs;
    bool each;                   /* every filter or map on a scale of its own; else one for all that is shown */
    bool rgb;                    /* kernels over three channels: as one picture in colour */
    const cr_colormap *colormap;
    const char *title;
} cr_channel_view;

/* w (OC,IC,KH,KW). Colours run from -m to m, m the largest |w|, so that 0 has the middle one. A row for each filter and a
 * column for each input channel; of few input channels a filter's kernels stand side by side. With rgb (IC = 3) a filter's
 * smallest weight becomes 0 and its largest 1, over its three channels together. */
bool cr_kernels_draw(cr_image *out, const float *w, const int dim[4], const cr_channel_view *view, cr_error *err);

/* values (C,H,W). Colours run from the smallest to the largest value. */
bool cr_features_draw(cr_image *out, const float *values, const int dim[3], const cr_channel_view *view, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
