/* resize.h - the antialiased bilinear resampling that torchvision's transforms.Resize gets from Pillow. */
#ifndef CAMRUN_RESIZE_H
#define CAMRUN_RESIZE_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* in (h, w, channels) -> out (oh, ow, channels), every value equal to Pillow's Image.resize((ow, oh), BILINEAR). */
bool cr_resize(unsigned char *out, int oh, int ow, const unsigned char *in, int h, int w, int channels, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
