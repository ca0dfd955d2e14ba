/* test_classes.c - class names from files, and the class a word on the command line means. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "classes.h"
#include "nearest.h"

static char *const names[] = {"tench",  "tabby, tabby cat", "Egyptian cat", "crane",
                              "forklift", "crane",          "Été",          "12"};

enum { CLASSES = sizeof names / sizeof names[0] };

static cr_labels labels;
static char folder[] = "/tmp/camrun_classes_XXXXXX";
static char path[64];

static int set_up(void **state)
{
    (void)state;
    cr_error err;
    snprintf(path, sizeof path, "%s/labels.txt", mkdtemp(folder) ? folder : "");
    return cr_labels_create(&labels, names, CLASSES, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cr_labels_free(&labels);
    unlink(path);
    return rmdir(folder);
}

/* ---- label files ---- */

static bool read_text(cr_labels *found, const char *text, size_t bytes, int classes, cr_error *err)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    return cr_labels_read(found, path, classes, err);
}

static void test_label_files(void **state)
{
    (void)state;
    static const char *const texts[] = {"a\nb c\n\xC3\xA9\n", "a\nb c\n\xC3\xA9", "a\r\n  b c \t\r\n\xC3\xA9\r\n\r\n\n",
                                        "\xEF\xBB\xBF\x61\nb c\n\xC3\xA9\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_labels found;
        cr_error err = {""};
        if (!read_text(&found, texts[i], strlen(texts[i]), 3, &err))
            fail_msg("text %zu: %s", i, err.text);
        assert_int_equal(found.n, 3);
        assert_string_equal(cr_label(&found, 0), "a");
        assert_string_equal(cr_label(&found, 1), "b c");
        assert_string_equal(cr_label(&found, 2), "\xC3\xA9");
        assert_null(cr_label(&found, 3));
        assert_null(cr_label(&found, -1));
        cr_labels_free(&found);
        assert_null(cr_label(&found, 0));
    }
}

static void test_wrong_label_files(void **state)
{
    (void)state;
    cr_labels found;
    cr_error err;
    assert_false(read_text(&found, "a\nb\n", 4, 3, &err));
    check_message(&err, path, "expected 3", "found 2", NULL);
    assert_false(read_text(&found, "a\nb\nc\nd", 7, 3, &err));
    check_message(&err, path, "expected 3", "found 4", NULL);
    assert_false(read_text(&found, "a\n\nc\n", 5, 3, &err));
    check_message(&err, path, ":2:", "blank", NULL);
    assert_false(read_text(&found, "", 0, 1, &err));
    check_message(&err, path, ":1:", "blank", NULL);
    assert_false(read_text(&found, "a\0b\nc\n", 6, 2, &err));
    check_message(&err, path, "binary", NULL);
    assert_int_equal(found.n, 0);
    assert_false(cr_labels_read(&found, "/tmp/no/such/file", 2, &err));
    check_message(&err, "/tmp/no/such/file", NULL);
}

static void test_titles(void **state)
{
    (void)state;
    char title[32];
    cr_labels none = {0};
    cr_class_title(title, sizeof title, &labels, 2);
    assert_string_equal(title, "2 Egyptian cat");
    cr_class_title(title, sizeof title, &none, 2);
    assert_string_equal(title, "class 2");
}

/* ---- words ---- */

static int index_of(const char *word)
{
    cr_target target;
    cr_error err = {""};
    if (!cr_target_parse(&target, word, &labels, CLASSES, &err))
        fail_msg("%s: %s", word, err.text);
    assert_int_equal(target.rank, 0);
    return target.index;
}

static cr_error refusal_of(const char *word, const cr_labels *known)
{
    cr_target target;
    cr_error err = {""};
    if (cr_target_parse(&target, word, known, CLASSES, &err))
        fail_msg("%s was taken for class %d", word, target.index);
    return err;
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(index_of("0"), 0);
    assert_int_equal(index_of("007"), 7);
    assert_int_equal(index_of("tench"), 0);
    assert_int_equal(index_of("TENCH"), 0);
    assert_int_equal(index_of("egyptian_cat"), 2);
    assert_int_equal(index_of("egypt"), 2);
    assert_int_equal(index_of("tabby, tabby cat"), 1);
    assert_int_equal(index_of("lift"), 4);
    assert_int_equal(index_of("Été"), 6);
}

static void test_ranks(void **state)
{
    (void)state;
    const float logits[CLASSES] = {1, 5, -2, 5, 3, 0, 0.5f, -7};
    const int best_first[CLASSES] = {1, 3, 4, 0, 6, 5, 2, 7};
    int top[CLASSES];
    for (int k = 1; k <= CLASSES; k++) {
        char word[16];
        cr_target target;
        cr_error err;
        snprintf(word, sizeof word, "top%d", k);
        assert_true(cr_target_parse(&target, word, &labels, CLASSES, &err));
        assert_int_equal(cr_target_class(&target, logits, CLASSES), best_first[k - 1]);
        cr_top_classes(top, k, logits, CLASSES);
        for (int i = 0; i < k; i++)
            assert_int_equal(top[i], best_first[i]);
    }
    assert_int_equal(cr_target_class(&(cr_target){.index = 5}, logits, CLASSES), 5);
}

static void test_refused_words(void **state)
{
    (void)state;
    cr_labels none = {0};
    cr_error err = refusal_of("cat", &labels);
    check_message(&err, "'cat'", "1 tabby, tabby cat, 2 Egyptian cat", "index", NULL);
    err = refusal_of("Crane", &labels);
    check_message(&err, "'Crane'", "3 crane, 5 crane", NULL);
    err = refusal_of("tnech", &labels);
    check_message(&err, "'tnech'", "0 tench", NULL);
    err = refusal_of("zeppelin", &labels);
    check_message(&err, "'zeppelin'", "0 tench", NULL);
    err = refusal_of("8", &labels);
    check_message(&err, "8", "from 0 to 7", NULL);
    err = refusal_of("99999999999999999999", &labels);
    check_message(&err, "99999999999999999999", "from 0 to 7", NULL);
    err = refusal_of("top0", &labels);
    check_message(&err, "top0", "top1", "top8", NULL);
    err = refusal_of("top9", &labels);
    check_message(&err, "top9", "top8", NULL);
    err = refusal_of("", &labels);
    check_message(&err, "missing", NULL);
    err = refusal_of("tench", &none);
    check_message(&err, "'tench'", "--labels", "0 to 7", NULL);
}

static void test_lists(void **state)
{
    (void)state;
    cr_target targets[8];
    cr_error err;
    int n = 0;
    assert_true(cr_targets_parse(targets, &n, "tench, top2,4", &labels, CLASSES, &err));
    assert_int_equal(n, 3);
    assert_int_equal(targets[0].index, 0);
    assert_int_equal(targets[1].index, -1);
    assert_int_equal(targets[1].rank, 2);
    assert_int_equal(targets[2].index, 4);
    assert_true(cr_targets_parse(targets, &n, "Tabby, tabby cat", &labels, CLASSES, &err)); /* one name with a comma */
    assert_int_equal(n, 4);
    assert_int_equal(targets[3].index, 1);
    n = 0;
    assert_false(cr_targets_parse(targets, &n, "tench,,4", &labels, CLASSES, &err));
    check_message(&err, "missing", NULL);
}

/* ---- resemblance ---- */

static void test_edit_distance(void **state)
{
    (void)state;
    char long_word[300];
    memset(long_word, 'x', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = '\0';
    assert_int_equal(cr_edit_distance("", ""), 0);
    assert_int_equal(cr_edit_distance("class", "CLASS"), 0);
    assert_int_equal(cr_edit_distance("class", ""), 5);
    assert_int_equal(cr_edit_distance("clas", "class"), 1);
    assert_int_equal(cr_edit_distance("calss", "class"), 1); /* two letters swapped */
    assert_int_equal(cr_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(cr_edit_distance(long_word, "x"), 62);
    assert_true(cr_is_near("wieghts", "weights"));
    assert_true(cr_is_near("lab", "labels"));
    assert_false(cr_is_near("labels", "lab"));
    assert_false(cr_is_near("", "labels"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_label_files),   cmocka_unit_test(test_wrong_label_files),
        cmocka_unit_test(test_titles),        cmocka_unit_test(test_words),
        cmocka_unit_test(test_ranks),         cmocka_unit_test(test_refused_words),
        cmocka_unit_test(test_lists),         cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests_name("classes", tests, set_up, tear_down);
}
