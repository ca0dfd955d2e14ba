/* test_camtrain_data.c - from a folder to batches: what counts as a class and a picture, splits and orders, and the views
 * that training sees. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "train/dataset.h"
#include "train/pictures.h"

static char folder[] = "/tmp/camrun_data_XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* ---- making folders ---- */

/* folder/name; the last of eight such texts is overwritten. */
static const char *in_folder(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(in_folder(name), 0777), 0);
}

/* A colour picture of random pixels that depend on its size. */
static void write_picture(const char *name, int w, int h)
{
    uint64_t random = (uint64_t)(w * 1000 + h);
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    fprintf(file, "P6 %d %d 255\n", w, h);
    for (int i = 0; i < w * h * 3; i++)
        putc((int)random_uniform(&random, 0, 256), file);
    assert_int_equal(fclose(file), 0);
}

static dataset scan(const char *name)
{
    dataset d;
    cr_error err = {""};
    if (!dataset_scan(&d, in_folder(name), NULL, &err))
        fail_msg("%s", err.text);
    return d;
}

/* set/a, set/b ...: n pictures each. */
static dataset make_set(const char *set, int classes, int n)
{
    make_folder(set);
    for (int c = 0; c < classes; c++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%c", set, 'a' + c);
        make_folder(name);
        for (int i = 0; i < n; i++) {
            snprintf(name, sizeof name, "%s/%c/%d.ppm", set, 'a' + c, i);
            write_picture(name, 8 + c, 9 + i);
        }
    }
    return scan(set);
}

/* ---- scanning ---- */

static void test_classes_are_sorted_as_python_sorts(void **state)
{
    (void)state;
    /* sorted(["b", "B", "a b", "é", "z", "10", "9", "a-b", "𝄞", "ÿ"]) */
    const char *const expected[] = {"10", "9", "B", "a b", "a-b", "b", "z", "é", "ÿ", "𝄞"};
    make_folder("names");
    for (int i = 9; i >= 0; i--) {
        char name[64];
        snprintf(name, sizeof name, "names/%s", expected[i * 7 % 10]);
        make_folder(name);
        strcat(name, "/1.PPM");
        write_picture(name, 3, 3);
    }
    write_text("names/boxes.csv", "not a class");
    make_folder("names/.hidden");
    dataset d = scan("names");
    assert_int_equal(d.n_classes, 10);
    assert_int_equal(d.n, 10);
    for (int i = 0; i < 10; i++) {
        assert_string_equal(d.classes[i], expected[i]);
        assert_int_equal(d.samples[i].label, i);
    }
    dataset_free(&d);
}

static void test_pictures_are_ordered_as_image_folder_orders(void **state)
{
    (void)state;
    /* What sorted(os.walk(...)) gives: folders by path, "-" before "/" */
    const char *const expected[] = {"b.ppm", "x/2.ppm", "x-y/1.ppm", "x/y/1.ppm", "x/y/3.ppm"};
    make_folder("order");
    make_folder("order/k");
    make_folder("order/l");
    make_folder("order/k/x");
    make_folder("order/k/x/y");
    make_folder("order/k/x-y");
    write_picture("order/l/1.ppm", 2, 2);
    for (int i = 4; i >= 0; i--) {
        char name[64];
        snprintf(name, sizeof name, "order/k/%s", expected[i]);
        write_picture(name, 2, 2);
    }
    write_text("order/k/notes.txt", "");
    write_text("order/k/x/anim.webp", "");
    write_text("order/k/.b.ppm", "");
    assert_int_equal(symlink("..", in_folder("order/k/x/up")), 0); /* ends nowhere, and is left alone */
    dataset d = scan("order");
    assert_int_equal(d.n, 6);
    for (int i = 0; i < 5; i++)
        assert_string_equal(d.samples[i].path + strlen(folder) + strlen("/order/k/"), expected[i]);
    assert_int_equal(d.samples[5].label, 1);
    assert_int_equal(d.passed_over, 2);
    assert_non_null(strstr(d.first_passed_over, "k/notes.txt"));
    dataset_free(&d);
}

static void check_refused(const char *name, const dataset *classes_of, const char *word, const char *other)
{
    dataset d;
    cr_error err = {""};
    if (dataset_scan(&d, in_folder(name), classes_of, &err))
        fail_msg("%s was taken", name);
    check_message(&err, in_folder(name), word, other, NULL);
    dataset_free(&d);
}

static void test_folders_that_are_no_data_set(void **state)
{
    (void)state;
    check_refused("none", NULL, "cannot read", "No such file");
    write_text("file", "");
    check_refused("file", NULL, "cannot read", "Not a directory");
    make_folder("flat");
    write_picture("flat/1.ppm", 2, 2);
    check_refused("flat", NULL, "one folder of pictures for each class", "1 file");
    make_folder("one");
    make_folder("one/cat");
    check_refused("one", NULL, "two classes", "'cat'");
    make_folder("parts");
    make_folder("parts/train");
    make_folder("parts/val");
    check_refused("parts", NULL, "train, val", "--val");
    make_folder("one/dog");
    write_picture("one/cat/1.ppm", 2, 2);
    check_refused("one", NULL, "no picture of this class", "one/dog");
    make_folder("bytes");
    make_folder("bytes/\xFF");
    check_refused("bytes", NULL, "UTF-8", "rename");
}

static void test_held_out_folder_has_the_same_classes(void **state)
{
    (void)state;
    dataset d = make_set("train", 3, 2), v;
    cr_error err;
    make_folder("val");
    make_folder("val/c");
    write_picture("val/c/1.ppm", 3, 3);
    assert_true(dataset_scan(&v, in_folder("val"), &d, &err));
    assert_int_equal(v.n_classes, 3);
    assert_int_equal(v.n, 1);
    assert_int_equal(v.samples[0].label, 2);
    dataset_free(&v);
    make_folder("val/other");
    check_refused("val", &d, "'other'", "3 classes");
    make_folder("empty");
    check_refused("empty", &d, "no folders", "0 files");
    dataset_free(&d);
}

/* ---- splits, orders, fingerprints ---- */

static void test_split(void **state)
{
    (void)state;
    cr_error err;
    int moved[3][2] = {{0}};
    dataset_free(&(dataset[]){make_set("split", 2, 10)}[0]);
    for (int seed = 0; seed < 3; seed++) {
        dataset d = scan("split"), again = scan("split"), held_out, held_out_again;
        assert_true(dataset_split(&d, &held_out, 0.25, (uint64_t)seed, &err));
        assert_true(dataset_split(&again, &held_out_again, 0.25, (uint64_t)seed, &err));
        assert_int_equal(d.n, 14); /* 2.5 of 10 are 3 */
        assert_int_equal(held_out.n, 6);
        assert_int_equal(held_out.n_classes, 2);
        assert_int_equal(dataset_fingerprint(&held_out), dataset_fingerprint(&held_out_again));
        for (int i = 0; i < 6; i++) {
            moved[seed][held_out.samples[i].label] += held_out.samples[i].path[strlen(folder) + strlen("/split/a/")];
            for (int k = 0; k < d.n; k++)
                assert_string_not_equal(held_out.samples[i].path, d.samples[k].path);
        }
        dataset_free(&d);
        dataset_free(&again);
        dataset_free(&held_out);
        dataset_free(&held_out_again);
    }
    assert_true(moved[0][0] != moved[1][0] || moved[1][0] != moved[2][0]);
    assert_true(moved[0][0] != moved[0][1] || moved[1][0] != moved[1][1] || moved[2][0] != moved[2][1]);

    dataset d = scan("split"), held_out;
    assert_true(dataset_split(&d, &held_out, 0.99, 0, &err));
    assert_int_equal(d.n, 2); /* one of each class stays */
    dataset_free(&d);
    dataset_free(&held_out);
    d = scan("split");
    assert_false(dataset_split(&d, &held_out, 0.01, 0, &err));
    check_message(&err, "split", "0.01", NULL);
    assert_int_equal(d.n, 20);
    dataset_free(&d);
    dataset_free(&held_out);
}

static void test_fingerprint(void **state)
{
    (void)state;
    dataset d = make_set("print", 2, 3);
    uint64_t before = dataset_fingerprint(&d);
    dataset_free(&d);
    assert_int_equal(rename(in_folder("print"), in_folder("moved")), 0);
    d = scan("moved/");
    assert_int_equal(dataset_fingerprint(&d), before);
    dataset_free(&d);
    write_picture("moved/a/1.ppm", 5, 5);
    d = scan("moved");
    assert_true(dataset_fingerprint(&d) != before);
    dataset_free(&d);
}

static void test_order(void **state)
{
    (void)state;
    enum { N = 100 };
    int order[N], again[N], other[N], seen[N] = {0};
    dataset_order(order, N, 7, 3);
    dataset_order(again, N, 7, 3);
    assert_memory_equal(order, again, sizeof order);
    for (int i = 0; i < N; i++)
        seen[order[i]]++;
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    dataset_order(other, N, 7, 4);
    assert_memory_not_equal(order, other, sizeof order);
    dataset_order(other, N, 8, 3);
    assert_memory_not_equal(order, other, sizeof order);
}

static void test_random_numbers(void **state)
{
    (void)state;
    enum { N = 60000 };
    double sum = 0, squares = 0, unit = 0;
    int below[7] = {0};
    stream s = stream_of(1, FOR_WEIGHTS, 2, 3);
    for (int i = 0; i < N; i++) {
        double x = draw_normal(&s);
        sum += x;
        squares += x * x;
        unit += draw_unit(&s);
        below[draw_below(&s, 7)]++;
    }
    /* five standard deviations of the means */
    assert_true(fabs(sum / N) < 5 / sqrt(N) && fabs(squares / N - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(unit / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    for (int i = 0; i < 7; i++)
        assert_true(fabs(below[i] - N / 7.0) < 5 * sqrt(N / 7.0));
    stream a = stream_of(1, FOR_ORDER, 0, 1), b = stream_of(1, FOR_ORDER, 1, 0), c = stream_of(1, FOR_VIEW, 0, 1);
    assert_true(a.state != b.state && a.state != c.state && b.state != c.state);
}

/* ---- views ---- */

static void test_view_stays_within_its_bounds(void **state)
{
    (void)state;
    const struct {
        int w, h;
    } photos[] = {{64, 64}, {200, 50}, {33, 90}, {1, 100}, {100, 1}, {1, 1}, {3, 2}};
    const augmentation a = {.flip = true, .least = 0.35f};
    int flips = 0, n = 0;
    for (size_t i = 0; i < sizeof photos / sizeof photos[0]; i++)
        for (uint64_t seed = 0; seed < 300; seed++) {
            const int w = photos[i].w, h = photos[i].h;
            stream s = stream_of(seed, FOR_VIEW, 0, i), again = s;
            view v = view_draw(&a, w, h, &s), same = view_draw(&a, w, h, &again);
            assert_true(v.crop == same.crop && v.flip == same.flip);
            assert_memory_equal(&v.box, &same.box, sizeof v.box);
            const double bw = v.box.x1 - v.box.x0, bh = v.box.y1 - v.box.y0;
            assert_true(v.crop && v.box.x0 >= 0 && v.box.y0 >= 0 && v.box.x1 <= w && v.box.y1 <= h && bw > 0 && bh > 0);
            if (w == 64) { /* a pixel's rounding aside */
                assert_true((bw + 1) * (bh + 1) >= 0.35 * w * h);
                assert_true((bw + 1) / (bh - 1) >= 0.75 && (bw - 1) / (bh + 1) <= 4.0 / 3);
            }
            if (w == 200) /* the largest box of at most 4:3 is 67 x 50, a third of the area */
                assert_true(bw == 67 && bh == 50 && v.box.x0 == 66);
            flips += v.flip;
            n++;
        }
    assert_true(fabs(flips - n / 2.0) < 5 * sqrt(n / 4.0));
}

static void test_views_cover_the_picture(void **state)
{
    (void)state;
    const augmentation a = {.least = 0.08f};
    double share = 0, left = 0, right = 64;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        stream s = stream_of(seed, FOR_VIEW, 0, 0);
        view v = view_draw(&a, 64, 64, &s);
        assert_false(v.flip);
        share += (v.box.x1 - v.box.x0) * (v.box.y1 - v.box.y0) / 4096.0 / 1000;
        left = fmax(left, v.box.x0);
        right = fmin(right, v.box.x1);
    }
    assert_true(share > 0.4 && share < 0.54); /* uniform from 0.08 to 1, but for tall and wide boxes near 1 */
    assert_true(left > 40 && right < 24);
}

static cr_transform transform_to(int resize, int size)
{
    cr_transform t = cr_transform_default();
    t.resize = resize;
    t.crop_w = t.crop_h = size;
    return t;
}

static void test_what_a_view_shows(void **state)
{
    (void)state;
    enum { SIZE = 16, COUNT = 3 * SIZE * SIZE };
    uint64_t random = SEED;
    cr_error err;
    cr_image photo, part;
    cr_geometry g;
    cr_transform t = transform_to(20, SIZE), squash = transform_to(0, 0);
    squash.resize_w = squash.resize_h = SIZE;
    static float plain[COUNT], seen[COUNT], mirrored[COUNT];
    assert_true(cr_image_create(&photo, 50, 40, &err));
    for (int i = 0; i < 50 * 40 * 3; i++)
        photo.rgb[i] = (unsigned char)random_uniform(&random, 0, 256);

    /* Neither crop nor flip: evaluation's view, to the bit. */
    assert_true(cr_transform_geometry(&t, 50, 40, &g, &err) && cr_transform_apply(plain, 3, &photo, &t, &g, &err));
    assert_true(view_apply(seen, 3, &photo, &(view){0}, &t, &err));
    check_same_bits(seen, plain, COUNT, "plain view");
    assert_true(view_apply(mirrored, 3, &photo, &(view){.flip = true}, &t, &err));
    for (int i = 0; i < COUNT; i++)
        assert_true(mirrored[i] == plain[i / SIZE * SIZE + SIZE - 1 - i % SIZE]);

    /* A box: that part of the picture alone, squashed. */
    const cr_rect box = {7, 11, 37, 31};
    assert_true(cr_image_create(&part, 30, 20, &err));
    for (int y = 0; y < 20; y++)
        memcpy(part.rgb + y * 90, photo.rgb + ((y + 11) * 50 + 7) * 3, 90);
    assert_true(cr_transform_geometry(&squash, 30, 20, &g, &err) &&
                cr_transform_apply(plain, 3, &part, &squash, &g, &err));
    assert_true(view_apply(seen, 3, &photo, &(view){.crop = true, .box = box}, &t, &err));
    check_same_bits(seen, plain, COUNT, "part");
    cr_image_free(&part);
    cr_image_free(&photo);
}

/* ---- batches ---- */

static void no_progress(void *context, int done, int n)
{
    int *most = context;
    *most = done > *most ? done : *most;
    assert_true(done <= n);
}

static void test_batches_are_the_same_however_they_come_about(void **state)
{
    (void)state;
    enum { N = 12, SIZE = 10, COUNT = N * SIZE * SIZE };
    dataset d = make_set("batch", 3, 4);
    const cr_transform t = transform_to(12, SIZE);
    const augmentation a = {.flip = true, .least = 0.3f};
    const int threads = cr_threads();
    int indices[N], labels[N], read = 0;
    static float first[COUNT], x[COUNT], other[COUNT];
    for (int i = 0; i < N; i++)
        indices[i] = (i * 5) % N;
    for (int i = 0; i < 4; i++) {
        const size_t limits[] = {1000000, 1000, 0, 1000000};
        cr_error err;
        pictures p;
        cr_set_threads(i == 3 ? 1 : 3);
        assert_true(pictures_open(&p, &d, &t, 1, limits[i], no_progress, &read, &err));
        assert_int_equal(read, N);
        assert_true(p.bytes <= limits[i]);
        assert_true(i == 1 ? p.n_kept > 0 && p.n_kept < N : p.n_kept == (limits[i] ? N : 0));
        assert_true(pictures_batch(x, labels, &p, indices, N, &a, 5, 2, &err));
        for (int k = 0; k < N; k++)
            assert_int_equal(labels[k], indices[k] / 4);
        if (i == 0)
            memcpy(first, x, sizeof x);
        check_same_bits(x, first, COUNT, "batch %d", i);

        /* Each sample alone, as if the batch had been interrupted. */
        for (int k = 0; k < N; k++)
            assert_true(pictures_batch(x + k * SIZE * SIZE, labels + k, &p, indices + k, 1, &a, 5, 2, &err));
        check_same_bits(x, first, COUNT, "one by one %d", i);
        assert_true(pictures_batch(other, labels, &p, indices, N, &a, 5, 3, &err));
        assert_memory_not_equal(other, first, sizeof first);
        assert_true(pictures_batch(other, labels, &p, indices, N, &a, 6, 2, &err));
        assert_memory_not_equal(other, first, sizeof first);
        assert_true(pictures_batch(other, labels, &p, indices, N, NULL, 5, 2, &err));
        assert_true(pictures_batch(x, labels, &p, indices, N, NULL, 6, 3, &err));
        check_same_bits(x, other, COUNT, "evaluation");
        pictures_close(&p);
    }
    cr_set_threads(threads);
    dataset_free(&d);
}

static void test_pictures_that_cannot_be_read(void **state)
{
    (void)state;
    dataset_free(&(dataset[]){make_set("broken", 2, 5)}[0]);
    write_text("broken/b/1.ppm", "P6 9999 9999 255\n");
    dataset d = scan("broken");
    const cr_transform t = transform_to(12, 10);
    cr_error err;
    pictures p;
    int read = 0;
    assert_false(pictures_open(&p, &d, &t, 3, 1000000, no_progress, &read, &err));
    check_message(&err, "broken/b/1.ppm", NULL);
    assert_null(strstr(err.text, "more"));
    pictures_close(&p);
    write_text("broken/a/3.ppm", "");
    write_text("broken/b/0.ppm", "GIF?");
    assert_false(pictures_open(&p, &d, &t, 3, 1000000, no_progress, &read, &err));
    check_message(&err, "broken/a/3.ppm", "empty", "2 more", NULL);
    pictures_close(&p);
    dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes_are_sorted_as_python_sorts),
        cmocka_unit_test(test_pictures_are_ordered_as_image_folder_orders),
        cmocka_unit_test(test_folders_that_are_no_data_set),
        cmocka_unit_test(test_held_out_folder_has_the_same_classes),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_random_numbers),
        cmocka_unit_test(test_view_stays_within_its_bounds),
        cmocka_unit_test(test_views_cover_the_picture),
        cmocka_unit_test(test_what_a_view_shows),
        cmocka_unit_test(test_batches_are_the_same_however_they_come_about),
        cmocka_unit_test(test_pictures_that_cannot_be_read),
    };
    print_setup();
    return cmocka_run_group_tests_name("camtrain_data", tests, set_up, tear_down);
}
