/* test_npy.c - .npy files written and read, good and bad, and files replaced in one step. */
#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "npy.h"

#define DATA "tests/data/images/npy_"

static char dir[] = "/tmp/camrun-npy-XXXXXX";
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

static void write_bytes(const void *bytes, size_t size)
{
    cr_error err;
    if (!cr_file_write(scratch, bytes, size, &err))
        fail_msg("%s", err.text);
}

/* The values NumPy saved: arange(6).reshape(2, 3) / 8 - 0.25. */
static void check_reads(const char *path)
{
    static const float expected[6] = {-0.25f, -0.125f, 0, 0.125f, 0.25f, 0.375f};
    float *data;
    int ndim, dims[CR_NPY_DIMS];
    cr_error err;
    if (!cr_npy_read(path, &data, &ndim, dims, &err))
        fail_msg("%s", err.text);
    assert_int_equal(ndim, 2);
    assert_int_equal(dims[0], 2);
    assert_int_equal(dims[1], 3);
    check_same_bits(data, expected, 6, "%s", path);
    free(data);
}

static void check_refused(const char *path, const char *word)
{
    float *data;
    int ndim, dims[CR_NPY_DIMS];
    cr_error err = {""};
    if (cr_npy_read(path, &data, &ndim, dims, &err))
        fail_msg("%s was read; expected an error with '%s'", path, word);
    assert_null(data);
    check_message(&err, path, word, NULL);
}

static void test_reads_numpy(void **state)
{
    (void)state;
    check_reads(DATA "f4.npy");
    check_reads(DATA "f8_version2.npy");
    check_reads(DATA "f4_version3.npy");
    float *data;
    int ndim, dims[CR_NPY_DIMS];
    assert_true(cr_npy_read(DATA "scalar.npy", &data, &ndim, dims, NULL));
    assert_int_equal(ndim, 0);
    assert_true(*data == 0.5f);
    free(data);
}

static void test_refuses_other_arrays(void **state)
{
    (void)state;
    check_refused(DATA "bad_order.npy", "Fortran order");
    check_refused(DATA "bad_endian.npy", ">f4");
    check_refused(DATA "bad_type.npy", "<i8");
    check_refused(DATA "bad_dims.npy", "at most 6");
    check_refused(DATA "bad_empty.npy", "dimension 1");
    check_refused(DATA "bad_struct.npy", "<f4");
    check_refused("tests/test_npy.c", "not a .npy file");
    check_refused("tests/no-such-file.npy", "No such file");
    check_refused("tests", "directory");
}

static void test_round_trip(void **state)
{
    (void)state;
    float values[24];
    uint64_t seed = SEED;
    fill_random(values, 24, -1, 1, &seed);
    static const int shapes[][CR_NPY_DIMS] = {{24}, {4, 6}, {2, 3, 4}, {1, 2, 3, 4}, {2, 1, 2, 3, 2}, {1, 2, 2, 3, 1, 2}};
    for (int ndim = 0; ndim <= CR_NPY_DIMS; ndim++) {
        const int *dims = ndim ? shapes[ndim - 1] : NULL;
        assert_true(cr_npy_write(scratch, values, ndim, dims, NULL));
        float *data;
        int found_ndim, found_dims[CR_NPY_DIMS];
        assert_true(cr_npy_read(scratch, &data, &found_ndim, found_dims, NULL));
        assert_int_equal(found_ndim, ndim);
        if (ndim)
            assert_memory_equal(found_dims, dims, (size_t)ndim * sizeof *dims);
        check_same_bits(data, values, ndim ? 24 : 1, "%d dimensions", ndim);
        free(data);
    }
}

/* Rows that come one by one: the shape is known when the last is there. */
static void test_piece_by_piece(void **state)
{
    (void)state;
    enum { ROWS = 300, LENGTH = 7 };
    cr_error err;
    float row[LENGTH], *data;
    int ndim, dims[CR_NPY_DIMS];
    unlink(scratch);
    cr_npy *npy = cr_npy_create(scratch, &err);
    assert_non_null(npy);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < LENGTH; k++)
            row[k] = (float)(i * LENGTH + k);
        cr_npy_add(npy, row, LENGTH);
        assert_int_not_equal(access(scratch, F_OK), 0); /* not before it is whole */
    }
    assert_true(cr_npy_finish(npy, 2, (const int[]){ROWS, LENGTH}, &err));
    assert_true(cr_npy_read(scratch, &data, &ndim, dims, &err));
    assert_int_equal(ndim, 2);
    assert_int_equal(dims[0], ROWS);
    assert_int_equal(dims[1], LENGTH);
    for (int i = 0; i < ROWS * LENGTH; i++)
        assert_true(data[i] == (float)i);
    free(data);
    cr_npy_add(npy = cr_npy_create(scratch, &err), row, LENGTH);
    cr_npy_discard(npy);
    assert_true(cr_npy_read(scratch, &data, &ndim, dims, &err));
    assert_int_equal(dims[0], ROWS);
    free(data);
    /* The largest shape there is fits the place that is kept for it. */
    const int large[CR_NPY_DIMS] = {2147483647, 2147483647, 2147483647, 2147483647, 2147483647, 2147483647};
    assert_true(cr_npy_finish(cr_npy_create(scratch, &err), CR_NPY_DIMS, large, &err));
    check_refused(scratch, "too large");
}

/* Temporary files of a program that is no more; others are not touched. */
static void test_sweep(void **state)
{
    (void)state;
    static const struct {
        const char *suffix;
        bool goes;
    } files[] = {{".999999999-0.tmp", true}, {".999999999-12.tmp", true}, {".999999999-0.tmp2", false},
                 {".1x-0.tmp", false},       {".-0.tmp", false},          {".999999999-.tmp", false},
                 {"999999999-0.tmp", false}, {".999999999.tmp", false},   {"_2.png.999999999-0.tmp", true}};
    cr_error err;
    char path[128], own[128];
    snprintf(own, sizeof own, "%s.%ld-0.tmp", scratch, (long)getpid());
    assert_true(cr_file_write(own, "x", 1, &err));
    write_bytes("x", 1);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s%s", scratch, files[i].suffix);
        assert_true(cr_file_write(path, "x", 1, &err));
    }
    cr_file_sweep(scratch);
    assert_int_equal(access(scratch, F_OK), 0);
    assert_int_equal(unlink(own), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s%s", scratch, files[i].suffix);
        assert_int_equal(unlink(path) == 0, !files[i].goes);
    }
    cr_file_sweep("/no/such/folder/file");
}

static void test_layout(void **state)
{
    (void)state;
    float values[2] = {1, 2};
    int dims[1] = {2};
    unsigned char *bytes;
    size_t size;
    assert_true(cr_npy_write(scratch, values, 1, dims, NULL));
    assert_true(cr_file_read(scratch, &bytes, &size, NULL));
    static const char start[] = "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    assert_memory_equal(bytes, start, sizeof start - 1);
    assert_int_equal(size, 128 + sizeof values);
    assert_int_equal(bytes[127], '\n');
    assert_memory_equal(bytes + 128, values, sizeof values);
    free(bytes);
}

/* Cut at every length, and with a byte too many. */
static void test_wrong_length(void **state)
{
    (void)state;
    static const char *const paths[] = {DATA "f4.npy", DATA "f8_version2.npy"};
    for (int k = 0; k < 2; k++) {
        unsigned char *bytes;
        size_t size;
        assert_true(cr_file_read(paths[k], &bytes, &size, NULL));
        unsigned char *longer = zeros(size + 1, 1);
        memcpy(longer, bytes, size);
        for (size_t n = 0; n <= size + 1; n++) {
            write_bytes(longer, n);
            if (n != size)
                check_refused(scratch, "");
        }
        free(longer);
        free(bytes);
    }
}

static void write_with_header(const char *header)
{
    unsigned char file[256] = "\x93NUMPY\x01";
    size_t length = strlen(header);
    file[8] = (unsigned char)length;
    memcpy(file + 10, header, length);
    write_bytes(file, 10 + length + 8);
}

static void test_headers(void **state)
{
    (void)state;
    float *data;
    int ndim, dims[CR_NPY_DIMS];
    write_with_header("{\"shape\":(2,),'fortran_order':False,'descr':'<f4'}\n");
    assert_true(cr_npy_read(scratch, &data, &ndim, dims, NULL));
    free(data);

    static const char *const damaged[][2] = {
        {"", "dict"},
        {"{", "key"},
        {"{}", "missing"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), ", "key"},
        {"{'descr': '<f4', 'fortran_order': False}", "missing"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)} 1", "after the dict"},
        {"{'descr': '<f4', 'fortran_order': False 'shape': (2,)}", "','"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "neither"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "repeated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "unexpected"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "12 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "dimension 0"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647, 2147483647, 2147483647)}", "too large"},
        {"{'descr': '<f4", "type"},
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        write_with_header(damaged[i][0]);
        check_refused(scratch, damaged[i][1]);
    }
    write_bytes("\x93NUMPY\x04\x00\x02\x00\x00\x00{}", 14);
    check_refused(scratch, "version");
}

/* ---- files ---- */

static int files_in_dir(void)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_replaces_file(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    write_bytes("long before", 11);
    write_bytes("after", 5);
    assert_true(cr_file_read(scratch, &bytes, &size, NULL));
    assert_int_equal(size, 5);
    assert_memory_equal(bytes, "after", 5);
    free(bytes);
    assert_int_equal(files_in_dir(), 1);
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(scratch, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
}

static void test_cannot_write(void **state)
{
    (void)state;
    cr_error err;
    assert_false(cr_file_write("/no-such-directory/x", "a", 1, &err));
    check_message(&err, "/no-such-directory/x", "No such file", NULL);
    assert_false(cr_file_write(dir, "a", 1, &err));
    check_message(&err, dir, "directory", NULL);
}

/* A link is written through, so that /dev/stdout stays what it is. */
static void test_writes_through_links(void **state)
{
    (void)state;
    char link[80];
    struct stat st;
    snprintf(link, sizeof link, "%s/link", dir);
    write_bytes("before", 6);
    assert_int_equal(symlink(scratch, link), 0);
    assert_true(cr_file_write(link, "new", 3, NULL));
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(scratch, &st), 0);
    assert_int_equal(st.st_size, 3);
    unlink(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_numpy),          cmocka_unit_test(test_refuses_other_arrays),
        cmocka_unit_test(test_round_trip),           cmocka_unit_test(test_layout),
        cmocka_unit_test(test_piece_by_piece),       cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_wrong_length),         cmocka_unit_test(test_headers),
        cmocka_unit_test(test_replaces_file),        cmocka_unit_test(test_cannot_write),
        cmocka_unit_test(test_writes_through_links),
    };
    return cmocka_run_group_tests_name("npy", tests, make_dir, remove_dir);
}
