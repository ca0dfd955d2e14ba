/* test_camtrain_run.c - steps, learning rates, settings and checkpoints: a run that goes on from a file is the run that
 * never stopped. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "train/checkpoint.h"

enum { CLASSES = 3, EACH = 6, SIZE = 32, BATCH = 4, STEPS = CLASSES * EACH / BATCH };

static char folder[] = "/tmp/camrun_run_XXXXXX";
static char ckpt[64];
static dataset data;
static pictures photos;
static cr_transform transform;

static void no_progress(void *context, int done, int n)
{
    (void)context, (void)done, (void)n;
}

/* Pictures whose classes differ in brightness. */
static int set_up(void **state)
{
    (void)state;
    uint64_t random = SEED;
    cr_error err;
    if (!mkdtemp(folder))
        return -1;
    snprintf(ckpt, sizeof ckpt, "%s/run.ckpt", folder);
    for (int c = 0; c < CLASSES; c++)
        for (int i = 0; i < EACH; i++) {
            char path[128];
            snprintf(path, sizeof path, "%s/%d", folder, c);
            mkdir(path, 0777);
            snprintf(path, sizeof path, "%s/%d/%d.ppm", folder, c, i);
            FILE *file = fopen(path, "wb");
            if (!file)
                return -1;
            fprintf(file, "P6 40 36 255\n");
            for (int k = 0; k < 40 * 36 * 3; k++)
                putc((int)random_uniform(&random, 0, (float)(80 + 80 * c)), file);
            fclose(file);
        }
    transform = cr_transform_default();
    transform.resize = transform.crop_w = transform.crop_h = SIZE;
    return dataset_scan(&data, folder, NULL, &err) &&
                   pictures_open(&photos, &data, &transform, 3, 1 << 20, no_progress, NULL, &err)
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char remove_all[64];
    pictures_close(&photos);
    dataset_free(&data);
    snprintf(remove_all, sizeof remove_all, "rm -r %s", folder);
    return system(remove_all);
}

/* ---- settings ---- */

/* Splits a command line at its spaces; behind it, settings may point into the text. */
static bool parse(settings *s, char *line, cr_error *err)
{
    char *argv[64];
    int argc = 0;
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return settings_parse(s, argc, argv, err);
}

static void parse_or_fail(settings *s, char *line)
{
    cr_error err = {""};
    if (!parse(s, line, &err))
        fail_msg("%s", err.text);
}

static void test_defaults(void **state)
{
    (void)state;
    settings s;
    char line[] = "camtrain pets --arch resnet18", adam[] = "camtrain pets --arch alexnet --optimizer adam -o a.b/c";
    parse_or_fail(&s, line);
    assert_string_equal(s.data, "pets");
    assert_string_equal(s.checkpoint, "model.ckpt");
    assert_true(s.lr == 0.01 && s.augment.flip && s.augment.least == 0.35f && settings_val_share(&s) == 0.1);
    settings_free(&s);
    parse_or_fail(&s, adam);
    assert_true(s.lr == 0.001);
    assert_string_equal(s.checkpoint, "a.b/c.ckpt");
    settings_free(&s);
}

static void test_augment_lists(void **state)
{
    (void)state;
    const struct {
        const char *text;
        bool ok, flip;
        float least;
    } cases[] = {{"none", true, false, 0}, {"flip", true, true, 0}, {"crop", true, false, 0.35f},
                 {"crop=0.08,flip", true, true, 0.08f}, {"flip,crop=1", true, true, 1}, {"", false, 0, 0},
                 {"flip,", false, 0, 0}, {"crop=0", false, 0, 0}, {"crop=1.5", false, 0, 0}, {"none,flip", false, 0, 0},
                 {"flipcrop", false, 0, 0}, {"crop=0.5x", false, 0, 0}, {"mixup", false, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        settings s;
        cr_error err;
        char line[128];
        snprintf(line, sizeof line, "camtrain pets --arch resnet18 --augment=%s", cases[i].text);
        if (parse(&s, line, &err) != cases[i].ok)
            fail_msg("--augment '%s'", cases[i].text);
        if (cases[i].ok)
            assert_true(s.augment.flip == cases[i].flip && s.augment.least == cases[i].least);
        settings_free(&s);
    }
}

/* Every value comes back, though the command line that resumes says nothing. */
static void test_settings_through_a_checkpoint(void **state)
{
    (void)state;
    settings s, again;
    cr_error err = {""};
    char line[] = "camtrain pets --arch resnet34 --width 24 --size 60 --resize 70 --mean 0.1,0.2,0.3 --std 0.7 --channels 1 "
                  "--cache 5 --val 0.2 --augment crop=0.1 --epochs 17 --batch 9 --seed 0 --lr 0.0123456789012345678 "
                  "--momentum 0.95 --weight-decay 0.0005 --schedule step --step-size 4 --gamma 0.3 --warmup 2 -o x.bin "
                  "--dtype float16 --json log --checkpoint c --threads 3";
    parse_or_fail(&s, line);
    char *saved = settings_save(&s);
    assert_non_null(saved);
    char *argv[] = {"camtrain", "--resume", "r.ckpt"};
    again = (settings){.resume = "r.ckpt"};
    if (!settings_resume(&again, saved, 3, argv, &err))
        fail_msg("%s", err.text);
    char *saved_again = settings_save(&again);
    assert_string_equal(saved, saved_again);
    assert_true(again.lr == s.lr && again.mean.v[2] == 0.3f && again.std.n == 1 && again.seed == 0 && again.step_size == 4);
    assert_string_equal(again.checkpoint, "r.ckpt"); /* goes on being written */
    assert_int_equal(again.threads, 0);
    settings_free(&again);

    const struct {
        const char *words[10], *message;
    } cases[] = {
        {{"--lr", "0.0123456789012345678", "--epochs", "20", "-o", "y.bin", "--val", "other", "elsewhere"}, NULL},
        {{"--lr", "0.02"}, "--lr 0.02"},
        {{"--seed", "1"}, "has 0"},
        {{"--freeze", "layer1"}, "has none"},
        {{"--optimizer", "adam"}, "has sgd"},
        {{"--augment", "flip"}, "crop=0.1"},
        {{"--width", "16"}, "has 24"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *words[16] = {"camtrain", "--resume", "r.ckpt"};
        int n = 3;
        for (int k = 0; k < 10 && cases[i].words[k]; k++)
            words[n++] = (char *)(uintptr_t)cases[i].words[k];
        again = (settings){.resume = "r.ckpt"};
        if (settings_resume(&again, saved, n, words, &err) != !cases[i].message)
            fail_msg("case %zu: %s", i, err.text);
        if (cases[i].message)
            check_message(&err, "r.ckpt", cases[i].message, "--init", NULL);
        else
            assert_true(again.epochs == 20 && strcmp(again.output, "y.bin") == 0);
        settings_free(&again);
    }
    again = (settings){.resume = "r.ckpt"};
    assert_false(settings_resume(&again, "[\"camtrain\", \"--new\", \"1\"]", 3, argv, &err));
    check_message(&err, "r.ckpt", "another version", NULL);
    settings_free(&again);
    free(saved);
    free(saved_again);
    settings_free(&s);
}

/* ---- trainers ---- */

typedef struct machine {
    char line[256];
    settings s;
    model m;
    trainer t;
    int order[CLASSES * EACH];
} machine;

static machine *start(const char *options)
{
    cr_error err = {""};
    machine *a = zeros(1, sizeof *a);
    snprintf(a->line, sizeof a->line, "camtrain pets --arch resnet18 --width 3 --size %d --batch %d %s", SIZE, BATCH, options);
    parse_or_fail(&a->s, a->line);
    if (!model_create(&a->m, cr_arch_find("resnet18", &err), 3, CLASSES, 3, &err))
        fail_msg("%s", err.text);
    model_init(&a->m, (uint64_t)a->s.seed);
    if (a->s.freeze && !model_freeze(&a->m, a->s.freeze, &err))
        fail_msg("%s", err.text);
    if (!trainer_create(&a->t, &a->m, &a->s, data.n, SIZE, &err))
        fail_msg("%s", err.text);
    assert_int_equal(a->t.steps, data.n / a->t.batch);
    return a;
}

static void stop(machine *a)
{
    trainer_free(&a->t);
    model_free(&a->m);
    settings_free(&a->s);
    free(a);
}

/* So many steps from *at on, through epochs. */
static void run(machine *a, position *at, int steps)
{
    cr_error err = {""};
    for (; steps > 0; steps--) {
        if (at->step == STEPS)
            *at = (position){.epoch = at->epoch + 1};
        dataset_order(a->order, data.n, (uint64_t)a->s.seed, at->epoch);
        if (!trainer_step(&a->t, &photos, a->order + at->step * BATCH, at->epoch, at->step, &at->sum, &err))
            fail_msg("%s", err.text);
        at->step++;
    }
}

static const description about = {(char *[]){"a", "b \"c\"", "\xC3\xA9"}, &transform};

static void test_a_run_that_goes_on_is_the_one_that_never_stopped(void **state)
{
    (void)state;
    const char *const options[] = {"--lr 0.05", "--optimizer adam --weight-decay 0.01", "--momentum 0 --augment none",
                                   "--freeze layer1,bn1 --init x --warmup 1"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        for (int before = 1; before <= STEPS + 1; before += 3) { /* inside, at the end of, and behind an epoch */
            cr_error err = {""};
            position at = {0}, read = {0}, later = {0};
            machine *whole = start(options[i]), *first = start(options[i]), *second = start(options[i]);
            run(whole, &later, 2 * STEPS + 1);
            run(first, &at, before);
            if (!checkpoint_write(ckpt, &first->t, &about, "[]", 77, &at, &err))
                fail_msg("%s", err.text);
            memset(second->m.memory, 0, second->m.values * sizeof(float)); /* nothing but the file is to count */
            cr_weights *w = cr_weights_open(ckpt, &err);
            if (!w || !checkpoint_read(w, ckpt, &second->t, 77, &read, &err))
                fail_msg("%s", err.text);
            cr_weights_close(w);
            assert_memory_equal(&read, &at, sizeof at);
            run(second, &read, 2 * STEPS + 1 - before);
            check_same_bits(second->m.memory, whole->m.memory, whole->m.values, "%s, after %d steps", options[i], before);
            assert_true(memcmp(&read.sum, &later.sum, sizeof read.sum) == 0);
            stop(whole);
            stop(first);
            stop(second);
        }
}

static void test_checkpoints_are_weights_files(void **state)
{
    (void)state;
    cr_error err = {""};
    machine *a = start("--lr 0.05");
    position at = {0};
    run(a, &at, 2);
    assert_true(checkpoint_write(ckpt, &a->t, &about, "[]", 77, &at, &err));
    cr_weights *w = cr_weights_open(ckpt, &err);
    assert_non_null(cr_weights_find(w, "optimizer.momentum_buffer.fc.weight"));
    assert_null(cr_weights_find(w, "optimizer.momentum_buffer.bn1.running_mean"));
    cr_net *net = cr_net_load(w, NULL, &err);
    if (!net)
        fail_msg("%s", err.text);
    for (int i = 0; i < net->n_params; i++)
        check_same_bits(net->params[i].data, a->m.param[i], a->m.count[i], "%s", net->params[i].name);
    int n;
    char **names = cr_meta_strings(cr_weights_meta(w, "classes"), &n, &err);
    assert_int_equal(n, CLASSES);
    for (int i = 0; i < n; i++)
        assert_string_equal(names[i], about.classes[i]);
    cr_meta_strings_free(names);
    cr_net_free(net);
    cr_weights_close(w);
    stop(a);
}

static void test_checkpoints_that_do_not_fit(void **state)
{
    (void)state;
    cr_error err = {""};
    machine *a = start("--lr 0.05"), *adam = start("--optimizer adam"), *all = start("--lr 0.05");
    position at = {.epoch = 1, .step = 2, .sum = {.n = 8, .loss = 0.1}}, read;
    assert_true(checkpoint_write(ckpt, &a->t, &about, "[]", 77, &at, &err));
    cr_weights *w = cr_weights_open(ckpt, &err);
    assert_false(checkpoint_read(w, ckpt, &all->t, 78, &read, &err));
    check_message(&err, ckpt, "pictures", NULL);
    assert_false(checkpoint_read(w, ckpt, &adam->t, 77, &read, &err));
    check_message(&err, ckpt, "optimizer.exp_avg", NULL);
    cr_weights_close(w);
    for (int i = 0; i < 3; i++) {
        const position bad[] = {{.step = STEPS + 1, .sum.n = (STEPS + 1) * BATCH}, {.epoch = -1}, {.step = 1}};
        assert_true(checkpoint_write(ckpt, &a->t, &about, "[]", 77, &bad[i], &err));
        w = cr_weights_open(ckpt, &err);
        assert_false(checkpoint_read(w, ckpt, &all->t, 77, &read, &err));
        check_message(&err, ckpt, "damaged", "epoch", NULL);
        cr_weights_close(w);
    }
    assert_true(weights_write(ckpt, &a->m, &about, CR_F32, &err));
    w = cr_weights_open(ckpt, &err);
    assert_null(checkpoint_settings(w, ckpt, &err));
    check_message(&err, ckpt, "--init", NULL);
    cr_weights_close(w);
    stop(a);
    stop(adam);
    stop(all);
}

/* ---- steps ---- */

static void test_what_is_frozen_stays(void **state)
{
    (void)state;
    machine *a = start("--init x --freeze layer1,bn1,fc.bias --lr 0.1"), *b = start("--init x --freeze layer1");
    position at = {0};
    run(a, &at, 3);
    for (int i = 0; i < a->m.net->n_params; i++) {
        const char *name = a->m.net->params[i].name;
        bool frozen = strncmp(name, "layer1.", 7) == 0 || strncmp(name, "bn1.", 4) == 0 || strcmp(name, "fc.bias") == 0;
        if ((memcmp(a->m.param[i], b->m.param[i], a->m.count[i] * sizeof(float)) == 0) != frozen)
            fail_msg("%s %s", name, frozen ? "changed" : "did not change");
    }
    stop(a);
    stop(b);
}

static void test_learning_rates(void **state)
{
    (void)state;
    machine *a = start("--lr 0.4 --epochs 10 --warmup 2"), *b = start("--lr 0.4 --schedule step --step-size 2 --gamma 0.5");
    machine *c = start("--lr 0.4 --schedule constant");
    for (int epoch = 0; epoch < 10; epoch++)
        for (int step = 0; step < STEPS; step++) {
            const double t = epoch * STEPS + step, w = 2 * STEPS, pi = acos(-1);
            const double cosine = t < w ? 0.4 * (t + 1) / w : 0.2 * (1 + cos(pi * (t - w) / (10 * STEPS - w)));
            assert_true(fabs(trainer_lr(&a->t, epoch, step) - cosine) < 1e-12);
            assert_true(fabs(trainer_lr(&b->t, epoch, step) - 0.4 * pow(0.5, epoch / 2)) < 1e-12);
            assert_true(trainer_lr(&c->t, epoch, step) == 0.4);
        }
    stop(a);
    stop(b);
    stop(c);
}

static bool never(void)
{
    return false;
}

static bool at_once(void)
{
    return true;
}

/* The test counts every picture once, though batches of 4 do not go into 18. */
static void test_testing(void **state)
{
    (void)state;
    cr_error err = {""};
    machine *a = start("--lr 0.02 --epochs 40 --augment none"), *b = start("--lr 0.05 --batch 5");
    position at = {0};
    score one, other;
    bool stopped;
    run(a, &at, 160);
    assert_true(trainer_test(&a->t, &photos, never, &stopped, &one, &err));
    assert_true(!stopped && one.n == data.n);
    assert_true(one.correct >= 12 && one.loss > 0); /* brightness is easy; chance would be 6 */
    memcpy(b->m.memory, a->m.memory, a->m.values * sizeof(float));
    assert_true(trainer_test(&b->t, &photos, never, &stopped, &other, &err));
    assert_int_equal(one.correct, other.correct);
    assert_true(fabs(one.loss - other.loss) < 1e-9 * one.loss); /* the order of a sum of doubles */
    assert_true(trainer_test(&a->t, &photos, at_once, &stopped, &one, &err));
    assert_true(stopped);
    stop(a);
    stop(b);
}

static void test_a_loss_that_is_no_number(void **state)
{
    (void)state;
    cr_error err = {""};
    machine *a = start("--lr 0.05");
    position at = {0};
    a->m.param[0][3] = NAN;
    cr_plan_update(a->t.plan);
    dataset_order(a->order, data.n, 1, 0);
    float before = a->m.param[5][0];
    assert_false(trainer_step(&a->t, &photos, a->order, 0, 0, &at.sum, &err));
    check_message(&err, "nan", "--lr", NULL);
    assert_true(at.sum.n == 0 && a->m.param[5][0] == before);
    stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_augment_lists),
        cmocka_unit_test(test_settings_through_a_checkpoint),
        cmocka_unit_test(test_a_run_that_goes_on_is_the_one_that_never_stopped),
        cmocka_unit_test(test_checkpoints_are_weights_files),
        cmocka_unit_test(test_checkpoints_that_do_not_fit),
        cmocka_unit_test(test_what_is_frozen_stays),
        cmocka_unit_test(test_learning_rates),
        cmocka_unit_test(test_testing),
        cmocka_unit_test(test_a_loss_that_is_no_number),
    };
    print_setup();
    return cmocka_run_group_tests_name("camtrain_run", tests, set_up, tear_down);
}
