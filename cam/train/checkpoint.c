/* checkpoint.c - see checkpoint.h. */
#include "checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_writer.h"

enum { NAME_SIZE = 2 * CR_NAME_SIZE };

/* ---- metadata ---- */

/* What every weights file says, and the texts of it. */
typedef struct metadata {
    char *classes, *mean, *std;
    char resize[16], crop[16];
    cr_meta all[12];
    int n;
} metadata;

static void add(metadata *m, const char *key, const char *value)
{
    m->all[m->n++] = (cr_meta){key, value};
}

/* The document that write makes, which the caller frees; NULL out of memory. */
static char *json_array(void (*write)(json_writer *j, const void *values, int n), const void *values, int n)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    json_writer j = {.out = out, .compact = true};
    json_open(&j, NULL, '[');
    write(&j, values, n);
    json_close(&j, ']');
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static void write_texts(json_writer *j, const void *values, int n)
{
    for (int i = 0; i < n; i++)
        json_text(j, NULL, ((char *const *)values)[i]);
}

static void write_floats(json_writer *j, const void *values, int n)
{
    for (int i = 0; i < n; i++)
        json_float(j, NULL, ((const float *)values)[i]);
}

static bool describe(metadata *m, const cr_net *net, const description *d)
{
    const cr_transform *t = d->transform;
    *m = (metadata){
        .classes = json_array(write_texts, d->classes, net->classes),
        .mean = json_array(write_floats, t->mean, t->n_mean),
        .std = json_array(write_floats, t->std, t->n_std),
    };
    snprintf(m->resize, sizeof m->resize, "%d", t->resize);
    snprintf(m->crop, sizeof m->crop, "%d", t->crop_w);
    add(m, "arch", net->arch);
    add(m, "classes", m->classes);
    add(m, "mean", m->mean);
    add(m, "std", m->std);
    add(m, "resize", m->resize);
    add(m, "crop", m->crop);
    add(m, "interpolation", "bilinear");
    return m->classes && m->mean && m->std;
}

static void metadata_free(metadata *m)
{
    free(m->classes);
    free(m->mean);
    free(m->std);
}

/* ---- writing ---- */

static cr_tensor tensor_of(const cr_param *p, const char *name, const float *data, cr_dtype dtype)
{
    cr_tensor t = {.name = name, .dtype = p->ndim > 1 ? dtype : CR_F32, .ndim = p->ndim, .data = data};
    for (int d = 0; d < p->ndim; d++)
        t.dim[d] = p->dim[d];
    return t;
}

bool weights_write(const char *path, const model *m, const description *d, cr_dtype dtype, cr_error *err)
{
    const cr_net *net = m->net;
    metadata meta;
    cr_tensor *tensors = calloc((size_t)net->n_params, sizeof *tensors);
    bool ok = (describe(&meta, net, d) && tensors) || cr_fail(err, "%s: out of memory", path);
    for (int i = 0; ok && i < net->n_params; i++)
        tensors[i] = tensor_of(&net->params[i], net->params[i].name, m->param[i], dtype);
    ok = ok && cr_weights_write(path, tensors, net->n_params, meta.all, meta.n, true, err);
    free(tensors);
    metadata_free(&meta);
    return ok;
}

static void state_name(char name[NAME_SIZE], const trainer *t, int state, int param)
{
    snprintf(name, NAME_SIZE, "optimizer.%s.%s", trainer_state_name(t, state), t->model->net->params[param].name);
}

bool checkpoint_write(const char *path, const trainer *t, const description *d, const char *saved,
                      uint64_t fingerprint, const position *at, cr_error *err)
{
    const model *m = t->model;
    const cr_net *net = m->net;
    const size_t most = (size_t)net->n_params * (size_t)(1 + t->n_states);
    char where[160], data[32];
    snprintf(where, sizeof where, "epoch %d step %d seen %d correct %d loss %a", at->epoch, at->step, at->sum.n,
             at->sum.correct, at->sum.loss);
    snprintf(data, sizeof data, "%016" PRIx64, fingerprint);

    metadata meta;
    cr_tensor *tensors = calloc(most, sizeof *tensors);
    char(*names)[NAME_SIZE] = calloc(most, sizeof *names);
    bool ok = (describe(&meta, net, d) && tensors && names) || cr_fail(err, "%s: out of memory", path);
    int n = 0;
    for (int i = 0; ok && i < net->n_params; i++)
        tensors[n++] = tensor_of(&net->params[i], net->params[i].name, m->param[i], CR_F32);
    for (int k = 0; ok && k < t->n_states; k++)
        for (int i = 0; i < net->n_params; i++)
            if (t->state[k][i]) {
                state_name(names[n], t, k, i);
                tensors[n] = tensor_of(&net->params[i], names[n], t->state[k][i], CR_F32);
                n++;
            }
    add(&meta, "camtrain", saved);
    add(&meta, "position", where);
    add(&meta, "data", data);
    ok = ok && cr_weights_write(path, tensors, n, meta.all, meta.n, true, err);
    free(names);
    free(tensors);
    metadata_free(&meta);
    return ok;
}

/* ---- reading ---- */

const char *checkpoint_settings(const cr_weights *w, const char *path, cr_error *err)
{
    const char *saved = cr_weights_meta(w, "camtrain");
    if (!saved)
        cr_fail(err, "%.300s: expected a checkpoint of camtrain's, found weights alone: a new run starts from them with "
                "--init", path);
    return saved;
}

static bool damaged(const char *path, const char *what, cr_error *err)
{
    return cr_fail(err, "%.300s: a damaged checkpoint, or one of another version of camtrain: %s", path, what);
}

static bool read_position(const cr_weights *w, const char *path, const trainer *t, position *at, cr_error *err)
{
    const char *text = cr_weights_meta(w, "position");
    if (!text || sscanf(text, "epoch %d step %d seen %d correct %d loss %la", &at->epoch, &at->step, &at->sum.n,
                        &at->sum.correct, &at->sum.loss) != 5)
        return damaged(path, "it does not say how far the run was", err);
    if (at->epoch < 0 || at->step < 0 || at->step > t->steps || at->sum.n != at->step * t->batch)
        return damaged(path, text, err);
    return true;
}

static bool read_states(cr_weights *w, const char *path, trainer *t, cr_error *err)
{
    for (int k = 0; k < t->n_states; k++)
        for (int i = 0; i < t->model->net->n_params; i++) {
            const size_t bytes = t->model->count[i] * sizeof(float);
            char name[NAME_SIZE];
            if (!t->state[k][i])
                continue;
            state_name(name, t, k, i);
            const cr_tensor *tensor = cr_weights_find(w, name);
            if (!tensor || tensor->dtype != CR_F32 || tensor->bytes != bytes)
                return damaged(path, name, err);
            memcpy(t->state[k][i], tensor->data, bytes);
        }
    return true;
}

bool checkpoint_read(cr_weights *w, const char *path, trainer *t, uint64_t fingerprint, position *at, cr_error *err)
{
    const char *data = cr_weights_meta(w, "data");
    if (!data || strtoull(data, NULL, 16) != fingerprint)
        return cr_fail(err, "%.300s: the pictures are not those the run began with: files were added, removed or changed",
                       path);
    cr_net *net = cr_net_load(w, t->model->net->arch, err);
    if (!net)
        return false;
    transfer done;
    bool ok = net->classes == t->model->net->classes && net->in_channels == t->model->net->in_channels &&
              model_take(t->model, net, true, &done, err);
    cr_net_free(net);
    cr_plan_update(t->plan);
    if (!ok)
        return damaged(path, "its weights are those of another network", err);
    return read_states(w, path, t, err) && read_position(w, path, t, at, err);
}
