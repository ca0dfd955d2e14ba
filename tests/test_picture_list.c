/* test_picture_list.c - what command lines mean: folders, patterns, lists, and the names below what they share. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "picture_list.h"

static void touch(const char *path)
{
    cr_error err;
    if (!cr_file_write(path, "x", 1, &err))
        fail_msg("%s", err.text);
}

/* The working folder: pets/{cat/{1.jpg,2.PNG,notes.txt,.3.png,kitten/9.png},dog/1.jpg,0.png}, and other/1.jpg */
static int make_tree(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_picture_list.XXXXXX";
    const char *const folders[] = {"pets", "pets/cat", "pets/cat/kitten", "pets/dog", "other", "empty"};
    const char *const files[] = {"pets/cat/1.jpg", "pets/cat/2.PNG", "pets/cat/notes.txt", "pets/cat/.3.png",
                                 "pets/cat/kitten/9.png", "pets/dog/1.jpg", "pets/0.png", "other/1.jpg", "@home.png"};
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (mkdir(folders[i], 0777) != 0)
            return 1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        touch(files[i]);
    return symlink("..", "pets/dog/up") || symlink("../../other", "pets/cat/friends") ||
           symlink("gone.png", "pets/dog/broken.png");
}

static int remove_tree(void **state)
{
    (void)state;
    char folder[256], line[300];
    if (!getcwd(folder, sizeof folder) || chdir("/") != 0)
        return 1;
    snprintf(line, sizeof line, "rm -r '%s'", folder);
    return system(line);
}

enum { MOST = 16 };

/* The list of texts that ends with NULL. */
static text_list texts(const char **items)
{
    text_list list = {0, items};
    while (items[list.n])
        list.n++;
    return list;
}

/* That the operands mean these paths and names, in pairs, the last of them NULL. */
static void check_list(const char **operands, const char **lists, const char *except, const char *const *expected)
{
    picture_list l;
    cr_error err;
    const text_list all = texts(operands), more = texts(lists);
    if (!picture_list_create(&l, &all, &more, except, &err))
        fail_msg("%s: %s", operands[0] ? operands[0] : lists[0], err.text);
    for (int i = 0; i < l.n; i++) {
        if (!expected[2 * i])
            fail_msg("%s: one more: %s", operands[0], l.items[i].path);
        assert_string_equal(l.items[i].path, expected[2 * i]);
        assert_string_equal(l.items[i].name, expected[2 * i + 1]);
    }
    if (expected[2 * l.n])
        fail_msg("%s: not found: %s", operands[0], expected[2 * l.n]);
    picture_list_free(&l);
}

#define NONE (const char *[]){NULL}
#define OPERANDS(...) (const char *[]){__VA_ARGS__, NULL}
#define PICTURES(...) (const char *const[]){__VA_ARGS__, NULL}

static void check_refused(const char **operands, const char *word, const char *other)
{
    picture_list l;
    cr_error err = {""};
    const text_list all = texts(operands), none = {0};
    if (picture_list_create(&l, &all, &none, NULL, &err))
        fail_msg("%s was taken", operands[0]);
    check_message(&err, word, other, NULL);
    picture_list_free(&l);
}

#define PETS(folder)                                                                                                    \
    folder "/0.png", "0.png", folder "/cat/1.jpg", "cat/1.jpg", folder "/cat/2.PNG", "cat/2.PNG",                      \
        folder "/cat/friends/1.jpg", "cat/friends/1.jpg", folder "/cat/kitten/9.png", "cat/kitten/9.png",              \
        folder "/dog/1.jpg", "dog/1.jpg", folder "/dog/broken.png", "dog/broken.png"

static void test_a_folder_gives_the_pictures_below_it(void **state)
{
    (void)state;
    check_list(OPERANDS("pets"), NONE, NULL, PICTURES(PETS("pets")));
    check_list(OPERANDS("./pets"), NONE, NULL, PICTURES(PETS("./pets")));
    check_list(OPERANDS("pets/"), NONE, NULL, (const char *const[]){
        "pets/0.png", "0.png", "pets/cat/1.jpg", "cat/1.jpg", "pets/cat/2.PNG", "cat/2.PNG", "pets/cat/friends/1.jpg",
        "cat/friends/1.jpg", "pets/cat/kitten/9.png", "cat/kitten/9.png", "pets/dog/1.jpg", "dog/1.jpg",
        "pets/dog/broken.png", "dog/broken.png", NULL});
    assert_int_equal(chdir("pets"), 0);
    check_list(OPERANDS("."), NONE, NULL, PICTURES(PETS(".")));
    check_list(OPERANDS("../pets"), NONE, NULL, PICTURES(PETS("../pets")));
    assert_int_equal(chdir(".."), 0);
}

static void test_other_files_in_folders_are_counted(void **state)
{
    (void)state;
    picture_list l;
    cr_error err;
    const char *items[] = {"pets"};
    const text_list operands = {1, items}, none = {0};
    assert_true(picture_list_create(&l, &operands, &none, NULL, &err));
    assert_true(l.open);
    assert_int_equal(l.passed_over, 1);
    assert_string_equal(l.first_passed_over, "pets/cat/notes.txt");
    assert_int_equal(l.items[0].bytes, 1);
    assert_int_equal(l.items[l.n - 1].bytes, -1); /* a link that leads nowhere */
    picture_list_free(&l);
}

static void test_a_folder_can_be_left_out(void **state)
{
    (void)state;
    check_list(OPERANDS("pets/cat"), NONE, "pets/cat/kitten/", PICTURES(
        "pets/cat/1.jpg", "1.jpg", "pets/cat/2.PNG", "2.PNG", "pets/cat/friends/1.jpg", "friends/1.jpg"));
    check_list(OPERANDS("pets/cat/1.jpg"), NONE, "none", PICTURES("pets/cat/1.jpg", "1.jpg"));
}

/* Files are taken whatever they are called, and also where there are none: opening them will tell. */
static void test_files(void **state)
{
    (void)state;
    check_list(OPERANDS("pets/cat/notes.txt", "gone/1.png"), NONE, NULL, PICTURES(
        "pets/cat/notes.txt", "notes.txt", "gone/1.png", "1.png"));
    check_list(OPERANDS("@home.png"), NONE, NULL, PICTURES("@home.png", "@home.png"));
}

static void test_names_start_below_what_is_shared(void **state)
{
    (void)state;
    char here[256];
    assert_non_null(getcwd(here, sizeof here));
    char whole[300];
    snprintf(whole, sizeof whole, "%s/other/1.jpg", here);
    check_list(OPERANDS("pets/cat/1.jpg", "pets/dog/1.jpg"), NONE, NULL, PICTURES(
        "pets/cat/1.jpg", "cat/1.jpg", "pets/dog/1.jpg", "dog/1.jpg"));
    check_list(OPERANDS("pets/cat/1.jpg", "pets/cat/2.PNG"), NONE, NULL, PICTURES(
        "pets/cat/1.jpg", "1.jpg", "pets/cat/2.PNG", "2.PNG"));
    check_list(OPERANDS("pets/cat/kitten", whole), NONE, NULL, PICTURES(
        "pets/cat/kitten/9.png", "pets/cat/kitten/9.png", whole, "other/1.jpg"));
    assert_int_equal(chdir("empty"), 0);
    check_list(OPERANDS("../pets/dog/../cat/1.jpg", "../other/1.jpg"), NONE, NULL, PICTURES(
        "../pets/dog/../cat/1.jpg", "pets/cat/1.jpg", "../other/1.jpg", "other/1.jpg"));
    assert_int_equal(chdir(".."), 0);
    /* "other" is no part of "others" */
    assert_int_equal(mkdir("others", 0777), 0);
    touch("others/2.jpg");
    check_list(OPERANDS("other", "others"), NONE, NULL, PICTURES(
        "other/1.jpg", "other/1.jpg", "others/2.jpg", "others/2.jpg"));
    assert_int_equal(unlink("others/2.jpg") | rmdir("others"), 0);
}

static void test_a_picture_is_taken_once(void **state)
{
    (void)state;
    check_list(OPERANDS("pets/cat/kitten/9.png", "pets/cat/k*", "./pets/cat/kitten/9.png"), NONE, NULL, PICTURES(
        "pets/cat/kitten/9.png", "kitten/9.png"));
    check_list(OPERANDS("other/1.jpg", "other", "./other/1.jpg"), NONE, NULL, PICTURES("other/1.jpg", "1.jpg"));
}

static void test_patterns(void **state)
{
    (void)state;
    check_list(OPERANDS("pets/*/1.jp?"), NONE, NULL, PICTURES(
        "pets/cat/1.jpg", "cat/1.jpg", "pets/dog/1.jpg", "dog/1.jpg"));
    check_list(OPERANDS("pets/[c-d]at"), NONE, NULL, PICTURES(
        "pets/cat/1.jpg", "cat/1.jpg", "pets/cat/2.PNG", "cat/2.PNG", "pets/cat/friends/1.jpg", "cat/friends/1.jpg",
        "pets/cat/kitten/9.png", "cat/kitten/9.png"));
    check_list(OPERANDS("*/1.jpg"), NONE, NULL, PICTURES("other/1.jpg", "other/1.jpg"));
    touch("[1].png"); /* a file goes before a pattern */
    check_list(OPERANDS("[1].png"), NONE, NULL, PICTURES("[1].png", "[1].png"));
    assert_int_equal(unlink("[1].png"), 0);
    check_refused(OPERANDS("pets/*.gif"), "no picture", "'pets/*.gif'");
}

static void test_patterns_of_any_depth(void **state)
{
    (void)state;
    check_list(OPERANDS("pets/**/1.jpg"), NONE, NULL, PICTURES(
        "pets/cat/1.jpg", "cat/1.jpg", "pets/cat/friends/1.jpg", "cat/friends/1.jpg", "pets/dog/1.jpg", "dog/1.jpg"));
    check_list(OPERANDS("**/kitten/*.png"), NONE, NULL, PICTURES("./pets/cat/kitten/9.png", "pets/cat/kitten/9.png"));
    check_list(OPERANDS("p*/**/*.png"), NONE, NULL, PICTURES(
        "pets/0.png", "pets/0.png", "pets/cat/kitten/9.png", "pets/cat/kitten/9.png", "pets/dog/broken.png",
        "pets/dog/broken.png"));
    check_list(OPERANDS("pets/**/cat/*/9.png"), NONE, NULL, PICTURES("pets/cat/kitten/9.png", "cat/kitten/9.png"));
    check_refused(OPERANDS("pets/**/pets/cat/*.jpg"), "no picture", "**");
}

static void test_lists(void **state)
{
    (void)state;
    cr_error err;
    const char text[] = "pets/dog/1.jpg\r\n\nother\ngone.png";
    assert_true(cr_file_write("list.txt", text, strlen(text), &err));
    check_list(OPERANDS("@list.txt"), NONE, NULL, PICTURES(
        "pets/dog/1.jpg", "pets/dog/1.jpg", "other/1.jpg", "other/1.jpg", "gone.png", "gone.png"));
    check_list(OPERANDS("pets/0.png"), OPERANDS("list.txt"), NULL, PICTURES(
        "pets/0.png", "pets/0.png", "pets/dog/1.jpg", "pets/dog/1.jpg", "other/1.jpg", "other/1.jpg", "gone.png",
        "gone.png"));
    touch("list.txt");
    check_list(NONE, OPERANDS("list.txt"), NULL, PICTURES("x", "x"));
    assert_true(cr_file_write("list.txt", "\n\n", 2, &err));
    check_refused(OPERANDS("@list.txt"), "list.txt", "empty");
    assert_true(cr_file_write("list.txt", "a\0b", 3, &err));
    check_refused(OPERANDS("@list.txt"), "list.txt", "expected a list of paths");
    assert_int_equal(unlink("list.txt"), 0);
    check_refused(OPERANDS("@list.txt"), "list.txt", "cannot open");
}

static void test_what_gives_no_picture(void **state)
{
    (void)state;
    check_refused(OPERANDS("empty"), "empty: no pictures", ".png .jpg");
    if (getuid() != 0) { /* root reads everything */
        assert_int_equal(chmod("empty", 0), 0);
        check_refused(OPERANDS("empty"), "empty: cannot read the folder", "denied");
        assert_int_equal(chmod("empty", 0777), 0);
    }
}

static void test_order_and_names_of_many(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    picture_list l;
    cr_error err;
    char name[64];
    const char *items[] = {"many", "many"};
    const text_list operands = {2, items}, none = {0};
    assert_int_equal(mkdir("many", 0777), 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many/%04d.ppm", i * 7 % MANY);
        touch(name);
    }
    assert_true(picture_list_create(&l, &operands, &none, NULL, &err));
    assert_int_equal(l.n, MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many/%04d.ppm", i);
        assert_string_equal(l.items[i].path, name);
        assert_string_equal(l.items[i].name, name + 5);
    }
    picture_list_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_folder_gives_the_pictures_below_it),
        cmocka_unit_test(test_other_files_in_folders_are_counted),
        cmocka_unit_test(test_a_folder_can_be_left_out),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_names_start_below_what_is_shared),
        cmocka_unit_test(test_a_picture_is_taken_once),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_patterns_of_any_depth),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_what_gives_no_picture),
        cmocka_unit_test(test_order_and_names_of_many),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
