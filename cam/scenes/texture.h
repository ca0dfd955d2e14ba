/* texture.h - colours, and patterns that mix two of them. */
#ifndef CAMRUN_SCENES_TEXTURE_H
#define CAMRUN_SCENES_TEXTURE_H

#include "rng.h"
#include "shapes.h"

/* Red, green, blue, nominally in [0,1]. */
typedef struct color {
    float c[3];
} color;

/* Of any hue and brightness; saturation 0 (grey) to 1. */
color color_random(rng *r, float saturation);
/* Another one nearby: each channel moves by `spread`, give or take. */
color color_near(rng *r, color from, float spread);
/* How well an edge between the two is seen, from 0 to 1.5: their difference in lightness plus half the largest in a
 * channel. */
float color_contrast(color a, color b);

static inline color color_mix(color a, color b, float weight)
{
    color out;
    for (int i = 0; i < 3; i++)
        out.c[i] = a.c[i] + (b.c[i] - a.c[i]) * weight;
    return out;
}

static inline float clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* Random heights in [-1,1] on a grid that repeats, from which all noise of a picture is read. */
enum { FIELD_SIDE = 64 };
typedef struct field {
    float at[FIELD_SIDE][FIELD_SIDE];
} field;

void field_fill(field *f, rng *r);
/* Smooth between the grid's points, which are 1 apart; in [-1,1]. */
float field_noise(const field *f, float x, float y);

typedef enum pattern { PLAIN, CLOUDS, STRIPES, GRAIN, MARBLE, SPECKLE, PLAID, CELLS, PATTERNS } pattern;

typedef struct texture {
    pattern kind;
    const field *noise;
    point across;     /* its x axis in the picture, times its frequency: periods per side of the picture */
    point offset;     /* into the noise */
    float bend, edge; /* how much lines wander; how sharp they are */
    color a, b;
} texture;

/* A pattern fit for something of this size, 1 being the picture's side; the caller sets the colours. */
texture texture_random(rng *r, const field *noise, float size);
/* (x, y) in [0,1]: its colour there. */
color texture_at(const texture *t, float x, float y);

#endif
