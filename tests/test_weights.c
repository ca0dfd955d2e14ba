/* test_weights.c - what is read from weights files of every kind, what is refused, and conversions to float32.
 *
 * tests/data/weights/ was written by make_weights_fixtures.py; damaged and hostile files are
 * test_weights_damaged.c's. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights.h"

#define DATA "tests/data/weights/"

static cr_weights *open_data(const char *name)
{
    char path[128];
    cr_error err = {""};
    snprintf(path, sizeof path, DATA "%s", name);
    cr_weights *w = cr_weights_open(path, &err);
    if (!w)
        fail_msg("%s", err.text);
    return w;
}

/* A safetensors file of this header and bytes; *size is the whole's. */
static uint8_t *safetensors(const char *header, const void *data, size_t bytes, size_t *size)
{
    size_t length = strlen(header);
    *size = 8 + length + bytes;
    uint8_t *file = zeros(*size, 1);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    if (bytes)
        memcpy(file + 8 + length, data, bytes);
    return file;
}

static void check_tensor(cr_weights *w, const char *name, int ndim, const int64_t *dim, const float *expected)
{
    cr_error err = {""};
    const cr_tensor *t = cr_weights_find(w, name);
    if (!t)
        fail_msg("no tensor %s", name);
    assert_int_equal(t->ndim, ndim);
    size_t count = 1;
    for (int d = 0; d < ndim; d++) {
        assert_int_equal(t->dim[d], dim[d]);
        count *= (size_t)dim[d];
    }
    const float *found = cr_weights_f32(w, t, &err);
    if (!found)
        fail_msg("%s", err.text);
    check_same_bits(found, expected, count, "%s", name);
    assert_ptr_equal(cr_weights_f32(w, t, &err), found);
}

/* ---- what is read ---- */

/* TENSORS of make_weights_fixtures.py: element k is first + k / 4. */
static const struct {
    const char *name;
    int ndim;
    int64_t dim[4];
    float first;
} tensors[] = {
    {"0.weight", 4, {2, 3, 2, 2}, -3},  {"0.bias", 1, {2}, 10},        {"1.weight", 1, {2}, 1},
    {"1.bias", 1, {2}, 2},              {"1.running_mean", 1, {2}, -5}, {"1.running_var", 1, {2}, 7},
};

enum { TENSORS = sizeof tensors / sizeof tensors[0] };

static void check_state_dict(cr_weights *w, int from, int to)
{
    for (int i = from; i < to; i++) {
        float expected[24];
        for (int k = 0; k < 24; k++)
            expected[k] = tensors[i].first + 0.25f * (float)k;
        check_tensor(w, tensors[i].name, tensors[i].ndim, tensors[i].dim, expected);
    }
}

static void test_state_dicts(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        cr_dtype dtype;
        int from, to, count; /* which of the tensors, and how many there are in the file */
        const char *arch;
    } files[] = {
        {"zip.pth", CR_F32, 0, 6, 7, NULL},              {"zip_protocol4.pth", CR_F32, 0, 6, 7, NULL},
        {"legacy.pth", CR_F32, 0, 6, 7, NULL},           {"legacy_protocol4.pth", CR_F32, 0, 6, 7, NULL},
        {"float16.pth", CR_F16, 0, 6, 6, NULL},          {"float16_legacy.pth", CR_F16, 0, 6, 6, NULL},
        {"bfloat16.pth", CR_BF16, 0, 6, 6, NULL},        {"float64.pth", CR_F64, 0, 6, 6, NULL},
        {"parallel.pth", CR_F32, 0, 6, 7, NULL},         {"parameters.pth", CR_F32, 0, 4, 4, NULL},
        {"attribute.pth", CR_F32, 1, 2, 1, NULL},        {"checkpoint.pth", CR_F32, 0, 6, 7, "resnet18"},
        {"checkpoint_legacy.pth", CR_F32, 0, 6, 7, "resnet18"},
        {"checkpoint_model.pth", CR_F32, 0, 6, 6, NULL}, {"repacked.pth", CR_F32, 0, 6, 7, NULL},
        {"zip64.pth", CR_F32, 0, 6, 7, NULL},            {"python2.pth", CR_F32, 0, 6, 6, NULL},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cr_weights *w = open_data(files[i].file);
        if (cr_weights_count(w) != files[i].count)
            fail_msg("%s: expected %d tensors, found %d", files[i].file, files[i].count, cr_weights_count(w));
        assert_int_equal(cr_weights_at(w, 0)->dtype, files[i].dtype);
        assert_null(cr_weights_at(w, -1));
        assert_null(cr_weights_at(w, files[i].count));
        assert_null(cr_weights_find(w, "0.weigh"));
        check_state_dict(w, files[i].from, files[i].to);
        const char *arch = cr_weights_meta(w, "arch");
        if (files[i].arch)
            assert_string_equal(arch, files[i].arch);
        else
            assert_null(arch);
        cr_weights_close(w);
    }
}

static void test_integers(void **state)
{
    (void)state;
    cr_error err = {""};
    cr_weights *w = open_data("zip.pth");
    const cr_tensor *t = cr_weights_find(w, "1.num_batches_tracked");
    assert_non_null(t);
    assert_int_equal(t->dtype, CR_I64);
    assert_int_equal(t->ndim, 0);
    assert_int_equal(t->bytes, 8);
    assert_null(cr_weights_f32(w, t, &err));
    check_message(&err, "zip.pth", "num_batches_tracked", "floating point", NULL);
    cr_weights_close(w);
}

static void test_strided(void **state)
{
    (void)state;
    static const char *const files[] = {"strided.pth", "strided_legacy.pth"};
    for (int i = 0; i < 2; i++) {
        cr_weights *w = open_data(files[i]);
        assert_int_equal(cr_weights_count(w), 8);
        float counting[24];
        for (int k = 0; k < 24; k++)
            counting[k] = -3 + 0.25f * (float)k;
        check_tensor(w, "channels_last", 4, (int64_t[]){2, 3, 2, 2}, counting);
        check_tensor(w, "transposed", 4, (int64_t[]){2, 3, 2, 2}, counting);
        check_tensor(w, "expanded", 1, (int64_t[]){4}, (float[]){1.5f, 1.5f, 1.5f, 1.5f});
        check_tensor(w, "every_second", 1, (int64_t[]){6}, (float[]){1, 3, 5, 7, 9, 11});
        check_tensor(w, "block", 2, (int64_t[]){2, 4}, (float[]){23, 24, 25, 26, 33, 34, 35, 36});
        check_tensor(w, "tail", 1, (int64_t[]){10}, (float[]){50, 51, 52, 53, 54, 55, 56, 57, 58, 59});
        check_tensor(w, "empty", 2, (int64_t[]){0, 3}, NULL);
        check_tensor(w, "scalar", 0, NULL, (float[]){4.5f});
        cr_weights_close(w);
    }
}

static void test_released_pages_come_back(void **state)
{
    (void)state;
    cr_weights *w = open_data("zip.pth");
    check_state_dict(w, 0, TENSORS);
    for (int i = 0; i < cr_weights_count(w); i++)
        cr_weights_release_pages(w, cr_weights_at(w, i)->data, cr_weights_at(w, i)->bytes);
    static const float not_in_the_file = 0.0f;
    cr_weights_release_pages(w, &not_in_the_file, sizeof not_in_the_file);
    check_state_dict(w, 0, TENSORS);
    cr_weights_close(w);
}

/* ---- what is refused ---- */

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *words[3];
    } files[] = {
        {"module.pth", {"whole model", "torch.nn.modules.batchnorm.BatchNorm2d",
                        "torch.save(torch.load(\"" DATA "module.pth\", weights_only=False).state_dict(), "}},
        {"module_legacy.pth", {"whole model", "torch.nn.modules.batchnorm.BatchNorm2d", ".state_dict(), "}},
        {"module_nested.pth", {"whole model", "weights_only=False)[\"model\"].state_dict(), "}},
        {"script.pt", {"TorchScript", "torch.jit.load(\"" DATA "script.pt\").state_dict()"}},
        {"tensor.pth", {"single tensor", "expected a state dict"}},
        {"list.pth", {"no dict", "expected a state dict"}},
        {"checkpoint_unknown.pth", {"no tensors", "state_dict", "its keys: epoch, net"}},
        {"quantized.pth", {"0.weight", "dense tensor", "_rebuild_qtensor"}},
        {"nine_dimensions.pth", {"many", "at most 8 dimensions"}},
        {"plain.pickle", {"pickle", "not one of torch.save"}},
        {"deflated.pth", {"data.pkl is compressed", "zip -0"}},
        {"big_endian.pth", {"big-endian"}},
        {"two_pickles.pth", {"two entries", "data.pkl"}},
        {"none.pth", {"No such file"}},
        {"", {"directory"}},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[128];
        cr_error err = {""};
        snprintf(path, sizeof path, DATA "%s", files[i].file);
        assert_null(cr_weights_open(path, &err));
        check_message(&err, path, files[i].words[0], files[i].words[1], files[i].words[2], NULL);
        assert_null(cr_weights_open(path, NULL));
    }
}

static void test_no_regular_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/camrun_weights_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/w", folder);
    cr_error err = {""};

    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_null(cr_weights_open(path, &err));
    check_message(&err, path, "empty", NULL);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(cr_weights_open(path, &err));
    check_message(&err, path, "not a regular file", NULL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_other_formats(void **state)
{
    (void)state;
    char tar[512] = "pickle";
    memcpy(tar + 257, "ustar", 5);
    const struct {
        const char *bytes;
        size_t size;
        const char *word;
    } files[] = {
        {"version https://git-lfs.github.com/spec/v1\noid", 46, "git lfs pull"},
        {"<!DOCTYPE html><html>", 21, "HTML"},
        {"\x89HDF\r\n\x1a\n", 8, "Keras"},
        {"\x1f\x8b\x08", 3, "gzip"},
        {"\x89PNG\r\n", 6, "PNG"},
        {"\xff\xd8\xff\xe0", 4, "JPEG"},
        {tar, sizeof tar, "tar archive"},
        {"", 0, "found neither"},
        {"P", 1, "found neither"},
        {"some text {", 11, "found neither"},
        {"some tex{", 9, "cut off, or no weights file"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cr_error err = {""};
        assert_null(cr_weights_open_memory("a\nfile", files[i].bytes, files[i].size, &err));
        check_message(&err, "a?file: ", files[i].word, NULL);
    }
}

/* ---- safetensors ---- */

static void test_safetensors(void **state)
{
    (void)state;
    const float data[] = {1, 2, 3, 4, 5, 6, -7};
    size_t size;
    uint8_t *file = safetensors(
        " {\n\"__metadata__\" : {\"arch\":\"resnet18\", \"caf\\u00e9\\n\":\"\\ud83d\\ude00 \xc3\xa9\\/\", \"\":\"\"} ,"
        "\"b\\u002eweight\":{\"data_offsets\":[4,28],\"shape\":[2,3],\"dtype\":\"F32\"},"
        "\"none\":{\"dtype\":\"I64\",\"shape\":[5,0],\"data_offsets\":[28,28]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}  ",
        data, sizeof data, &size);
    /* The reader tells this format by a { in front, which a space would hide. */
    cr_error err = {""};
    assert_null(cr_weights_open_memory("s", file, size, &err));
    memcpy(file + 8, "{ ", 2);
    cr_weights *w = cr_weights_open_memory("s", file, size, &err);
    if (!w)
        fail_msg("%s", err.text);
    assert_int_equal(cr_weights_count(w), 3);
    assert_string_equal(cr_weights_at(w, 0)->name, "b.weight");
    check_tensor(w, "b.weight", 2, (int64_t[]){2, 3}, data + 1);
    check_tensor(w, "a", 0, NULL, data);
    assert_int_equal(cr_weights_find(w, "none")->bytes, 0);
    assert_string_equal(cr_weights_meta(w, "arch"), "resnet18");
    assert_string_equal(cr_weights_meta(w, "caf\xc3\xa9\n"), "\xf0\x9f\x98\x80 \xc3\xa9/");
    assert_string_equal(cr_weights_meta(w, ""), "");
    assert_null(cr_weights_meta(w, "classes"));
    cr_weights_close(w);
    free(file);
}

#define TENSOR(name, shape, offsets) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"

static void test_safetensors_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header; /* of a file with 8 bytes of data */
        const char *words[2];
    } files[] = {
        {"{" TENSOR("a", "1", "0,4") "," TENSOR("b", "1", "0,4") "}", {"b: ", "overlap"}},
        {"{" TENSOR("a", "1", "0,4") "," TENSOR("b", "2", "0,8") "}", {"overlap"}},
        {"{" TENSOR("a", "1", "4,8") "}", {"a: ", "hole"}},
        {"{" TENSOR("a", "1", "0,4") "}", {"4 bytes of data, the file has 8"}},
        {"{" TENSOR("a", "1", "0,4") "," TENSOR("a", "1", "4,8") "}", {"two tensors are called a"}},
        {"{" TENSOR("a", "3", "0,12") "}", {"a: ", "outside the file's 8 bytes"}},
        {"{" TENSOR("a", "2", "8,0") "}", {"a: ", "outside"}},
        {"{" TENSOR("a", "1", "0,8") "}", {"a: ", "expected 4 bytes"}},
        {"{" TENSOR("a", "4611686018427387904,4", "0,8") "}", {"a: ", "more bytes than can be counted"}},
        {"{" TENSOR("a", "9223372036854775808", "0,8") "}", {"whole number"}},
        {"{" TENSOR("a", "99999999999999999999999", "0,8") "}", {"whole number"}},
        {"{" TENSOR("a", "-2", "0,8") "}", {"whole number"}},
        {"{" TENSOR("a", "2.0", "0,8") "}", {"whole number"}},
        {"{" TENSOR("a", "2e0", "0,8") "}", {"whole number"}},
        {"{" TENSOR("a", "02", "0,8") "}", {"whole number"}},
        {"{" TENSOR("a", "2", "0") "}", {"two offsets"}},
        {"{" TENSOR("a", "2", "0,4,8") "}", {"two offsets"}},
        {"{" TENSOR("a", "1,1,1,1,1,1,1,1,2", "0,8") "}", {"no more numbers"}},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", {"a: ", "unknown dtype 'F33'"}},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", {"each once"}},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", {"each once"}},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1}}", {"each once"}},
        {"{\"a\":{}}", {"expected a string"}},
        {"{\"__metadata__\":{},\"__metadata__\":{}," TENSOR("a", "2", "0,8") "}", {"only once"}},
        {"{\"__metadata__\":{\"a\":1}," TENSOR("a", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("a", "2", "0,8") ",}", {"expected a string"}},
        {"{" TENSOR("a", "2", "0,8") "} x", {"nothing behind"}},
        {"{" TENSOR("a", "2", "0,8"), {"expected '}'"}},
        {"{" TENSOR("a\\u0000", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("a\n", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\\x", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\\u12g4", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\\ud800", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\\udc00\\ud800", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\xff", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\\ud800\\ue000", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\xc1\x81", "2", "0,8") "}", {"expected a string"}}, /* A, spelled longer than need be */
        {"{" TENSOR("\xe0\x81\x81", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\xf4\x90\x80\x80", "2", "0,8") "}", {"expected a string"}}, /* beyond Unicode */
        {"{" TENSOR("\xed\xa0\x80", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("\xe2\x82", "2", "0,8") "}", {"expected a string"}},
        {"{" TENSOR("a\\n\\u001b\\u007f", "3", "0,8") "}", {"a???: "}},
        {"{}", {"0 bytes of data, the file has 8"}},
        {"{\"a\":[]}", {"byte 5: expected '{'"}},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t size;
        uint8_t *file = safetensors(files[i].header, (float[]){1, 2}, 8, &size);
        cr_error err = {""};
        if (cr_weights_open_memory("f", file, size, &err))
            fail_msg("accepted %s", files[i].header);
        check_message(&err, "f: ", files[i].words[0], files[i].words[1], NULL);
        free(file);
    }

    static const uint64_t lengths[] = {3, 100, 100000001, UINT64_MAX, UINT64_MAX - 8};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t file[11] = "........{} ";
        memcpy(file, &lengths[i], 8);
        cr_error err = {""};
        assert_null(cr_weights_open_memory("f", file, sizeof file, &err));
        check_message(&err, lengths[i] == 3 ? "without tensors" : "only 3 follow", NULL);
    }
}

/* ---- conversion ---- */

/* One tensor of so many elements, as float32. The file is *file's, to be freed after the weights. */
static const float *converted(const char *dtype, const void *data, size_t count, size_t element, cr_weights **w,
                              uint8_t **file)
{
    char header[128];
    cr_error err = {""};
    size_t size;
    snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}", dtype, count,
             count * element);
    *file = safetensors(header, data, count * element, &size);
    *w = cr_weights_open_memory("f", *file, size, &err);
    if (!*w)
        fail_msg("%s", err.text);
    const float *x = cr_weights_f32(*w, cr_weights_at(*w, 0), &err);
    if (!x)
        fail_msg("%s", err.text);
    return x;
}

enum { HALVES = 1 << 16 };

static void test_every_float16(void **state)
{
    (void)state;
    uint16_t half[HALVES];
    for (int i = 0; i < HALVES; i++)
        half[i] = (uint16_t)i;
    cr_weights *w;
    uint8_t *file;
    const float *x = converted("F16", half, HALVES, 2, &w, &file);
    for (int i = 0; i < HALVES; i++) {
        int exponent = i >> 10 & 31, fraction = i & 1023;
        double value = exponent == 31 ? (fraction ? NAN : INFINITY) :
                       exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        bool negative = i >> 15;
        if (isnan(value) ? !isnan(x[i]) : (double)x[i] != (negative ? -value : value) || !signbit(x[i]) != !negative)
            fail_msg("float16 %04x: expected %g, found %g", (unsigned)i, negative ? -value : value, (double)x[i]);
    }
    cr_weights_close(w);
    free(file);
}

static void test_every_bfloat16(void **state)
{
    (void)state;
    uint16_t half[HALVES];
    for (int i = 0; i < HALVES; i++)
        half[i] = (uint16_t)i;
    cr_weights *w;
    uint8_t *file;
    const float *x = converted("BF16", half, HALVES, 2, &w, &file);
    for (uint32_t i = 0; i < HALVES; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        assert_int_equal(bits, i << 16);
    }
    cr_weights_close(w);
    free(file);
}

static void test_float64(void **state)
{
    (void)state;
    const double wide[] = {0, -0.0, 1, 0.1, -1e-3, 1e-40, 1e-60, 3.4028234e38, 1e300, -1e300, INFINITY, -INFINITY, NAN};
    enum { COUNT = sizeof wide / sizeof wide[0] };
    const float expected[COUNT] = {0, -0.0f, 1, 0.1f, -1e-3f, 1e-40f, 0, 3.4028234e38f, INFINITY, -INFINITY, INFINITY,
                                   -INFINITY, NAN};
    cr_weights *w;
    uint8_t *file;
    const float *x = converted("F64", wide, COUNT, 8, &w, &file);
    check_same_bits(x, expected, COUNT - 1, "float64");
    assert_true(isnan(x[COUNT - 1]));
    cr_weights_close(w);
    free(file);
}

static void test_float32_costs_no_copy(void **state)
{
    (void)state;
    const float data[] = {1, NAN, -INFINITY, 4};
    /* The header's length decides how the data is aligned. */
    for (int spaces = 0; spaces < 8; spaces++) {
        char header[128];
        size_t size;
        cr_error err = {""};
        snprintf(header, sizeof header, "{" TENSOR("x", "4", "0,16") "}%*s", spaces, "");
        uint8_t *file = safetensors(header, data, sizeof data, &size);
        cr_weights *w = cr_weights_open_memory("f", file, size, &err);
        assert_non_null(w);
        const cr_tensor *t = cr_weights_at(w, 0);
        const float *x = cr_weights_f32(w, t, &err);
        assert_non_null(x);
        assert_memory_equal(x, data, sizeof data);
        assert_int_equal((const void *)x == t->data, (uintptr_t)t->data % 4 == 0);
        assert_int_equal((uintptr_t)x % 4, 0);
        cr_weights_close(w);
        free(file);
    }
}

/* ---- values of the metadata ---- */

static void test_meta_floats(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int count;
        float values[3];
    } good[] = {
        {"[0.485, 0.456, 0.406]", 3, {0.485f, 0.456f, 0.406f}},
        {" [ 1 ,-2.5e-3\t,\n1E+2 ] ", 3, {1, -2.5e-3f, 100}},
        {"[]", 0, {0}},
        {"[0]", 1, {0}},
        {"[0.10000000149011611938]", 1, {0.1f}}, /* more digits than are kept */
        {"[123456789012345678901234567890]", 1, {123456789012345678901234567890.f}},
        {"[0.000000000000000000000000000001]", 1, {1e-30f}},
        {"[16777217.0000000000000000001, 1e-400, 3.4028234664e38]", 3, {16777217.f, 0, 3.4028234664e38f}},
    };
    static const char *const bad[] = {"",      "[",       "]",         "1",       "[1",         "[1,]",
                                      "[,1]",  "[1 2]",   "[1]]",      "[NaN]",   "[Infinity]", "[-]",
                                      "[+1]",  "[01]",    "[1.]",      "[.5]",    "[1e]",       "[1e+]",
                                      "[0x1]", "[\"1\"]", "[1,2,3,4]", "[1e999]", "[[1]]",      "{\"a\":1}"};
    float out[4];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        out[3] = 99;
        assert_int_equal(cr_meta_floats(good[i].text, out, 3), good[i].count);
        check_same_bits(out, good[i].values, (size_t)good[i].count, "%s", good[i].text);
        assert_true(out[3] == 99);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (cr_meta_floats(bad[i], out, 3) != -1)
            fail_msg("accepted %s", bad[i]);
}

static void test_meta_strings(void **state)
{
    (void)state;
    cr_error err = {""};
    int count = -1;
    char **strings = cr_meta_strings(" [\"tench\", \"\", \"caf\\u00e9 \\\"\xc3\xa9\\\"\" ,\"\\t\\\\\"] ", &count, &err);
    assert_non_null(strings);
    assert_int_equal(count, 4);
    assert_string_equal(strings[0], "tench");
    assert_string_equal(strings[1], "");
    assert_string_equal(strings[2], "caf\xc3\xa9 \"\xc3\xa9\"");
    assert_string_equal(strings[3], "\t\\");
    cr_meta_strings_free(strings);

    strings = cr_meta_strings("[]", &count, &err);
    assert_non_null(strings);
    assert_int_equal(count, 0);
    cr_meta_strings_free(strings);

    strings = cr_meta_strings("[\"\",\"\",\"\",\"\",\"\",\"\"]", &count, &err); /* as short as strings come */
    assert_non_null(strings);
    assert_int_equal(count, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(strings[i], "");
    cr_meta_strings_free(strings);

    static const char *const bad[] = {"",    "[",         "\"a\"", "[\"a\"",    "[\"a\",]",
                                      "[1]", "[\"a\"] x", "[\"a]", "[\"\\q\"]", "{}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (cr_meta_strings(bad[i], &count, &err))
            fail_msg("accepted %s", bad[i]);
        check_message(&err, "expected a JSON array of strings", NULL);
    }
    cr_meta_strings_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_dicts),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_strided),
        cmocka_unit_test(test_released_pages_come_back),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_regular_file),
        cmocka_unit_test(test_other_formats),
        cmocka_unit_test(test_safetensors),
        cmocka_unit_test(test_safetensors_refused),
        cmocka_unit_test(test_every_float16),
        cmocka_unit_test(test_every_bfloat16),
        cmocka_unit_test(test_float64),
        cmocka_unit_test(test_float32_costs_no_copy),
        cmocka_unit_test(test_meta_floats),
        cmocka_unit_test(test_meta_strings),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
