/* resize.h - the antialiased bilinear resampling that torchvision's transforms.Resize gets from Pillow. */
#ifndef CAMRUN_RESIZE_H
#define CAMRUN_RESIZE_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Resizes in (h, w, channels) to (oh, ow, channels) and writes the part of it that lies in window to out. Every value
 * equals that of Pillow's Image.resize((ow, oh), BILINEAR). Time and memory go with the window and not with oh x ow. */
bool cr_resize(unsigned char *out, cr_rect window, int oh, int ow, const unsigned char *in, int h, int w, int channels,
               cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
