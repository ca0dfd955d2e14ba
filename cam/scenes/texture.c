/* texture.c - the patterns of texture.h. */
#include "texture.h"

#include <math.h>

/* ---- colours ---- */

color color_random(rng *r, float saturation)
{
    float value = rng_range(r, 0.12f, 1), hue = rng_range(r, 0, 6);
    color out;
    for (int i = 0; i < 3; i++) {
        float h = hue + 2 * (float)i; /* distance from this channel's own hue, around the circle of 6 */
        h = h < 6 ? h : h - 6;
        h = h < 3 ? h : 6 - h;
        out.c[i] = value * (1 - saturation * clamp01(2 - h));
    }
    return out;
}

color color_near(rng *r, color from, float spread)
{
    float lightness = rng_bell(r);
    for (int i = 0; i < 3; i++)
        from.c[i] = clamp01(from.c[i] + spread * (0.7f * lightness + 0.7f * rng_bell(r)));
    return from;
}

static float lightness(color a)
{
    return 0.3f * a.c[0] + 0.59f * a.c[1] + 0.11f * a.c[2];
}

float color_contrast(color a, color b)
{
    float most = 0;
    for (int i = 0; i < 3; i++)
        most = fabsf(a.c[i] - b.c[i]) > most ? fabsf(a.c[i] - b.c[i]) : most;
    return fabsf(lightness(a) - lightness(b)) + 0.5f * most;
}

/* ---- noise ---- */

void field_fill(field *f, rng *r)
{
    for (int y = 0; y < FIELD_SIDE; y++)
        for (int x = 0; x < FIELD_SIDE; x++)
            f->at[y][x] = rng_range(r, -1, 1);
}

static int floor_of(float v)
{
    int i = (int)v;
    return i - (v < (float)i);
}

static float fade(float t)
{
    return t * t * (3 - 2 * t);
}

float field_noise(const field *f, float x, float y)
{
    int ix = floor_of(x), iy = floor_of(y);
    float tx = fade(x - (float)ix), ty = fade(y - (float)iy);
    const float *upper = f->at[iy & (FIELD_SIDE - 1)], *lower = f->at[(iy + 1) & (FIELD_SIDE - 1)];
    int left = ix & (FIELD_SIDE - 1), right = (ix + 1) & (FIELD_SIDE - 1);
    float top = upper[left] + (upper[right] - upper[left]) * tx;
    float bottom = lower[left] + (lower[right] - lower[left]) * tx;
    return top + (bottom - top) * ty;
}

/* Three octaves, about [-1,1], each turned against the last so that the grid does not show. */
static float clouds(const field *f, float x, float y)
{
    float x1 = 1.6f * x - 1.2f * y + 17, y1 = 1.2f * x + 1.6f * y + 5;
    float x2 = 1.6f * x1 - 1.2f * y1 + 3, y2 = 1.2f * x1 + 1.6f * y1 + 29;
    return 0.7f * (field_noise(f, x, y) + 0.5f * field_noise(f, x1, y1) + 0.25f * field_noise(f, x2, y2));
}

/* A sine, near enough: two parabolas; period 1, in [-1,1]. */
static float wave(float t)
{
    t -= (float)floor_of(t);
    return t < 0.5f ? 16 * t * (0.5f - t) : -16 * (t - 0.5f) * (1 - t);
}

/* ---- patterns ---- */

texture texture_random(rng *r, const field *noise, float size)
{
    /* Least and greatest number of periods across the thing. */
    static const float periods[PATTERNS][2] = {
        [PLAIN] = {0.5f, 1.5f}, [CLOUDS] = {1.5f, 6}, [STRIPES] = {2, 10}, [GRAIN] = {1, 4},
        [MARBLE] = {1.5f, 4},   [SPECKLE] = {6, 16},  [PLAID] = {1.5f, 5}, [CELLS] = {4, 10},
    };
    texture t = {.kind = (pattern)rng_below(r, PATTERNS), .noise = noise};
    float frequency = rng_range(r, periods[t.kind][0], periods[t.kind][1]) / size;
    point d = direction_at(rng_unit(r));
    t.across = (point){d.x * frequency, d.y * frequency};
    t.offset.x = rng_range(r, 0, FIELD_SIDE);
    t.offset.y = rng_range(r, 0, FIELD_SIDE);
    t.bend = rng_range(r, 0, 0.6f);
    t.edge = rng_range(r, 1, 4);
    return t;
}

/* The middle of the nearest grid cell, each moved at random: its own height, and darker at the border with the next. */
static float cells(const field *f, float x, float y)
{
    int ix = floor_of(x), iy = floor_of(y);
    float first = 9, second = 9, height = 0;
    for (int j = iy - 1; j <= iy + 1; j++)
        for (int i = ix - 1; i <= ix + 1; i++) {
            const float *row = f->at[j & (FIELD_SIDE - 1)], *other = f->at[(j + 31) & (FIELD_SIDE - 1)];
            float dx = (float)i + 0.5f + 0.45f * row[i & (FIELD_SIDE - 1)] - x;
            float dy = (float)j + 0.5f + 0.45f * other[i & (FIELD_SIDE - 1)] - y;
            float d = dx * dx + dy * dy;
            if (d < first)
                second = first, first = d, height = other[(i + 7) & (FIELD_SIDE - 1)];
            else if (d < second)
                second = d;
        }
    float border = clamp01((sqrtf(second) - sqrtf(first)) * 6);
    return -1 + (1.4f + 0.6f * height) * border;
}

color texture_at(const texture *t, float x, float y)
{
    const field *f = t->noise;
    float u = x * t->across.x + y * t->across.y + t->offset.x, v = y * t->across.x - x * t->across.y + t->offset.y;
    float height = 0; /* about [-1,1] */
    switch (t->kind) {
    case PLAIN:
        height = field_noise(f, u, v);
        break;
    case CLOUDS:
        height = clouds(f, u, v);
        break;
    case STRIPES:
        height = t->edge * wave(u + t->bend * field_noise(f, 0.3f * u, 0.3f * v));
        break;
    case GRAIN:
        height = clouds(f, 5 * u + t->bend * field_noise(f, u, v), 0.4f * v);
        break;
    case MARBLE:
        height = 1.5f - 5 * fabsf(clouds(f, u, v)) * (1 + t->bend);
        break;
    case SPECKLE:
        height = 2 * t->edge * (clouds(f, u, v) - 0.4f + t->bend);
        break;
    case PLAID:
        height = 0.5f * wave(u) + 0.35f * wave(v * (1 + t->bend)) + 0.3f * wave(5 * u) + 0.25f * wave(4 * v);
        break;
    case CELLS:
        height = cells(f, u, v);
        break;
    case PATTERNS:
        break;
    }
    return color_mix(t->a, t->b, clamp01(0.5f + 0.5f * height));
}
