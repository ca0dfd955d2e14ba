/* options.c - the table of options, and the checks of what goes together. */
#include "options.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "picture_file.h"

const char *const options_help =
    "camrun shows which part of a picture made a convolutional network give its answer.\n"
    "\n"
    "  camrun --weights weights/shapes.bin cam/demo/shapes.png     writes shapes_gradcam.png\n"
    "  camrun --arch resnet34 --weights r34.pth --class top1,boxer --panel dog.jpg\n"
    "\n"
    "Network  --weights FILE  .bin, .safetensors or .pth     --labels FILE  class names, one a line\n"
    "         --arch NAME     if FILE does not tell: alexnet, vgg11|13|16|19[_bn], resnet18|34|50|101|152\n"
    "Explain  --class LIST    index, name, top1, top2..., or all: one picture each   (default: top1)\n"
    "         --method LIST   see --list-methods; one picture each            (default: gradcam)\n"
    "         --layer LIST    see --list-layers; several are averaged (default: the last feature map)\n"
    "         --eigen-smooth  --aug-smooth  less noise  --average-classes  one map of all  --seed N (0)\n"
    "Picture  --resize N|WxH  shorter side, or squash to W x H          these default to what\n"
    "         --size N        then crop N x N from the centre           the weights file says,\n"
    "         --mean R,G,B  --std R,G,B  of values in [0,1]             else to ImageNet's values\n"
    "         --no-crop  keep all  --gray  drop colours   --tensor F.npy  ready (N,C,H,W) float32 input\n"
    "Many     FOLDER, 'PATTERN*.jpg', @LIST, --list LIST  --jsonl FILE  a line each, --resume skips those\n"
    "Output   -o PATH    file, or folder for several     (default: PICTURE_METHOD.png, here)\n"
    "         --panel  picture, map and overlay          --sheet  all maps in one, each layer its own\n"
    "         --alpha 0..1  weight of the colours (0.5)  --colormap jet|viridis|turbo|grey\n"
    "         --save-map F.npy  in [0,1], input size     --save-raw F.npy  signed, layer size\n"
    "         --save-logits F.npy                        --json  the report for programs\n"
    "Other    --list-methods --list-layers --timing [--repeat N] --threads N --direct --help --version\n"
    "More     camrun evaluate|filters|features|saliency|maximise|dream|report --help\n"
    "Exit status: 0 done; 1 a file or what it holds is at fault; 2 the command line; 3 some of many.\n";

/* ---- the table ---- */

enum {
    EXPLAIN = EXPLAIN_PICTURES | EXPLAIN_TENSOR,
    ANY_TASK = EXPLAIN | LIST_LAYERS,
};

#define FIELD(member) offsetof(options, member)

static const option table[] = {
    NETWORK_OPTIONS(FIELD(network), ANY_TASK, EXPLAIN, EXPLAIN_PICTURES | LIST_LAYERS, EXPLAIN_PICTURES),
    {"method", 0, add_methods, FIELD(methods), EXPLAIN, 0, 0},
    {"layer", 0, add_text, FIELD(layers), EXPLAIN, 0, 0},
    {"class", 0, add_text, FIELD(classes), EXPLAIN, 0, 0},
    {"eigen-smooth", 0, set_flag, FIELD(eigen_smooth), EXPLAIN, 0, 0},
    {"aug-smooth", 0, set_flag, FIELD(aug_smooth), EXPLAIN, 0, 0},
    {"average-classes", 0, set_flag, FIELD(average_classes), EXPLAIN, 0, 0},
    {"list", 0, add_text, FIELD(lists), EXPLAIN_PICTURES, 0, 0},
    {"jsonl", 0, set_text, FIELD(jsonl), EXPLAIN_PICTURES, 0, 0},
    {"resume", 0, set_flag, FIELD(resume), EXPLAIN_PICTURES, 0, 0},
    {"tensor", 0, set_text, FIELD(tensor), EXPLAIN_TENSOR, 0, 0},
    {"output", 'o', set_text, FIELD(output), EXPLAIN, 0, 0},
    {"panel", 0, set_flag, FIELD(panel), EXPLAIN_PICTURES, 0, 0},
    {"sheet", 0, set_flag, FIELD(sheet), EXPLAIN_PICTURES, 0, 0},
    {"alpha", 0, set_fraction, FIELD(alpha), EXPLAIN_PICTURES, 0, 0},
    {"colormap", 0, set_colormap, FIELD(colormap), EXPLAIN, 0, 0},
    {"save-map", 0, set_text, FIELD(save_map), EXPLAIN, 0, 0},
    {"save-raw", 0, set_text, FIELD(save_raw), EXPLAIN, 0, 0},
    {"save-logits", 0, set_text, FIELD(save_logits), EXPLAIN, 0, 0},
    {"json", 0, set_flag, FIELD(json), ANY_TASK | LIST_METHODS, 0, 0},
    {"timing", 0, set_flag, FIELD(timing), EXPLAIN, 0, 0},
    {"repeat", 0, set_count, FIELD(repeat), EXPLAIN, 1, 1000000},
    {"direct", 0, set_flag, FIELD(direct), EXPLAIN, 0, 0},
    {"seed", 0, set_count, FIELD(seed), EXPLAIN, 0, INT_MAX},
};

enum { OPTIONS = sizeof table / sizeof table[0] };

static const task_option tasks[] = {
    {"help", 'h', SHOW_HELP, true},
    {"version", 0, SHOW_VERSION, true},
    {"list-layers", 0, LIST_LAYERS, false},
    {"list-methods", 0, LIST_METHODS, false},
};

enum { TASKS = sizeof tasks / sizeof tasks[0] };

/* ---- what goes together ---- */

/* No file is written twice, nor over one that is read. */
static bool check_files(const options *o, cr_error *err)
{
    const struct {
        const char *option, *path;
    } files[] = {{"-o", o->output},           {"--save-map", o->save_map}, {"--save-raw", o->save_raw},
                 {"--save-logits", o->save_logits}, {"--jsonl", o->jsonl}, {"--weights", o->network.weights},   {"--tensor", o->tensor},
                 {"--labels", o->network.labels}};
    enum { WRITTEN = 5, FILES = sizeof files / sizeof files[0] };
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

/* What a method cannot do, or does in any case. */
static bool check_methods(const options *o, cr_error *err)
{
    bool principal = true, full = true, layers = true;
    for (int i = 0; i < o->methods.n; i++) {
        const cr_method *m = o->methods.items[i];
        const bool is_full = m->needs & CR_NEEDS_BIASES;
        principal = principal && m->principal;
        full = full && is_full;
        layers = layers && !is_full;
        if (is_full && o->eigen_smooth)
            return cr_fail(err, "--eigen-smooth has no effect on %s: leave one of them out", m->name);
    }
    if (o->eigen_smooth && principal)
        return cr_fail(err, "--eigen-smooth has no effect: %s is a principal component already",
                       o->methods.items[0]->name);
    if (full && o->layers.n)
        return cr_fail(err, "--layer has no effect: %s explains all layers together", o->methods.items[0]->name);
    if (o->save_raw && !full && !layers)
        return cr_fail(err, "--save-raw: fullgrad's map has the input's size, other methods' the layer's: save them in "
                       "separate runs");
    return true;
}

static bool has_comma(const text_list *list)
{
    return list->n > 1 || (list->n == 1 && strchr(list->items[0], ','));
}

static bool check_average(const options *o, cr_error *err)
{
    if (o->average_classes && !o->classes.n)
        return cr_fail(err, "--average-classes averages the maps of several classes: name them, or --class all");
    if (o->average_classes && o->aug_smooth)
        return cr_fail(err, "--aug-smooth and --average-classes do not go together: leave one of them out");
    return true;
}

static bool check_sheet(const options *o, cr_error *err)
{
    if (o->sheet && o->panel)
        return cr_fail(err, "--panel and --sheet are two kinds of picture: leave one of them out");
    if (o->sheet && o->aug_smooth && has_comma(&o->layers))
        return cr_fail(err, "--aug-smooth smooths the average of several layers, and --sheet shows each: name one --layer");
    return true;
}

static bool check(const options *o, const bool *given, cr_error *err)
{
    static const char *const with[] = {[EXPLAIN_PICTURES] = "pictures", [EXPLAIN_TENSOR] = "--tensor",
                                       [LIST_LAYERS] = "--list-layers", [LIST_METHODS] = "--list-methods"};
    const bool needs_weights = !(o->task & (LIST_LAYERS | LIST_METHODS)) || (o->task == LIST_LAYERS && !o->network.arch);
    if (needs_weights && !network_options_check(&o->network, err))
        return false;
    for (int i = 0; i < OPTIONS; i++)
        if (given[i] && !(table[i].use & (unsigned)o->task))
            return cr_fail(err, "--%s has no effect with %s: leave one of them out", table[i].name, with[o->task]);
    if (o->images.n && o->task != EXPLAIN_PICTURES)
        return cr_fail(err, "%s reads no picture: leave out '%.200s'", with[o->task], o->images.items[0]);
    if (!o->images.n && !o->lists.n && o->task == EXPLAIN_PICTURES)
        return cr_fail(err, "no picture given: camrun --weights %.200s PICTURE", o->network.weights);
    if (o->network.resize.shorter && o->task == LIST_LAYERS)
        return cr_fail(err, "--resize %d gives a size only to a picture: with --list-layers, expected --resize WxH or "
                       "--size N", o->network.resize.shorter);
    if (o->resume && !o->jsonl)
        return cr_fail(err, "--resume goes on with the results of --jsonl: add --jsonl FILE");
    if (o->resume && (o->save_map || o->save_raw || o->save_logits))
        return cr_fail(err, "--resume cannot go on with arrays: leave out --save-map, --save-raw and --save-logits");
    if (o->repeat && !o->timing)
        return cr_fail(err, "--repeat says how often to run for --timing: add --timing");
    if (is_given(table, given, "seed") && !(needs_of(&o->methods) & CR_NEEDS_SEED))
        return cr_fail(err, "--seed has no effect: of the methods, randomcam and smoothgradcam++ use random numbers");
    if (o->save_raw && has_comma(&o->layers))
        return cr_fail(err, "--save-raw saves one layer's map (those of several differ in size): name one --layer");
    if (o->colormap && o->task == EXPLAIN_TENSOR && !o->output)
        return cr_fail(err, "--colormap has no effect: with --tensor, pictures are written only where -o says so");
    return check_methods(o, err) && check_average(o, err) && check_sheet(o, err) && (!o->output || picture_name_check(o->output, err)) && check_files(o, err);
}

/* ---- the whole ---- */

bool options_parse(options *o, int argc, char **argv, cr_error *err)
{
    static const command camrun = {table, OPTIONS, tasks, TASKS};
    *o = (options){.task = EXPLAIN_PICTURES, .alpha = 0.5f};
    if (!text_list_create(&o->layers, argc, err) || !text_list_create(&o->classes, argc, err) ||
        !text_list_create(&o->images, argc, err) || !text_list_create(&o->lists, argc, err))
        return false;

    bool given[OPTIONS] = {false};
    command_line line = {given, (int)o->task, o->images};
    bool ok = command_parse(&camrun, o, &line, argc, argv, err);
    o->task = (task)line.task;
    o->images = line.operands;
    if (!ok || o->task == SHOW_HELP || o->task == SHOW_VERSION)
        return ok;
    if (!o->methods.n)
        o->methods = (method_list){1, {cr_method_at(0)}};
    if (o->task == EXPLAIN_PICTURES && o->tensor)
        o->task = EXPLAIN_TENSOR;
    return check(o, given, err);
}

void options_free(options *o)
{
    text_list_free(&o->layers);
    text_list_free(&o->classes);
    text_list_free(&o->images);
    text_list_free(&o->lists);
    *o = (options){.task = EXPLAIN_PICTURES};
}
