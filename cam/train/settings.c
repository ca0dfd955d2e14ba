/* settings.c - the table of options, readers and writers of values, and the checks of what goes together. */
#include "settings.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_writer.h"
#include "optimizer.h"

const char *const settings_help =
    "camtrain trains a convolutional network to tell pictures apart, for camrun to explain.\n"
    "\n"
    "  camtrain pets --arch resnet18 --width 16 --size 128                  a new network\n"
    "  camtrain pets --init r34.bin --freeze conv1,bn1,layer1 --lr 0.001    from trained weights\n"
    "  camtrain --resume model.ckpt                                         goes on where a run stopped\n"
    "\n"
    "Pictures  DIR          with one folder for each class, as torchvision's ImageFolder takes it\n"
    "          --val DIR|X  to test on after each epoch, or a share of DIR's          (0.1; 0: none)\n"
    "          --augment L  flip: mirror; crop[=X]: a random part of at least X of the area (0.35);\n"
    "                       none                                              (flip,crop)\n"
    "          --size N     of the network's input (224)    --resize N  shorter side before (256/224)\n"
    "          --mean R,G,B  --std R,G,B  (ImageNet's)      --channels 1|3  grey or colour (3)\n"
    "Network   --arch NAME  alexnet, vgg11|13|16|19[_bn], resnet18|34|50|101|152\n"
    "          --width N    a ResNet's channels after conv1 (64)\n"
    "          --init FILE  weights to start from           --freeze LIST  modules that stay as they are\n"
    "Training  --epochs N (30)  --batch N (32)  --seed N (1)  --lr X (sgd 0.01, adam 0.001)\n"
    "          --optimizer sgd|adam (sgd)  --momentum X (0.9)  --weight-decay X (0.0001)\n"
    "          --schedule cosine|step|constant (cosine)  --step-size EPOCHS  --gamma X (0.1)\n"
    "          --warmup EPOCHS (0)\n"
    "Output    -o FILE (model.bin)  --dtype float32|float16  --checkpoint FILE (model.ckpt)\n"
    "          --json FILE  a line for each epoch\n"
    "Other     --resume CHECKPOINT  --cache MB of decoded pictures (1024)  --threads N  --help  --version\n"
    "Exit status: 0 done; 1 a file or what it holds is at fault; 2 the command line is; ended by Ctrl-C\n"
    "or SIGTERM (130, 143 in a shell): the checkpoint has it all.\n";

/* ---- values ---- */

/* One of names; the last is NULL. */
static bool choose(int *field, const char *text, const char *const *names, cr_error *err)
{
    char known[128] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) {
            *field = i;
            return true;
        }
        strcat(strcat(known, i == 0 ? "" : names[i + 1] ? ", " : " or "), names[i]);
    }
    return cr_fail(err, "expected %s, found '%.60s'", known, text);
}

static const char *const optimizers[] = {[SGD] = "sgd", [ADAM] = "adam", NULL};
static const char *const schedules[] = {[CR_CONSTANT] = "constant", [CR_STEP] = "step", [CR_COSINE] = "cosine", NULL};
static const char *const dtypes[] = {[CR_F32] = "float32", [CR_F16] = "float16", NULL};

const char *optimizer_name(optimizer_kind kind)
{
    return optimizers[kind];
}

const char *schedule_name(int kind)
{
    return schedules[kind];
}

static bool set_optimizer(void *field, const char *text, const option *o, cr_error *err)
{
    int kind = 0;
    (void)o;
    if (!choose(&kind, text, optimizers, err))
        return false;
    *(optimizer_kind *)field = (optimizer_kind)kind;
    return true;
}

static bool set_schedule(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    return choose(field, text, schedules, err);
}

static bool set_dtype(void *field, const char *text, const option *o, cr_error *err)
{
    int dtype = 0;
    (void)o;
    if (!choose(&dtype, text, dtypes, err))
        return false;
    *(cr_dtype *)field = (cr_dtype)dtype;
    return true;
}

static const float default_least = 0.35f;

static bool set_augment(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    augmentation a = {0};
    const char *at = text;
    bool ok = strcmp(text, "none") == 0;
    while (!ok) {
        if (strncmp(at, "flip", 4) == 0) {
            at += 4;
            a.flip = true;
        } else if (strncmp(at, "crop=", 5) == 0) {
            at += 5;
            if (!read_number(&at, &a.least) || !(a.least > 0 && a.least <= 1))
                return cr_fail(err, "crop: expected a share of the picture's area, above 0 and at most 1, found '%.60s'",
                               text);
        } else if (strncmp(at, "crop", 4) == 0) {
            at += 4;
            a.least = default_least;
        } else {
            break;
        }
        ok = *at == '\0';
        if (*at != ',')
            break;
        at++;
    }
    if (!ok)
        return cr_fail(err, "expected none, or flip and crop[=SHARE] with a comma between, found '%.60s'", text);
    *(augmentation *)field = a;
    return true;
}

/* ---- the same values as text, which the functions above read back to the same ones ---- */

static void print_text(FILE *out, const void *field)
{
    fputs(*(const char *const *)field, out);
}

static void print_count(FILE *out, const void *field)
{
    fprintf(out, "%d", *(const int *)field);
}

/* The fewest digits that read back to the same double. */
static void print_number(FILE *out, const void *field)
{
    char text[32];
    double value = *(const double *)field;
    int digits = 1;
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (strtod(text, NULL) != value && digits++ < 17);
    fputs(text, out);
}

/* The same for a float. */
static void print_float(FILE *out, float value)
{
    char text[32];
    int digits = 1;
    do
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
    while (strtof(text, NULL) != value && digits++ < 9);
    fputs(text, out);
}

static void print_channels(FILE *out, const void *field)
{
    const channel_values *values = field;
    for (int i = 0; i < values->n; i++) {
        fputs(i ? "," : "", out);
        print_float(out, values->v[i]);
    }
}

static void print_augment(FILE *out, const void *field)
{
    const augmentation *a = field;
    fputs(a->flip ? "flip" : a->least > 0 ? "" : "none", out);
    if (a->least > 0) {
        fputs(a->flip ? ",crop=" : "crop=", out);
        print_float(out, a->least);
    }
}

static void print_optimizer(FILE *out, const void *field)
{
    fputs(optimizers[*(const optimizer_kind *)field], out);
}

static void print_schedule(FILE *out, const void *field)
{
    fputs(schedules[*(const int *)field], out);
}

static void print_dtype(FILE *out, const void *field)
{
    fputs(dtypes[*(const cr_dtype *)field], out);
}

static const struct {
    bool (*set)(void *field, const char *text, const option *o, cr_error *err);
    void (*print)(FILE *out, const void *field);
} writers[] = {
    {set_text, print_text},           {set_arch, print_text},         {set_count, print_count},
    {set_number, print_number},       {set_mean, print_channels},     {set_std, print_channels},
    {set_augment, print_augment},     {set_optimizer, print_optimizer}, {set_schedule, print_schedule},
    {set_dtype, print_dtype},
};

/* ---- the table ---- */

/* What a checkpoint does with an option: those that a run has for good, and those it may change when it is resumed. */
enum { FIXED = 1, KEPT = 2, NOT_SAVED = 4 };

enum { LONGEST_SIDE = 1 << 15 };

#define FIELD(member) offsetof(settings, member)

static const option table[] = {
    {"val", 0, set_text, FIELD(val), KEPT, 0, 0}, /* it may have moved: the fingerprint tells whether it is the same */
    {"augment", 0, set_augment, FIELD(augment), FIXED, 0, 0},
    {"size", 0, set_count, FIELD(size), FIXED, 1, LONGEST_SIDE},
    {"resize", 0, set_count, FIELD(resize), FIXED, 1, LONGEST_SIDE},
    {"mean", 0, set_mean, FIELD(mean), FIXED, 0, 0},
    {"std", 0, set_std, FIELD(std), FIXED, 0, 0},
    {"channels", 0, set_count, FIELD(channels), FIXED, 1, 3},
    {"cache", 0, set_count, FIELD(cache), KEPT, 0, 1 << 20},
    {"arch", 0, set_arch, FIELD(arch), FIXED, 0, 0},
    {"width", 0, set_count, FIELD(width), FIXED, 1, 1024},
    {"init", 0, set_text, FIELD(init), FIXED, 0, 0},
    {"freeze", 0, set_text, FIELD(freeze), FIXED, 0, 0},
    {"epochs", 0, set_count, FIELD(epochs), KEPT, 1, 100000},
    {"batch", 0, set_count, FIELD(batch), FIXED, 1, 1 << 16},
    {"seed", 0, set_count, FIELD(seed), FIXED, 0, INT_MAX},
    {"optimizer", 0, set_optimizer, FIELD(optimizer), FIXED, 0, 0},
    {"lr", 0, set_number, FIELD(lr), FIXED, 1e-9, 100},
    {"momentum", 0, set_number, FIELD(momentum), FIXED, 0, 1},
    {"weight-decay", 0, set_number, FIELD(weight_decay), FIXED, 0, 1},
    {"schedule", 0, set_schedule, FIELD(schedule), FIXED, 0, 0},
    {"step-size", 0, set_count, FIELD(step_size), FIXED, 1, 100000},
    {"gamma", 0, set_number, FIELD(gamma), FIXED, 0, 1},
    {"warmup", 0, set_count, FIELD(warmup), FIXED, 0, 100000},
    {"output", 'o', set_text, FIELD(output), KEPT, 0, 0},
    {"dtype", 0, set_dtype, FIELD(dtype), KEPT, 0, 0},
    {"checkpoint", 0, set_text, FIELD(checkpoint), NOT_SAVED, 0, 0},
    {"json", 0, set_text, FIELD(json), KEPT, 0, 0},
    {"resume", 0, set_text, FIELD(resume), NOT_SAVED, 0, 0},
    {"threads", 0, set_count, FIELD(threads), NOT_SAVED, 1, 1024},
};

static const task_option tasks[] = {
    {"help", 'h', SHOW_HELP, true},
    {"version", 0, SHOW_VERSION, true},
};

enum { OPTIONS = sizeof table / sizeof table[0], TASKS = sizeof tasks / sizeof tasks[0] };

static const command camtrain = {table, OPTIONS, tasks, TASKS};

/* ---- what goes together ---- */

static bool check_files(const settings *s, cr_error *err)
{
    const struct {
        const char *option, *path;
    } files[] = {{"-o", s->output}, {"--checkpoint", s->checkpoint}, {"--json", s->json}, {"--init", s->init}};
    enum { WRITTEN = 3, FILES = sizeof files / sizeof files[0] };
    for (int i = 0; i < WRITTEN; i++)
        for (int k = i + 1; k < FILES; k++)
            if (files[i].path && files[k].path && strcmp(files[i].path, files[k].path) == 0)
                return cr_fail(err, "%s and %s name the same file, '%.200s'", files[i].option, files[k].option,
                               files[i].path);
    return true;
}

static bool check(const settings *s, const bool *given, cr_error *err)
{
    if (s->operands.n > 1)
        return cr_fail(err, "expected one folder of pictures, found '%.150s' and '%.150s'", s->operands.items[0],
                       s->operands.items[1]);
    if (!s->data)
        return cr_fail(err, "no pictures given: camtrain DIR, a folder with one folder of pictures for each class (--help)");
    if (!s->arch && !s->init)
        return cr_fail(err, "no network given: add --arch NAME (resnet18, say), or --init FILE to start from its weights");
    if (s->freeze && !s->init)
        return cr_fail(err, "--freeze keeps trained weights as they are, and these are random: add --init FILE");
    if (s->channels == 2)
        return cr_fail(err, "--channels: expected 1 or 3, found 2");
    if (s->optimizer == ADAM && is_given(table, given, "momentum"))
        return cr_fail(err, "--momentum has no effect with --optimizer adam: leave one of them out");
    for (int i = 0; i < 2; i++) {
        const char *name = (const char *const[]){"step-size", "gamma"}[i];
        if (s->schedule != CR_STEP && is_given(table, given, name))
            return cr_fail(err, "--%s has no effect with --schedule %s: leave one of them out", name,
                           schedules[s->schedule]);
    }
    if (s->warmup >= s->epochs)
        return cr_fail(err, "--warmup: expected fewer epochs than the %d of --epochs, found %d", s->epochs, s->warmup);
    if (s->val && (s->val[0] == '-' || (settings_val_share(s) < 0 && strspn(s->val, "0123456789.") == strlen(s->val))))
        return cr_fail(err, "--val: expected a folder, or a share from 0 to less than 1, found '%.60s'", s->val);
    return check_files(s, err);
}

double settings_val_share(const settings *s)
{
    char *end;
    double share = strtod(s->val, &end);
    return end != s->val && !*end && share >= 0 && share < 1 ? share : -1;
}

/* ---- the whole ---- */

static settings defaults(void)
{
    return (settings){
        .val = "0.1", .augment = {.flip = true, .least = default_least}, .cache = 1024, .epochs = 30, .batch = 32,
        .seed = 1, .momentum = 0.9, .weight_decay = 1e-4, .schedule = CR_COSINE, .gamma = 0.1, .dtype = CR_F32,
        .output = "model.bin",
    };
}

/* What follows from other settings. */
static bool derive(settings *s, cr_error *err)
{
    if (s->lr == 0)
        s->lr = s->optimizer == ADAM ? 0.001 : 0.01;
    if (s->schedule == CR_STEP && !s->step_size)
        s->step_size = (s->epochs + 2) / 3;
    if (s->checkpoint)
        return true;
    /* "model.ckpt" for "model.bin" */
    const char *slash = strrchr(s->output, '/'), *dot = strrchr(slash ? slash : s->output, '.');
    size_t stem = dot ? (size_t)(dot - s->output) : strlen(s->output), size = stem + sizeof ".ckpt";
    if (!(s->derived_checkpoint = malloc(size)))
        return cr_fail(err, "out of memory");
    snprintf(s->derived_checkpoint, size, "%.*s.ckpt", (int)stem, s->output);
    s->checkpoint = s->derived_checkpoint;
    return true;
}

static bool parse(settings *s, bool *given, int argc, char **argv, cr_error *err)
{
    command_line line = {given, (int)s->task, s->operands};
    bool ok = command_parse(&camtrain, s, &line, argc, argv, err);
    s->task = (train_task)line.task;
    s->operands = line.operands;
    if (s->operands.n)
        s->data = s->operands.items[0];
    return ok;
}

bool settings_parse(settings *s, int argc, char **argv, cr_error *err)
{
    *s = defaults();
    bool given[OPTIONS] = {false};
    if (!text_list_create(&s->operands, argc, err) || !parse(s, given, argc, argv, err))
        return false;
    if (s->task != TRAIN || s->resume)
        return true;
    return derive(s, err) && check(s, given, err);
}

void settings_free(settings *s)
{
    text_list_free(&s->operands);
    cr_meta_strings_free(s->saved);
    free(s->derived_checkpoint);
    *s = (settings){0};
}

/* ---- checkpoints ---- */

/* *text: the row's value, which the caller frees; NULL where it has none. False out of memory. */
static bool value_text(char **text, const settings *s, const option *o)
{
    const void *field = (const char *)s + o->field;
    bool is_text = o->set == set_text || o->set == set_arch, is_channels = o->set == set_mean || o->set == set_std;
    *text = NULL;
    if ((is_text && !*(const char *const *)field) || (is_channels && !((const channel_values *)field)->n) ||
        (o->set == set_count && o->low > 0 && !*(const int *)field))
        return true;
    size_t bytes;
    FILE *out = open_memstream(text, &bytes);
    if (!out)
        return false;
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++)
        if (writers[i].set == o->set)
            writers[i].print(out, field);
    return fclose(out) == 0;
}

char *settings_save(const settings *s)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    json_writer j = {.out = out, .compact = true};
    json_open(&j, NULL, '[');
    json_text(&j, NULL, "camtrain");
    bool ok = true;
    for (int i = 0; ok && i < OPTIONS; i++) {
        char *value = NULL, name[64];
        ok = table[i].use == NOT_SAVED || value_text(&value, s, &table[i]);
        if (value) {
            snprintf(name, sizeof name, "--%s", table[i].name);
            json_text(&j, NULL, name);
            json_text(&j, NULL, value);
        }
        free(value);
    }
    json_text(&j, NULL, "--");
    json_text(&j, NULL, s->data);
    json_close(&j, ']');
    if (fclose(out) == 0 && ok)
        return text;
    free(text);
    return NULL;
}

/* Whether the command line, as it was read, agrees with the run that goes on. */
static bool check_fixed(const settings *now, const settings *run, const bool *given, cr_error *err)
{
    bool ok = true;
    for (int i = 0; ok && i < OPTIONS; i++) {
        if (!given[i] || table[i].use != FIXED)
            continue;
        char *wanted = NULL, *has = NULL;
        if (!value_text(&wanted, now, &table[i]) || !value_text(&has, run, &table[i]))
            ok = cr_fail(err, "out of memory");
        else if (!wanted || !has || strcmp(wanted, has) != 0)
            ok = cr_fail(err, "--%s %.60s: the run in %.150s has %s%.60s; leave it out, or start a new run with --init %.100s",
                         table[i].name, wanted ? wanted : "", now->resume, has ? "" : "none", has ? has : "", now->resume);
        free(wanted);
        free(has);
    }
    return ok;
}

bool settings_resume(settings *s, const char *saved, int argc, char **argv, cr_error *err)
{
    int n;
    cr_error why;
    bool given[OPTIONS] = {false}, was_given[OPTIONS] = {false};
    settings now = defaults(), run = defaults();
    run.saved = cr_meta_strings(saved, &n, &why);
    bool ok = run.saved || cr_fail(err, "%.200s: %s", s->resume, why.text);
    ok = ok && text_list_create(&now.operands, argc, err) && text_list_create(&run.operands, argc + n, err) &&
         parse(&now, given, argc, argv, err);
    if (ok && !parse(&run, was_given, n, run.saved, &why))
        ok = cr_fail(err, "%.200s: written by another version of camtrain: %s", s->resume, why.text);
    ok = ok && check_fixed(&now, &run, given, err);
    run.operands.n = 0;
    ok = ok && parse(&run, given, argc, argv, err);
    if (!run.checkpoint)
        run.checkpoint = run.resume;
    ok = ok && check(&run, given, err);
    settings_free(&now);
    settings_free(s);
    *s = run;
    return ok;
}
