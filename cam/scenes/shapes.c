/* shapes.c - the outlines of shapes.h and their distances. */
#include "shapes.h"

#include <math.h>
#include <stddef.h>

const char *const shape_names[CLASSES] = {"arrow", "circle", "crescent", "cross", "flower",
                                          "heart", "ring",   "square",   "star",  "triangle"};

static float least(float a, float b)
{
    return a < b ? a : b;
}

static float greatest(float a, float b)
{
    return a > b ? a : b;
}

/* ---- directions ---- */

/* sin of up to a quarter turn: its Taylor series. */
static float sine_of_quarter(float turns)
{
    static const float factorial[] = {1 / 39916800.0f, 1 / 362880.0f, 1 / 5040.0f, 1 / 120.0f, 1 / 6.0f, 1};
    float a = turns * 6.2831853f, sum = 0;
    for (int i = 0; i < 6; i++)
        sum = factorial[i] - sum * a * a;
    return a * sum;
}

static float sine(float turns)
{
    turns -= floorf(turns);
    float sign = turns < 0.5f ? 1 : -1;
    turns = turns < 0.5f ? turns : turns - 0.5f;
    return sign * sine_of_quarter(turns < 0.25f ? turns : 0.5f - turns);
}

point direction_at(float turns)
{
    return (point){sine(turns + 0.25f), sine(turns)};
}

/* ---- building ---- */

static void add_corner(shape *s, float x, float y)
{
    s->corners[s->n_corners++] = (point){x, y};
}

static void add_disc(shape *s, float x, float y, float radius)
{
    s->discs[s->n_discs++] = (disc){{x, y}, radius};
}

/* A corner or disc at this distance from the origin, an angle in turns clockwise from the top. */
static point polar(float radius, float turns)
{
    point d = direction_at(turns - 0.25f);
    return (point){radius * d.x, radius * d.y};
}

static void add_polar(shape *s, float radius, float turns)
{
    point p = polar(radius, turns);
    add_corner(s, p.x, p.y);
}

static void scale(shape *s, float by)
{
    for (int i = 0; i < s->n_corners; i++)
        s->corners[i] = (point){s->corners[i].x * by, s->corners[i].y * by};
    for (int i = 0; i < s->n_discs; i++)
        s->discs[i] = (disc){{s->discs[i].center.x * by, s->discs[i].center.y * by}, s->discs[i].radius * by};
    s->hole = (disc){{s->hole.center.x * by, s->hole.center.y * by}, s->hole.radius * by};
    s->rounding *= by;
    s->melt *= by;
}

/* Radius of the circle about the origin that holds the shape. */
static float reach(const shape *s)
{
    float far = 0;
    for (int i = 0; i < s->n_corners; i++)
        far = greatest(far, sqrtf(s->corners[i].x * s->corners[i].x + s->corners[i].y * s->corners[i].y) + s->rounding);
    for (int i = 0; i < s->n_discs; i++) {
        const disc *d = &s->discs[i];
        far = greatest(far, sqrtf(d->center.x * d->center.x + d->center.y * d->center.y) + d->radius);
    }
    return far;
}

/* Moves the middle of its bounding box to the origin, and scales it to touch the unit circle. */
static void normalize(shape *s)
{
    float x0 = 9, x1 = -9, y0 = 9, y1 = -9;
    for (int i = 0; i < s->n_corners; i++) {
        x0 = least(x0, s->corners[i].x), x1 = greatest(x1, s->corners[i].x);
        y0 = least(y0, s->corners[i].y), y1 = greatest(y1, s->corners[i].y);
    }
    for (int i = 0; i < s->n_discs; i++) {
        const disc *d = &s->discs[i];
        x0 = least(x0, d->center.x - d->radius), x1 = greatest(x1, d->center.x + d->radius);
        y0 = least(y0, d->center.y - d->radius), y1 = greatest(y1, d->center.y + d->radius);
    }
    float x = (x0 + x1) / 2, y = (y0 + y1) / 2;
    for (int i = 0; i < s->n_corners; i++)
        s->corners[i] = (point){s->corners[i].x - x, s->corners[i].y - y};
    for (int i = 0; i < s->n_discs; i++)
        s->discs[i].center = (point){s->discs[i].center.x - x, s->discs[i].center.y - y};
    s->hole.center = (point){s->hole.center.x - x, s->hole.center.y - y};
    scale(s, 1 / reach(s));
}

/* ---- the ten classes ---- */

static void make_arrow(shape *s, rng *r)
{
    float shaft = rng_range(r, 0.14f, 0.24f), head = rng_range(r, 0.5f, 0.7f), neck = rng_range(r, -0.3f, 0);
    add_corner(s, 0, -1);
    add_corner(s, head, neck);
    add_corner(s, shaft, neck);
    add_corner(s, shaft, 0.95f);
    add_corner(s, -shaft, 0.95f);
    add_corner(s, -shaft, neck);
    add_corner(s, -head, neck);
    s->rounding = rng_range(r, 0, 0.05f);
}

static void make_circle(shape *s, rng *r)
{
    (void)r;
    add_disc(s, 0, 0, 1);
}

static void make_crescent(shape *s, rng *r)
{
    float aside = rng_range(r, 0.42f, 0.55f), radius = rng_range(r, 0.78f, 0.9f);
    add_disc(s, 0, 0, 1);
    s->hole = (disc){{aside, 0}, radius};
}

static void make_cross(shape *s, rng *r)
{
    float a = rng_range(r, 0.2f, 0.34f);
    const point corners[] = {{-a, -1}, {a, -1}, {a, -a}, {1, -a}, {1, a},   {a, a},
                             {a, 1},   {-a, 1}, {-a, a}, {-1, a}, {-1, -a}, {-a, -a}};
    for (int i = 0; i < 12; i++)
        add_corner(s, corners[i].x, corners[i].y);
    s->rounding = rng_range(r, 0, 0.1f);
}

/* Petals in a circle that overlap a little, and a middle that fills what they leave. */
static void make_flower(shape *s, rng *r)
{
    int petals = 5 + rng_below(r, 3);
    float each = 1 / (float)petals, petal = sine(each / 2) * rng_range(r, 0.98f, 1.12f);
    for (int i = 0; i < petals; i++) {
        point p = polar(1, (float)i * each);
        add_disc(s, p.x, p.y, petal);
    }
    add_disc(s, 0, 0, 0.85f);
}

/* A square on its corner, with a disc on each of its upper sides. */
static void make_heart(shape *s, rng *r)
{
    float lobe = rng_range(r, 0.95f, 1.05f);
    add_corner(s, 0, 1);
    add_corner(s, 1, 0);
    add_corner(s, 0, -1);
    add_corner(s, -1, 0);
    add_disc(s, 0.5f * lobe, -0.5f * lobe, 0.7071f);
    add_disc(s, -0.5f * lobe, -0.5f * lobe, 0.7071f);
}

static void make_ring(shape *s, rng *r)
{
    add_disc(s, 0, 0, 1);
    s->hole = (disc){{0, 0}, rng_range(r, 0.48f, 0.68f)};
}

static void make_square(shape *s, rng *r)
{
    for (int i = 0; i < 4; i++)
        add_polar(s, 1, 0.125f + 0.25f * (float)i);
    s->rounding = rng_range(r, 0, 0.15f);
}

static void make_star(shape *s, rng *r)
{
    int points = rng_chance(r, 0.75f) ? 5 : 6;
    float inner = points == 5 ? rng_range(r, 0.36f, 0.48f) : rng_range(r, 0.45f, 0.55f);
    for (int i = 0; i < 2 * points; i++)
        add_polar(s, i % 2 ? inner : 1, (float)i / (float)(2 * points));
    s->rounding = rng_range(r, 0, 0.06f);
}

static void make_triangle(shape *s, rng *r)
{
    float height = rng_range(r, 0.82f, 1.1f);
    add_corner(s, 0, -height);
    add_corner(s, 0.866f, 0.5f * height);
    add_corner(s, -0.866f, 0.5f * height);
    s->rounding = rng_range(r, 0, 0.12f);
}

shape shape_of_class(shape_class which, rng *r)
{
    static void (*const make[CLASSES])(shape *, rng *) = {
        [ARROW] = make_arrow,   [CIRCLE] = make_circle,     [CRESCENT] = make_crescent, [CROSS] = make_cross,
        [FLOWER] = make_flower, [HEART] = make_heart,       [RING] = make_ring,         [SQUARE] = make_square,
        [STAR] = make_star,     [TRIANGLE] = make_triangle,
    };
    shape s = {0};
    make[which](&s, r);
    normalize(&s);
    return s;
}

/* ---- clutter ---- */

shape shape_blob(rng *r)
{
    shape s = {.melt = 0.5f};
    int lumps = 3 + rng_below(r, 3);
    float turns = rng_unit(r), x = 0, y = 0;
    for (int i = 0; i < lumps; i++) {
        add_disc(&s, x, y, rng_range(r, 0.25f, 0.6f));
        turns += rng_range(r, -0.12f, 0.12f);
        point d = direction_at(turns);
        x += 0.55f * d.x, y += 0.55f * d.y;
    }
    normalize(&s);
    return s;
}

shape shape_bar(rng *r)
{
    shape s = {0};
    float width = rng_range(r, 0.05f, 0.15f), taper = rng_range(r, 0.6f, 1);
    add_corner(&s, -width, -1);
    add_corner(&s, width, -1);
    add_corner(&s, width * taper, 1);
    add_corner(&s, -width * taper, 1);
    s.rounding = rng_chance(r, 0.5f) ? rng_range(r, 0, 0.1f) : 0;
    normalize(&s);
    return s;
}

shape shape_line(rng *r, float width)
{
    shape s = {.open = true};
    int corners = 5 + rng_below(r, MAX_CORNERS - 4);
    /* It may wind, but turns by less than six tenths of a full turn in all. */
    float most = 0.6f / (float)corners, turn = rng_range(r, -most, most), turns = rng_unit(r), x = 0, y = 0;
    for (int i = 0; i < corners; i++) {
        add_corner(&s, x, y);
        if (rng_chance(r, 0.3f))
            turn = rng_range(r, -most, most);
        turns += turn;
        point d = direction_at(turns);
        float step = rng_range(r, 0.5f, 1);
        x += step * d.x, y += step * d.y;
    }
    normalize(&s);
    s.rounding = width / 2;
    return s;
}

/* ---- distance ---- */

/* To the polygon: the nearest of its sides; inside where a ray to the left crosses an odd number of them. */
static void polygon_distances(float *d, const shape *s, const float *x, const float *y, int n)
{
    enum { PART = 64 }; /* of a row, so that its signs stay at hand */
    float sign[PART];
    for (int begin = 0; begin < n; begin += PART) {
        int count = n - begin < PART ? n - begin : PART;
        float *out = d + begin;
        for (int i = 0; i < count; i++)
            out[i] = 1e9f, sign[i] = 1;
        for (int k = s->open ? 1 : 0; k < s->n_corners; k++) {
            point a = s->corners[k ? k - 1 : s->n_corners - 1], b = s->corners[k];
            float ex = b.x - a.x, ey = b.y - a.y, scale = 1 / (ex * ex + ey * ey);
            for (int i = 0; i < count; i++) {
                float px = x[begin + i] - a.x, py = y[begin + i] - a.y;
                float along = least(greatest((px * ex + py * ey) * scale, 0), 1);
                float dx = px - ex * along, dy = py - ey * along;
                out[i] = least(out[i], dx * dx + dy * dy);
                /* Crossed, going up or going down. */
                float left = ex * py - ey * px;
                bool above = py >= 0, below = y[begin + i] < b.y;
                bool crosses = (above & below & (left > 0)) | (!above & !below & (left <= 0));
                sign[i] = crosses ? -sign[i] : sign[i];
            }
        }
        for (int i = 0; i < count; i++)
            out[i] = (s->open ? 1 : sign[i]) * sqrtf(out[i]) - s->rounding;
    }
}

static float disc_distance(const disc *c, float x, float y)
{
    float dx = x - c->center.x, dy = y - c->center.y;
    return sqrtf(dx * dx + dy * dy) - c->radius;
}

void shape_distances(float *d, const shape *s, const float *x, const float *y, int n)
{
    polygon_distances(d, s, x, y, n);
    for (int k = 0; k < s->n_discs; k++) {
        const disc c = s->discs[k];
        if (s->melt > 0) /* the smooth minimum of a quadratic blend, Quilez 2013 */
            for (int i = 0; i < n; i++) {
                float a = d[i], b = disc_distance(&c, x[i], y[i]), gap = a < b ? b - a : a - b;
                float h = greatest(s->melt - gap, 0);
                d[i] = least(a, b) - h * h * (0.25f / s->melt);
            }
        else
            for (int i = 0; i < n; i++)
                d[i] = least(d[i], disc_distance(&c, x[i], y[i]));
    }
    if (s->hole.radius > 0)
        for (int i = 0; i < n; i++)
            d[i] = greatest(d[i], -disc_distance(&s->hole, x[i], y[i]));
}
