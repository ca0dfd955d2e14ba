/* test_grid.c - grids of small pictures: kernels and feature maps. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "channels.h"
#include "grid.h"

static const cr_colormap *colors(const char *name)
{
    const cr_colormap *found = cr_colormap_find(name, NULL);
    assert_non_null(found);
    return found;
}

static uint32_t pixel(const cr_image *image, int x, int y)
{
    const unsigned char *rgb = image->rgb + 3 * ((size_t)y * (size_t)image->w + (size_t)x);
    return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

/* How many pixels have a colour. */
static int count(const cr_image *image, uint32_t color)
{
    int n = 0;
    for (int y = 0; y < image->h; y++)
        for (int x = 0; x < image->w; x++)
            n += pixel(image, x, y) == color;
    return n;
}

/* The smallest rectangle that holds all pixels of a colour. */
static cr_rect bounds(const cr_image *image, uint32_t color)
{
    cr_rect r = {image->w, image->h, 0, 0};
    for (int y = 0; y < image->h; y++)
        for (int x = 0; x < image->w; x++)
            if (pixel(image, x, y) == color) {
                r.x0 = x < r.x0 ? x : r.x0;
                r.y0 = y < r.y0 ? y : r.y0;
                r.x1 = x + 1 > r.x1 ? x + 1 : r.x1;
                r.y1 = y + 1 > r.y1 ? y + 1 : r.y1;
            }
    return r;
}

static cr_image plain(int w, int h, uint32_t color)
{
    cr_image image;
    assert_true(cr_image_create(&image, w, h, NULL));
    for (int i = 0; i < w * h; i++)
        for (int c = 0; c < 3; c++)
            image.rgb[3 * i + c] = (unsigned char)(color >> (16 - 8 * c));
    return image;
}

static void test_columns(void **state)
{
    (void)state;
    static const struct {
        int n, w, h, columns;
    } cases[] = {{1, 7, 7, 1}, {4, 224, 224, 4}, {64, 7, 7, 8}, {512, 7, 7, 32}, {2048, 7, 7, 64}, {256, 3, 3, 16}, {97, 5, 5, 10},
                 {16, 23, 7, 4}, {1000, 1, 1, 40}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cr_grid_columns(cases[i].n, cases[i].w, cases[i].h), cases[i].columns);
}

/* Every picture stands in a place of its own, as large as all others, its pixels squares. */
static void test_places(void **state)
{
    (void)state;
    static const struct {
        int rows, columns, w, h;
    } cases[] = {{3, 5, 2, 3}, {1, 1, 1, 1}, {2, 64, 3, 3}, {2, 3, 40, 31}, {1, 2, 300, 500}, {2, 2, 700, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int w = cases[i].w, h = cases[i].h;
        const cr_grid_layout layout = {.rows = cases[i].rows, .columns = cases[i].columns, .w = w, .h = h, .title = "a title"};
        cr_grid *grid = cr_grid_create(&layout, NULL);
        assert_non_null(grid);
        cr_image gray = plain(w, h, 0x808080), red = plain(w, h, 0xff0000), whole;
        for (int row = 0; row < layout.rows; row++)
            for (int column = 0; column < layout.columns; column++)
                assert_true(cr_grid_place(grid, row, column, row + column == 1 ? &red : &gray, NULL, NULL));
        cr_grid_take(grid, &whole);
        const int reds = (layout.rows > 1) + (layout.columns > 1), pictures = layout.rows * layout.columns;
        const int shown = count(&whole, 0x808080) / (pictures - reds);
        assert_int_equal(count(&whole, 0x808080), shown * (pictures - reds));
        if (reds)
            assert_int_equal(count(&whole, 0xff0000), shown * reds);
        if (w <= 256 && h <= 256)
            assert_int_equal(shown % (w * h), 0);
        const cr_rect all = bounds(&whole, 0x808080);
        assert_true(all.x0 >= 8 && all.y0 >= 8 && all.x1 <= whole.w - 8 && all.y1 <= whole.h - 8);
        assert_true(whole.w <= 1700);
        cr_image_free(&whole);
        cr_image_free(&gray);
        cr_image_free(&red);
    }
    cr_error err;
    assert_null(cr_grid_create(&(cr_grid_layout){.rows = 1 << 20, .columns = 1 << 20, .w = 7, .h = 7, .title = ""}, &err));
    check_message(&err, "too large", NULL);
    assert_null(cr_grid_create(&(cr_grid_layout){.rows = 1, .columns = INT32_MAX, .w = 7, .h = 7, .title = ""}, &err));
    check_message(&err, "2147483647", "fewer", NULL);
}

/* Labels lie outside of pictures. */
static void test_labels(void **state)
{
    (void)state;
    static const cr_grid_layout plainest = {.rows = 2, .columns = 3, .w = 4, .h = 4, .title = ""};
    int before = 0;
    for (int kind = 0; kind < 4; kind++) {
        cr_grid_layout layout = plainest;
        layout.labels = kind == 1;
        layout.row_labels = kind == 2;
        layout.column_labels = kind == 3;
        cr_grid *grid = cr_grid_create(&layout, NULL);
        assert_non_null(grid);
        cr_image red = plain(4, 4, 0xff0000), whole;
        for (int i = 0; i < 6; i++)
            assert_true(cr_grid_place(grid, i / 3, i % 3, &red, kind == 1 ? "88" : NULL, NULL));
        for (int i = 0; kind == 2 && i < 2; i++)
            cr_grid_row_label(grid, i, "88");
        for (int i = 0; kind == 3 && i < 3; i++)
            cr_grid_column_label(grid, i, "88");
        cr_grid_take(grid, &whole);
        if (kind == 0)
            before = count(&whole, 0xff0000);
        assert_int_equal(count(&whole, 0xff0000), before);
        assert_int_equal(count(&whole, 0xff0000) + count(&whole, 0xffffff) == whole.w * whole.h, kind == 0);
        cr_image_free(&whole);
        cr_image_free(&red);
    }
}

/* Of 9 filters over 9 channels, all zero but for one weight of 2 and one of -1. */
static void test_kernels(void **state)
{
    (void)state;
    enum { N = 9 };
    const int dim[4] = {N, N, 3, 2};
    int all[N];
    float *w = zeros(N * N * 6, sizeof *w);
    for (int i = 0; i < N; i++)
        all[i] = i;
    w[(2 * N + 7) * 6 + 0] = 2;
    w[(8 * N + 0) * 6 + 5] = -1;
    cr_channel_view view = {.channels = all, .n_channels = N, .inputs = all, .n_inputs = N, .colormap = colors("bwr"), .title = ""};
    cr_image picture;
    assert_true(cr_kernels_draw(&picture, w, dim, &view, NULL));
    const cr_rect faded = bounds(&picture, 0x8080ff);
    assert_true(faded.x1 > faded.x0);
    cr_image_free(&picture);

    view.each = true;
    assert_true(cr_kernels_draw(&picture, w, dim, &view, NULL));
    const int scale = 24, blue = count(&picture, 0x0000ff), red = count(&picture, 0xff0000);
    assert_true(blue >= scale * scale && red >= scale * scale); /* each reaches its own end now */
    cr_image_free(&picture);

    /* one of them alone: side by side, as its channels are few */
    const int some[] = {7, 0};
    view = (cr_channel_view){.channels = (const int[]){2}, .n_channels = 1, .inputs = some, .n_inputs = 2, .each = true,
                             .colormap = colors("bwr"), .title = ""};
    assert_true(cr_kernels_draw(&picture, w, dim, &view, NULL));
    const cr_rect strong = bounds(&picture, 0xff0000);
    assert_int_equal(pixel(&picture, strong.x0, strong.y0), 0xff0000);
    assert_int_equal(pixel(&picture, strong.x0 + scale - 1, strong.y0 + scale - 1), 0xff0000);
    assert_int_not_equal(pixel(&picture, strong.x0 + scale, strong.y0), 0xff0000);
    assert_int_equal(pixel(&picture, strong.x0 + 2 * scale, strong.y0), 0xe4e4e4); /* between two kernels */
    cr_image_free(&picture);
    free(w);
}

static void test_kernels_in_color(void **state)
{
    (void)state;
    const int dim[4] = {2, 3, 1, 2};
    const float w[12] = {0, 0, 0, 0, 0, 0, -1, 3, -1, -1, 1, 1}; /* the second: (0, 0, 0.5) and (1, 0, 0.5) */
    const int all[] = {0, 1, 2};
    const cr_channel_view view = {.channels = all, .n_channels = 2, .inputs = all, .n_inputs = 3, .rgb = true, .title = ""};
    cr_image picture;
    assert_true(cr_kernels_draw(&picture, w, dim, &view, NULL));
    const int area = count(&picture, 0x000080);
    assert_true(area > 0);
    assert_int_equal(count(&picture, 0xff0080), area);
    assert_int_equal(count(&picture, 0x808080), 2 * area); /* the first: all the same */
    cr_image_free(&picture);
}

static void test_features(void **state)
{
    (void)state;
    const int dim[3] = {3, 2, 2}, all[] = {2, 0, 1};
    const float values[12] = {0, 1, 2, 3, 10, 10, 10, 10, -4, 0, 0, 16};
    cr_channel_view view = {.channels = all, .n_channels = 3, .each = true, .colormap = colors("grey"), .title = ""};
    cr_image picture;
    assert_true(cr_features_draw(&picture, values, dim, &view, NULL));
    const cr_rect gray = bounds(&picture, 0x333333); /* a fifth of the way from -4 to 16, in the first picture */
    assert_int_equal(pixel(&picture, gray.x0, gray.y1 - 1), 0x333333);
    assert_int_equal(pixel(&picture, gray.x1 - 1, gray.y0), 0x333333);
    assert_int_equal(pixel(&picture, gray.x0, gray.y0), 0x000000);
    assert_int_equal(pixel(&picture, gray.x1 - 1, gray.y1 - 1), 0xffffff);
    const int side = (gray.x1 - gray.x0) / 2;
    assert_true(count(&picture, 0x000000) >= 6 * side * side); /* and what is the same everywhere has the lowest colour */
    cr_image_free(&picture);

    view.each = false;
    assert_true(cr_features_draw(&picture, values, dim, &view, NULL));
    assert_true(count(&picture, 0xb2b2b2) >= 4 * side * side); /* 10 between -4 and 16 */
    cr_image_free(&picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_places),           cmocka_unit_test(test_labels),
        cmocka_unit_test(test_kernels), cmocka_unit_test(test_kernels_in_color), cmocka_unit_test(test_features),
    };
    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
