/* scene.h - pictures with known answers: objects of ten classes among clutter, drawn from nothing but random numbers.
 *
 *   unsigned char rgb[128 * 128 * 3];
 *   cr_scene scene = {.seed = 1, .split = CR_SCENE_TRAIN, .number = 0, .size = 128, .difficulty = 1};
 *   cr_scene_object objects[CR_SCENE_MAX_OBJECTS];
 *   cr_scene_draw(&scene, rgb, NULL, objects, &err);
 *
 * A picture is a function of its cr_scene alone, to the last bit: on every machine, with every compiler and for any
 * number of threads, which may all draw at once. There are as many as there are numbers: a network in training need
 * never see one twice. */
#ifndef CAMRUN_SCENE_H
#define CAMRUN_SCENE_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Pictures of different splits have nothing in common, whatever their numbers. */
typedef enum cr_scene_split {
    CR_SCENE_TRAIN, /* one object */
    CR_SCENE_VAL,   /* one object */
    CR_SCENE_TWO,   /* two objects of different classes */
    CR_SCENE_THREE, /* three */
    CR_SCENE_SPLITS
} cr_scene_split;

enum { CR_SCENE_CLASSES = 10, CR_SCENE_MAX_OBJECTS = 3, CR_SCENE_MIN_SIZE = 32, CR_SCENE_MAX_SIZE = 2048 };

typedef struct cr_scene {
    uint64_t seed;
    cr_scene_split split;
    uint64_t number;
    int size; /* pixels a side; the same scene at another size has the same objects at the same places */
    /* A picture's own difficulty is drawn from 0 to this, larger ones more often. 0: large objects and little else; 1:
     * small ones too, clutter, uneven light, faint contrasts, noise. */
    float difficulty;
} cr_scene;

typedef struct cr_scene_object {
    int class_index;
    cr_rect box; /* the smallest that holds every pixel of the object that is seen */
} cr_scene_object;

/* "arrow", "circle", ...: alphabetical, so that an index is torchvision.datasets.ImageFolder's. */
const char *cr_scene_class_name(int class_index);
/* "train", "val", "two", "three". */
const char *cr_scene_split_name(cr_scene_split split);
int cr_scene_objects(cr_scene_split split);

/* Class of a picture's first object, which names its folder: number modulo 10, so that ten pictures in a row show all
 * ten. In 90 pictures of two, every pair occurs, in both orders. */
int cr_scene_class(const cr_scene *scene);

/* rgb: (size, size, 3). owner: (size, size), at each pixel the index plus 1 of the object that covers more than half of
 * it, or 0; may be NULL. objects: as many as the split has; may be NULL. The longer side of a box is about a fifth to a
 * half of the picture's. Objects lie wholly inside the picture and never on each other, but a thin line may cross one.
 * False where there is no such scene (size out of range, difficulty not in [0,1]) or memory is out. */
bool cr_scene_draw(const cr_scene *scene, unsigned char *rgb, unsigned char *owner, cr_scene_object *objects,
                   cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
