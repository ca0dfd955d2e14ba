/* test_write.c - weights files as camtrain writes them: what is read back, halves, alignment, and failures that leave
 * nothing. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "json_writer.h"
#include "weights.h"

static char folder[] = "/tmp/camrun_write_XXXXXX";
static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/w.bin", mkdtemp(folder) ? folder : "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails where a temporary file is left */
}

static void write_or_fail(const cr_tensor *tensors, int n, const cr_meta *meta, int n_meta)
{
    cr_error err = {""};
    if (!cr_weights_write(path, tensors, n, meta, n_meta, true, &err))
        fail_msg("%s", err.text);
}

static cr_weights *open_or_fail(void)
{
    cr_error err = {""};
    cr_weights *w = cr_weights_open(path, &err);
    if (!w)
        fail_msg("%s", err.text);
    return w;
}

static void test_round_trip(void **state)
{
    (void)state;
    uint64_t random = SEED;
    const int64_t shapes[][4] = {{5, 1, 1, 1}, {3, 7, 1, 1}, {16, 3, 3, 4}, {1, 1, 1, 1}, {32, 1, 1, 1}};
    const int ndim[] = {1, 2, 4, 0, 1};
    cr_tensor tensors[5];
    float *values[5];
    char names[5][16];
    size_t counts[5];
    for (int i = 0; i < 5; i++) {
        counts[i] = (size_t)(shapes[i][0] * shapes[i][1] * shapes[i][2] * shapes[i][3]);
        values[i] = new_random(counts[i], -3, 3, &random);
        snprintf(names[i], sizeof names[i], "tensor \"%d\"", i);
        tensors[i] = (cr_tensor){.name = names[i], .dtype = CR_F32, .ndim = ndim[i], .data = values[i]};
        memcpy(tensors[i].dim, shapes[i], sizeof shapes[i]);
    }
    const cr_meta meta[] = {{"classes", "[\"a \\\"b\\\"\", \"\xC3\xA9\"]"}, {"", "x\ny"}};
    write_or_fail(tensors, 5, meta, 2);

    cr_weights *w = open_or_fail();
    assert_int_equal(cr_weights_count(w), 5);
    assert_string_equal(cr_weights_meta(w, "classes"), meta[0].value);
    assert_string_equal(cr_weights_meta(w, ""), "x\ny");
    for (int i = 0; i < 5; i++) {
        cr_error err;
        const cr_tensor *t = cr_weights_find(w, names[i]);
        assert_non_null(t);
        assert_int_equal(t->dtype, CR_F32);
        assert_int_equal(t->ndim, ndim[i]);
        for (int d = 0; d < ndim[i]; d++)
            assert_int_equal(t->dim[d], shapes[i][d]);
        check_same_bits(cr_weights_f32(w, t, &err), values[i], counts[i], "%s", names[i]);
        assert_ptr_equal(cr_weights_f32(w, t, &err), t->data); /* aligned: no copy */
        if (counts[i] % 16 == 0)
            assert_int_equal((uintptr_t)t->data % 64, 0);
        free(values[i]);
    }
    cr_weights_close(w);
}

/* Every half, halfway between every two neighbours, and just beside that. */
static void test_halves(void **state)
{
    (void)state;
    enum { HALVES = 0x7c00, MANY = 4 * HALVES };
    cr_error err;
    uint16_t *bits = zeros(HALVES, sizeof *bits);
    for (int i = 0; i < HALVES; i++)
        bits[i] = (uint16_t)i;
    char header[128];
    int length = snprintf(header, sizeof header, "{\"h\":{\"dtype\":\"F16\",\"shape\":[%d],\"data_offsets\":[0,%d]}}",
                          HALVES, 2 * HALVES);
    size_t size = 8 + (size_t)length + 2 * HALVES;
    uint8_t *file = zeros(size, 1);
    file[0] = (uint8_t)length;
    memcpy(file + 8, header, (size_t)length);
    memcpy(file + 8 + length, bits, 2 * HALVES);
    cr_weights *w = cr_weights_open_memory("halves", file, size, &err);
    const float *half = cr_weights_f32(w, cr_weights_at(w, 0), &err);

    float *values = zeros(MANY, sizeof *values), *expected = zeros(MANY, sizeof *expected);
    int n = 0;
    for (int i = 0; i + 1 < HALVES; i++) {
        const float low = half[i], high = half[i + 1], middle = (low + high) / 2, sign = i % 3 ? 1 : -1;
        const float all[] = {low, middle, nextafterf(middle, 0), nextafterf(middle, INFINITY)};
        const float rounded[] = {low, i % 2 ? high : low, low, high};
        for (int k = 0; k < 4; k++) {
            values[n] = sign * all[k];
            expected[n++] = sign * rounded[k];
        }
    }
    write_or_fail(&(cr_tensor){.name = "h", .dtype = CR_F16, .ndim = 1, .dim = {n}, .data = values}, 1, NULL, 0);
    cr_weights *found = open_or_fail();
    assert_int_equal(cr_weights_at(found, 0)->dtype, CR_F16);
    check_same_bits(cr_weights_f32(found, cr_weights_at(found, 0), &err), expected, (size_t)n, "halves");
    cr_weights_close(found);

    const float odd[] = {NAN, INFINITY, -INFINITY, 65519, 1e-30f, -1e-30f};
    write_or_fail(&(cr_tensor){.name = "h", .dtype = CR_F16, .ndim = 1, .dim = {6}, .data = odd}, 1, NULL, 0);
    found = open_or_fail();
    const float *read = cr_weights_f32(found, cr_weights_at(found, 0), &err);
    assert_true(isnan(read[0]) && read[1] == INFINITY && read[2] == -INFINITY && read[3] == 65504 && read[4] == 0 &&
                signbit(read[5]));
    cr_weights_close(found);
    free(values);
    free(expected);
    cr_weights_close(w);
    free(file);
    free(bits);
}

static void test_failures_leave_what_was_there(void **state)
{
    (void)state;
    cr_error err = {""};
    const float small[] = {1, 2, 3}, large[] = {1, -65520, 3};
    write_or_fail(&(cr_tensor){.name = "x", .dtype = CR_F32, .ndim = 1, .dim = {3}, .data = small}, 1, NULL, 0);
    cr_tensor bad = {.name = "fc.weight", .dtype = CR_F16, .ndim = 1, .dim = {3}, .data = large};
    assert_false(cr_weights_write(path, &bad, 1, NULL, 0, false, &err));
    check_message(&err, path, "fc.weight[1]", "-65520", "float16", NULL);
    bad.dim[0] = INT64_MAX;
    assert_false(cr_weights_write(path, &bad, 1, NULL, 0, false, &err));
    check_message(&err, path, "fc.weight", NULL);
    assert_false(cr_weights_write("/no/such/folder/w.bin", &bad, 0, NULL, 0, false, &err));
    check_message(&err, "/no/such/folder/w.bin", "No such file", NULL);
    if (access("/dev/full", W_OK) == 0) {
        bad.dim[0] = 1;
        assert_false(cr_weights_write("/dev/full", &bad, 1, NULL, 0, true, &err));
        check_message(&err, "/dev/full", "No space", NULL);
    }
    cr_weights *w = open_or_fail();
    check_same_bits(cr_weights_f32(w, cr_weights_find(w, "x"), &err), small, 3, "what was there");
    cr_weights_close(w);
}

static void test_json_on_one_line(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes;
    json_writer j = {.out = open_memstream(&text, &bytes), .compact = true};
    assert_non_null(j.out);
    json_open(&j, NULL, '{');
    json_text(&j, "a", "x");
    json_open(&j, "b", '[');
    json_integer(&j, NULL, 1);
    json_integer(&j, NULL, 2);
    json_close(&j, ']');
    json_close(&j, '}');
    fclose(j.out);
    assert_string_equal(text, "{\"a\": \"x\", \"b\": [1, 2]}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_failures_leave_what_was_there),
        cmocka_unit_test(test_json_on_one_line),
    };
    return cmocka_run_group_tests_name("write", tests, set_up, tear_down);
}
