/* scene.c - what is in a picture and where (scene.h): first everything is placed, then it is painted back to front. */
#include "scene.h"

#include <math.h>
#include <string.h>

#include "draw.h"

_Static_assert((int)CLASSES == (int)CR_SCENE_CLASSES, "a class is a shape");

static const struct {
    const char *name;
    int objects;
} splits[CR_SCENE_SPLITS] = {
    [CR_SCENE_TRAIN] = {"train", 1},
    [CR_SCENE_VAL] = {"val", 1},
    [CR_SCENE_TWO] = {"two", 2},
    [CR_SCENE_THREE] = {"three", 3},
};

const char *cr_scene_class_name(int class_index)
{
    return shape_names[class_index];
}

const char *cr_scene_split_name(cr_scene_split split)
{
    return splits[split].name;
}

int cr_scene_objects(cr_scene_split split)
{
    return splits[split].objects;
}

int cr_scene_class(const cr_scene *scene)
{
    return (int)(scene->number % CLASSES);
}

/* The number's digits choose the first two, so that all pairs are equally frequent; the rest are drawn. */
static void choose_classes(int *classes, const cr_scene *scene, rng *r)
{
    bool taken[CLASSES] = {false};
    for (int i = 0; i < splits[scene->split].objects; i++) {
        int which = cr_scene_class(scene);
        if (i == 1)
            which = (which + 1 + (int)(scene->number / CLASSES % (CLASSES - 1))) % CLASSES;
        while (taken[which])
            which = rng_below(r, CLASSES);
        taken[which] = true;
        classes[i] = which;
    }
}

/* ---- placing ---- */

/* Anywhere in the square from (low, low) to (high, high). */
static point random_point(rng *r, float low, float high)
{
    float x = rng_range(r, low, high), y = rng_range(r, low, high);
    return (point){x, y};
}

static float distance(point a, point b)
{
    float x = a.x - b.x, y = a.y - b.y;
    return sqrtf(x * x + y * y);
}

/* A shape fills more or less of the circle around it; these make all look about equally large. */
static const float bulk[CLASSES] = {
    [ARROW] = 1.1f,  [CIRCLE] = 0.9f, [CRESCENT] = 1,   [CROSS] = 1,   [FLOWER] = 1,
    [HEART] = 0.95f, [RING] = 0.95f,  [SQUARE] = 0.95f, [STAR] = 1.1f, [TRIANGLE] = 1.12f,
};

/* Radii before bulk, the largest by how many objects share the picture. */
static const float smallest = 0.135f, largest[CR_SCENE_MAX_OBJECTS] = {0.23f, 0.2f, 0.165f};

/* Whether a circle keeps this gap to those of the others. */
static bool is_free(point center, float radius, float gap, const placement *others, int n)
{
    for (int i = 0; i < n; i++)
        if (distance(center, others[i].center) < radius + others[i].radius + gap)
            return false;
    return true;
}

/* Inside the picture and beside the others. False where chance found no room. */
static bool find_place(placement *p, const placement *others, int n, rng *r)
{
    const float gap = 0.01f;
    float room = p->radius + gap;
    for (int tries = 0; tries < 100; tries++) {
        p->center = random_point(r, room, 1 - room);
        if (is_free(p->center, p->radius, gap, others, n))
            return true;
    }
    return false;
}

static void place_objects(placement *at, const int *classes, int n, float difficulty, rng *r)
{
    float high = largest[n - 1], low = high + (smallest - high) * difficulty;
    for (int i = 0; i < n; i++) {
        at[i].radius = bulk[classes[i]] * rng_range(r, low, high);
        at[i].turns = rng_unit(r);
        at[i].squeeze = rng_range(r, 1 - 0.15f * difficulty, 1);
        at[i].lean = rng_unit(r);
    }
    for (int i = 0; i < n;)
        i = find_place(&at[i], at, i, r) ? i + 1 : 0; /* no room: all of them again */
}

/* ---- painting ---- */

/* What all parts of a painting share. */
typedef struct painter {
    canvas c;
    field noise;
    point light; /* the direction it falls in */
    float difficulty; /* of this picture */
} painter;

/* Strong colours are likelier for things than for the ground. */
static color thing_color(rng *r)
{
    float one = rng_unit(r), two = rng_unit(r);
    return color_random(r, one > two ? one : two);
}

/* One material, or two or three, as where a table meets a wall. */
static void paint_ground(painter *p, rng *r)
{
    int halves = rng_chance(r, 0.5f * p->difficulty) ? 1 + rng_below(r, 2) : 0;
    for (int i = 0; i <= halves; i++) {
        texture t = texture_random(r, &p->noise, 1);
        t.a = color_random(r, 0.85f * rng_unit(r));
        t.b = color_near(r, t.a, 0.05f + 0.2f * p->difficulty * rng_unit(r));
        point middle = random_point(r, 0.1f, 0.9f);
        point normal = direction_at(rng_unit(r));
        float waver = rng_chance(r, 0.5f) ? rng_range(r, 0, 0.08f) : 0;
        if (i == 0)
            draw_ground(&p->c, &t);
        else
            draw_half(&p->c, &t, middle, normal, waver);
    }
}

/* The colour, of some, that stands out best from what is around; one with a contrast of `enough` all around will do. */
static color standing_out(const painter *p, const placement *at, float enough, rng *r)
{
    enum { AROUND = 9, CANDIDATES = 16 };
    color around[AROUND], best = {{0}};
    around[0] = canvas_color(&p->c, at->center);
    for (int i = 1; i < AROUND; i++) {
        point d = direction_at((float)i / (AROUND - 1));
        around[i] = canvas_color(&p->c, (point){at->center.x + at->radius * d.x, at->center.y + at->radius * d.y});
    }
    float best_contrast = -1;
    for (int k = 0; k < CANDIDATES && best_contrast < enough; k++) {
        color candidate = thing_color(r);
        float contrast = 9;
        for (int i = 0; i < AROUND; i++) {
            float c = color_contrast(candidate, around[i]);
            contrast = c < contrast ? c : contrast;
        }
        if (contrast > best_contrast)
            best_contrast = contrast, best = candidate;
    }
    return best;
}

static look random_look(painter *p, const placement *at, rng *r)
{
    look l = {.paint = texture_random(r, &p->noise, 2 * at->radius), .opacity = 1};
    l.paint.a = standing_out(p, at, 0.8f - 0.35f * p->difficulty, r);
    l.paint.b = color_near(r, l.paint.a, 0.05f + 0.15f * rng_unit(r));
    if (rng_chance(r, 0.65f)) {
        l.shadow = rng_range(r, 0.2f, 0.6f);
        l.fall = rng_range(r, 0.04f, 0.18f);
        l.blur = rng_range(r, 0.02f, 0.15f);
    }
    if (rng_chance(r, 0.6f)) {
        l.bevel = rng_range(r, 0.05f, 0.3f);
        l.slope = rng_range(r, 0.05f, 0.3f);
    }
    if (rng_chance(r, 0.25f)) {
        l.outline = rng_range(r, 0.04f, 0.09f);
        l.rim = thing_color(r);
    }
    return l;
}

static void paint_object(painter *p, int which, const placement *at, int owner, rng *r)
{
    shape s = shape_of_class((shape_class)which, r);
    look l = random_look(p, at, r);
    draw_shape(&p->c, &s, at, &l, p->light, owner);
    if (which == FLOWER && rng_chance(r, 0.6f)) { /* its middle */
        shape middle = shape_of_class(CIRCLE, r);
        placement inside = *at;
        inside.radius *= rng_range(r, 0.25f, 0.4f);
        look other = l;
        other.shadow = 0;
        other.outline = 0;
        other.paint.a = standing_out(p, &inside, 0.3f, r);
        other.paint.b = color_near(r, other.paint.a, 0.1f);
        draw_shape(&p->c, &middle, &inside, &other, p->light, owner);
    }
}

static void paint_line(painter *p, rng *r)
{
    placement at = {.center = random_point(r, 0, 1), .squeeze = 1};
    at.radius = rng_range(r, 0.15f, 0.5f);
    shape s = shape_line(r, rng_range(r, 0.008f, 0.02f) / at.radius);
    look l = {.paint = {.kind = PLAIN, .noise = &p->noise}, .opacity = rng_range(r, 0.4f, 1)};
    l.paint.a = l.paint.b = thing_color(r);
    draw_shape(&p->c, &s, &at, &l, p->light, 0);
}

/* Many small bits of one colour. */
static void paint_crumbs(painter *p, rng *r)
{
    point middle = random_point(r, 0, 1);
    float spread = rng_range(r, 0.05f, 0.3f);
    look l = {.paint = {.kind = PLAIN, .noise = &p->noise}, .opacity = 1};
    l.paint.a = l.paint.b = thing_color(r);
    for (int n = 4 + rng_below(r, 12); n > 0; n--) {
        placement at;
        at.center.x = middle.x + spread * rng_bell(r);
        at.center.y = middle.y + spread * rng_bell(r);
        at.radius = rng_range(r, 0.01f, 0.025f);
        at.turns = rng_unit(r);
        at.squeeze = rng_range(r, 0.5f, 1);
        at.lean = rng_unit(r);
        shape s = shape_blob(r);
        draw_shape(&p->c, &s, &at, &l, p->light, 0);
    }
}

/* A blob or a bar beside the objects. */
static void paint_thing(painter *p, const placement *objects, int n, rng *r)
{
    bool is_bar = rng_chance(r, 0.4f);
    placement at = {.squeeze = 1};
    at.radius = is_bar ? rng_range(r, 0.08f, 0.25f) : rng_range(r, 0.06f, 0.16f);
    at.turns = rng_unit(r);
    for (int tries = 0; tries < 12; tries++) {
        at.center = random_point(r, 0, 1);
        if (is_free(at.center, at.radius, -0.02f, objects, n)) {
            shape s = is_bar ? shape_bar(r) : shape_blob(r);
            look l = random_look(p, &at, r);
            draw_shape(&p->c, &s, &at, &l, p->light, 0);
            return;
        }
    }
}

static void paint_clutter(painter *p, const placement *objects, int n, rng *r)
{
    for (int k = (int)(p->difficulty * (float)rng_below(r, 8) + 0.5f); k > 0; k--) {
        rng own = rng_fork(r);
        float kind = rng_unit(&own);
        if (kind < 0.55f)
            paint_thing(p, objects, n, &own);
        else if (kind < 0.85f)
            paint_line(p, &own);
        else
            paint_crumbs(p, &own);
    }
}

static camera random_camera(const painter *p, rng *r)
{
    float d = p->difficulty;
    camera k = {.light = {-p->light.x, -p->light.y}, .uneven = 0.2f * d * rng_unit(r)};
    float strength = 0.6f * d * rng_unit(r);
    k.light.x *= strength, k.light.y *= strength;
    k.exposure = rng_range(r, 1 - 0.25f * d, 1 + 0.15f * d);
    k.contrast = rng_range(r, 1 - 0.25f * d, 1 + 0.1f * d);
    for (int i = 0; i < 3; i++)
        k.cast.c[i] = 0.02f * d * rng_bell(r);
    k.blur = rng_chance(r, 0.5f) ? d * rng_unit(r) : 0;
    k.grain = rng_chance(r, 0.5f) ? 0.035f * d * rng_unit(r) : 0;
    k.tint = rng_chance(r, 0.3f) ? 0.02f * d * rng_unit(r) : 0;
    return k;
}

/* ---- the whole ---- */

static void find_boxes(cr_scene_object *objects, int n, const canvas *c)
{
    for (int i = 0; i < n; i++)
        objects[i].box = (cr_rect){c->size, c->size, 0, 0};
    for (int y = 0; y < c->size; y++)
        for (int x = 0; x < c->size; x++) {
            int owner = c->owner[y * c->size + x];
            if (!owner)
                continue;
            cr_rect *box = &objects[owner - 1].box;
            box->x0 = x < box->x0 ? x : box->x0;
            box->x1 = x + 1 > box->x1 ? x + 1 : box->x1;
            box->y0 = y < box->y0 ? y : box->y0;
            box->y1 = y + 1 > box->y1 ? y + 1 : box->y1;
        }
}

static bool check(const cr_scene *scene, cr_error *err)
{
    if (scene->size < CR_SCENE_MIN_SIZE || scene->size > CR_SCENE_MAX_SIZE)
        return cr_fail(err, "expected a scene of %d to %d pixels a side, found %d", CR_SCENE_MIN_SIZE,
                       CR_SCENE_MAX_SIZE, scene->size);
    if ((unsigned)scene->split >= CR_SCENE_SPLITS)
        return cr_fail(err, "expected a split from 0 to %d, found %d", CR_SCENE_SPLITS - 1, (int)scene->split);
    if (!(scene->difficulty >= 0 && scene->difficulty <= 1))
        return cr_fail(err, "expected a difficulty from 0 to 1, found %g", (double)scene->difficulty);
    return true;
}

bool cr_scene_draw(const cr_scene *scene, unsigned char *rgb, unsigned char *owner, cr_scene_object *objects,
                   cr_error *err)
{
    painter p = {.difficulty = scene->difficulty};
    if (!check(scene, err) || !canvas_create(&p.c, scene->size, err))
        return false;
    /* Three rounds, so that neighbours in seed, split or number have nothing in common. */
    rng r = {scene->seed};
    r.state = rng_bits(&r) ^ (uint64_t)scene->split;
    r.state = rng_bits(&r) ^ scene->number;
    rng layout = rng_fork(&r), ground = rng_fork(&r), clutter = rng_fork(&r), things = rng_fork(&r),
        film = rng_fork(&r);

    int n = splits[scene->split].objects, classes[CR_SCENE_MAX_OBJECTS];
    placement at[CR_SCENE_MAX_OBJECTS];
    /* Easy pictures among the others: a network that meets only hard ones does not begin to learn. */
    float ease = rng_unit(&layout);
    p.difficulty *= 1 - ease * ease;
    choose_classes(classes, scene, &layout);
    place_objects(at, classes, n, p.difficulty, &layout);
    p.light = direction_at(rng_unit(&layout));
    field_fill(&p.noise, &ground);
    paint_ground(&p, &ground);
    paint_clutter(&p, at, n, &clutter);
    for (int i = 0; i < n; i++) {
        rng own = rng_fork(&things);
        paint_object(&p, classes[i], &at[i], i + 1, &own);
    }
    if (rng_chance(&clutter, 0.25f * p.difficulty))
        paint_line(&p, &clutter);
    if (objects) {
        for (int i = 0; i < n; i++)
            objects[i].class_index = classes[i];
        find_boxes(objects, n, &p.c);
    }
    if (owner)
        memcpy(owner, p.c.owner, (size_t)scene->size * (size_t)scene->size);
    camera k = random_camera(&p, &film);
    canvas_develop(rgb, &p.c, &k, &p.noise, &film);
    canvas_free(&p.c);
    return true;
}
