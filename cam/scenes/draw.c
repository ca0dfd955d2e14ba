/* draw.c - painting, shape by shape, and developing (draw.h).
 *
 * Everything is IEEE 754 float, one operation at a time, so that every machine and compiler gives the same bytes; hence
 * -ffp-contract=off, and no function of libm but those whose results are exact or correctly rounded (sqrtf, floorf). */
#include "draw.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0 || defined __FAST_MATH__
#error "a scene's bits need float operations rounded one by one: no -ffast-math; on 32-bit x86, -msse2 -mfpmath=sse"
#endif

/* Around a shape: for its soft edge and the slopes that are measured there. */
enum { MARGIN = 3 };

static int patch_side(int size)
{
    return 2 * size;
}

bool canvas_create(canvas *c, int size, cr_error *err)
{
    size_t pixels = (size_t)size * (size_t)size, side = (size_t)patch_side(size);
    float *floats = malloc((3 * pixels + side * side + 2 * side) * sizeof *floats);
    unsigned char *owner = calloc(pixels, 1);
    if (!floats || !owner) {
        free(floats);
        free(owner);
        *c = (canvas){0};
        return cr_fail(err, "out of memory for a picture of %d x %d pixels", size, size);
    }
    *c = (canvas){.size = size, .owner = owner};
    for (int i = 0; i < 3; i++)
        c->plane[i] = floats + (size_t)i * pixels;
    c->patch = floats + 3 * pixels;
    for (int i = 0; i < 2; i++)
        c->row[i] = c->patch + side * side + (size_t)i * side;
    return true;
}

void canvas_free(canvas *c)
{
    free(c->plane[0]);
    free(c->owner);
    *c = (canvas){0};
}

static void put(canvas *c, size_t at, color paint, float weight)
{
    for (int i = 0; i < 3; i++)
        c->plane[i][at] += (paint.c[i] - c->plane[i][at]) * weight;
}

/* ---- ground ---- */

void draw_ground(canvas *c, const texture *t)
{
    float pixel = 1 / (float)c->size;
    for (int y = 0; y < c->size; y++)
        for (int x = 0; x < c->size; x++) {
            color paint = texture_at(t, ((float)x + 0.5f) * pixel, ((float)y + 0.5f) * pixel);
            for (int i = 0; i < 3; i++)
                c->plane[i][y * c->size + x] = paint.c[i];
        }
}

void draw_half(canvas *c, const texture *t, point p, point normal, float waver)
{
    float pixel = 1 / (float)c->size;
    for (int y = 0; y < c->size; y++)
        for (int x = 0; x < c->size; x++) {
            float px = ((float)x + 0.5f) * pixel, py = ((float)y + 0.5f) * pixel;
            float d = (px - p.x) * normal.x + (py - p.y) * normal.y;
            d += waver * field_noise(t->noise, 5 * px + p.x, 5 * py + p.y);
            float cover = clamp01(0.5f + d * (float)c->size);
            if (cover > 0)
                put(c, (size_t)(y * c->size + x), texture_at(t, px, py), cover);
        }
}

color canvas_color(const canvas *c, point at)
{
    int reach = c->size / 48, n = 0;
    int cx = (int)(clamp01(at.x) * (float)(c->size - 1)), cy = (int)(clamp01(at.y) * (float)(c->size - 1));
    color sum = {{0}};
    for (int y = cy - reach; y <= cy + reach; y++)
        for (int x = cx - reach; x <= cx + reach; x++)
            if (x >= 0 && x < c->size && y >= 0 && y < c->size) {
                n++;
                for (int i = 0; i < 3; i++)
                    sum.c[i] += c->plane[i][y * c->size + x];
            }
    for (int i = 0; i < 3; i++)
        sum.c[i] /= (float)n;
    return sum;
}

/* ---- shapes ---- */

/* Distances in pixels over a square of the canvas, which may reach beyond it: (side, side) from pixel (x0, y0) on. */
typedef struct patch {
    int x0, y0, side;
    const float *at;
} patch;

/* The patch that holds a shape, its edge and its shadow. */
static patch measure(canvas *c, const shape *s, const placement *p, int margin)
{
    float radius = p->radius * (float)c->size, cx = p->center.x * (float)c->size, cy = p->center.y * (float)c->size;
    int half = (int)radius + 1 + margin, most = patch_side(c->size) / 2;
    half = half < most ? half : most;
    patch out = {(int)cx - half, (int)cy - half, 2 * half, c->patch};

    /* From the picture to the shape: rotated back, stretched along the lean, made a circle of radius 1. */
    point turn = direction_at(p->turns), lean = direction_at(p->lean);
    float stretch = 1 / p->squeeze - 1;
    float xx = 1 + stretch * lean.x * lean.x, xy = stretch * lean.x * lean.y, yy = 1 + stretch * lean.y * lean.y;
    float ax = (turn.x * xx + turn.y * xy) / radius, bx = (turn.x * xy + turn.y * yy) / radius;
    float ay = (turn.x * xy - turn.y * xx) / radius, by = (turn.x * yy - turn.y * xy) / radius;
    float to_pixels = radius * sqrtf(p->squeeze);
    for (int j = 0; j < out.side; j++) {
        float y = (float)(out.y0 + j) + 0.5f - cy, *row = c->patch + (size_t)j * (size_t)out.side;
        for (int i = 0; i < out.side; i++) {
            float x = (float)(out.x0 + i) + 0.5f - cx;
            c->row[0][i] = ax * x + bx * y;
            c->row[1][i] = ay * x + by * y;
        }
        shape_distances(row, s, c->row[0], c->row[1], out.side);
        for (int i = 0; i < out.side; i++)
            row[i] *= to_pixels;
    }
    return out;
}

void draw_shape(canvas *c, const shape *s, const placement *p, const look *l, point light, int owner)
{
    float radius = p->radius * (float)c->size, pixel = 1 / (float)c->size;
    float blur = l->blur * radius + 0.5f, bevel = l->bevel * radius + 1, outline = l->outline * radius;
    int fall_x = (int)floorf(light.x * l->fall * radius + 0.5f),
        fall_y = (int)floorf(light.y * l->fall * radius + 0.5f);
    int margin = MARGIN + (l->shadow > 0 ? (int)(l->fall * radius + blur) + 1 : 0);
    patch d = measure(c, s, p, margin);
    for (int j = 1; j < d.side - 1; j++) {
        int y = d.y0 + j, shadow_j = j - fall_y;
        if (y < 0 || y >= c->size)
            continue;
        for (int i = 1; i < d.side - 1; i++) {
            int x = d.x0 + i, shadow_i = i - fall_x;
            if (x < 0 || x >= c->size)
                continue;
            size_t at = (size_t)y * (size_t)c->size + (size_t)x;
            const float *here = d.at + (size_t)j * (size_t)d.side + i;
            float cover = clamp01(0.5f - *here);
            if (l->shadow > 0 && cover < 1 && shadow_i >= 0 && shadow_i < d.side && shadow_j >= 0 &&
                shadow_j < d.side) {
                float dark = l->shadow * clamp01(0.5f - 0.5f * d.at[shadow_j * d.side + shadow_i] / blur);
                for (int k = 0; k < 3; k++)
                    c->plane[k][at] *= 1 - dark;
            }
            if (cover <= 0)
                continue;
            color paint = texture_at(&l->paint, ((float)x + 0.5f) * pixel, ((float)y + 0.5f) * pixel);
            if (outline > 0)
                paint = color_mix(paint, l->rim, clamp01(0.5f + outline + *here));
            if (*here > -bevel) { /* the edge is rounded: brighter where it faces the light */
                float dx = here[1] - here[-1], dy = here[d.side] - here[-d.side];
                float lit = -(dx * light.x + dy * light.y) * 0.5f * l->slope * clamp01((*here + bevel) / bevel);
                for (int k = 0; k < 3; k++)
                    paint.c[k] = clamp01(paint.c[k] + lit);
            }
            put(c, at, paint, cover * l->opacity);
            if (cover * l->opacity > 0.5f)
                c->owner[at] = (unsigned char)owner;
        }
    }
}

/* ---- developing ---- */

/* Each pixel and its neighbours in a row of n, `stride` apart: weights 1 2 1, as far as `amount` says. */
static void blur_line(float *v, size_t stride, int n, float amount)
{
    float before = v[0];
    for (int i = 0; i < n; i++) {
        float here = v[(size_t)i * stride], after = i + 1 < n ? v[((size_t)i + 1) * stride] : here;
        v[(size_t)i * stride] = here + amount * (0.25f * (before + after) - 0.5f * here);
        before = here;
    }
}

static void blur_plane(float *plane, int size, float amount)
{
    for (int i = 0; i < size; i++) {
        blur_line(plane + (size_t)i * (size_t)size, 1, size, amount);
        blur_line(plane + i, (size_t)size, size, amount);
    }
}

void canvas_develop(unsigned char *rgb, canvas *c, const camera *k, const field *noise, rng *r)
{
    int size = c->size;
    float pixel = 1 / (float)size;
    if (k->blur > 0)
        for (int i = 0; i < 3; i++)
            blur_plane(c->plane[i], size, k->blur);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            float px = ((float)x + 0.5f) * pixel, py = ((float)y + 0.5f) * pixel;
            float light = 1 + (px - 0.5f) * k->light.x + (py - 0.5f) * k->light.y;
            light = k->exposure * (light + k->uneven * field_noise(noise, 2 * px + 11, 2 * py + 47));
            float grain = k->grain > 0 ? k->grain * rng_bell(r) : 0;
            for (int i = 0; i < 3; i++) {
                float v = c->plane[i][y * size + x] * light;
                v = (v - 0.5f) * k->contrast + 0.5f + k->cast.c[i] + grain;
                v += k->tint > 0 ? k->tint * rng_bell(r) : 0;
                *rgb++ = (unsigned char)(clamp01(v) * 255 + 0.5f);
            }
        }
}
