/* test_scenes.c - the drawn pictures of cam/scenes: the same bits everywhere, boxes that hold what they should, shapes
 * that are what they are called, and sets on disk. */
#include "check.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "scenes/dataset.h"
#include "scenes/rng.h"
#include "scenes/scene.h"
#include "scenes/shapes.h"
#include "scenes/texture.h"

enum { MAX_SIZE = 128 };

/* A scene with all that it gives. */
typedef struct drawn {
    int n;
    cr_scene_object objects[CR_SCENE_MAX_OBJECTS];
    unsigned char rgb[MAX_SIZE * MAX_SIZE * 3], owner[MAX_SIZE * MAX_SIZE];
} drawn;

static void draw(drawn *out, cr_scene scene)
{
    cr_error err;
    memset(out, 0, sizeof *out);
    out->n = cr_scene_objects(scene.split);
    assert_true(scene.size <= MAX_SIZE);
    if (!cr_scene_draw(&scene, out->rgb, out->owner, out->objects, &err))
        fail_msg("%s", err.text);
}

/* ---- the same everywhere ---- */

static uint64_t fnv1a(uint64_t hash, const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t checksum_of(const drawn *d, int size)
{
    size_t pixels = (size_t)size * (size_t)size;
    uint64_t hash = fnv1a(fnv1a(0xcbf29ce484222325u, d->rgb, 3 * pixels), d->owner, pixels);
    for (int i = 0; i < d->n; i++) {
        const cr_rect *b = &d->objects[i].box;
        const int values[] = {d->objects[i].class_index, b->x0, b->y0, b->x1, b->y1};
        for (int k = 0; k < 5; k++) /* as bytes: machines differ in how they lay an int out */
            hash = fnv1a(hash, &(unsigned char){(unsigned char)values[k]}, 1);
    }
    return hash;
}

static uint64_t checksum(cr_scene scene)
{
    static drawn d;
    draw(&d, scene);
    return checksum_of(&d, scene.size);
}

/* Values of the reference implementation, https://prng.di.unimi.it/splitmix64.c. */
static void test_random_numbers(void **state)
{
    (void)state;
    static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                        4593380528125082431u, 16408922859458223821u};
    rng r = {1234567};
    for (int i = 0; i < 5; i++)
        assert_int_equal(rng_bits(&r), expected[i]);
    double sum = 0, squares = 0;
    int counts[7] = {0};
    for (int i = 0; i < 100000; i++) {
        float u = rng_unit(&r), bell = rng_bell(&r);
        assert_true(u >= 0 && u < 1 && fabsf(bell) < 3.5f);
        sum += (double)bell, squares += (double)bell * (double)bell;
        counts[rng_below(&r, 7)]++;
    }
    assert_true(fabs(sum / 1e5) < 0.01 && fabs(squares / 1e5 - 1) < 0.01);
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 13900, 14700);
}

static void test_directions(void **state)
{
    (void)state;
    for (int i = -1000; i <= 1000; i++) {
        float turns = (float)i / 400;
        point d = direction_at(turns);
        assert_true(fabs((double)d.x - cos(6.283185307179586 * (double)turns)) < 1e-6);
        assert_true(fabs((double)d.y - sin(6.283185307179586 * (double)turns)) < 1e-6);
    }
}

/* What these scenes were when they were last meant to change. A set that someone made must stay what it was: changing
 * these numbers changes every picture that anybody ever drew. */
static void test_golden_pictures(void **state)
{
    (void)state;
    static const struct {
        cr_scene scene;
        uint64_t checksum;
    } golden[] = {
        {{1, CR_SCENE_TRAIN, 0, 128, 1}, 0xff9c7974dd127ff6},
        {{1, CR_SCENE_TRAIN, 1, 64, 1}, 0xf026722cc6ea9863},
        {{1, CR_SCENE_TRAIN, 999999, 96, 1}, 0xc2fcc99f452827fe},
        {{1, CR_SCENE_VAL, 7, 128, 0.5f}, 0xd7246a1208da3b2b},
        {{UINT64_MAX, CR_SCENE_VAL, UINT64_MAX, 32, 0}, 0x66b4546ab4ffd7f6},
        {{1, CR_SCENE_TWO, 3, 128, 1}, 0xcedbe6195cf076e7},
        {{20, CR_SCENE_THREE, 4, 100, 1}, 0x183d1856beae8396},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        uint64_t found = checksum(golden[i].scene);
        if (found != golden[i].checksum) {
            print_error("picture %zu: expected 0x%016llx, found 0x%016llx\n", i, (unsigned long long)golden[i].checksum,
                        (unsigned long long)found);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    uint64_t all = 0; /* and many more at once, so that each pattern, shape and light is among them */
    for (int i = 0; i < 400; i++) {
        uint64_t one = checksum((cr_scene){5, (cr_scene_split)(i % 4), (uint64_t)i, 48, 1});
        all = fnv1a(all, &(unsigned char){(unsigned char)(one >> 7)}, 1);
    }
    if (all != 0x07c6f1ca401b4b35)
        fail_msg("400 pictures: found 0x%016llx", (unsigned long long)all);
}

static void test_any_number_of_threads(void **state)
{
    (void)state;
    enum { SCENES = 40, SIZE = 40 };
    drawn *together = zeros(SCENES, sizeof *together);
    bool ok = true;
#pragma omp parallel for num_threads(4) schedule(dynamic) reduction(&& : ok)
    for (int i = 0; i < SCENES; i++) {
        cr_scene scene = {3, (cr_scene_split)(i % 4), (uint64_t)i, SIZE, 1};
        together[i].n = cr_scene_objects(scene.split);
        ok = cr_scene_draw(&scene, together[i].rgb, together[i].owner, together[i].objects, NULL) && ok;
    }
    assert_true(ok);
    for (int i = 0; i < SCENES; i++)
        assert_int_equal(checksum_of(&together[i], SIZE),
                         checksum((cr_scene){3, (cr_scene_split)(i % 4), (uint64_t)i, SIZE, 1}));
    free(together);
}

/* What is not asked for changes nothing. */
static void test_outputs_may_be_left_out(void **state)
{
    (void)state;
    static drawn d;
    static unsigned char rgb[64 * 64 * 3];
    cr_error err;
    cr_scene scene = {1, CR_SCENE_TWO, 5, 64, 1};
    draw(&d, scene);
    assert_true(cr_scene_draw(&scene, rgb, NULL, NULL, &err));
    assert_memory_equal(rgb, d.rgb, sizeof rgb);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_no_two_pictures_are_the_same(void **state)
{
    (void)state;
    enum { EACH = 100, SEEDS = 3, ALL = EACH * SEEDS * CR_SCENE_SPLITS };
    uint64_t *sums = zeros(ALL, sizeof *sums), *next = sums;
    for (int seed = 0; seed < SEEDS; seed++)
        for (int split = 0; split < CR_SCENE_SPLITS; split++)
            for (int i = 0; i < EACH; i++)
                *next++ = checksum((cr_scene){(uint64_t)seed, (cr_scene_split)split, (uint64_t)i, 32, 1});
    qsort(sums, ALL, sizeof *sums, by_value);
    for (int i = 1; i < ALL; i++)
        assert_true(sums[i] != sums[i - 1]);
    free(sums);
}

/* ---- what is where ---- */

static void test_boxes_are_tight(void **state)
{
    (void)state;
    static const int sizes[] = {32, 64, 97, 128};
    static drawn d;
    for (int split = 0; split < CR_SCENE_SPLITS; split++)
        for (int i = 0; i < 200; i++) {
            int size = sizes[i % 4];
            draw(&d, (cr_scene){1, (cr_scene_split)split, (uint64_t)i, size, (float)(i % 3) / 2});
            cr_rect seen[CR_SCENE_MAX_OBJECTS];
            for (int k = 0; k < d.n; k++)
                seen[k] = (cr_rect){size, size, 0, 0};
            for (int at = 0; at < size * size; at++) {
                int owner = d.owner[at], x = at % size, y = at / size;
                assert_in_range(owner, 0, d.n);
                if (!owner)
                    continue;
                cr_rect *s = &seen[owner - 1];
                *s = (cr_rect){x < s->x0 ? x : s->x0, y < s->y0 ? y : s->y0, x >= s->x1 ? x + 1 : s->x1,
                               y >= s->y1 ? y + 1 : s->y1};
            }
            for (int k = 0; k < d.n; k++)
                assert_memory_equal(&seen[k], &d.objects[k].box, sizeof seen[k]);
        }
}

/* As scene.h has it: the longer side of a box is about a fifth to a half of the picture's. */
static void test_sizes_of_objects(void **state)
{
    (void)state;
    static drawn d;
    double least = 1, most = 0;
    for (int i = 0; i < 600; i++) {
        draw(&d, (cr_scene){2, (cr_scene_split)(i % 4), (uint64_t)i, 128, 1});
        for (int k = 0; k < d.n; k++) {
            const cr_rect *b = &d.objects[k].box;
            int w = b->x1 - b->x0, h = b->y1 - b->y0;
            double side = (double)(w > h ? w : h) / 128;
            least = side < least ? side : least;
            most = side > most ? side : most;
        }
    }
    if (!(least > 0.19 && least < 0.26 && most > 0.4 && most < 0.51))
        fail_msg("the longer sides of boxes range from %.3f to %.3f of the picture's", least, most);
}

static int overlap(int a0, int a1, int b0, int b1)
{
    int low = a0 > b0 ? a0 : b0, high = a1 < b1 ? a1 : b1;
    return high > low ? high - low : 0;
}

/* The circles around objects do not touch, so that two boxes share their corners at most. */
static void test_objects_lie_apart(void **state)
{
    (void)state;
    static drawn d;
    for (int i = 0; i < 400; i++) {
        draw(&d, (cr_scene){4, i % 2 ? CR_SCENE_TWO : CR_SCENE_THREE, (uint64_t)i, 64, (float)(i % 5) / 4});
        for (int k = 0; k < d.n; k++)
            for (int m = 0; m < k; m++) {
                const cr_rect *a = &d.objects[k].box, *b = &d.objects[m].box;
                int shared = overlap(a->x0, a->x1, b->x0, b->x1) * overlap(a->y0, a->y1, b->y0, b->y1);
                int area_a = (a->x1 - a->x0) * (a->y1 - a->y0), area_b = (b->x1 - b->x0) * (b->y1 - b->y0);
                if (4 * shared > (area_a < area_b ? area_a : area_b))
                    fail_msg("picture %d: boxes %d and %d share %d pixels", i, m, k, shared);
            }
    }
}

/* Nothing but a thin line, at times, lies on an object: at least this part of its box is seen as its own. */
static void test_objects_are_seen(void **state)
{
    (void)state;
    static const double fills[CLASSES] = {
        [ARROW] = 0.2,  [CIRCLE] = 0.65, [CRESCENT] = 0.25, [CROSS] = 0.25, [FLOWER] = 0.5,
        [HEART] = 0.45, [RING] = 0.35,   [SQUARE] = 0.4,    [STAR] = 0.2,   [TRIANGLE] = 0.3};
    static drawn d;
    for (int i = 0; i < 400; i++) {
        draw(&d, (cr_scene){6, CR_SCENE_TRAIN, (uint64_t)i, 128, 1});
        const cr_rect *b = &d.objects[0].box;
        int own = 0;
        for (int at = 0; at < 128 * 128; at++)
            own += d.owner[at] == 1;
        double fill = (double)own / ((b->x1 - b->x0) * (b->y1 - b->y0));
        if (!(fill > fills[d.objects[0].class_index]))
            fail_msg("picture %d: only %.3f of the %s's box is its own", i, fill,
                     cr_scene_class_name(d.objects[0].class_index));
    }
}

static double lightness_difference(const drawn *d, int size)
{
    double in[3] = {0}, out[3] = {0}, most = 0;
    int n_in = 0, n_out = 0;
    const cr_rect *b = &d->objects[0].box;
    for (int y = b->y0; y < b->y1; y++)
        for (int x = b->x0; x < b->x1; x++) {
            int at = y * size + x;
            bool is_in = d->owner[at] == 1;
            *(is_in ? &n_in : &n_out) += 1;
            for (int c = 0; c < 3; c++)
                (is_in ? in : out)[c] += d->rgb[3 * at + c];
        }
    for (int c = 0; c < 3 && n_out; c++)
        most = fmax(most, fabs(in[c] / n_in - out[c] / n_out));
    return n_out ? most : 255;
}

/* The mean colours of an object and of what is beside it in its box. */
static void test_objects_stand_out(void **state)
{
    (void)state;
    static drawn d;
    int faint = 0;
    for (int i = 0; i < 400; i++) {
        draw(&d, (cr_scene){8, CR_SCENE_TRAIN, (uint64_t)i, 64, 1});
        faint += lightness_difference(&d, 64) < 30;
    }
    assert_in_range(faint, 0, 20);
}

static void test_classes(void **state)
{
    (void)state;
    static drawn d;
    assert_int_equal(CR_SCENE_CLASSES, 10);
    for (int i = 1; i < CR_SCENE_CLASSES; i++)
        assert_true(strcmp(cr_scene_class_name(i - 1), cr_scene_class_name(i)) < 0);
    for (int i = 0; i < 50; i++) {
        cr_scene scene = {1, CR_SCENE_VAL, (uint64_t)i, 32, 1};
        draw(&d, scene);
        assert_int_equal(d.objects[0].class_index, i % 10);
        assert_int_equal(cr_scene_class(&scene), i % 10);
    }
    bool pairs[CR_SCENE_CLASSES][CR_SCENE_CLASSES] = {{false}};
    for (int i = 0; i < 90; i++) {
        draw(&d, (cr_scene){1, CR_SCENE_TWO, (uint64_t)i, 32, 1});
        int a = d.objects[0].class_index, b = d.objects[1].class_index;
        assert_int_equal(a, i % 10);
        assert_true(a != b && !pairs[a][b]);
        pairs[a][b] = true;
    }
    int thirds[CR_SCENE_CLASSES] = {0};
    for (int i = 0; i < 300; i++) {
        draw(&d, (cr_scene){1, CR_SCENE_THREE, (uint64_t)i, 32, 1});
        int a = d.objects[0].class_index, b = d.objects[1].class_index, c = d.objects[2].class_index;
        assert_true(a != b && a != c && b != c);
        thirds[c]++;
    }
    for (int i = 0; i < CR_SCENE_CLASSES; i++)
        assert_in_range(thirds[i], 12, 50);
}

static void test_other_sizes_show_the_same(void **state)
{
    (void)state;
    static drawn small, large;
    for (int i = 0; i < 100; i++) {
        draw(&small, (cr_scene){1, (cr_scene_split)(i % 4), (uint64_t)i, 64, 0});
        draw(&large, (cr_scene){1, (cr_scene_split)(i % 4), (uint64_t)i, 128, 0});
        for (int k = 0; k < small.n; k++) {
            const cr_rect *a = &small.objects[k].box, *b = &large.objects[k].box;
            assert_int_equal(small.objects[k].class_index, large.objects[k].class_index);
            int off[4] = {2 * a->x0 - b->x0, 2 * a->y0 - b->y0, 2 * a->x1 - b->x1, 2 * a->y1 - b->y1};
            for (int v = 0; v < 4; v++)
                assert_true(abs(off[v]) <= 3);
        }
    }
}

static void test_refusals(void **state)
{
    (void)state;
    unsigned char rgb[3] = {1, 2, 3};
    cr_error err;
    cr_scene scene = {1, CR_SCENE_TRAIN, 0, 31, 1};
    assert_false(cr_scene_draw(&scene, rgb, NULL, NULL, &err));
    check_message(&err, "32 to 2048", "31", NULL);
    scene.size = 2049;
    assert_false(cr_scene_draw(&scene, rgb, NULL, NULL, &err));
    check_message(&err, "2049", NULL);
    scene.size = 64;
    scene.split = CR_SCENE_SPLITS;
    assert_false(cr_scene_draw(&scene, rgb, NULL, NULL, &err));
    check_message(&err, "split", "found 4", NULL);
    scene.split = CR_SCENE_TRAIN;
    static const float wrong[] = {-0.01f, 1.01f, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        scene.difficulty = wrong[i];
        assert_false(cr_scene_draw(&scene, rgb, NULL, NULL, &err));
        check_message(&err, "difficulty from 0 to 1", NULL);
    }
    assert_memory_equal(rgb, ((unsigned char[]){1, 2, 3}), 3);
}

/* ---- shapes ---- */

static float distance_at(const shape *s, float x, float y)
{
    float d;
    shape_distances(&d, s, &x, &y, 1);
    return d;
}

static bool is_inside(const shape *s, float x, float y)
{
    return distance_at(s, x, y) < 0;
}

/* Against formulas of their own. */
static void test_distances(void **state)
{
    (void)state;
    rng r = {SEED};
    shape circle = shape_of_class(CIRCLE, &r), ring = shape_of_class(RING, &r), square = {0}, line = {0};
    static const point corners[4] = {{-1, -1}, {1, -1}, {1, 1}, {-1, 1}};
    memcpy(square.corners, corners, sizeof corners);
    square.n_corners = 4;
    line.open = true;
    line.n_corners = 2;
    line.corners[1] = (point){2, 0};
    line.rounding = 0.25f;
    for (int i = 0; i < 2000; i++) {
        float x = rng_range(&r, -2, 2), y = rng_range(&r, -2, 2), away = sqrtf(x * x + y * y);
        float ax = fabsf(x) - 1, ay = fabsf(y) - 1, ox = fmaxf(ax, 0), oy = fmaxf(ay, 0);
        float boxed = sqrtf(ox * ox + oy * oy) + fminf(fmaxf(ax, ay), 0);
        float lx = fmaxf(fmaxf(-x, x - 2), 0);
        assert_true(fabsf(distance_at(&circle, x, y) - (away - 1)) < 1e-5f);
        assert_true(fabsf(distance_at(&ring, x, y) - fmaxf(away - 1, ring.hole.radius - away)) < 1e-5f);
        assert_true(fabsf(distance_at(&square, x, y) - boxed) < 1e-5f);
        assert_true(fabsf(distance_at(&line, x, y) - (sqrtf(lx * lx + y * y) - 0.25f)) < 1e-5f);
    }
}

/* A row at once gives what its points give one by one. */
static void test_rows_of_distances(void **state)
{
    (void)state;
    enum { ROW = 150 };
    rng r = {SEED};
    float x[ROW], y[ROW], d[ROW];
    for (int which = 0; which < CLASSES; which++) {
        shape s = shape_of_class((shape_class)which, &r);
        for (int i = 0; i < ROW; i++)
            x[i] = rng_range(&r, -1.5f, 1.5f), y[i] = rng_range(&r, -1.5f, 1.5f);
        shape_distances(d, &s, x, y, ROW);
        for (int i = 0; i < ROW; i++)
            assert_true(d[i] == distance_at(&s, x[i], y[i]));
    }
}

/* Every shape fills the unit circle to its rim and no further, and its distance never claims more than there is: a step
 * changes it by no more than the step's length. */
static void test_shapes_fit_their_circle(void **state)
{
    (void)state;
    rng r = {SEED};
    for (int i = 0; i < 40 * (CLASSES + 2); i++) {
        int which = i % (CLASSES + 2);
        shape s = which < CLASSES    ? shape_of_class((shape_class)which, &r)
                  : which == CLASSES ? shape_blob(&r)
                                     : shape_bar(&r);
        float nearest = 9;
        for (int k = 0; k < 720; k++) {
            point p = direction_at((float)k / 720);
            float d = distance_at(&s, p.x, p.y);
            nearest = d < nearest ? d : nearest;
            float qx = rng_range(&r, -1.2f, 1.2f), qy = rng_range(&r, -1.2f, 1.2f);
            float step = sqrtf((p.x - qx) * (p.x - qx) + (p.y - qy) * (p.y - qy));
            assert_true(fabsf(d - distance_at(&s, qx, qy)) <= step + 1e-5f);
        }
        float bulge = s.melt / 4; /* where discs flow together, they swell */
        if (!(nearest > -1e-5f - bulge && nearest < 0.02f))
            fail_msg("shape %d comes within %g of its circle", which, (double)nearest);
    }
}

/* What makes each class that class. */
static void test_shapes_are_what_they_are(void **state)
{
    (void)state;
    rng r = {SEED};
    for (int i = 0; i < 50; i++) {
        shape s = shape_of_class(RING, &r);
        assert_false(is_inside(&s, 0, 0));
        assert_true(is_inside(&s, 0.85f, 0) && is_inside(&s, -0.6f, 0.6f));
        s = shape_of_class(CRESCENT, &r);
        assert_true(is_inside(&s, -0.85f, 0));
        assert_false(is_inside(&s, 0.4f, 0));
        s = shape_of_class(SQUARE, &r);
        assert_true(is_inside(&s, 0.6f, 0.6f) && is_inside(&s, -0.6f, 0.6f));
        s = shape_of_class(CROSS, &r);
        assert_true(is_inside(&s, 0, 0.9f) && is_inside(&s, -0.9f, 0));
        assert_false(is_inside(&s, 0.5f, 0.5f));
        s = shape_of_class(TRIANGLE, &r);
        assert_true(is_inside(&s, 0, -0.5f) && is_inside(&s, 0.5f, 0.5f) && is_inside(&s, -0.5f, 0.5f));
        assert_false(is_inside(&s, 0.5f, -0.4f) || is_inside(&s, -0.5f, -0.4f));
        s = shape_of_class(HEART, &r);
        assert_true(is_inside(&s, 0.4f, -0.6f) && is_inside(&s, -0.4f, -0.6f) && is_inside(&s, 0, 0.7f));
        assert_false(is_inside(&s, 0, -0.8f) || is_inside(&s, 0.5f, 0.6f));
        s = shape_of_class(ARROW, &r);
        assert_true(is_inside(&s, 0, 0.9f) && is_inside(&s, 0, -0.9f));
        assert_false(is_inside(&s, 0.4f, 0.6f) || is_inside(&s, -0.4f, 0.6f));
        /* Around a star or flower its outline goes in and out, five times or more. */
        for (int which = FLOWER; which <= STAR; which += STAR - FLOWER) {
            s = shape_of_class((shape_class)which, &r);
            int changes = 0;
            float rim = which == STAR ? 0.75f : 0.88f;
            for (int k = 0; k < 360; k++) {
                point a = direction_at((float)k / 360), b = direction_at((float)(k + 1) / 360);
                changes += is_inside(&s, rim * a.x, rim * a.y) != is_inside(&s, rim * b.x, rim * b.y);
            }
            assert_in_range(changes, 10, 14);
        }
    }
}

/* ---- colours ---- */

static void test_colors(void **state)
{
    (void)state;
    rng r = {SEED};
    for (int i = 0; i < 1000; i++) {
        float saturation = rng_unit(&r);
        color c = color_random(&r, saturation);
        float low = fminf(c.c[0], fminf(c.c[1], c.c[2])), high = fmaxf(c.c[0], fmaxf(c.c[1], c.c[2]));
        assert_true(low >= 0 && high <= 1 && fabsf(low - high * (1 - saturation)) < 1e-5f);
        assert_true(color_contrast(c, c) == 0);
    }
    color black = {{0, 0, 0}}, white = {{1, 1, 1}}, red = {{1, 0, 0}};
    assert_true(fabsf(color_contrast(black, white) - 1.5f) < 1e-6f);
    assert_true(color_contrast(red, white) > color_contrast(red, black) - 0.5f);
}

/* Every pattern shows both its colours and nothing beyond them. */
static void test_patterns(void **state)
{
    (void)state;
    static field noise;
    rng r = {SEED};
    field_fill(&noise, &r);
    bool seen[PATTERNS] = {false};
    for (int i = 0; i < 200; i++) {
        texture t = texture_random(&r, &noise, 1);
        t.b = (color){{1, 1, 1}};
        float low = 1, high = 0;
        for (int k = 0; k < 2000; k++) {
            float v = texture_at(&t, rng_unit(&r), rng_unit(&r)).c[0];
            assert_true(v >= 0 && v <= 1);
            low = fminf(low, v), high = fmaxf(high, v);
        }
        seen[t.kind] = true;
        if (!(high - low > 0.1f))
            fail_msg("pattern %d ranges only from %g to %g", t.kind, (double)low, (double)high);
    }
    for (int i = 0; i < PATTERNS; i++)
        assert_true(seen[i]);
}

/* ---- sets on disk ---- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/camrun-scenes-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static void remove_all(const char *path)
{
    DIR *open = opendir(path);
    for (const struct dirent *entry; open && (entry = readdir(open));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            char inner[1024];
            snprintf(inner, sizeof inner, "%.600s/%s", path, entry->d_name);
            remove_all(inner);
        }
    if (open)
        closedir(open);
    remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    remove_all(folder);
    return 0;
}

static void write_set(const dataset *d)
{
    cr_error err;
    if (!dataset_write(d, &err))
        fail_msg("%s", err.text);
}

static void check_same_file(const char *a, const char *b, const char *name)
{
    unsigned char *data[2];
    size_t bytes[2];
    char path[256];
    cr_error err;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", folder, i ? b : a, name);
        if (!cr_file_read(path, &data[i], &bytes[i], &err))
            fail_msg("%s", err.text);
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(data[0], data[1], bytes[0]);
    free(data[0]);
    free(data[1]);
}

/* Each row of boxes.csv tells of a picture that is there and holds what its scene does; and one thread writes what
 * three do. */
static void test_set_on_disk(void **state)
{
    (void)state;
    static drawn d;
    char one[128], three[128], path[256], line[256];
    snprintf(one, sizeof one, "%s/one", folder);
    snprintf(three, sizeof three, "%s/three", folder);
    dataset set = {
        .dir = one, .count = {[CR_SCENE_TRAIN] = 23, [CR_SCENE_TWO] = 5}, .size = 48, .seed = 9, .difficulty = 1};
    int threads = cr_threads();
    cr_set_threads(1);
    write_set(&set);
    cr_set_threads(3);
    set.dir = three;
    assert_int_equal(mkdir(three, 0777), 0); /* an empty folder will do */
    write_set(&set);
    cr_set_threads(threads);
    check_same_file("one", "three", "boxes.csv");

    snprintf(path, sizeof path, "%s/boxes.csv", one);
    FILE *boxes = fopen(path, "r");
    assert_non_null(boxes);
    assert_non_null(fgets(line, sizeof line, boxes));
    assert_string_equal(line, "file,class,x0,y0,x1,y1\n");
    for (int i = 0; i < 28; i++) {
        cr_scene scene = {9, i < 23 ? CR_SCENE_TRAIN : CR_SCENE_TWO, (uint64_t)(i < 23 ? i : i - 23), 48, 1};
        draw(&d, scene);
        char name[64];
        snprintf(name, sizeof name, "%s/%s/%06d.png", cr_scene_split_name(scene.split),
                 cr_scene_class_name(d.objects[0].class_index), (int)scene.number);
        for (int k = 0; k < d.n; k++) {
            char expected[256];
            const cr_rect *b = &d.objects[k].box;
            snprintf(expected, sizeof expected, "%s,%s,%d,%d,%d,%d\n", name,
                     cr_scene_class_name(d.objects[k].class_index), b->x0, b->y0, b->x1, b->y1);
            assert_non_null(fgets(line, sizeof line, boxes));
            assert_string_equal(line, expected);
        }
        cr_image image;
        cr_error err;
        snprintf(path, sizeof path, "%s/%s", one, name);
        if (!cr_image_load(&image, path, &err))
            fail_msg("%s", err.text);
        assert_true(image.w == 48 && image.h == 48);
        assert_memory_equal(image.rgb, d.rgb, 48 * 48 * 3);
        cr_image_free(&image);
        check_same_file("one", "three", name);
    }
    assert_null(fgets(line, sizeof line, boxes));
    fclose(boxes);
}

static void test_set_refusals(void **state)
{
    (void)state;
    char path[256];
    cr_error err;
    dataset set = {.dir = folder, .count = {[CR_SCENE_TRAIN] = 3}, .size = 32, .seed = 1, .difficulty = 1};
    snprintf(path, sizeof path, "%s/thing", folder);
    assert_true(cr_file_write(path, "", 0, &err));
    assert_false(dataset_write(&set, &err));
    check_message(&err, folder, "new or empty", "'thing'", NULL);
    set.dir = path;
    assert_false(dataset_write(&set, &err));
    check_message(&err, path, "Not a directory", NULL);
    snprintf(path, sizeof path, "%s/no/such", folder);
    assert_false(dataset_write(&set, &err));
    check_message(&err, path, "No such file", NULL);
    static char deep[5000];
    memset(deep, 'a', sizeof deep - 1);
    set.dir = deep;
    assert_false(dataset_write(&set, &err));
    check_message(&err, "at most", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_numbers),
        cmocka_unit_test(test_directions),
        cmocka_unit_test(test_golden_pictures),
        cmocka_unit_test(test_any_number_of_threads),
        cmocka_unit_test(test_outputs_may_be_left_out),
        cmocka_unit_test(test_no_two_pictures_are_the_same),
        cmocka_unit_test(test_boxes_are_tight),
        cmocka_unit_test(test_sizes_of_objects),
        cmocka_unit_test(test_objects_lie_apart),
        cmocka_unit_test(test_objects_are_seen),
        cmocka_unit_test(test_objects_stand_out),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_other_sizes_show_the_same),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_rows_of_distances),
        cmocka_unit_test(test_shapes_fit_their_circle),
        cmocka_unit_test(test_shapes_are_what_they_are),
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test_setup_teardown(test_set_on_disk, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_set_refusals, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("scenes", tests, NULL, NULL);
}
