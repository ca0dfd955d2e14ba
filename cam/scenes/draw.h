/* draw.h - the canvas on which a scene is painted, back to front. */
#ifndef CAMRUN_SCENES_DRAW_H
#define CAMRUN_SCENES_DRAW_H

#include "engine.h"
#include "shapes.h"
#include "texture.h"

typedef struct canvas {
    int size;             /* pixels a side */
    float *plane[3];      /* (size, size) each, nominally in [0,1] */
    unsigned char *owner; /* (size, size): the object that is seen at a pixel, from 1; 0 where there is none */
    float *patch;         /* scratch: distances around one shape */
    float *row[2];        /* scratch: coordinates along a row of it */
} canvas;

/* Uninitialised. False where there is no memory. */
bool canvas_create(canvas *c, int size, cr_error *err);
void canvas_free(canvas *c);

/* Where a shape lies; lengths are in sides of the picture. */
typedef struct placement {
    point center;
    float radius;  /* of the circle around it */
    float turns;   /* it is rotated by */
    float squeeze; /* (0,1]: as if seen at a slant */
    float lean;    /* direction of that, in turns */
} placement;

/* How it looks. */
typedef struct look {
    texture paint;
    float opacity;
    float shadow, fall, blur; /* the shadow's darkness, how far it falls and over how much it fades, in radii */
    float bevel, slope;       /* width of the rounded edge, in radii, and how strongly it catches the light */
    float outline;            /* width of a rim of another colour, in radii */
    color rim;
} look;

/* Paints every pixel. */
void draw_ground(canvas *c, const texture *t);
/* Paints the side of a wavering line through p to which `normal` points. */
void draw_half(canvas *c, const texture *t, point p, point normal, float waver);
/* `light` is the direction that light falls in; the pixels that are more than half covered get this owner. */
void draw_shape(canvas *c, const shape *s, const placement *p, const look *l, point light, int owner);
/* The canvas's colour around a point, over about a 24th of the side. */
color canvas_color(const canvas *c, point at);

/* From what is there to what a camera gives: uneven light, contrast, blur, noise. */
typedef struct camera {
    point light;  /* brighter in this direction by its length, over the picture's side */
    float uneven; /* and by this, here and there */
    float exposure, contrast;
    color cast;
    float blur;        /* 0: none, to 1: a pixel's light spreads over 3 x 3 */
    float grain, tint; /* noise, the same in all channels and each its own, of 1 */
} camera;

/* rgb: (size, size, 3). */
void canvas_develop(unsigned char *rgb, canvas *c, const camera *k, const field *noise, rng *r);

#endif
