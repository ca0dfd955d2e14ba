/* principal.h - the first principal component of many maps: the one map that tells most of what they have in common. */
#ifndef CAMRUN_PRINCIPAL_H
#define CAMRUN_PRINCIPAL_H

#include "engine.h"

/* map (pixels) = M v, where column k of M (pixels,C) is terms[k] (C,pixels) less its mean, and v M's first right singular
 * vector. The sign of v is arbitrary: it is chosen so that |min(map)| <= |max(map)|. Where a term is not finite, the map
 * is not. terms is used up. False where memory is short. */
bool principal_component(double *map, float *terms, int c, size_t pixels, cr_error *err);

#endif
