/* test_picture.c - colour maps, text, the overlay, the panel and the contact sheet. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sheet.h"
#include "text.h"

/* ---- colours ---- */

/* Against OpenCV's jet and matplotlib's viridis and turbo. */
static void test_colormaps(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int step;
        int rgb[3];
    } cases[] = {
        {"jet", 0, {0, 0, 128}},          {"jet", 40, {0, 32, 255}},        {"jet", 100, {18, 255, 238}},
        {"jet", 128, {130, 255, 126}},    {"jet", 200, {255, 92, 0}},       {"jet", 255, {128, 0, 0}},
        {"viridis", 0, {68, 1, 84}},      {"viridis", 40, {69, 55, 129}},   {"viridis", 100, {42, 118, 142}},
        {"viridis", 128, {33, 145, 140}}, {"viridis", 200, {112, 207, 87}}, {"viridis", 255, {253, 231, 37}},
        {"turbo", 0, {48, 18, 59}},       {"turbo", 40, {70, 128, 246}},    {"turbo", 100, {63, 246, 138}},
        {"turbo", 128, {164, 252, 60}},   {"turbo", 200, {244, 102, 23}},   {"turbo", 255, {122, 4, 3}},
        {"grey", 0, {0, 0, 0}},           {"grey", 100, {100, 100, 100}},   {"grey", 255, {255, 255, 255}},
        {"bwr", 0, {0, 0, 255}},             {"bwr", 51, {102, 102, 255}},      {"bwr", 255, {255, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char rgb[3];
        cr_error err;
        const cr_colormap *colormap = cr_colormap_find(cases[i].name, &err);
        assert_non_null(colormap);
        cr_colormap_rgb(colormap, ((float)cases[i].step + 0.5f) / 255, rgb);
        for (int c = 0; c < 3; c++)
            if (abs(rgb[c] - cases[i].rgb[c]) > 1)
                fail_msg("%s at %d: channel %d is %d", cases[i].name, cases[i].step, c, rgb[c]);
    }
}

static void test_colormap_edges(void **state)
{
    (void)state;
    cr_error err;
    unsigned char rgb[3], end[3];
    const cr_colormap *jet = cr_colormap_find("jet", &err);
    cr_colormap_rgb(jet, 0, end);
    cr_colormap_rgb(jet, -5, rgb);
    assert_memory_equal(rgb, end, 3);
    cr_colormap_rgb(jet, NAN, rgb);
    assert_memory_equal(rgb, end, 3);
    cr_colormap_rgb(jet, 1, end);
    cr_colormap_rgb(jet, INFINITY, rgb);
    assert_memory_equal(rgb, end, 3);
    assert_null(cr_colormap_find("rainbow", &err));
    check_message(&err, "rainbow", "jet, viridis, turbo, grey, bwr", NULL);
}

/* ---- pictures ---- */

static cr_image new_image(int w, int h, uint32_t color)
{
    cr_image image;
    cr_error err;
    if (!cr_image_create(&image, w, h, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < w * h * 3; i++)
        image.rgb[i] = (unsigned char)(color >> (16 - 8 * (i % 3)));
    return image;
}

static int count_color(const cr_image *image, uint32_t color)
{
    int n = 0;
    for (int i = 0; i < image->w * image->h; i++) {
        const unsigned char *rgb = image->rgb + 3 * i;
        n += ((uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2]) == color;
    }
    return n;
}

static const cr_colormap *grey(void)
{
    return cr_colormap_find("grey", NULL);
}

/* A 4 x 2 photo of which the network saw the middle 2 x 2, a pixel a value. */
static const cr_geometry middle = {4, 2, 4, 2, 1, 0, 2, 2};
static const float middle_map[4] = {0, 1, 0.2f, 0.4f};

static void check_overlay(float alpha, const int (*expected)[4])
{
    cr_image photo = new_image(4, 2, 0x646464), out;
    assert_true(cr_picture_overlay(&out, &photo, middle_map, &middle, alpha, grey(), NULL));
    assert_int_equal(out.w, 4);
    assert_int_equal(out.h, 2);
    for (int y = 0; y < 2; y++) {
        for (int x = 0; x < 4; x++) {
            const unsigned char *rgb = out.rgb + 3 * (4 * y + x);
            assert_int_equal(rgb[0], expected[y][x]);
            assert_int_equal(rgb[1], expected[y][x]);
            assert_int_equal(rgb[2], expected[y][x]);
        }
    }
    cr_image_free(&photo);
    cr_image_free(&out);
}

static void test_overlay(void **state)
{
    (void)state;
    static const int photo_only[2][4] = {{100, 100, 100, 100}, {100, 100, 100, 100}};
    static const int colors_only[2][4] = {{100, 0, 255, 100}, {100, 51, 102, 100}};
    static const int half[2][4] = {{100, 50, 178, 100}, {100, 76, 101, 100}};
    check_overlay(0, photo_only);
    check_overlay(1, colors_only);
    check_overlay(0.5f, half);
}

static void test_overlay_refuses_alpha(void **state)
{
    (void)state;
    static const float wrong[] = {-0.1f, 1.1f, NAN};
    cr_image photo = new_image(4, 2, 0), out;
    for (int i = 0; i < 3; i++) {
        cr_error err;
        assert_false(cr_picture_overlay(&out, &photo, middle_map, &middle, wrong[i], grey(), &err));
        assert_null(out.rgb);
        check_message(&err, "alpha", NULL);
        assert_false(cr_picture_panel(&out, &photo, middle_map, &middle, wrong[i], grey(), "", &err));
        assert_null(out.rgb);
    }
    cr_image_free(&photo);
}

static cr_image new_panel(int w, int h, const char *caption)
{
    cr_image photo = new_image(w, h, 0xff0000), out;
    cr_transform transform = cr_transform_default();
    cr_geometry g;
    cr_error err;
    assert_true(cr_transform_geometry(&transform, w, h, &g, &err));
    float *map = zeros((size_t)g.w * (size_t)g.h, sizeof *map);
    if (!cr_picture_panel(&out, &photo, map, &g, 0, grey(), caption, &err))
        fail_msg("%s", err.text);
    free(map);
    cr_image_free(&photo);
    return out;
}

/* At alpha 0 the photo is there twice and whole: nothing is drawn over it. The map is there once, black where the
 * network saw something. */
static void test_panel_holds_all_three(void **state)
{
    (void)state;
    cr_image panel = new_panel(400, 300,
                               "A caption long enough to be cut, said again and again, said again and again, "
                               "said again and again, said again and again, said again and again");
    assert_int_equal(count_color(&panel, 0xff0000), 2 * 400 * 300);
    int black = count_color(&panel, 0); /* 224 of 256 in each direction, and the colour bar's last row */
    assert_true(black > 262 * 262 && black < 265 * 265);
    cr_image_free(&panel);
}

static void test_panel_of_any_size(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {5, 5}, {2000, 2}, {2, 2000}, {100, 400}, {224, 224}, {1500, 1000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_image panel = new_panel(sizes[i][0], sizes[i][1], "tabby 0.83");
        assert_true(panel.w >= 300 && panel.w < 3000 && panel.h >= 100 && panel.h < 1200);
        assert_true(count_color(&panel, 0xff0000) >= 2 * 16 * 300);
        assert_true(count_color(&panel, 0x222222) > 0); /* ink */
        for (int x = 0; x < panel.w; x++)               /* a margin all around */
            assert_true(panel.rgb[3 * x + 1] == 255 && panel.rgb[3 * ((panel.h - 1) * panel.w + x) + 1] == 255);
        for (int y = 0; y < panel.h; y++)
            assert_true(panel.rgb[3 * y * panel.w + 1] == 255 && panel.rgb[3 * ((y + 1) * panel.w - 1) + 1] == 255);
        cr_image_free(&panel);
    }
}

/* ---- contact sheet ---- */

/* 64 x 32 red, seen whole. Its pictures on a sheet of two columns are 336 x 168. */
static cr_sheet *new_sheet(int rows, int columns, float alpha)
{
    static const cr_geometry whole = {64, 32, 64, 32, 0, 0, 64, 32};
    cr_image photo = new_image(64, 32, 0xff0000);
    cr_error err;
    cr_sheet *sheet = cr_sheet_create(&photo, &whole, rows, columns, alpha, grey(), &err);
    if (!sheet)
        fail_msg("%s", err.text);
    cr_image_free(&photo);
    return sheet;
}

/* At alpha 0 every overlay is the photo, whole: nothing is drawn over it. A place that is left out is empty. */
static void test_sheet_holds_all(void **state)
{
    (void)state;
    cr_sheet *sheet = new_sheet(3, 2, 0);
    const cr_image *image = cr_sheet_image(sheet);
    float *map = zeros(64 * 32, sizeof *map);
    cr_sheet_title(sheet, 0, "A title that is so long that it does not fit the sheet, said again and again, said again "
                             "and again, said again and again, said again and again, said again and again");
    assert_int_equal(count_color(image, 0xff0000), 3 * 336 * 168);
    assert_true(cr_sheet_overlay(sheet, 0, 0, map, "a", NULL));
    assert_true(cr_sheet_overlay(sheet, 2, 1, map, "a label that is longer than the picture above it is wide", NULL));
    assert_int_equal(count_color(image, 0xff0000), 5 * 336 * 168);
    for (int y = 0; y < image->h; y++) {
        assert_int_equal(image->rgb[3 * y * image->w], 255);
        assert_int_equal(image->rgb[3 * ((y + 1) * image->w - 1)], 255);
    }
    free(map);
    cr_sheet_free(sheet);
}

static void test_sheet_colors(void **state)
{
    (void)state;
    cr_sheet *sheet = new_sheet(1, 2, 1);
    const cr_image *image = cr_sheet_image(sheet);
    float *map = zeros(64 * 32, sizeof *map);
    for (int i = 0; i < 64 * 32; i++)
        map[i] = 100.5f / 255;
    const int before = count_color(image, 0x646464);
    assert_true(cr_sheet_overlay(sheet, 0, 1, map, "", NULL));
    assert_int_equal(count_color(image, 0x646464) - before, 336 * 168);
    free(map);
    cr_sheet_free(sheet);
}

static void test_sheet_of_any_size(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {2000, 2}, {2, 2000}, {1500, 1000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int columns = 1; columns < 40; columns += 19) {
            cr_image photo = new_image(sizes[i][0], sizes[i][1], 0xff0000);
            const cr_geometry g = {photo.w, photo.h, photo.w, photo.h, 0, 0, photo.w, photo.h};
            float *map = zeros((size_t)(photo.w * photo.h), sizeof *map);
            cr_sheet *sheet = cr_sheet_create(&photo, &g, 2, columns, 0.5f, grey(), NULL);
            assert_non_null(sheet);
            for (int column = 0; column < columns; column++)
                assert_true(cr_sheet_overlay(sheet, 1, column, map, "layer4.1.relu_1", NULL));
            assert_true(cr_sheet_image(sheet)->w > 110 * columns && cr_sheet_image(sheet)->h > 150);
            cr_sheet_free(sheet);
            free(map);
            cr_image_free(&photo);
        }
}

static void test_sheet_refuses(void **state)
{
    (void)state;
    cr_image photo = new_image(4, 2, 0);
    cr_error err;
    assert_null(cr_sheet_create(&photo, &middle, 1000, 1000, 0.5f, grey(), &err));
    check_message(&err, "too large", NULL);
    cr_sheet *sheet = cr_sheet_create(&photo, &middle, 1, 1, 2, grey(), &err);
    assert_false(cr_sheet_overlay(sheet, 0, 0, middle_map, "", &err));
    check_message(&err, "alpha", NULL);
    cr_sheet_free(sheet);
    cr_sheet_free(NULL);
    cr_image_free(&photo);
}

/* ---- text ---- */

static void test_text_replaces_what_it_lacks(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"na\xc3\xafve caf\xc3\xa9 \xc2\xbf\xc3\xbf", "naive cafe ?y"}, /* i, e with accents, inverted ?, y */
        {"cafe\xcc\x81", "cafe"},                                       /* a combining accent */
        {"a\xe2\x80\x94\xe2\x80\x9cz\xe2\x80\x99", "a-\"z'"},           /* dash and quotes */
        {"\xe6\x97\xa5\xf0\x9f\x90\xb1", "??"},                         /* a Chinese character and an emoji */
        {"a\xff\x80\xe6\x97", "a????"},                                 /* not UTF-8 */
        {"a\tb\n", "a b "},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        cr_image a = new_image(120, 20, 0xffffff), b = new_image(120, 20, 0xffffff);
        cr_text_draw(&a, 2, 15, 9, 0, same[i][0]);
        cr_text_draw(&b, 2, 15, 9, 0, same[i][1]);
        if (memcmp(a.rgb, b.rgb, 3 * 120 * 20) != 0)
            fail_msg("text %zu is not drawn as '%s'", i, same[i][1]);
        assert_true(cr_text_width(same[i][0], 9) == cr_text_width(same[i][1], 9));
        cr_image_free(&a);
        cr_image_free(&b);
    }
}

/* Every character but the space leaves ink, and none outside its width and a third of its height below the line. */
static void test_every_glyph_draws(void **state)
{
    (void)state;
    for (char c = ' '; c <= '~'; c++) {
        const char text[2] = {c, '\0'};
        cr_image image = new_image(64, 64, 0xffffff);
        cr_text_draw(&image, 16, 40, 24, 0, text);
        if ((count_color(&image, 0xffffff) < 64 * 64) != (c != ' '))
            fail_msg("'%c' draws nothing", c);
        int right = 16 + (int)ceil(cr_text_width(text, 24)) + 2;
        for (int y = 0; y < 64; y++) {
            for (int x = 0; x < 64; x++)
                if ((x < 14 || x > right || y < 12 || y > 51) && image.rgb[3 * (64 * y + x)] != 255)
                    fail_msg("'%c' draws at %d,%d", c, x, y);
        }
        cr_image_free(&image);
    }
}

/* Text that starts or ends outside the image writes nothing outside its memory. */
static void test_text_is_clipped(void **state)
{
    (void)state;
    cr_image image = new_image(10, 10, 0xffffff);
    cr_text_draw(&image, -20, 5, 30, 0, "Clipped");
    cr_text_draw(&image, 8, 200, 12, 0, "below");
    cr_text_draw(&image, 300, 5, 12, 0, "right");
    cr_image_free(&image);
}

/* ---- PNG ---- */

static void test_png_round_trip(void **state)
{
    (void)state;
    char dir[] = "/tmp/camrun-picture-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out.png", dir);
    static const int sizes[][2] = {{1, 1}, {300, 1}, {1, 300}, {61, 43}};
    uint64_t seed = SEED;
    for (int i = 0; i < 4; i++) {
        cr_image image = new_image(sizes[i][0], sizes[i][1], 0), found;
        size_t n = (size_t)(image.w * image.h * 3);
        for (size_t k = 0; k < n; k++)
            image.rgb[k] = (unsigned char)random_uniform(&seed, 0, 256);
        assert_true(cr_image_write_png(&image, path, NULL));
        assert_true(cr_image_load(&found, path, NULL));
        assert_int_equal(found.w, image.w);
        assert_int_equal(found.h, image.h);
        assert_memory_equal(found.rgb, image.rgb, n);
        cr_image_free(&image);
        cr_image_free(&found);
    }
    unlink(path);
    rmdir(dir);
}

static void test_image_sizes(void **state)
{
    (void)state;
    cr_image image;
    cr_error err;
    assert_false(cr_image_create(&image, 0, 5, &err));
    check_message(&err, "0 x 5", "empty", NULL);
    assert_false(cr_image_create(&image, 100000, 100000, &err));
    check_message(&err, "100000 x 100000", "too large", NULL);
    assert_null(image.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colormaps),
        cmocka_unit_test(test_colormap_edges),
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_overlay_refuses_alpha),
        cmocka_unit_test(test_panel_holds_all_three),
        cmocka_unit_test(test_panel_of_any_size),
        cmocka_unit_test(test_sheet_holds_all),
        cmocka_unit_test(test_sheet_colors),
        cmocka_unit_test(test_sheet_of_any_size),
        cmocka_unit_test(test_sheet_refuses),
        cmocka_unit_test(test_text_replaces_what_it_lacks),
        cmocka_unit_test(test_every_glyph_draws),
        cmocka_unit_test(test_text_is_clipped),
        cmocka_unit_test(test_png_round_trip),
        cmocka_unit_test(test_image_sizes),
    };
    return cmocka_run_group_tests_name("picture", tests, NULL, NULL);
}
