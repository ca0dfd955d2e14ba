/* metadata.h - what a weights file says about its own use: the names of its classes and how pictures are prepared. */
#ifndef CAMRUN_METADATA_H
#define CAMRUN_METADATA_H

#include "classes.h"
#include "transform.h"
#include "weights.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Key "classes": a JSON array of names, as many as the network has classes. No labels where there is none. */
bool cr_labels_from_weights(cr_labels *labels, const cr_weights *weights, int classes, cr_error *err);

/* Keys "resize" (the shorter side) and "crop": numbers; "mean" and "std": JSON arrays of 1 or 3. What is not there is
 * as cr_transform_default has it; a resize that is not there is in proportion to the crop. */
bool cr_transform_from_weights(cr_transform *transform, const cr_weights *weights, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
