/* options.c - the table of options, the parser that walks it, and the checks of what goes together. */
#include "options.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "nearest.h"

const char *const options_help =
    "camrun shows which part of a picture made a convolutional network give its answer.\n"
    "\n"
    "  camrun --weights weights/shapes.bin cam/demo/shapes.png     writes shapes_gradcam.png\n"
    "  camrun --arch resnet34 --weights r34.pth --class top1,boxer --panel dog.jpg\n"
    "\n"
    "Network  --weights FILE  .bin, .safetensors or .pth     --labels FILE  class names, one a line\n"
    "         --arch NAME     if FILE does not tell: alexnet, vgg11|13|16|19[_bn], resnet18|34|50|101|152\n"
    "Explain  --class LIST    index, name, or top1, top2...: one picture each   (default: top1)\n"
    "         --method LIST   see --list-methods; one picture each            (default: gradcam)\n"
    "         --layer LIST    see --list-layers; several are averaged (default: the last feature map)\n"
    "         --seed N        of the random numbers that some methods use\n"
    "Picture  --resize N|WxH  shorter side, or squash to W x H          these default to what\n"
    "         --size N        then crop N x N from the centre           the weights file says,\n"
    "         --mean R,G,B  --std R,G,B  of values in [0,1]             else to ImageNet's values\n"
    "         --no-crop  keep the whole picture        --gray  drop the colours\n"
    "         --tensor F.npy  a ready (N,C,H,W) float32 input in place of pictures\n"
    "Output   -o PATH    file, or folder for several     (default: PICTURE_METHOD.png, here)\n"
    "         --panel  picture, map and overlay          --alpha 0..1  weight of the map's colours (0.5)\n"
    "         --colormap jet|viridis|turbo|grey          --json  the report for programs\n"
    "         --save-map F.npy  in [0,1], input size     --save-raw F.npy  signed, layer size\n"
    "         --save-logits F.npy\n"
    "Other    --list-methods  --list-layers  --timing [--repeat N]  --threads N  --help  --version\n"
    "Exit status: 0 done; 1 a file or what it holds is at fault; 2 the command line is.\n";

/* ---- values ---- */

typedef struct option option;

struct option {
    const char *name; /* without the dashes */
    char letter;      /* its short form, or 0 */
    bool (*set)(void *field, const char *text, const option *o, cr_error *err);
    size_t field;     /* offset in struct options */
    unsigned tasks;   /* it has a part in */
    int max;          /* set_count: from 1 to max */
};

static bool set_flag(void *field, const char *text, const option *o, cr_error *err)
{
    (void)text, (void)o, (void)err;
    *(bool *)field = true;
    return true;
}

static bool set_text(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    if (!*text)
        return cr_fail(err, "expected a value, found an empty one");
    *(const char **)field = text;
    return true;
}

static bool add_text(void *field, const char *text, const option *o, cr_error *err)
{
    text_list *list = field;
    if (!set_text(&list->items[list->n], text, o, err)) /* there is room for all of argv */
        return false;
    list->n++;
    return true;
}

static bool set_arch(void *field, const char *text, const option *o, cr_error *err)
{
    return cr_arch_find(text, err) && set_text(field, text, o, err);
}

static bool add_method(method_list *list, const char *name, cr_error *err)
{
    const cr_method *method = cr_method_find(name, err);
    for (int i = 0; method && i < list->n; i++)
        if (list->items[i] == method)
            return cr_fail(err, "method %s is named twice", name);
    if (method && list->n == (int)(sizeof list->items / sizeof list->items[0]))
        return cr_fail(err, "more than %d methods", list->n);
    if (method)
        list->items[list->n++] = method;
    return method != NULL;
}

static bool add_methods(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    bool ok = true;
    for (const char *item = text, *end; ok && item; item = *end ? end + 1 : NULL) {
        char name[64];
        end = item + strcspn(item, ",");
        snprintf(name, sizeof name, "%.*s", (int)(end - item), item);
        ok = *name ? add_method(field, name, err)
                   : cr_fail(err, "a method is missing: expected names with commas between, found '%.60s'", text);
    }
    return ok;
}

static bool set_colormap(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    *(const cr_colormap **)field = cr_colormap_find(text, err);
    return *(const cr_colormap **)field != NULL;
}

/* Reads digits alone, at *text, and moves *text behind them. 0 where there are none or the number is above max. */
static int read_count(const char **text, int max)
{
    char *end;
    errno = 0;
    long value = **text >= '0' && **text <= '9' ? strtol(*text, &end, 10) : 0;
    if (value < 1 || value > max || errno)
        return 0;
    *text = end;
    return (int)value;
}

static bool set_count(void *field, const char *text, const option *o, cr_error *err)
{
    const char *end = text;
    int value = read_count(&end, o->max);
    if (!value || *end)
        return cr_fail(err, "expected a whole number from 1 to %d, found '%.60s'", o->max, text);
    *(int *)field = value;
    return true;
}

static bool set_resize(void *field, const char *text, const option *o, cr_error *err)
{
    const char *end = text;
    int first = read_count(&end, o->max), second = 0;
    bool pair = first && (*end == 'x' || *end == 'X');
    if (pair) {
        end++;
        second = read_count(&end, o->max);
    }
    if (!first || (pair && !second) || *end)
        return cr_fail(err, "expected the shorter side's length, as 256, or WIDTHxHEIGHT, as 224x224, none above %d; "
                       "found '%.60s'", o->max, text);
    *(resize_value *)field = pair ? (resize_value){.w = first, .h = second} : (resize_value){.shorter = first};
    return true;
}

/* Reads a finite number at *text and moves *text behind it. */
static bool read_number(const char **text, float *value)
{
    char *end;
    *value = strtof(*text, &end);
    bool ok = end != *text && isfinite(*value);
    *text = end;
    return ok;
}

static bool set_fraction(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    const char *end = text;
    float value;
    if (!read_number(&end, &value) || *end || !(value >= 0 && value <= 1))
        return cr_fail(err, "expected a number from 0 to 1, found '%.60s'", text);
    *(float *)field = value;
    return true;
}

static bool set_channels(void *field, const char *text, const option *o, cr_error *err)
{
    channel_values *values = field;
    const char *end = text;
    bool ok = read_number(&end, &values->v[0]);
    for (values->n = 1; ok && *end && values->n < 3; values->n++)
        ok = *end++ == ',' && read_number(&end, &values->v[values->n]);
    if (!ok || *end || values->n == 2)
        return cr_fail(err, "expected three numbers, as 0.485,0.456,0.406, or one for all; found '%.60s'", text);
    bool is_divisor = o->field == offsetof(options, std);
    for (int i = 0; i < values->n; i++) {
        float v = values->v[i];
        if (v > 1)
            return cr_fail(err, "expected values for pixels from 0 to 1, found %g; if for 0 to 255, divide by 255",
                           (double)v);
        if (v < 0 || (is_divisor && v == 0))
            return cr_fail(err, "expected values %s 0, found %g", is_divisor ? "above" : "of at least", (double)v);
    }
    return true;
}

/* ---- the table ---- */

enum {
    EXPLAIN = EXPLAIN_PICTURES | EXPLAIN_TENSOR,
    ANY_TASK = EXPLAIN | LIST_LAYERS,
    LONGEST_SIDE = 1 << 15,
};

#define FIELD(member) offsetof(options, member)

static const option table[] = {
    {"arch", 0, set_arch, FIELD(arch), ANY_TASK, 0},
    {"weights", 0, set_text, FIELD(weights), ANY_TASK, 0},
    {"labels", 0, set_text, FIELD(labels), EXPLAIN, 0},
    {"method", 0, add_methods, FIELD(methods), EXPLAIN, 0},
    {"layer", 0, add_text, FIELD(layers), EXPLAIN, 0},
    {"class", 0, add_text, FIELD(classes), EXPLAIN, 0},
    {"resize", 0, set_resize, FIELD(resize), EXPLAIN_PICTURES | LIST_LAYERS, LONGEST_SIDE},
    {"size", 0, set_count, FIELD(size), EXPLAIN_PICTURES | LIST_LAYERS, LONGEST_SIDE},
    {"no-crop", 0, set_flag, FIELD(no_crop), EXPLAIN_PICTURES, 0},
    {"mean", 0, set_channels, FIELD(mean), EXPLAIN_PICTURES, 0},
    {"std", 0, set_channels, FIELD(std), EXPLAIN_PICTURES, 0},
    {"gray", 0, set_flag, FIELD(gray), EXPLAIN_PICTURES, 0},
    {"tensor", 0, set_text, FIELD(tensor), EXPLAIN_TENSOR, 0},
    {"output", 'o', set_text, FIELD(output), EXPLAIN, 0},
    {"panel", 0, set_flag, FIELD(panel), EXPLAIN_PICTURES, 0},
    {"alpha", 0, set_fraction, FIELD(alpha), EXPLAIN_PICTURES, 0},
    {"colormap", 0, set_colormap, FIELD(colormap), EXPLAIN, 0},
    {"save-map", 0, set_text, FIELD(save_map), EXPLAIN, 0},
    {"save-raw", 0, set_text, FIELD(save_raw), EXPLAIN, 0},
    {"save-logits", 0, set_text, FIELD(save_logits), EXPLAIN, 0},
    {"json", 0, set_flag, FIELD(json), ANY_TASK | LIST_METHODS, 0},
    {"timing", 0, set_flag, FIELD(timing), EXPLAIN, 0},
    {"repeat", 0, set_count, FIELD(repeat), EXPLAIN, 1000000},
    {"threads", 0, set_count, FIELD(threads), EXPLAIN, 1024},
    {"seed", 0, set_count, FIELD(seed), EXPLAIN, INT_MAX},
};

enum { OPTIONS = sizeof table / sizeof table[0] };

/* Options that decide the task and take no value. */
static const struct {
    const char *name;
    char letter;
    task task;
} tasks[] = {
    {"help", 'h', SHOW_HELP},
    {"version", 0, SHOW_VERSION},
    {"list-layers", 0, LIST_LAYERS},
    {"list-methods", 0, LIST_METHODS},
};

enum { TASKS = sizeof tasks / sizeof tasks[0] };

/* Whether arg, up to length, is --name or -letter. */
static bool is_option(const char *arg, size_t length, const char *name, char letter)
{
    if (strncmp(arg, "--", 2) == 0)
        return strlen(name) == length - 2 && strncmp(arg + 2, name, length - 2) == 0;
    return letter && length == 2 && arg[1] == letter;
}

static bool unknown_option(const char *arg, size_t length, cr_error *err)
{
    char typed[64];
    snprintf(typed, sizeof typed, "%.*s", (int)length, arg);
    const char *word = typed + strspn(typed, "-"), *best = NULL;
    for (int i = 0; i < OPTIONS + TASKS; i++) {
        const char *name = i < OPTIONS ? table[i].name : tasks[i - OPTIONS].name;
        if (cr_is_near(word, name) && (!best || cr_edit_distance(word, name) < cr_edit_distance(word, best)))
            best = name;
    }
    if (best)
        return cr_fail(err, "unknown option '%s'; did you mean --%s?", typed, best);
    return cr_fail(err, "unknown option '%s' (--help lists them all)", typed);
}

/* ---- what goes together ---- */

static bool check_output_name(const char *path, cr_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    if (dot && dot[1] && strcasecmp(dot, ".png") != 0 && strcmp(dot, "..") != 0)
        return cr_fail(err, "-o: pictures are written as PNG: expected a name that ends in .png, or a folder's with a "
                       "slash behind it, found '%.200s'", path);
    return true;
}

/* No file is written twice, nor over one that is read. */
static bool check_files(const options *o, cr_error *err)
{
    const struct {
        const char *option, *path;
    } files[] = {{"-o", o->output},           {"--save-map", o->save_map}, {"--save-raw", o->save_raw},
                 {"--save-logits", o->save_logits}, {"--weights", o->weights},   {"--tensor", o->tensor},
                 {"--labels", o->labels}};
    enum { WRITTEN = 4, FILES = sizeof files / sizeof files[0] };
    for (int i = 0; i < WRITTEN; i++)
        for (int k = i + 1; k < FILES; k++)
            if (files[i].path && files[k].path && strcmp(files[i].path, files[k].path) == 0)
                return cr_fail(err, "%s and %s name the same file, '%.200s'", files[i].option, files[k].option,
                               files[i].path);
    return true;
}

/* What the methods need, all of them together: CR_NEEDS_... */
static unsigned needs_of(const method_list *methods)
{
    unsigned needs = 0;
    for (int i = 0; i < methods->n; i++)
        needs |= methods->items[i]->needs;
    return needs;
}

static bool has_comma(const text_list *list)
{
    return list->n > 1 || (list->n == 1 && strchr(list->items[0], ','));
}

static bool check(const options *o, const bool *given, cr_error *err)
{
    static const char *const with[] = {[EXPLAIN_PICTURES] = "pictures", [EXPLAIN_TENSOR] = "--tensor",
                                       [LIST_LAYERS] = "--list-layers", [LIST_METHODS] = "--list-methods"};
    if (!o->arch && !o->weights && o->task != LIST_METHODS)
        return cr_fail(err, "no network given: add --weights FILE (weights/shapes.bin is a small one that comes with "
                       "camrun), or --help");
    if (!o->weights && o->task != LIST_LAYERS && o->task != LIST_METHODS)
        return cr_fail(err, "--arch %s says which network it is but not its weights: add --weights FILE", o->arch);
    for (int i = 0; i < OPTIONS; i++)
        if (given[i] && !(table[i].tasks & o->task))
            return cr_fail(err, "--%s has no effect with %s: leave one of them out", table[i].name, with[o->task]);
    if (o->images.n && o->task != EXPLAIN_PICTURES)
        return cr_fail(err, "%s reads no picture: leave out '%.200s'", with[o->task], o->images.items[0]);
    if (!o->images.n && o->task == EXPLAIN_PICTURES)
        return cr_fail(err, "no picture given: camrun --weights %.200s PICTURE", o->weights);
    if (o->resize.shorter && o->task == LIST_LAYERS)
        return cr_fail(err, "--resize %d gives a size only to a picture: with --list-layers, expected --resize WxH or "
                       "--size N", o->resize.shorter);
    if (o->repeat && !o->timing)
        return cr_fail(err, "--repeat says how often to run for --timing: add --timing");
    if (o->seed && !(needs_of(&o->methods) & CR_NEEDS_SEED))
        return cr_fail(err, "--seed has no effect: no method named uses random numbers (randomcam does)");
    if (o->no_crop && o->size && (o->resize.shorter || o->resize.w))
        return cr_fail(err, "--size has no effect with --no-crop and --resize: leave one of them out");
    if (o->save_raw && has_comma(&o->layers))
        return cr_fail(err, "--save-raw saves one layer's map (those of several differ in size): name one --layer");
    if (o->colormap && o->task == EXPLAIN_TENSOR && !o->output)
        return cr_fail(err, "--colormap has no effect: with --tensor, pictures are written only where -o says so");
    return (!o->output || check_output_name(o->output, err)) && check_files(o, err);
}

/* ---- the parser ---- */

static bool set_option(options *o, bool *given, const option *row, const char *value, cr_error *err)
{
    cr_error why;
    given[row - table] = true;
    if (row->set((char *)o + row->field, value, row, &why))
        return true;
    return cr_fail(err, "--%s: %s", row->name, why.text);
}

/* Parses argv[*i] and, where it takes its value from there, argv[*i + 1]. */
static bool parse_option(options *o, bool *given, int argc, char **argv, int *i, cr_error *err)
{
    const char *arg = argv[*i], *equals = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
    size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
    for (int k = 0; k < TASKS; k++)
        if (is_option(arg, length, tasks[k].name, tasks[k].letter)) {
            if (equals)
                return cr_fail(err, "--%s takes no value, found '%.60s'", tasks[k].name, equals + 1);
            o->task = tasks[k].task;
            return true;
        }
    for (int k = 0; k < OPTIONS; k++) {
        const option *row = &table[k];
        if (!is_option(arg, length, row->name, row->letter))
            continue;
        if (row->set == set_flag) {
            if (equals)
                return cr_fail(err, "--%s takes no value, found '%.60s'", row->name, equals + 1);
            return set_option(o, given, row, NULL, err);
        }
        if (equals)
            return set_option(o, given, row, equals + 1, err);
        if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
            return cr_fail(err, "--%s needs a value, as in --%s=VALUE", row->name, row->name);
        return set_option(o, given, row, argv[++*i], err);
    }
    return unknown_option(arg, length, err);
}

bool options_parse(options *o, int argc, char **argv, cr_error *err)
{
    *o = (options){.task = EXPLAIN_PICTURES, .alpha = 0.5f};
    text_list *lists[] = {&o->layers, &o->classes, &o->images};
    for (int i = 0; i < 3; i++)
        if (!(lists[i]->items = calloc((size_t)argc + 1, sizeof *lists[i]->items)))
            return cr_fail(err, "out of memory");

    bool given[OPTIONS] = {false}, only_images = false;
    for (int i = 1; i < argc; i++) {
        if (only_images || argv[i][0] != '-' || argv[i][1] == '\0')
            o->images.items[o->images.n++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_images = true;
        else if (!parse_option(o, given, argc, argv, &i, err))
            return false;
        if (o->task == SHOW_HELP || o->task == SHOW_VERSION)
            return true;
    }
    if (!o->methods.n)
        o->methods = (method_list){1, {cr_method_at(0)}};
    if (o->task == EXPLAIN_PICTURES && o->tensor)
        o->task = EXPLAIN_TENSOR;
    return check(o, given, err);
}

void options_free(options *o)
{
    free(o->layers.items);
    free(o->classes.items);
    free(o->images.items);
    *o = (options){.task = EXPLAIN_PICTURES};
}
