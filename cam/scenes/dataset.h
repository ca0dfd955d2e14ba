/* dataset.h - scenes as files: pictures in the folders that torchvision.datasets.ImageFolder reads, and their boxes.
 *
 *   DIR/train/arrow/000000.png    named by split, class of the (first) object, and number in the split
 *   DIR/val/..., two/..., three/...
 *   DIR/boxes.csv                 file,class,x0,y0,x1,y1
 *
 * boxes.csv has a row for every object of every picture, in the order of splits, numbers and objects. `file` is
 * relative to DIR. The box holds the pixels x0 <= x < x1, y0 <= y < y1, counted from the picture's upper left corner,
 * and is the smallest that holds all of the object that is seen. The file is written last: without it, a set is not
 * whole. */
#ifndef CAMRUN_SCENES_DATASET_H
#define CAMRUN_SCENES_DATASET_H

#include "scene.h"

typedef struct dataset {
    const char *dir;
    int count[CR_SCENE_SPLITS];
    int size;
    uint64_t seed;
    float difficulty;
    bool gray; /* without colours */
} dataset;

/* dir must not exist yet, or be empty. A failure leaves what has been written, each picture whole. */
bool dataset_write(const dataset *d, cr_error *err);

#endif
