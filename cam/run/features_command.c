/* features_command.c - camrun features: the values of a layer's channels for a picture, as a grid. */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "camrun.h"
#include "network.h"
#include "program.h"
#include "series.h"
#include "stack.h"
#include "subcommand.h"
#include "values.h"

static const char help[] =
    "camrun features shows what a layer makes of a picture: its maps as a grid.\n"
    "\n"
    "  camrun features --weights weights/shapes.bin --layer layer2 photo.jpg\n"
    "\n"
    "  --layer NAME      see camrun --list-layers (default: the last feature map)\n"
    "  --input           what the layer reads, not what it writes\n"
    "  --channel LIST    which maps, as 0-7,45          (default: all, up to 4096)\n"
    "  --count N         the first N\n"
    "  --shared          one scale for all; else each map's colours run from its own\n"
    "                    smallest to its own largest value\n"
    "  --colormap NAME   jet, viridis, turbo, grey, bwr (default: viridis)\n"
    "  -o PATH           file or folder                 (default: PICTURE_LAYER.png)\n"
    "  --save-raw F.npy  all of the layer's values, (C,H,W); of N pictures (N,C,H,W)\n"
    "\n"
    "  --weights FILE  --arch NAME  --threads N                as of camrun --help\n"
    "  --resize N|WxH  --size N  --no-crop  --mean R,G,B  --std R,G,B  --gray\n"
    "  --help\n"
    "Of many pictures (files, folders, patterns, @LISTs; -o names a folder) those\n"
    "that are broken are told of and passed over, with exit status 3.\n";

typedef struct features_options {
    network_options network;
    const char *layer, *output, *save_raw;
    index_list channels;
    int count;
    bool input, shared;
    const cr_colormap *colormap;
} features_options;

#define FIELD(member) offsetof(features_options, member)

static const option table[] = {
    NETWORK_OPTIONS(FIELD(network), 1, 1, 1, 1),
    {"layer", 0, set_text, FIELD(layer), 1, 0, 0},
    {"input", 0, set_flag, FIELD(input), 1, 0, 0},
    {"channel", 0, add_indices, FIELD(channels), 1, 0, 0},
    {"count", 0, set_count, FIELD(count), 1, 1, 4096},
    {"shared", 0, set_flag, FIELD(shared), 1, 0, 0},
    {"colormap", 0, set_colormap, FIELD(colormap), 1, 0, 0},
    {"output", 'o', set_text, FIELD(output), 1, 0, 0},
    {"save-raw", 0, set_text, FIELD(save_raw), 1, 0, 0},
};

static bool check_features(const void *fields, const bool *given, const text_list *operands, cr_error *err)
{
    (void)given;
    const features_options *o = fields;
    return network_options_check(&o->network, err) && check_pictures(operands, "camrun features", err) &&
           (!o->network.labels || cr_fail(err, "--labels has no effect: no class is named; leave it out")) &&
           check_without("channel", o->count && o->channels.n, "--count", err) &&
           (!o->output || picture_name_check(o->output, err));
}

/* The node whose values are shown, or -1. */
static int find_node(const cr_net *net, const features_options *o, cr_error *err)
{
    const int node = o->layer ? cr_net_find(net, o->layer, err) : cr_net_last_feature_map(net);
    if (node < 0 || !o->input)
        return node;
    const cr_node *n = &net->nodes[node];
    if (n->in[0] < 0)
        cr_fail(err, "--input: nothing comes before the network's input: leave it out");
    else if (n->in[1] >= 0)
        cr_fail(err, "--input: %s adds up two layers: name one of them, %s or %s", n->name, net->nodes[n->in[0]].name,
                net->nodes[n->in[1]].name);
    else
        return n->in[0];
    return -1;
}

/* ---- a run ---- */

typedef struct run {
    const features_options *o;
    const series *series;
    network network;
    int node;
    index_list channels;
    int h, w;            /* input size of the plan */
    cr_plan *plan;
    cr_tape *tape;
    stack raws;          /* --save-raw */
} run;

static bool set_up(run *r, cr_error *err)
{
    const features_options *o = r->o;
    if (!network_open(&r->network, &o->network, err) || !network_takes_pictures(&r->network, err) ||
        (r->node = find_node(r->network.net, o, err)) < 0)
        return false;
    const cr_node *node = &r->network.net->nodes[r->node];
    r->channels = o->channels;
    r->raws = (stack){.path = o->save_raw, .inner = 3};
    return index_list_check(&r->channels, node->channels, "channel", node->name, err);
}

static void tear_down(run *r)
{
    stack_free(&r->raws);
    cr_tape_free(r->tape);
    cr_plan_free(r->plan);
    network_close(&r->network);
}

/* Makes r->tape fit this input size. */
static bool prepare(run *r, int h, int w, cr_error *err)
{
    if (r->tape && r->h == h && r->w == w)
        return true;
    cr_tape_free(r->tape);
    cr_plan_free(r->plan);
    r->tape = NULL;
    r->h = h;
    r->w = w;
    const cr_request request = {.n = 1, .h = h, .w = w, .end = r->node, .keep = &r->node, .n_keep = 1};
    r->plan = cr_plan_create(r->network.net, &request, err);
    return r->plan && (r->tape = cr_tape_create(r->plan, err));
}

static bool draw(run *r, const picture_file *picture, const char *stem, const float *values, const int dim[3], cr_error *err)
{
    const features_options *o = r->o;
    const char *layer = r->network.net->nodes[r->node].name;
    const bool each = !o->shared && dim[1] * dim[2] > 1; /* a single value has no scale of its own */
    float least, most;
    if (!cr_map_range(values, (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2], &least, &most, err))
        return false;
    index_list_default(&r->channels, dim[0], o->count ? o->count : dim[0]);
    char title[200], path[PATH_SIZE];
    snprintf(title, sizeof title, "%s: %d of %d feature maps of %dx%d (WxH)%s", layer, r->channels.n, dim[0], dim[2], dim[1],
             each ? ", each on its own scale" : "");
    const cr_channel_view view = {.channels = r->channels.items, .n_channels = r->channels.n, .each = each, .title = title,
                                  .colormap = o->colormap ? o->colormap : cr_colormap_find("viridis", err)};
    cr_image image = {0};
    const bool ok = series_path(path, r->series, stem, layer, "", err) && check_not_itself(path, picture->path, err) &&
                    cr_features_draw(&image, values, dim, &view, err) && series_write(r->series, &image, path, err);
    cr_image_free(&image);
    if (ok)
        printf("%s\nvalues of the whole layer from %.4g to %.4g; written to %s\n", title, (double)least, (double)most, path);
    return ok;
}

static verdict show(void *owner, const picture_file *picture, const char *stem, cr_error *err)
{
    run *r = owner;
    network_input input;
    cr_error why;
    block values = {.images = 1, .dim = {1, 1}};
    int *dim = values.dim + STACK_DIMS - 3;
    bool ok = network_read(&input, &r->network, picture->path, err);
    if (ok) {
        ok = prepare(r, input.geometry.h, input.geometry.w, &why);
        if (ok) {
            cr_plan_shape(r->plan, r->node, dim);
            values.data = calloc((size_t)dim[0] * (size_t)dim[1], (size_t)dim[2] * sizeof *values.data);
            ok = values.data || cr_fail(&why, "out of memory for %d maps of %dx%d (WxH)", dim[0], dim[2], dim[1]);
        }
        if (ok)
            cr_tape_forward(r->tape, input.x);
        ok = (ok && cr_tape_value(r->tape, r->node, values.data, &why) && draw(r, picture, stem, values.data, dim, &why)) ||
             cr_fail(err, "%.200s: %s", picture->path, why.text);
    }
    network_input_free(&input);
    const bool kept = !ok || stack_add(&r->raws, &values, err);
    free(values.data);
    return !ok ? PICTURE_FAILED : kept ? PICTURE_DONE : RUN_FAILED;
}

static bool save(void *owner, int done, cr_error *err)
{
    (void)done;
    return stack_save_values(&((run *)owner)->raws, err);
}

static int run_features(const void *fields, const text_list *operands, cr_error *err)
{
    const features_options *o = fields;
    const char *kind;
    series s = {.output = o->output, .kinds = &kind, .n_kinds = 1};
    run r = {.o = o, .series = &s};
    const series_work work = {.program = "camrun features", .owner = &r, .one = show, .finish = save};
    int status = BAD_INPUT;
    if (series_list(&s, operands, &(text_list){0}, err) && set_up(&r, err)) {
        kind = r.network.net->nodes[r.node].name;
        status = series_name(&s, err) ? series_run(&s, &work, err) : BAD_USAGE;
    }
    tear_down(&r);
    series_free(&s);
    return status;
}

int features_main(int argc, char **argv)
{
    static features_options o;
    static const subcommand features = {"camrun features", help, table, sizeof table / sizeof table[0], check_features,
                                        run_features};
    return subcommand_main(&features, &o, argc, argv);
}
