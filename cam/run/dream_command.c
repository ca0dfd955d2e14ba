/* dream_command.c - camrun dream: a picture changed until a layer is excited by it. */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "ascent.h"
#include "camrun.h"
#include "network.h"
#include "picture_file.h"
#include "subcommand.h"
#include "values.h"

static const char help[] =
    "camrun dream changes a picture so that a layer sees more of what it looks for in\n"
    "it: gradient ascent on the mean square of its output (DeepDream).\n"
    "\n"
    "  camrun dream --weights weights/shapes.bin --layer layer3 photo.jpg\n"
    "\n"
    "  --layer NAME      see camrun --list-layers\n"
    "  --filter LIST     only these channels of it, as 0-7,45\n"
    "  --octaves N       sizes to work at, from small to full (4)\n"
    "  --octave-scale F  from one to the next (1.4)\n"
    "  --steps N         at each size (20)    --lr F   how far each goes (0.02)\n"
    "  --jitter N        every step sees the picture moved by up to N pixels (16)\n"
    "  --blur F          deviation in pixels, after every fourth step (0)\n"
    "  --decay F         towards the mean colour, in each step (0)\n"
    "  --seed N          of the jitter (0)\n"
    "  -o PATH           file or folder       (default: PICTURE_dream.png)\n"
    "\n"
    "  --weights FILE  --arch NAME  --threads N              as of camrun --help\n"
    "  --resize N|WxH  --size N  --no-crop  --mean R,G,B  --std R,G,B  --gray\n"
    "  --help\n"
    "The dream has the input's size: --no-crop --resize 600 for a larger one.\n"
    "Ctrl-C writes what is there.\n";

typedef struct dream_options {
    network_options network;
    ascent_values ascent;
    index_list filters;
    const char *layer, *output;
    int octaves;
    double scale;
} dream_options;

#define FIELD(member) offsetof(dream_options, member)

static const option table[] = {
    NETWORK_OPTIONS(FIELD(network), 1, 1, 1, 1),
    {"layer", 0, set_text, FIELD(layer), 1, 0, 0},
    {"filter", 0, add_indices, FIELD(filters), 1, 0, 0},
    {"octaves", 0, set_count, FIELD(octaves), 1, 1, 20},
    {"octave-scale", 0, set_number, FIELD(scale), 1, 1.05, 4},
    ASCENT_OPTIONS(FIELD(ascent)),
    {"output", 'o', set_text, FIELD(output), 1, 0, 0},
};

static bool check_dream(const void *fields, const bool *given, const text_list *operands, cr_error *err)
{
    (void)given;
    const dream_options *o = fields;
    return network_options_check(&o->network, err) && check_one_picture(operands, "camrun dream", err) &&
           (!o->network.labels || cr_fail(err, "--labels has no effect: no class is named; leave it out")) &&
           (o->layer || cr_fail(err, "which layer is to be excited? add --layer NAME")) &&
           (!o->output || picture_name_check(o->output, err));
}

static bool draw(const network *n, cr_image *out, const float *x, int w, int h, cr_error *err)
{
    const int channels = n->net->in_channels;
    const size_t pixels = (size_t)w * (size_t)h;
    float *planes = malloc((size_t)channels * pixels * sizeof *planes);
    if (!planes)
        return cr_fail(err, "out of memory");
    cr_transform_undo(planes, x, channels, pixels, &n->transform);
    const bool ok = cr_picture_of_planes(out, planes, channels, w, h, err);
    free(planes);
    return ok;
}

static bool dream(const dream_options *o, const network *n, network_input *input, const char *source, cr_error *err)
{
    const cr_geometry *g = &input->geometry;
    const int node = cr_net_find(n->net, o->layer, err);
    char path[PATH_SIZE], stopped[64];
    if (node < 0 || !index_list_check(&o->filters, n->net->nodes[node].channels, "filter", n->net->nodes[node].name, err) ||
        (node == 0 && !cr_fail(err, "--layer: the input itself has no filters: name a layer behind it")) ||
        !picture_path(path, o->output, source, "dream", "", err) || !check_not_itself(path, source, err))
        return false;
    ascent_watch watch;
    double scores[2];
    const cr_ascent_options ascent = ascent_begin(&watch, &o->ascent, &n->transform);
    const cr_dream_octaves octaves = {o->octaves, o->scale};
    cr_image picture = {0};
    const bool ok = cr_dream(input->x, scores, n->net, node, o->filters.items, o->filters.n, g->h, g->w, &octaves, &ascent, err) &&
                    draw(n, &picture, input->x, g->w, g->h, err) && cr_image_write_png(&picture, path, err);
    if (ok)
        printf("mean square of %s from %.4g to %.4g in %d steps at each of %d sizes up to %dx%d%s; written to %s\n",
               n->net->nodes[node].name, scores[0], scores[1], o->ascent.steps, o->octaves, g->w, g->h,
               ascent_stopped(&watch, stopped), path);
    cr_image_free(&picture);
    ascent_end();
    return ok;
}

static bool run_dream(const void *fields, const text_list *operands, cr_error *err)
{
    const dream_options *o = fields;
    network n;
    network_input input = {0};
    const bool ok = network_open(&n, &o->network, err) && network_read(&input, &n, operands->items[0], err) &&
                    dream(o, &n, &input, operands->items[0], err);
    network_input_free(&input);
    network_close(&n);
    return ok;
}

int dream_main(int argc, char **argv)
{
    static dream_options o = {.ascent = {.steps = 20, .lr = 0.02, .jitter = 16}, .octaves = 4, .scale = 1.4};
    static const subcommand dreams = {"camrun dream", help, table, sizeof table / sizeof table[0], check_dream, run_dream};
    return subcommand_main(&dreams, &o, argc, argv);
}
