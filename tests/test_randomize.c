/* test_randomize.c - networks that forget, and boxes read from CSV files. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boxes.h"
#include "randomize.h"

/* ---- forgetting ---- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static size_t size_of(const cr_param *p)
{
    size_t n = 1;
    for (int i = 0; i < p->ndim; i++)
        n *= (size_t)p->dim[i];
    return n;
}

static void create(cr_randomized *r, const cr_net *net, uint64_t seed)
{
    cr_error err;
    if (!cr_randomized_create(r, net, seed, &err))
        fail_msg("%s", err.text);
}

/* Stage by stage from the top, and in the end everything; but only the order of values changes. */
static void check_forgetting(cr_net *net, const char *const *first, const char *last, int stages)
{
    uint64_t random = SEED;
    float *weights = bind_random(net, &random);
    cr_randomized r, again;
    create(&r, net, 3);
    create(&again, net, 3);
    assert_int_equal(r.n_stages, stages);
    for (int i = 0; first[i]; i++)
        assert_string_equal(r.stages[i], first[i]);
    assert_string_equal(r.stages[stages - 1], last);
    for (int stage = -1; stage < stages; stage++) {
        if (stage >= 0) {
            cr_randomized_next(&r);
            cr_randomized_next(&again);
        }
        for (int i = 0; i < net->n_nodes; i++)
            for (int k = 0; k < net->nodes[i].n_params; k++) {
                const cr_param *p = &net->params[net->nodes[i].param + k], *q = &r.net.params[net->nodes[i].param + k];
                const size_t n = size_of(p);
                assert_true((memcmp(p->data, q->data, n * sizeof *p->data) != 0) == (r.stage_of[i] <= stage));
                check_same_bits(again.net.params[net->nodes[i].param + k].data, q->data, n, "%s again", p->name);
            }
    }
    for (int i = 0; i < net->n_params; i++) {
        const size_t n = size_of(&net->params[i]);
        float *a = zeros(n, sizeof *a), *b = zeros(n, sizeof *b);
        memcpy(a, net->params[i].data, n * sizeof *a);
        memcpy(b, r.net.params[i].data, n * sizeof *b);
        qsort(a, n, sizeof *a, by_value);
        qsort(b, n, sizeof *b, by_value);
        check_same_bits(b, a, n, "%s in order", net->params[i].name);
        free(a);
        free(b);
    }
    cr_randomized_free(&r);
    cr_randomized_free(&again);
    cr_net_free(net);
    free(weights);
}

static void test_forgetting(void **state)
{
    (void)state;
    cr_error err;
    cr_net *resnet = cr_net_create(cr_arch_find("resnet18", &err), 3, 5, 8, &err);
    check_forgetting(resnet, (const char *const[]){"fc", "layer4.1", "layer4.0", "layer3.1", NULL}, "conv1", 10);

    builder b = new_net("as a VGG");
    int x = add_batchnorm(&b, add_conv2d(&b, add_input(&b, 3), "features.0", 8, 3, 1, 1, true), "features.1");
    x = add_maxpool(&b, add_relu(&b, x, "features.2"), "features.3", 2, 2, 0);
    x = add_relu(&b, add_conv2d(&b, x, "features.4", 9, 3, 1, 1, true), "features.5");
    x = add_flatten(&b, add_adaptive_avgpool(&b, x, "avgpool", 2), "flatten", 36);
    add_linear(&b, add_relu(&b, add_linear(&b, x, "classifier.0", 10), "classifier.1"), "classifier.3", 5);
    check_forgetting(b.net, (const char *const[]){"classifier.3", "classifier.0", "features.4", NULL}, "features.0", 4);
}

/* Another seed gives another order, and a batchnorm's four parameters keep theirs in common. */
static void test_order(void **state)
{
    (void)state;
    cr_error err;
    uint64_t random = SEED;
    cr_net *net = cr_net_create(cr_arch_find("resnet18", &err), 3, 5, 8, &err);
    float *weights = bind_random(net, &random);
    const int bn = cr_net_find_param(net, "layer4.1.bn2.weight", &err), n = net->params[bn].dim[0];
    for (int k = 0; k < 4; k++) /* all four alike, but told apart */
        for (int i = 0; i < n; i++)
            ((float *)(uintptr_t)net->params[bn + k].data)[i] = (float)(i + 1000 * k);
    cr_randomized r, other;
    create(&r, net, 3);
    create(&other, net, 4);
    for (int i = 0; i < 2; i++) {
        cr_randomized_next(&r);
        cr_randomized_next(&other);
    }
    for (int k = 1; k < 4; k++)
        for (int i = 0; i < n; i++)
            assert_true(r.net.params[bn + k].data[i] == r.net.params[bn].data[i] + (float)(1000 * k));
    assert_true(memcmp(r.net.params[bn].data, other.net.params[bn].data, (size_t)n * sizeof(float)) != 0);
    cr_randomized_free(&r);
    cr_randomized_free(&other);
    cr_net_free(net);
    free(weights);
}

/* ---- boxes ---- */

static char *const names[] = {"cat", "tabby, tabby cat", "dog"};

static const char *csv_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/camrun_boxes_%d.csv", (int)getpid());
    return path;
}

static bool read_boxes(cr_boxes *boxes, const char *text, cr_error *err)
{
    cr_labels labels;
    if (!cr_labels_create(&labels, names, 3, err))
        fail_msg("%s", err->text);
    FILE *file = fopen(csv_path(), "wb");
    if (!file)
        fail_msg("cannot write %s", csv_path());
    fputs(text, file);
    fclose(file);
    const bool ok = cr_boxes_read(boxes, csv_path(), &labels, 3, err);
    unlink(csv_path());
    cr_labels_free(&labels);
    return ok;
}

static void test_boxes(void **state)
{
    (void)state;
    cr_boxes boxes;
    cr_error err;
    if (!read_boxes(&boxes, "\xEF\xBB\xBFy1,class,file,x0,note,y0,x1\r\n4,dog,a/b.png,1,,2,3\r\n\r\n"
                    "8,\"tabby, tabby cat\",\"/x/\"\"q\"\", 1.png\",-5,\"two\nlines\",6,7\n9,2,c.png,0,,0,1", &err))
        fail_msg("%s", err.text);
    assert_int_equal(boxes.n, 3);
    assert_string_equal(boxes.rows[0].file, "/tmp/a/b.png");
    assert_string_equal(boxes.rows[1].file, "/x/\"q\", 1.png");
    assert_int_equal(boxes.rows[0].class_index, 2);
    assert_int_equal(boxes.rows[1].class_index, 1);
    assert_int_equal(boxes.rows[2].class_index, 2);
    assert_memory_equal(&boxes.rows[0].rect, &((cr_rect){1, 2, 3, 4}), sizeof(cr_rect));
    assert_memory_equal(&boxes.rows[1].rect, &((cr_rect){-5, 6, 7, 8}), sizeof(cr_rect));
    assert_int_equal(boxes.rows[0].line, 2);
    assert_int_equal(boxes.rows[1].line, 4);
    assert_int_equal(boxes.rows[2].line, 6);
    cr_boxes_free(&boxes);
}

#define HEAD "file,class,x0,y0,x1,y1\n"

static void test_bad_boxes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words[3];
    } cases[] = {
        {"", {":1:", "there is no file", "names the columns"}},
        {"a.png,dog,1,2,3,4\n", {":1:", "no file", "first line"}},
        {"file,class,x0,y0,x1,x1,y1\n", {":1:", "two columns", "x1"}},
        {HEAD, {"found none", "boxes", "first line"}},
        {HEAD "a.png,dog,1,2,3\n", {":2:", "expected 6 values", "found 5"}},
        {HEAD "a.png,dog,1,2,3,4\n\nb.png,horse,1,2,3,4\n", {":4:", "class", "no class 'horse'"}},
        {HEAD "a.png,do,1,2,3,4\n", {":2:", "whole name", "'do'"}},
        {HEAD "a.png,top1,1,2,3,4\n", {":2:", "whole name", "'top1'"}},
        {HEAD "a.png,3,1,2,3,4\n", {":2:", "no class 3", "0 to 2"}},
        {HEAD "a.png,,1,2,3,4\n", {":2:", "class", "missing"}},
        {HEAD ",dog,1,2,3,4\n", {":2:", "file name", "nothing"}},
        {HEAD "a.png,dog,1,2.5,3,4\n", {":2:", "y0", "'2.5'"}},
        {HEAD "a.png,dog,1,2,99999999999999999999,4\n", {":2:", "x1", "whole number"}},
        {HEAD "a.png,dog,5,2,5,4\n", {":2:", "x0 < x1", "no pixel"}},
        {HEAD "\"a.png,dog,1,2,3,4\n", {":2:", "quote", "never closed"}},
        {HEAD "\"a\".png,dog,1,2,3,4\n", {":2:", "comma", "'.png"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_boxes boxes;
        cr_error err = {""};
        if (read_boxes(&boxes, cases[i].text, &err))
            fail_msg("case %zu was read", i);
        assert_int_equal(boxes.n, 0);
        check_message(&err, csv_path(), cases[i].words[0], cases[i].words[1], cases[i].words[2], NULL);
    }
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forgetting), cmocka_unit_test(test_order), cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_bad_boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
