/* bind.c - a weights file's tensors become a net's parameters.
 *
 * Names are equal by design (both are torchvision's), so binding is looking up and comparing. The longer part is
 * telling a user what is wrong: mostly the weights are another network's, so the message says whose they are. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "reader.h"

/* What the comparison of a file with a net found. */
typedef struct comparison {
    int present;                 /* parameters whose name is in the file */
    int surplus;                 /* tensors that are none of the net's */
    const cr_param *bad;         /* the first that does not fit; NULL where all do */
    const cr_tensor *bad_tensor; /* its tensor, NULL where it is missing */
} comparison;

/* Inference has no use for the training steps that torch.nn.BatchNorm2d counts, nor for what a checkpoint of camtrain's
 * remembers of the gradients. */
static bool is_of_training(const cr_tensor *t)
{
    static const char end[] = ".num_batches_tracked", begin[] = "optimizer.";
    size_t n = strlen(t->name), m = sizeof end - 1;
    return (n >= m && strcmp(t->name + n - m, end) == 0) || strncmp(t->name, begin, sizeof begin - 1) == 0;
}

static bool is_float(const cr_tensor *t)
{
    return t->dtype != CR_I64 && t->dtype != CR_OTHER;
}

static bool fits(const cr_param *p, const cr_tensor *t)
{
    if (!t || !is_float(t) || t->ndim != p->ndim)
        return false;
    for (int d = 0; d < p->ndim; d++)
        if (t->dim[d] != p->dim[d])
            return false;
    return true;
}

static comparison compare(const cr_weights *w, const cr_net *net)
{
    comparison c = {0};
    for (int i = 0; i < net->n_params; i++) {
        const cr_param *p = &net->params[i];
        const cr_tensor *t = cr_weights_find(w, p->name);
        c.present += t != NULL;
        if (!c.bad && !fits(p, t)) {
            c.bad = p;
            c.bad_tensor = t;
        }
    }
    for (int i = 0; i < cr_weights_count(w); i++)
        c.surplus += !is_of_training(cr_weights_at(w, i));
    c.surplus -= c.present; /* names differ, both in a file and in a net */
    return c;
}

/* ---- which network ---- */

static int to_int(int64_t size)
{
    return size < INT_MAX ? (int)size : INT_MAX; /* cr_net_create refuses both */
}

static const cr_tensor *find_weight(const cr_weights *w, const cr_arch *arch, const char *layer, int ndim,
                                    cr_error *err)
{
    char name[CR_NAME_SIZE + 8];
    snprintf(name, sizeof name, "%s.weight", layer);
    const cr_tensor *t = cr_weights_find(w, name);
    if (!t)
        cr_fail(err, "no tensor %s, which every %s has", name, arch->name);
    else if (t->ndim != ndim)
        cr_fail(err, "%s: expected %d dimensions for %s, found %d", name, ndim, arch->name, t->ndim);
    return t && t->ndim == ndim ? t : NULL;
}

/* The arch's net with the file's sizes. */
static cr_net *create(const cr_weights *w, const cr_arch *arch, cr_error *err)
{
    const cr_tensor *conv = find_weight(w, arch, arch->first_conv, 4, err);
    const cr_tensor *linear = conv ? find_weight(w, arch, arch->last_linear, 2, err) : NULL;
    if (!linear)
        return NULL;
    return cr_net_create(arch, to_int(conv->dim[1]), to_int(linear->dim[0]), to_int(conv->dim[0]), err);
}

/* The one network whose every tensor is in the file and fits, with none left over; NULL where there is none. */
static const cr_arch *recognise(const cr_weights *w)
{
    const cr_arch *only = NULL;
    for (int i = 0; cr_arch_at(i); i++) {
        cr_net *net = create(w, cr_arch_at(i), NULL);
        if (net) {
            comparison c = compare(w, net);
            if (!c.bad && c.surplus == 0) {
                if (only) {
                    cr_net_free(net);
                    return NULL;
                }
                only = cr_arch_at(i);
            }
        }
        cr_net_free(net);
    }
    return only;
}

/* What the metadata says, or else what the tensors do. */
static const cr_arch *arch_of_file(const cr_weights *w, cr_error *err)
{
    const char *said = cr_weights_meta(w, "arch");
    if (said)
        return cr_arch_find(said, err);
    const cr_arch *arch = recognise(w);
    if (!arch)
        cr_fail(
            err,
            "the file does not say which network it is for, and its tensors are not exactly those of any that camrun "
            "knows; with --arch NAME it can tell what is different");
    return arch;
}

/* ---- messages ---- */

static void write_shape(char *text, size_t size, int ndim, const int64_t *dim)
{
    size_t used = 0;
    text[0] = '\0';
    for (int d = 0; d < ndim && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", d ? "," : "", (long long)dim[d]);
}

static void describe_misfit(const cr_param *p, const cr_tensor *t, const char *arch, cr_error *err)
{
    char expected[64], found[CR_TENSOR_DIMS * 21];
    int64_t dim[CR_PARAM_DIMS];
    for (int d = 0; d < p->ndim; d++)
        dim[d] = p->dim[d];
    write_shape(expected, sizeof expected, p->ndim, dim);
    write_shape(found, sizeof found, t->ndim, t->dim);
    if (is_float(t))
        cr_fail(err, "%s: expected shape (%s) for %s, found (%s)", p->name, expected, arch, found);
    else
        cr_fail(err, "%s: expected floating-point numbers, found %s", p->name,
                t->dtype == CR_I64 ? "int64" : "another type");
}

static bool has_param(const cr_net *net, const char *name)
{
    for (int i = 0; i < net->n_params; i++)
        if (strcmp(net->params[i].name, name) == 0)
            return true;
    return false;
}

static void describe_surplus(const cr_weights *w, const cr_net *net, int surplus, cr_error *err)
{
    for (int i = 0; i < cr_weights_count(w); i++) {
        const cr_tensor *t = cr_weights_at(w, i);
        if (!is_of_training(t) && !has_param(net, t->name)) {
            cr_fail(err, "%d tensor%s that %s does not have, the first %.100s", surplus, surplus == 1 ? "" : "s",
                    net->arch, t->name);
            return;
        }
    }
}

/* Whose weights these are, if not this network's; text stays as it was where nothing tells. */
static void hint(const cr_weights *w, const cr_arch *tried, char *text, size_t size)
{
    const char *said = cr_weights_meta(w, "arch");
    const cr_arch *arch = recognise(w);
    if (arch && arch != tried)
        snprintf(text, size, "; these weights fit %s: --arch %s", arch->name, arch->name);
    else if (said && strcmp(said, tried->name) != 0)
        snprintf(text, size, "; the file says it is for %.40s", said);
}

/* ---- binding ---- */

static void release(void *weights, const cr_param *p)
{
    size_t bytes = sizeof(float);
    for (int d = 0; d < p->ndim; d++)
        bytes *= (size_t)p->dim[d];
    cr_weights_release_pages(weights, p->data, bytes);
}

static bool bind(cr_weights *w, cr_net *net, cr_error *err)
{
    net->packed = release;
    net->owner = w;
    for (int i = 0; i < net->n_params; i++) {
        cr_param *p = &net->params[i];
        p->data = cr_weights_f32(w, cr_weights_find(w, p->name), err);
        if (!p->data)
            return false;
    }
    return true;
}

/* The arch's net with the file's sizes, where every tensor fits. */
static cr_net *create_fitting(const cr_weights *w, const cr_arch *arch, cr_error *err)
{
    cr_net *net = create(w, arch, err);
    if (!net)
        return NULL;
    comparison c = compare(w, net);
    if (!c.bad && c.surplus == 0)
        return net;
    if (c.bad_tensor)
        describe_misfit(c.bad, c.bad_tensor, arch->name, err);
    else if (c.bad)
        cr_fail(err, "no tensor %s, which %s has (%d of its %d are there)", c.bad->name, arch->name, c.present,
                net->n_params);
    else
        describe_surplus(w, net, c.surplus, err);
    cr_net_free(net);
    return NULL;
}

cr_net *cr_net_load(cr_weights *w, const char *name, cr_error *err)
{
    cr_error why;
    const cr_arch *arch = name ? cr_arch_find(name, err) : arch_of_file(w, &why);
    if (!arch && name)
        return NULL; /* the name is at fault, not the file */
    cr_net *net = arch ? create_fitting(w, arch, &why) : NULL;
    if (!net) {
        char whose[128] = "";
        cr_error full;
        if (arch)
            hint(w, arch, whose, sizeof whose);
        cr_fail(&full, "%s%s", why.text, whose);
        cr_fail_at(w->path, &full, err);
    } else if (!bind(w, net, err)) {
        cr_net_free(net);
        net = NULL;
    }
    return net;
}
