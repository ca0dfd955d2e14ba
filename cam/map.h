/* map.h - the numerics between a signed class activation map and one in [0,1] at the size of the network's input. */
#ifndef CAMRUN_MAP_H
#define CAMRUN_MAP_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Smallest and largest of n values; false where one is NaN or infinite. */
bool cr_map_range(const float *map, size_t n, float *min, float *max, cr_error *err);

/* map = max(map, 0); map -= min(map); map /= 1e-7 + max(map). A map with nothing above zero becomes all zero. False,
 * leaving it as it is, where a value is NaN or infinite. */
bool cr_map_normalize(float *map, size_t n, cr_error *err);

/* out (oh, ow): the value of in (h, w) at row y0 + y * dy and column x0 + x * dx, bilinear, clamped at the borders. */
void cr_map_sample(float *out, int oh, int ow, const float *in, int h, int w, double y0, double dy, double x0,
                   double dx);

/* in (h, w) -> out (oh, ow), bilinear, pixel centres at half-integers, clamped at the borders: torch's interpolate with
 * align_corners=False and OpenCV's INTER_LINEAR. */
void cr_map_resize(float *out, int oh, int ow, const float *in, int h, int w);

/* One layer's signed map (h, w) -> its share (oh, ow) of a finished map: normalised, then resized. */
bool cr_map_share(float *out, int oh, int ow, const float *raw, int h, int w, cr_error *err);

/* shares (n_shares, n), one of each layer -> out (n): the mean of their positive parts, normalised. That of one layer too:
 * a small map's largest value is lost where resizing reads between its pixels. out may be the first share. */
bool cr_map_finish(float *out, const float *shares, int n_shares, size_t n, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
