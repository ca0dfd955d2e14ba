/* filters_command.c - camrun filters: a convolution's kernels as a grid. */
#include "commands.h"

#include <stdio.h>

#include "camrun.h"
#include "network.h"
#include "picture_file.h"
#include "program.h"
#include "subcommand.h"
#include "values.h"

static const char help[] =
    "camrun filters shows a convolution's kernels: blue below 0, white 0, red above.\n"
    "\n"
    "  camrun filters --weights weights/shapes.bin --layer layer1.0.conv1\n"
    "  camrun filters --weights resnet50.pth --layer conv1 --rgb\n"
    "\n"
    "A row for each filter, a column for each channel it reads; of fewer than 8\n"
    "channels a filter's kernels stand side by side.\n"
    "\n"
    "  --weights FILE  .bin, .safetensors or .pth;  --arch NAME  if it does not tell\n"
    "  --layer NAME      a convolution (default: the first; see camrun --list-layers)\n"
    "  --filter LIST     which filters, as 0-7,45       (default: the first 64)\n"
    "  --input LIST      which of the channels they read (default: the first 64)\n"
    "  --count N         the first N filters, and input channels\n"
    "  --each            each filter on a scale of its own, not all on one\n"
    "  --rgb             kernels over three channels in colour, each filter's weights\n"
    "                    from smallest to largest\n"
    "  --colormap NAME   bwr, or one of camrun's        (default: bwr)\n"
    "  -o PATH           file or folder                 (default: LAYER_filters.png)\n"
    "  --save-raw F.npy  all of the layer's weights, (OC,IC,KH,KW)\n"
    "  --help\n";

enum { SHOWN = 64 };

typedef struct filters_options {
    network_options network;
    const char *layer, *output, *save_raw;
    index_list filters, inputs;
    int count;
    bool each, rgb;
    const cr_colormap *colormap;
} filters_options;

#define FIELD(member) offsetof(filters_options, member)

static const option table[] = {
    {"arch", 0, set_arch, NETWORK_FIELD(FIELD(network), arch), 1, 0, 0},
    {"weights", 0, set_text, NETWORK_FIELD(FIELD(network), weights), 1, 0, 0},
    {"layer", 0, set_text, FIELD(layer), 1, 0, 0},
    {"filter", 0, add_indices, FIELD(filters), 1, 0, 0},
    {"input", 0, add_indices, FIELD(inputs), 1, 0, 0},
    {"count", 0, set_count, FIELD(count), 1, 1, 4096},
    {"each", 0, set_flag, FIELD(each), 1, 0, 0},
    {"rgb", 0, set_flag, FIELD(rgb), 1, 0, 0},
    {"colormap", 0, set_colormap, FIELD(colormap), 1, 0, 0},
    {"output", 'o', set_text, FIELD(output), 1, 0, 0},
    {"save-raw", 0, set_text, FIELD(save_raw), 1, 0, 0},
};

static bool check_filters(const void *fields, const bool *given, const text_list *operands, cr_error *err)
{
    (void)given;
    const filters_options *o = fields;
    if (operands->n)
        return cr_fail(err, "kernels are the network's own: leave out the picture '%.200s', or see camrun features",
                       operands->items[0]);
    return check_without("filter", o->count && o->filters.n, "--count", err) &&
           check_without("input", o->count && o->inputs.n, "--count", err) &&
           check_without("input", o->rgb && o->inputs.n, "--rgb", err) &&
           check_without("each", o->rgb && o->each, "--rgb", err) &&
           check_without("colormap", o->rgb && o->colormap, "--rgb", err) && network_options_check(&o->network, err) &&
           (!o->output || picture_name_check(o->output, err));
}

/* The convolution that is meant, or -1. */
static int find_layer(const cr_net *net, const char *name, cr_error *err)
{
    int node = name ? cr_net_find(net, name, err) : 1;
    if (node < 0 || net->nodes[node].op == CR_CONV2D)
        return node;
    int before = node;
    while (before > 0 && net->nodes[before].op != CR_CONV2D)
        before--;
    if (before == 0) /* the input itself */
        for (before = node; net->nodes[before].op != CR_CONV2D;)
            before++;
    cr_fail(err, "%s: expected a convolution, found %s, a %s layer, which has no kernels; near it: %s", net->arch,
            net->nodes[node].name, cr_op_name(net->nodes[node].op), net->nodes[before].name);
    return -1;
}

static bool show(const filters_options *o, const cr_net *net, cr_error *err)
{
    const int node = find_layer(net, o->layer, err);
    if (node < 0)
        return false;
    const cr_param *weight = &net->params[net->nodes[node].param];
    const int *dim = weight->dim;
    index_list filters = o->filters, inputs = o->inputs;
    if (!index_list_check(&filters, dim[0], "filter", weight->name, err) ||
        !index_list_check(&inputs, dim[1], "input", weight->name, err))
        return false;
    if (o->rgb && dim[1] != 3)
        return cr_fail(err, "--rgb: expected kernels over 3 channels, found %s of %dx%dx%dx%d", weight->name, dim[0], dim[1],
                       dim[2], dim[3]);
    index_list_default(&filters, dim[0], o->count ? o->count : SHOWN);
    index_list_default(&inputs, dim[1], o->count ? o->count : SHOWN);

    char title[200], name[CR_NAME_SIZE + 16], path[PATH_SIZE];
    snprintf(name, sizeof name, "%s_filters", net->nodes[node].name);
    snprintf(title, sizeof title, "%s: %d of %d filters, %d of %d input channels, kernels of %dx%d", net->nodes[node].name,
             filters.n, dim[0], inputs.n, dim[1], dim[2], dim[3]);
    const cr_channel_view view = {.channels = filters.items, .n_channels = filters.n, .inputs = inputs.items,
                                  .n_inputs = inputs.n, .each = o->each, .rgb = o->rgb, .title = title,
                                  .colormap = o->colormap ? o->colormap : cr_colormap_find("bwr", err)};
    float least, most;
    const size_t all = (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2] * (size_t)dim[3];
    cr_image picture = {0};
    const bool ok = cr_map_range(weight->data, all, &least, &most, err) &&
                    picture_path(path, o->output, "", name, "", err) &&
                    cr_kernels_draw(&picture, weight->data, dim, &view, err) && picture_write(&picture, path, err) &&
                    (!o->save_raw || cr_npy_write(o->save_raw, weight->data, 4, dim, err));
    cr_image_free(&picture);
    if (!ok)
        return false;
    printf("%s\nweights of the whole layer from %.4g to %.4g; ", title, (double)least, (double)most);
    printf("%s; written to %s\n", o->rgb    ? "in colour, each filter from its smallest to its largest"
                                 : o->each ? "each filter's colours reach to its own largest |weight|"
                                           : "colours reach to the largest |weight| shown", path);
    if (o->save_raw)
        printf("weights written to %s\n", o->save_raw);
    return true;
}

static int run_filters(const void *fields, const text_list *operands, cr_error *err)
{
    (void)operands;
    const filters_options *o = fields;
    network n;
    const bool ok = network_open(&n, &o->network, err) && show(o, n.net, err);
    network_close(&n);
    return ok ? DONE : BAD_INPUT;
}

int filters_main(int argc, char **argv)
{
    static filters_options o;
    static const subcommand filters = {"camrun filters", help, table, sizeof table / sizeof table[0], check_filters, run_filters};
    return subcommand_main(&filters, &o, argc, argv);
}
