/* maximise_command.c - camrun maximise: inputs that excite filters or classes. */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ascent.h"
#include "camrun.h"
#include "network.h"
#include "picture_file.h"
#include "program.h"
#include "subcommand.h"
#include "values.h"

static const char help[] =
    "camrun maximise draws what excites a filter or a class: from noise, by gradient\n"
    "ascent on the filter's mean activation, or on the class's logit.\n"
    "\n"
    "  camrun maximise --weights r18.bin --layer layer4.1.conv1 --filter 45,271,363\n"
    "  camrun maximise --weights weights/shapes.bin --class star,ring\n"
    "\n"
    "  --layer NAME      see camrun --list-layers\n"
    "  --filter LIST     as 0-7,45                      (default: the first 8)\n"
    "  --class LIST      classes, by index or name, in place of a layer's filters\n"
    "  --steps N         (128)        --lr F      how far each goes (0.1)\n"
    "  --size N          pixels a side (default: the network's)\n"
    "  --jitter N        every step sees the input moved by up to N pixels (8)\n"
    "  --blur F          deviation in pixels, after every fourth step (0.5)\n"
    "  --decay F         towards the mean colour, in each step (0.002)\n"
    "  --seed N          of noise and jitter (0)\n"
    "  -o PATH           file or folder       (default: LAYER_maximised.png)\n"
    "  --save-raw F.npy  the inputs as the network sees them, (N,C,H,W)\n"
    "\n"
    "  --weights FILE  --arch NAME  --labels FILE  --threads N   as of camrun --help\n"
    "  --mean R,G,B  --std R,G,B\n"
    "  --help\n"
    "Ctrl-C writes what is there.\n";

typedef struct maximise_options {
    network_options network;
    ascent_values ascent;
    text_list classes;
    index_list filters;
    const char *layer, *output, *save_raw;
} maximise_options;

#define FIELD(member) offsetof(maximise_options, member)

static const option table[] = {
    {"arch", 0, set_arch, NETWORK_FIELD(FIELD(network), arch), 1, 0, 0},
    {"weights", 0, set_text, NETWORK_FIELD(FIELD(network), weights), 1, 0, 0},
    {"labels", 0, set_text, NETWORK_FIELD(FIELD(network), labels), 1, 0, 0},
    {"threads", 0, set_count, NETWORK_FIELD(FIELD(network), threads), 1, 1, 1024},
    {"size", 0, set_count, NETWORK_FIELD(FIELD(network), size), 1, 1, LONGEST_SIDE},
    {"mean", 0, set_mean, NETWORK_FIELD(FIELD(network), mean), 1, 0, 0},
    {"std", 0, set_std, NETWORK_FIELD(FIELD(network), std), 1, 0, 0},
    {"layer", 0, set_text, FIELD(layer), 1, 0, 0},
    {"filter", 0, add_indices, FIELD(filters), 1, 0, 0},
    {"class", 0, add_text, FIELD(classes), 1, 0, 0},
    ASCENT_OPTIONS(FIELD(ascent)),
    {"output", 'o', set_text, FIELD(output), 1, 0, 0},
    {"save-raw", 0, set_text, FIELD(save_raw), 1, 0, 0},
};

static bool check_maximise(const void *fields, const bool *given, const text_list *operands, cr_error *err)
{
    (void)given;
    const maximise_options *o = fields;
    if (operands->n)
        return cr_fail(err, "it begins with noise: leave out the picture '%.200s', or see camrun dream", operands->items[0]);
    if (!network_options_check(&o->network, err) || !check_without("layer", o->layer && o->classes.n, "--class", err))
        return false;
    if (!o->layer && !o->classes.n)
        return cr_fail(err, "whose filters? add --layer NAME, or --class LIST");
    return (!o->filters.n || o->layer || cr_fail(err, "--filter: of which layer? add --layer NAME")) &&
           (!o->output || picture_name_check(o->output, err));
}

typedef struct run {
    const maximise_options *o;
    network network;
    int node, n, side;
    index_list channels;
    float *x;             /* (n,C,side,side) */
    double (*scores)[2];  /* (n) */
} run;

static bool choose(run *r, cr_error *err)
{
    const maximise_options *o = r->o;
    const cr_net *net = r->network.net;
    if (o->layer) {
        if ((r->node = cr_net_find(net, o->layer, err)) < 0)
            return false;
        r->channels = o->filters;
        index_list_default(&r->channels, net->nodes[r->node].channels, 8);
        return (r->node > 0 || cr_fail(err, "--layer: the input itself has no filters: name a layer behind it")) &&
               index_list_check(&r->channels, net->nodes[r->node].channels, "filter", net->nodes[r->node].name, err);
    }
    r->node = net->n_nodes - 1;
    cr_target *targets;
    int n;
    bool ok = network_targets(&r->network, &o->classes, &targets, &n, err);
    for (int i = 0; ok && i < n; i++)
        if (targets[i].index < 0 || r->channels.n == (int)(sizeof r->channels.items / sizeof r->channels.items[0]))
            ok = cr_fail(err, "--class: expected classes by index or name: there is no picture yet for top%d", targets[i].rank);
        else
            r->channels.items[r->channels.n++] = targets[i].index;
    free(targets);
    return ok;
}

static void label_of(const run *r, int channel, char *label, size_t size)
{
    if (r->o->layer)
        snprintf(label, size, "%d", channel);
    else
        cr_class_title(label, size, &r->network.labels, channel);
}

/* From what the network sees to what a person does. */
static bool to_picture(const run *r, cr_image *out, const float *x, cr_error *err)
{
    const int channels = r->network.net->in_channels;
    const size_t pixels = (size_t)r->side * (size_t)r->side;
    float *planes = malloc((size_t)channels * pixels * sizeof *planes);
    if (!planes)
        return cr_fail(err, "out of memory");
    cr_transform_undo(planes, x, channels, pixels, &r->network.transform);
    const bool ok = cr_picture_of_planes(out, planes, channels, r->side, r->side, err);
    free(planes);
    return ok;
}

static bool draw(const run *r, cr_image *out, cr_error *err)
{
    const size_t count = (size_t)r->network.net->in_channels * (size_t)r->side * (size_t)r->side;
    if (r->n == 1)
        return to_picture(r, out, r->x, err);
    char title[200], label[200];
    if (r->o->layer)
        snprintf(title, sizeof title, "What excites filters of %s", r->network.net->nodes[r->node].name);
    else
        snprintf(title, sizeof title, "What excites the classes of this %s", r->network.net->arch);
    const int columns = cr_grid_columns(r->n, r->side, r->side);
    const cr_grid_layout layout = {.rows = (r->n + columns - 1) / columns, .columns = columns, .w = r->side, .h = r->side,
                                   .title = title, .labels = true};
    cr_grid *grid = cr_grid_create(&layout, err);
    bool ok = grid != NULL;
    for (int i = 0; ok && i < r->n; i++) {
        cr_image picture = {0};
        label_of(r, r->channels.items[i], label, sizeof label);
        ok = to_picture(r, &picture, r->x + (size_t)i * count, err) &&
             cr_grid_place(grid, i / columns, i % columns, &picture, label, err);
        cr_image_free(&picture);
    }
    if (ok)
        cr_grid_take(grid, out);
    else
        cr_grid_free(grid);
    return ok;
}

static bool write_all(const run *r, const ascent_watch *watch, cr_error *err)
{
    const maximise_options *o = r->o;
    const cr_net *net = r->network.net;
    char path[PATH_SIZE], name[CR_NAME_SIZE + 16], label[200], stopped[64];
    cr_image picture = {0};
    snprintf(name, sizeof name, "%s_maximised", net->nodes[r->node].name);
    const int dims[4] = {r->n, net->in_channels, r->side, r->side};
    const bool ok = picture_path(path, o->output, "", name, "", err) && draw(r, &picture, err) &&
                    cr_image_write_png(&picture, path, err) && (!o->save_raw || cr_npy_write(o->save_raw, r->x, 4, dims, err));
    cr_image_free(&picture);
    if (!ok)
        return false;
    for (int i = 0; i < r->n; i++) {
        label_of(r, r->channels.items[i], label, sizeof label);
        printf("%s %s of %s: %s from %.4g to %.4g\n", o->layer ? "filter" : "class", label, net->nodes[r->node].name,
               o->layer ? "mean activation" : "logit", r->scores[i][0], r->scores[i][1]);
    }
    printf("%d steps on %dx%d%s; written to %s\n", o->ascent.steps, r->side, r->side, ascent_stopped(watch, stopped), path);
    if (o->save_raw)
        printf("inputs written to %s\n", o->save_raw);
    return true;
}

static int run_maximise(const void *fields, const text_list *operands, cr_error *err)
{
    (void)operands;
    const maximise_options *o = fields;
    run r = {.o = o};
    bool ok = network_open(&r.network, &o->network, err) && choose(&r, err);
    if (ok) {
        const int channels = r.network.net->in_channels;
        r.n = r.channels.n;
        r.side = o->network.size ? o->network.size : r.network.transform.crop_w ? r.network.transform.crop_w : 224;
        r.x = calloc((size_t)r.n * (size_t)channels, (size_t)r.side * (size_t)r.side * sizeof *r.x);
        r.scores = calloc((size_t)r.n, sizeof *r.scores);
        ok = (channels == 1 || channels == 3 || cr_fail(err, "this network reads %d channels, and a picture has 1 or 3", channels)) &&
             ((r.x && r.scores) || cr_fail(err, "out of memory for %d inputs of %dx%d", r.n, r.side, r.side));
    }
    if (ok) {
        ascent_watch watch;
        const cr_ascent_options ascent = ascent_begin(&watch, &o->ascent, &r.network.transform);
        ok = cr_maximise(r.x, r.scores, r.network.net, r.node, r.channels.items, r.n, r.side, r.side, &ascent, err) &&
             write_all(&r, &watch, err);
        ascent_end();
    }
    free(r.x);
    free(r.scores);
    network_close(&r.network);
    return ok ? DONE : BAD_INPUT;
}

int maximise_main(int argc, char **argv)
{
    static maximise_options o = {.ascent = {.steps = 128, .lr = 0.1, .jitter = 8, .blur = 0.5, .decay = 0.002}};
    static const subcommand maximise = {"camrun maximise", help, table, sizeof table / sizeof table[0], check_maximise,
                                        run_maximise};
    cr_error err;
    if (!text_list_create(&o.classes, argc, &err))
        return complain("camrun maximise", &err, BAD_INPUT);
    const int status = subcommand_main(&maximise, &o, argc, argv);
    text_list_free(&o.classes);
    return status;
}
