/* dream_command.c - camrun dream: a picture changed until a layer is excited by it. */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "ascent.h"
#include "camrun.h"
#include "network.h"
#include "program.h"
#include "series.h"
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
    "Ctrl-C writes what is there. Of many pictures (files, folders, patterns, @LISTs;\n"
    "-o names a folder) those that are broken are told of and passed over, with exit\n"
    "status 3.\n";

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
    return network_options_check(&o->network, err) && check_pictures(operands, "camrun dream", err) &&
           (!o->network.labels || cr_fail(err, "--labels has no effect: no class is named; leave it out")) &&
           (o->layer || cr_fail(err, "which layer is to be excited? add --layer NAME")) &&
           (!o->output || picture_name_check(o->output, err));
}

static const char *const kind = "dream";

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

typedef struct run {
    const dream_options *o;
    const series *series;
    network network;
    int node;
} run;

static bool set_up(run *r, cr_error *err)
{
    const dream_options *o = r->o;
    if (!network_open(&r->network, &o->network, err) || !network_takes_pictures(&r->network, err) ||
        (r->node = cr_net_find(r->network.net, o->layer, err)) < 0)
        return false;
    const cr_node *node = &r->network.net->nodes[r->node];
    return index_list_check(&o->filters, node->channels, "filter", node->name, err) &&
           (r->node > 0 || cr_fail(err, "--layer: the input itself has no filters: name a layer behind it"));
}

static bool dream(const run *r, network_input *input, const picture_file *file, const char *stem, cr_error *err)
{
    const dream_options *o = r->o;
    const cr_net *net = r->network.net;
    const cr_geometry *g = &input->geometry;
    char path[PATH_SIZE], stopped[64];
    if (!series_path(path, r->series, stem, kind, "", err) || !check_not_itself(path, file->path, err))
        return false;
    ascent_watch watch;
    double scores[2];
    const cr_ascent_options ascent = ascent_begin(&watch, &o->ascent, &r->network.transform);
    const cr_dream_octaves octaves = {o->octaves, o->scale};
    cr_image picture = {0};
    const bool ok = cr_dream(input->x, scores, net, r->node, o->filters.items, o->filters.n, g->h, g->w, &octaves, &ascent, err) &&
                    draw(&r->network, &picture, input->x, g->w, g->h, err) && series_write(r->series, &picture, path, err);
    if (ok)
        printf("mean square of %s from %.4g to %.4g in %d steps at each of %d sizes up to %dx%d%s; written to %s\n",
               net->nodes[r->node].name, scores[0], scores[1], o->ascent.steps, o->octaves, g->w, g->h,
               ascent_stopped(&watch, stopped), path);
    cr_image_free(&picture);
    ascent_end();
    return ok;
}

static verdict dream_one(void *owner, const picture_file *file, const char *stem, cr_error *err)
{
    network_input input;
    cr_error why;
    const run *r = owner;
    const bool ok = network_read(&input, &r->network, file->path, err) &&
                    (dream(r, &input, file, stem, &why) || cr_fail(err, "%.200s: %s", file->path, why.text));
    network_input_free(&input);
    return ok ? PICTURE_DONE : PICTURE_FAILED;
}

static int run_dream(const void *fields, const text_list *operands, cr_error *err)
{
    const dream_options *o = fields;
    series s = {.output = o->output, .kinds = &kind, .n_kinds = 1};
    run r = {.o = o, .series = &s};
    const series_work work = {.program = "camrun dream", .owner = &r, .one = dream_one};
    int status = BAD_INPUT;
    if (series_list(&s, operands, &(text_list){0}, err))
        status = !series_name(&s, err) ? BAD_USAGE : set_up(&r, err) ? series_run(&s, &work, err) : BAD_INPUT;
    network_close(&r.network);
    series_free(&s);
    return status;
}

int dream_main(int argc, char **argv)
{
    static dream_options o = {.ascent = {.steps = 20, .lr = 0.02, .jitter = 16}, .octaves = 4, .scale = 1.4};
    static const subcommand dreams = {"camrun dream", help, table, sizeof table / sizeof table[0], check_dream, run_dream};
    return subcommand_main(&dreams, &o, argc, argv);
}
