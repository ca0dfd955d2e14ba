/* network.c - from options to a network that can run, and from picture files to its input. */
#include "network.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hash.h"
#include "program.h"

/* ---- options ---- */

bool set_resize(void *field, const char *text, const option *o, cr_error *err)
{
    const char *end = text;
    int first = 0, second = 0, low = (int)o->low, high = (int)o->high;
    bool ok = read_count(&end, low, high, &first);
    bool pair = ok && (*end == 'x' || *end == 'X');
    if (pair) {
        end++;
        ok = read_count(&end, low, high, &second);
    }
    if (!ok || *end)
        return cr_fail(err, "expected the shorter side's length, as 256, or WIDTHxHEIGHT, as 224x224, none above %d; "
                       "found '%.60s'", high, text);
    *(resize_value *)field = pair ? (resize_value){.w = first, .h = second} : (resize_value){.shorter = first};
    return true;
}

bool network_options_check(const network_options *o, cr_error *err)
{
    if (!o->arch && !o->weights)
        return cr_fail(err, "no network given: add --weights FILE (weights/shapes.bin is a small one that comes with "
                       "camrun), or --help");
    if (!o->weights)
        return cr_fail(err, "--arch %s says which network it is but not its weights: add --weights FILE", o->arch);
    if (o->no_crop && o->size && (o->resize.shorter || o->resize.w))
        return cr_fail(err, "--size has no effect with --no-crop and --resize: leave one of them out");
    return true;
}

/* ---- opening ---- */

static bool choose_transform(network *n, cr_error *err)
{
    const network_options *o = n->options;
    cr_transform *t = &n->transform;
    if (!cr_transform_from_weights(t, n->weights, err))
        return false;
    if (o->size) {
        int64_t resize = (int64_t)t->resize * o->size / t->crop_w;
        t->resize = resize > 0 ? (int)resize : 1;
        t->crop_w = t->crop_h = o->size;
    }
    if (o->resize.shorter)
        t->resize = o->resize.shorter;
    if (o->resize.w) {
        t->resize = 0;
        t->resize_w = o->resize.w;
        t->resize_h = o->resize.h;
    }
    if (o->no_crop || (o->resize.w && !o->size))
        t->crop_w = t->crop_h = 0;
    t->gray = o->gray;
    if (o->mean.n) {
        t->n_mean = o->mean.n;
        memcpy(t->mean, o->mean.v, sizeof t->mean);
    }
    if (o->std.n) {
        t->n_std = o->std.n;
        memcpy(t->std, o->std.v, sizeof t->std);
    }
    return true;
}

bool network_open(network *n, const network_options *o, cr_error *err)
{
    *n = (network){.options = o};
    if (o->threads)
        cr_set_threads(o->threads);
    cr_bind_threads();
    if (!check_isa(err))
        return false;
    double start = now_ms();
    if (!(n->weights = cr_weights_open(o->weights, err)) || !(n->net = cr_net_load(n->weights, o->arch, err)))
        return false;
    n->load_ms = now_ms() - start;
    return (o->labels ? cr_labels_read(&n->labels, o->labels, n->net->classes, err)
                      : cr_labels_from_weights(&n->labels, n->weights, n->net->classes, err)) &&
           choose_transform(n, err);
}

void network_close(network *n)
{
    cr_labels_free(&n->labels);
    cr_net_free(n->net);
    cr_weights_close(n->weights);
    *n = (network){0};
}

uint64_t network_fingerprint(const network *n)
{
    const cr_net *net = n->net;
    uint64_t hash = HASH_START;
    for (int i = 0; i < net->n_params; i++) {
        const cr_param *p = &net->params[i];
        size_t count = 1;
        for (int k = 0; k < p->ndim; k++)
            count *= (size_t)p->dim[k];
        hash = hash_bytes(hash, p->name, strlen(p->name) + 1);
        hash = hash_bytes(hash, p->data, count * sizeof *p->data);
        if (net->packed)
            net->packed(net->owner, p);
    }
    return hash;
}

/* ---- layers and classes ---- */

/* One more than the commas in all items. */
static size_t count_items(const text_list *list)
{
    size_t n = (size_t)list->n + 1;
    for (int i = 0; i < list->n; i++)
        for (const char *c = list->items[i]; *c; c++)
            n += *c == ',';
    return n;
}

bool network_layers(const network *n, const text_list *list, int **nodes, int *n_nodes, cr_error *err)
{
    *n_nodes = 0;
    if (!(*nodes = calloc(count_items(list), sizeof **nodes)))
        return cr_fail(err, "out of memory");
    for (int i = 0; i < list->n; i++)
        for (const char *item = list->items[i], *end; item; item = *end ? end + 1 : NULL) {
            char name[2 * CR_NAME_SIZE];
            end = item + strcspn(item, ",");
            if (end == item)
                return cr_fail(err, "a layer is missing: expected names with commas between, found '%.200s'",
                               list->items[i]);
            snprintf(name, sizeof name, "%.*s", (int)(end - item), item);
            if (((*nodes)[(*n_nodes)++] = cr_net_find(n->net, name, err)) < 0)
                return false;
        }
    return true;
}

/* "all" means every class, unless a class is called that. */
static bool means_all(const network *n, const char *item)
{
    bool is_name = false;
    for (int i = 0; i < n->labels.n; i++)
        is_name = is_name || strcasecmp(n->labels.names[i], "all") == 0;
    return strcmp(item, "all") == 0 && !is_name;
}

bool network_targets(const network *n, const text_list *list, cr_target **targets, int *n_targets, cr_error *err)
{
    size_t room = count_items(list);
    for (int i = 0; i < list->n; i++)
        room += means_all(n, list->items[i]) ? (size_t)n->net->classes : 0;
    *n_targets = 0;
    if (!(*targets = calloc(room, sizeof **targets)))
        return cr_fail(err, "out of memory");
    if (!list->n)
        (*targets)[(*n_targets)++] = (cr_target){.index = -1, .rank = 1};
    for (int i = 0; i < list->n; i++) {
        if (means_all(n, list->items[i]))
            for (int c = 0; c < n->net->classes; c++)
                (*targets)[(*n_targets)++] = (cr_target){.index = c};
        else if (!cr_targets_parse(*targets, n_targets, list->items[i], &n->labels, n->net->classes, err))
            return false;
    }
    return true;
}

/* ---- pictures ---- */

bool network_takes_pictures(const network *n, cr_error *err)
{
    int channels = n->net->in_channels;
    return channels == 1 || channels == 3 ||
           cr_fail(err, "%.200s: this %s reads %d channels and a picture gives 1 or 3: camrun --tensor F.npy explains a ready "
                   "input", n->options->weights, n->net->arch, channels);
}

bool network_read(network_input *input, const network *n, const char *path, cr_error *err)
{
    *input = (network_input){0};
    if (!network_takes_pictures(n, err))
        return false;
    int channels = n->net->in_channels;
    cr_geometry *g = &input->geometry;
    if (!cr_image_load(&input->photo, path, err) ||
        !cr_transform_geometry(&n->transform, input->photo.w, input->photo.h, g, err))
        return false;
    if (!(input->x = calloc((size_t)channels * (size_t)g->h, (size_t)g->w * sizeof *input->x)))
        return cr_fail(err, "%.200s: out of memory for an input of %dx%d", path, g->w, g->h);
    return cr_transform_apply(input->x, channels, &input->photo, &n->transform, g, err);
}

void network_input_free(network_input *input)
{
    free(input->x);
    cr_image_free(&input->photo);
    *input = (network_input){0};
}
