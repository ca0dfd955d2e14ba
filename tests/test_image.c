/* test_image.c - from a file's bytes to the network's input, and maps back to the photograph.
 *
 * What is expected was made by Pillow, torchvision and PyTorch: see make_image_fixtures.py. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "image.h"
#include "map.h"
#include "npy.h"
#include "resize.h"
#include "transform.h"

#define DATA "tests/data/images/"

static char dir[] = "/tmp/camrun-image-XXXXXX";
static char scratch[64]; /* a file in dir */

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(scratch, sizeof scratch, "%s/file", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(scratch);
    return rmdir(dir);
}

/* ---- decoding ---- */

static cr_image load(const char *path)
{
    cr_image image;
    cr_error err;
    if (!cr_image_load(&image, path, &err))
        fail_msg("%s", err.text);
    return image;
}

/* Each DATA/name against DATA/name.ppm. */
static void check_pictures(const char *const *names)
{
    for (; *names; names++) {
        char path[128];
        snprintf(path, sizeof path, DATA "%s", *names);
        cr_image found = load(path);
        snprintf(path, sizeof path, DATA "%s.ppm", *names);
        cr_image expected = load(path);
        assert_int_equal(found.w, expected.w);
        assert_int_equal(found.h, expected.h);
        for (int i = 0; i < found.w * found.h * 3; i++)
            if (found.rgb[i] != expected.rgb[i])
                fail_msg("%s: value %d is %d, expected %d", *names, i, found.rgb[i], expected.rgb[i]);
        cr_image_free(&found);
        cr_image_free(&expected);
    }
}

static void test_lossless_equals_pillow(void **state)
{
    (void)state;
    static const char *const names[] = {
        "rgb.png",        "rgba.png",   "gray.png",          "gray_alpha.png", "bits1.png",
        "palette4.png",   "one.png",    "palette_alpha.png", "wide.png",       "rgb.bmp",
        "palette.bmp",    "rgba.tga",   "palette.tga",       "palette.gif",    "bits1.pbm",
        "gray.pgm",       "gray16.png", "gray_alpha16.png",  "rgb16.png",      "rgba16.png",
        "two_frames.gif", NULL,
    };
    check_pictures(names);
}

/* To the bit: Pillow decodes by libjpeg-turbo. */
static void test_jpeg_equals_pillow(void **state)
{
    (void)state;
    static const char *const names[] = {
        "gray.jpg",
        "photo.jpg",
        "progressive.jpg",
        "cmyk.jpg",
        "exif_rotated.jpg",
        "jpeg_q1.jpg",
        "jpeg_444.jpg",
        "jpeg_422.jpg",
        "jpeg_422_progressive.jpg",
        "jpeg_440.jpg",
        "jpeg_411.jpg",
        "jpeg_141.jpg",
        "jpeg_one.jpg",
        "jpeg_narrow.jpg",
        "jpeg_edges.jpg",
        "jpeg_rgb_adobe.jpg",
        "jpeg_rgb_named.jpg",
        "jpeg_ycck.jpg",
        "jpeg_cmyk_unmarked.jpg",
        "jpeg_restart.jpg",
        NULL,
    };
    check_pictures(names);
}

static void write_bytes(const void *bytes, size_t size)
{
    cr_error err;
    if (!cr_file_write(scratch, bytes, size, &err))
        fail_msg("%s", err.text);
}

static void test_pnm(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t size;
        int w, h;
        unsigned char first[6];
    } cases[] = {
#define FILE_OF(text) text, sizeof(text) - 1
        {FILE_OF("P1\n4 2\n1 0 1 0\n0110"), 4, 2, {0, 0, 0, 255, 255, 255}},
        {FILE_OF("P2 # a comment\n# another\n3 1 100\n50 99 0\n"), 3, 1, {128, 128, 128, 252, 252, 252}},
        {FILE_OF("P3 2 1 255 1 2 3 250 251 252"), 2, 1, {1, 2, 3, 250, 251, 252}},
        {FILE_OF("P4\n10 2\n\x40\x80\x55\x40"), 10, 2, {255, 255, 255, 0, 0, 0}},
        {FILE_OF("P5\n2 1\n100\n\x32\x63"), 2, 1, {128, 128, 128, 252, 252, 252}},
        {FILE_OF("P5 2 1 65535 \x80\x00\xff\xff"), 2, 1, {128, 128, 128, 255, 255, 255}},
        {FILE_OF("P6\n2 1\n7\n\x00\x01\x02\x03\x07\x09"), 2, 1, {0, 36, 73, 109, 255, 255}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_bytes(cases[i].file, cases[i].size);
        cr_image image = load(scratch);
        assert_int_equal(image.w, cases[i].w);
        assert_int_equal(image.h, cases[i].h);
        assert_memory_equal(image.rgb, cases[i].first, sizeof cases[i].first);
        cr_image_free(&image);
        cr_error err; /* one byte short */
        if (cases[i].file[1] >= '4') {
            write_bytes(cases[i].file, cases[i].size - 1);
            assert_false(cr_image_load(&image, scratch, &err));
            check_message(&err, scratch, "fewer", NULL);
        }
    }
}

static void check_refused(const char *path, const char *word)
{
    cr_image image;
    cr_error err = {""};
    assert_false(cr_image_load(&image, path, &err));
    assert_null(image.rgb);
    check_message(&err, path, word, NULL);
}

static void test_unreadable(void **state)
{
    (void)state;
    check_refused("tests/no-such-picture.png", "No such file");
    check_refused("tests", "directory");
    check_refused("tests/test_image.c", "not a picture");
    write_bytes("", 0);
    check_refused(scratch, "empty");
    static const char huge[] = "P5 60000 60000 255 ";
    write_bytes(huge, sizeof huge - 1);
    check_refused(scratch, "too large");
    static const char none[] = "P5 0 5 255 ";
    write_bytes(none, sizeof none - 1);
    check_refused(scratch, "is empty");
    static const char overflow[] = "P3 99999999999999999999 1 255 1 2 3";
    write_bytes(overflow, sizeof overflow - 1);
    check_refused(scratch, "damaged");
}

/* A PNG with any number of bytes missing is refused but for its last, which close an already complete picture. */
static void test_truncated_png(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    enum { TRAILER = 12 + 4 }; /* the IEND chunk, and the checksum before it, which nobody reads */
    assert_true(cr_file_read(DATA "rgba.png", &bytes, &size, NULL));
    for (size_t n = 0; n < size - TRAILER; n++) {
        cr_image image;
        write_bytes(bytes, n);
        assert_false(cr_image_load(&image, scratch, NULL));
    }
    free(bytes);
}

/* A JPEG with any number of bytes missing is refused: half a picture is not a picture. */
static void test_truncated_jpeg(void **state)
{
    (void)state;
    static const char *const names[] = {"photo.jpg", "progressive.jpg"};
    for (int k = 0; k < 2; k++) {
        char path[128];
        unsigned char *bytes;
        size_t size;
        snprintf(path, sizeof path, DATA "%s", names[k]);
        assert_true(cr_file_read(path, &bytes, &size, NULL));
        for (size_t n = 1; n < size; n++) {
            write_bytes(bytes, n);
            check_refused(scratch, "picture");
        }
        free(bytes);
    }
}

/* Damage of any kind gives a picture or an error; the sanitizers say if it gives anything else. */
static void test_damaged(void **state)
{
    (void)state;
    static const char *const names[] = {
        "rgba.png",  "palette4.png", "gray16.png",      "rgba.tga",  "palette.tga",  "palette.gif", "palette.bmp",
        "bits1.pbm", "gray.jpg",     "progressive.jpg", "photo.jpg", "jpeg_422.jpg", "cmyk.jpg",    "jpeg_restart.jpg"};
    uint64_t seed = SEED;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char path[128];
        unsigned char *bytes;
        size_t size;
        snprintf(path, sizeof path, DATA "%s", names[k]);
        assert_true(cr_file_read(path, &bytes, &size, NULL));
        for (int i = 0; i < 60; i++) {
            size_t at = (size_t)random_uniform(&seed, 0, (float)(i % 2 && size > 60 ? 60 : size));
            unsigned char before = bytes[at];
            bytes[at] = (unsigned char)random_uniform(&seed, 0, 256);
            write_bytes(bytes, i % 3 ? size : size - at / 2);
            bytes[at] = before;
            cr_image image;
            if (cr_image_load(&image, scratch, NULL))
                cr_image_free(&image);
        }
        free(bytes);
    }
}

/* stb_image before 2.28 writes past its tables when a JPEG announces more than 256 codes. */
static void test_jpeg_with_too_many_codes(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size, at = 0;
    assert_true(cr_file_read(DATA "photo.jpg", &bytes, &size, NULL));
    while (bytes[at] != 0xff || bytes[at + 1] != 0xc4)
        at++;
    memset(bytes + at + 5, 200, 16);
    write_bytes(bytes, size);
    check_refused(scratch, "Huffman");
    free(bytes);
}

/* A code that an assertion of stb_image 2.27 denies must not end the program. */
static void test_jpeg_with_a_last_code(void **state)
{
    (void)state;
    cr_image image = load(DATA "last_code.jpg");
    assert_int_equal(image.w, 8);
    assert_int_equal(image.h, 8);
    cr_image_free(&image);
}

/* ---- transform ---- */

/* The transform make_image_fixtures.py calls by this name. */
static cr_transform named_transform(int resize, int squash_w, int squash_h, int crop_w, int crop_h, bool gray)
{
    cr_transform t = cr_transform_default();
    t.resize = resize;
    t.resize_w = squash_w;
    t.resize_h = squash_h;
    t.crop_w = crop_w;
    t.crop_h = crop_h;
    t.gray = gray;
    return t;
}

static void check_transform(const char *name, cr_transform transform, int channels)
{
    char path[128];
    cr_error err;
    snprintf(path, sizeof path, DATA "transform_%s.png", name);
    cr_image photo = load(path);
    float *expected;
    int ndim, dims[CR_NPY_DIMS];
    snprintf(path, sizeof path, DATA "transform_%s.npy", name);
    if (!cr_npy_read(path, &expected, &ndim, dims, &err))
        fail_msg("%s", err.text);

    cr_geometry g;
    assert_true(cr_transform_geometry(&transform, photo.w, photo.h, &g, &err));
    assert_int_equal(ndim, 3);
    assert_int_equal(dims[0], channels);
    assert_int_equal(dims[1], g.h);
    assert_int_equal(dims[2], g.w);
    size_t count = (size_t)channels * (size_t)g.h * (size_t)g.w;
    float *found = zeros(count, sizeof *found);
    assert_true(cr_transform_apply(found, channels, &photo, &transform, &g, &err));
    check_close(found, expected, count, 1e-6, "transform %s", name);
    free(found);
    free(expected);
    cr_image_free(&photo);
}

static void test_transform_equals_torchvision(void **state)
{
    (void)state;
    check_transform("wider", named_transform(32, 0, 0, 28, 28, false), 3);
    check_transform("higher", named_transform(32, 0, 0, 28, 20, false), 3);
    check_transform("enlarged", named_transform(30, 0, 0, 25, 25, false), 3);
    check_transform("padded", named_transform(16, 0, 0, 21, 23, false), 3);
    check_transform("squashed", named_transform(0, 17, 24, 0, 0, false), 3);
    check_transform("whole", named_transform(19, 0, 0, 0, 0, false), 3);
    check_transform("unresized", named_transform(0, 0, 0, 20, 30, false), 3);
    check_transform("gray3", named_transform(20, 0, 0, 16, 16, true), 3);
    check_transform("one", named_transform(12, 0, 0, 10, 10, false), 3);
    check_transform("line", named_transform(12, 0, 0, 10, 10, false), 3);
    check_transform("column", named_transform(12, 0, 0, 10, 10, false), 3);
    cr_transform gray1 = named_transform(20, 0, 0, 16, 16, false);
    gray1.n_mean = gray1.n_std = 1;
    gray1.mean[0] = 0.5f;
    gray1.std[0] = 0.25f;
    check_transform("gray1", gray1, 1);
}

/* One channel with three means takes their average. */
static void test_averaged_mean(void **state)
{
    (void)state;
    unsigned char black[3] = {0, 0, 0};
    cr_image photo = {1, 1, black};
    cr_transform t = named_transform(0, 0, 0, 0, 0, false);
    cr_geometry g;
    float found, expected = -(0.485f + 0.456f + 0.406f) / (0.229f + 0.224f + 0.225f);
    assert_true(cr_transform_geometry(&t, 1, 1, &g, NULL));
    assert_true(cr_transform_apply(&found, 1, &photo, &t, &g, NULL));
    check_close(&found, &expected, 1, 1e-6, "averaged mean and std");
}

static void test_transform_errors(void **state)
{
    (void)state;
    unsigned char black[3] = {0, 0, 0};
    cr_image photo = {1, 1, black};
    cr_error err;
    cr_geometry g;
    float out[4];
    cr_transform t = named_transform(0, 0, 0, 0, 0, false);
    assert_true(cr_transform_geometry(&t, 1, 1, &g, &err));
    assert_false(cr_transform_apply(out, 4, &photo, &t, &g, &err));
    check_message(&err, "4 channels", NULL);
    t.std[1] = NAN;
    assert_false(cr_transform_apply(out, 3, &photo, &t, &g, &err));
    check_message(&err, "std", "nan", NULL);
    t = named_transform(256, 0, 0, 224, 224, false);
    assert_false(cr_transform_geometry(&t, 0, 1, &g, &err));
    check_message(&err, "0 x 1", "empty", NULL);
    assert_false(cr_transform_geometry(&t, 1 << 24, 1, &g, &err));
    check_message(&err, "16777216 x 1", "too large", NULL);
    t = named_transform(-1, 0, 0, 224, 224, false);
    assert_false(cr_transform_geometry(&t, 10, 10, &g, &err));
    t = named_transform(0, 20, 0, 0, 0, false);
    assert_false(cr_transform_geometry(&t, 10, 10, &g, &err));
    t = named_transform(0, 0, 0, 20, 0, false);
    assert_false(cr_transform_geometry(&t, 10, 10, &g, &err));
}

/* A window of a resized picture is that part of the whole. */
static void test_resize_window(void **state)
{
    (void)state;
    enum { W = 23, H = 17, OW = 9, OH = 31 };
    unsigned char in[H * W], whole[OH * OW], part[20 * 4];
    uint64_t seed = SEED;
    for (int i = 0; i < H * W; i++)
        in[i] = (unsigned char)random_uniform(&seed, 0, 256);
    assert_true(cr_resize(whole, (cr_rect){0, 0, OW, OH}, OH, OW, in, H, W, 1, NULL));
    assert_true(cr_resize(part, (cr_rect){3, 5, 7, 25}, OH, OW, in, H, W, 1, NULL));
    for (int y = 0; y < 20; y++)
        assert_memory_equal(part + 4 * y, whole + (y + 5) * OW + 3, 4);
}

/* ---- geometry ---- */

/* A map whose every value is its own place on the photograph must give, put back, each pixel its own place. */
static void check_places(int photo_w, int photo_h, cr_transform transform)
{
    cr_geometry g;
    assert_true(cr_transform_geometry(&transform, photo_w, photo_h, &g, NULL));
    cr_rect seen = cr_geometry_seen(&g);
    assert_true(0 <= seen.x0 && seen.x0 < seen.x1 && seen.x1 <= photo_w);
    assert_true(0 <= seen.y0 && seen.y0 < seen.y1 && seen.y1 <= photo_h);

    size_t inputs = (size_t)g.w * (size_t)g.h, pixels = (size_t)photo_w * (size_t)photo_h;
    float *map_x = zeros(inputs, sizeof *map_x), *map_y = zeros(inputs, sizeof *map_y);
    float *x_at = zeros(pixels, sizeof *x_at), *y_at = zeros(pixels, sizeof *y_at);
    double across = (double)photo_w / g.resized_w, down = (double)photo_h / g.resized_h;
    for (int i = 0; i < g.h; i++) {
        for (int j = 0; j < g.w; j++) {
            map_x[i * g.w + j] = (float)((g.left + j + 0.5) * across - 0.5);
            map_y[i * g.w + j] = (float)((g.top + i + 0.5) * down - 0.5);
        }
    }
    cr_geometry_unmap(x_at, map_x, &g);
    cr_geometry_unmap(y_at, map_y, &g);
    for (int y = 0; y < photo_h; y++) {
        for (int x = 0; x < photo_w; x++) {
            float found_x = x_at[y * photo_w + x], found_y = y_at[y * photo_w + x];
            if (x < seen.x0 || x >= seen.x1 || y < seen.y0 || y >= seen.y1) {
                assert_true(found_x == 0 && found_y == 0);
                continue;
            }
            double expected_x = fmin(fmax(x, map_x[0]), map_x[g.w - 1]);
            double expected_y = fmin(fmax(y, map_y[0]), map_y[(g.h - 1) * g.w]);
            if (!(fabs(found_x - expected_x) < 1e-3) || !(fabs(found_y - expected_y) < 1e-3))
                fail_msg("pixel %d,%d: found %g,%g", x, y, (double)found_x, (double)found_y);
        }
    }
    free(map_x);
    free(map_y);
    free(x_at);
    free(y_at);
}

static void test_map_returns_to_its_place(void **state)
{
    (void)state;
    check_places(425, 280, named_transform(256, 0, 0, 224, 224, false));
    check_places(61, 137, named_transform(64, 0, 0, 48, 60, false));
    check_places(40, 30, named_transform(64, 0, 0, 0, 0, false));
    check_places(400, 90, named_transform(0, 64, 48, 0, 0, false));
    check_places(33, 20, named_transform(16, 0, 0, 21, 23, false));
    check_places(1, 1, named_transform(256, 0, 0, 224, 224, false));
    check_places(500, 1, named_transform(256, 0, 0, 224, 224, false));
}

static void test_seen(void **state)
{
    (void)state;
    cr_transform t = cr_transform_default();
    cr_geometry g;
    assert_true(cr_transform_geometry(&t, 512, 1024, &g, NULL));
    cr_rect seen = cr_geometry_seen(&g); /* resized to 256 x 512, cropped at 16,144: twice that on the photograph */
    assert_int_equal(seen.x0, 32);
    assert_int_equal(seen.y0, 288);
    assert_int_equal(seen.x1, 32 + 448);
    assert_int_equal(seen.y1, 288 + 448);
}

/* ---- maps ---- */

static float *read_array(const char *path, int ndim, int dims[CR_NPY_DIMS])
{
    float *data;
    int found;
    cr_error err;
    if (!cr_npy_read(path, &data, &found, dims, &err))
        fail_msg("%s", err.text);
    assert_int_equal(found, ndim);
    return data;
}

static void test_maps_equal_torch(void **state)
{
    (void)state;
    int in[CR_NPY_DIMS], out[CR_NPY_DIMS], one[CR_NPY_DIMS];
    float *raw = read_array(DATA "map_raw.npy", 3, in), *expected_shares = read_array(DATA "map_shares.npy", 3, out);
    float *expected = read_array(DATA "map_finished.npy", 2, one);
    size_t n = (size_t)out[1] * (size_t)out[2];
    float *shares = zeros(3 * n, sizeof *shares), *found = zeros(n, sizeof *found);
    for (int k = 0; k < 3; k++)
        assert_true(cr_map_share(shares + (size_t)k * n, out[1], out[2], raw + k * in[1] * in[2], in[1], in[2], NULL));
    check_close(shares, expected_shares, 3 * n, 1e-6, "shares");
    assert_true(cr_map_finish(found, shares, 3, n, NULL));
    check_close(found, expected, n, 1e-6, "finished map");
    free(raw);
    free(expected_shares);
    free(expected);
    free(shares);
    free(found);
}

static void test_map_without_evidence(void **state)
{
    (void)state;
    float map[4] = {-1, -2, 0, -3}, all_zero[4] = {0}, min, max;
    assert_true(cr_map_range(map, 4, &min, &max, NULL));
    assert_true(min == -3 && max == 0);
    assert_true(cr_map_normalize(map, 4, NULL));
    check_close(map, all_zero, 4, 0, "a map with nothing above zero");
    float flat[2] = {2, 2};
    assert_true(cr_map_normalize(flat, 2, NULL));
    check_close(flat, all_zero, 2, 0, "a map of one value");
}

/* Negative values count as nothing, and do not take away from other maps. */
static void test_finish_of_signed_shares(void **state)
{
    (void)state;
    float shares[6] = {-8, 2, 0, 4, 2, 0}, found[3], expected[3] = {1, 1, 0};
    assert_true(cr_map_finish(found, shares, 2, 3, NULL));
    check_close(found, expected, 3, 1e-6, "finished map");
}

static void test_finished_map_reaches_one(void **state)
{
    (void)state;
    float raw[4] = {1, 5, 2, 3}, share[10], found[10], min, max;
    assert_true(cr_map_share(share, 1, 10, raw, 1, 4, NULL));
    assert_true(cr_map_range(share, 10, &min, &max, NULL));
    assert_true(min == 0 && max < 0.98f);
    assert_true(cr_map_finish(found, share, 1, 10, NULL));
    assert_true(cr_map_range(found, 10, &min, &max, NULL));
    assert_true(min == 0 && max > 0.999f && max <= 1);
}

static void test_non_finite_map(void **state)
{
    (void)state;
    cr_error err;
    float with_nan[3] = {1, NAN, 2}, with_infinity[3] = {1, 2, -INFINITY}, out[3];
    assert_false(cr_map_normalize(with_nan, 3, &err));
    check_message(&err, "NaN", "element 1 of 3", NULL);
    assert_true(with_nan[0] == 1 && with_nan[2] == 2);
    assert_false(cr_map_share(out, 1, 3, with_infinity, 1, 3, &err));
    check_message(&err, "infinity", "element 2 of 3", NULL);
    assert_false(cr_map_finish(out, with_nan, 1, 3, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lossless_equals_pillow),
        cmocka_unit_test(test_jpeg_equals_pillow),
        cmocka_unit_test(test_pnm),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_truncated_png),
        cmocka_unit_test(test_truncated_jpeg),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_jpeg_with_too_many_codes),
        cmocka_unit_test(test_jpeg_with_a_last_code),
        cmocka_unit_test(test_transform_equals_torchvision),
        cmocka_unit_test(test_averaged_mean),
        cmocka_unit_test(test_transform_errors),
        cmocka_unit_test(test_resize_window),
        cmocka_unit_test(test_map_returns_to_its_place),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_maps_equal_torch),
        cmocka_unit_test(test_map_without_evidence),
        cmocka_unit_test(test_finish_of_signed_shares),
        cmocka_unit_test(test_finished_map_reaches_one),
        cmocka_unit_test(test_non_finite_map),
    };
    return cmocka_run_group_tests_name("image", tests, make_dir, remove_dir);
}
