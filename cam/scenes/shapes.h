/* shapes.h - outlines: the ten classes, and clutter of no class, as signed distances.
 *
 * A shape is the union of one polygon and some discs, minus one disc. Its distance tells all that drawing needs: where
 * it is, how far an edge covers a pixel, where its shadow fades, its rim and the slope of its bevel. Coordinates are
 * (x, y) with y downwards; a new shape lies in the circle of radius 1 about the origin and touches it. */
#ifndef CAMRUN_SCENES_SHAPES_H
#define CAMRUN_SCENES_SHAPES_H

#include "rng.h"

typedef struct point {
    float x, y;
} point;

typedef struct disc {
    point center;
    float radius;
} disc;

enum { MAX_CORNERS = 14, MAX_DISCS = 8 };

typedef struct shape {
    int n_corners;
    point corners[MAX_CORNERS];
    bool open;      /* the corners are a line and not an outline */
    float rounding; /* the polygon grows by this: round corners, or half the width of a line */
    int n_discs;
    disc discs[MAX_DISCS];
    float melt; /* discs nearer than this to each other flow together */
    disc hole;  /* radius 0: none */
} shape;

/* In alphabetical order, which is torchvision's order of folders. */
typedef enum shape_class {
    ARROW, CIRCLE, CRESCENT, CROSS, FLOWER, HEART, RING, SQUARE, STAR, TRIANGLE, CLASSES
} shape_class;

extern const char *const shape_names[CLASSES];

/* Each draws what may vary within its kind: proportions, numbers of petals, rounding. */
shape shape_of_class(shape_class which, rng *r);
/* Of no class: lumps longer than wide, bars, and curved lines that do not close. */
shape shape_blob(rng *r);
shape shape_bar(rng *r);
shape shape_line(rng *r, float width);

/* d[i]: signed distance of (x[i], y[i]) to the outline, negative inside; exact outside a union's inner corners. */
void shape_distances(float *d, const shape *s, const float *x, const float *y, int n);

/* (cos, sin) of an angle in turns; to 1e-6, and the same bits everywhere. */
point direction_at(float turns);

#endif
