/* camrun.h - the whole library: engine, weights files, and class activation maps.
 *
 * From a photograph to a map, without the checks every call deserves:
 *
 *   cr_error err;
 *   cr_weights *weights = cr_weights_open("shapes.bin", &err);
 *   cr_net *net = cr_net_load(weights, NULL, &err);
 *   int layer = cr_net_last_feature_map(net);
 *   const cr_method *method = cr_method_find("gradcam", &err);
 *   cr_explain_request request = {&method, 1, &layer, 1, 1, 224, 224};
 *   cr_explainer *e = cr_explainer_create(net, &request, &err);
 *
 *   cr_image photo;
 *   cr_geometry geometry;
 *   cr_transform transform;
 *   cr_transform_from_weights(&transform, weights, &err);
 *   cr_image_load(&photo, "shapes.png", &err);
 *   cr_transform_geometry(&transform, photo.w, photo.h, &geometry, &err);
 *   cr_transform_apply(x, 3, &photo, &transform, &geometry, &err);       float x[3 * 224 * 224]
 *
 *   cr_explainer_forward(e, x, &err);                                    e->logits
 *   cr_top_classes(&best, 1, e->logits, net->classes);                   int best
 *   cr_explainer_backward(e, &best, &err);
 *   cr_explainer_maps(e, &err);                                          e->results[0].maps, e->results[0].raw[0]
 *
 *   cr_image overlay;
 *   cr_picture_overlay(&overlay, &photo, e->results[0].maps, &geometry, 0.5f, cr_colormap_find("jet", &err), &err);
 *   cr_image_write_png(&overlay, "overlay.png", &err); */
#ifndef CAMRUN_H
#define CAMRUN_H

#include "boxes.h"
#include "channels.h"
#include "classes.h"
#include "colormap.h"
#include "engine.h"
#include "explain.h"
#include "faithfulness.h"
#include "file.h"
#include "grid.h"
#include "html.h"
#include "image.h"
#include "map.h"
#include "maximise.h"
#include "metadata.h"
#include "methods.h"
#include "metrics.h"
#include "npy.h"
#include "perturb.h"
#include "picture.h"
#include "randomize.h"
#include "resize.h"
#include "saliency.h"
#include "sheet.h"
#include "transform.h"
#include "weights.h"

#endif
