/* features_command.c - camrun features: the values of a layer's channels for a picture, as a grid. */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "camrun.h"
#include "network.h"
#include "picture_file.h"
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
    "  --save-raw F.npy  all of the layer's values, (C,H,W)\n"
    "\n"
    "  --weights FILE  --arch NAME  --threads N                as of camrun --help\n"
    "  --resize N|WxH  --size N  --no-crop  --mean R,G,B  --std R,G,B  --gray\n"
    "  --help\n";

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
    return network_options_check(&o->network, err) && check_one_picture(operands, "camrun features", err) &&
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

/* The node's values for x; the caller frees them. */
static float *run_to(const cr_net *net, int node, const network_input *input, int dim[3], cr_error *err)
{
    const cr_request request = {.n = 1, .h = input->geometry.h, .w = input->geometry.w, .end = node, .keep = &node, .n_keep = 1};
    cr_plan *plan = cr_plan_create(net, &request, err);
    cr_tape *tape = plan ? cr_tape_create(plan, err) : NULL;
    float *values = NULL;
    if (tape) {
        cr_plan_shape(plan, node, dim);
        values = calloc((size_t)dim[0] * (size_t)dim[1], (size_t)dim[2] * sizeof *values);
        if (!values)
            cr_fail(err, "out of memory for %d maps of %dx%d (WxH)", dim[0], dim[2], dim[1]);
    }
    if (values) {
        cr_tape_forward(tape, input->x);
        cr_tape_value(tape, node, values, err);
    }
    cr_tape_free(tape);
    cr_plan_free(plan);
    return values;
}

static bool show(const features_options *o, const cr_net *net, int node, const char *source, const float *values,
                 const int dim[3], cr_error *err)
{
    const char *layer = net->nodes[node].name;
    index_list channels = o->channels;
    const bool each = !o->shared && dim[1] * dim[2] > 1; /* a single value has no scale of its own */
    float least, most;
    if (!index_list_check(&channels, dim[0], "channel", layer, err) ||
        !cr_map_range(values, (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2], &least, &most, err))
        return false;
    index_list_default(&channels, dim[0], o->count ? o->count : dim[0]);
    char title[200], path[PATH_SIZE];
    snprintf(title, sizeof title, "%s: %d of %d feature maps of %dx%d (WxH)%s", layer, channels.n, dim[0], dim[2], dim[1],
             each ? ", each on its own scale" : "");
    const cr_channel_view view = {.channels = channels.items, .n_channels = channels.n, .each = each, .title = title,
                                  .colormap = o->colormap ? o->colormap : cr_colormap_find("viridis", err)};
    cr_image picture = {0};
    const bool ok = picture_path(path, o->output, source, layer, "", err) && check_not_itself(path, source, err) &&
                    cr_features_draw(&picture, values, dim, &view, err) && picture_write(&picture, path, err) &&
                    (!o->save_raw || cr_npy_write(o->save_raw, values, 3, dim, err));
    cr_image_free(&picture);
    if (ok)
        printf("%s\nvalues of the whole layer from %.4g to %.4g; written to %s\n", title, (double)least, (double)most, path);
    if (ok && o->save_raw)
        printf("values written to %s\n", o->save_raw);
    return ok;
}

static bool run_features(const void *fields, const text_list *operands, cr_error *err)
{
    const features_options *o = fields;
    network n;
    network_input input = {0};
    int node = -1, dim[3];
    float *values = NULL;
    const bool ok = network_open(&n, &o->network, err) && (node = find_node(n.net, o, err)) >= 0 &&
                    network_read(&input, &n, operands->items[0], err) &&
                    (values = run_to(n.net, node, &input, dim, err)) != NULL &&
                    show(o, n.net, node, operands->items[0], values, dim, err);
    free(values);
    network_input_free(&input);
    network_close(&n);
    return ok;
}

int features_main(int argc, char **argv)
{
    static features_options o;
    static const subcommand features = {"camrun features", help, table, sizeof table / sizeof table[0], check_features,
                                        run_features};
    return subcommand_main(&features, &o, argc, argv);
}
