/* train.c - see train.h: sets a run up, anew or from a checkpoint, then goes through its epochs. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "file.h"
#include "hash.h"
#include "interrupt.h"
#include "journal.h"
#include "metadata.h"
#include "program.h"

/* What a run needs from its first step to its last. */
typedef struct run {
    settings *s;
    char *data_path, *val_path; /* absolute, so that a checkpoint finds them from anywhere */
    cr_weights *from;           /* --init's file, or the checkpoint */
    cr_net *from_net;           /* --init's */
    cr_transform transform;     /* the evaluation's */
    dataset data, held_out;
    pictures pictures, held_out_pictures;
    model model;
    trainer trainer;
    description description;
    char *saved_settings;
    uint64_t fingerprint;
    position at;
    journal journal;
    int *order;
    double start_ms;
    int64_t steps_here;         /* steps of this process */
} run;

/* ---- setting up: what the command line leaves open ---- */

/* --init's network: --arch, where that is given, or the same with batch normalisation, which model_take folds. */
static cr_net *load_init(cr_weights *from, const char *arch, cr_error *err)
{
    char normalised[64];
    cr_error why;
    cr_net *net = cr_net_load(from, arch, err);
    snprintf(normalised, sizeof normalised, "%.32s_bn", arch ? arch : "");
    return net || !arch || !cr_arch_find(normalised, &why) ? net : cr_net_load(from, normalised, &why);
}

/* The network and the preprocessing: --init's, else the defaults, with what the options say. */
static bool settle(run *r, cr_error *err)
{
    settings *s = r->s;
    cr_transform t = cr_transform_default();
    int width = 0, channels = 3;
    if (s->init) {
        if (!(r->from = cr_weights_open(s->init, err)) || !(r->from_net = load_init(r->from, s->arch, err)) ||
            !cr_transform_from_weights(&t, r->from, err))
            return false;
        s->arch = s->arch ? s->arch : r->from_net->arch;
        width = r->from_net->params[0].dim[0];
        channels = r->from_net->in_channels;
        if (s->width && s->width != width)
            return cr_fail(err, "--width %d: %.200s holds a %s of width %d", s->width, s->init, s->arch, width);
    }
    if (!s->channels)
        s->channels = channels;
    if (s->channels != 1 && s->channels != 3)
        return cr_fail(err, "%.200s: this %s reads %d channels and a picture gives 1 or 3: add --channels", s->init, s->arch,
                       s->channels);
    if (!s->width)
        s->width = width ? width : cr_arch_find(s->arch, err)->width;
    if (!s->size)
        s->size = t.crop_w;
    if (!s->resize) {
        int64_t resize = (int64_t)t.resize * s->size / t.crop_w;
        s->resize = resize > 0 ? (int)resize : 1;
    }
    if (!s->mean.n) {
        s->mean.n = t.n_mean;
        memcpy(s->mean.v, t.mean, sizeof t.mean);
    }
    if (!s->std.n) {
        s->std.n = t.n_std;
        memcpy(s->std.v, t.std, sizeof t.std);
    }
    return true;
}

static bool resume(run *r, int argc, char **argv, cr_error *err)
{
    const char *saved;
    return (r->from = cr_weights_open(r->s->resume, err)) && (saved = checkpoint_settings(r->from, r->s->resume, err)) &&
           settings_resume(r->s, saved, argc, argv, err);
}

static void set_transform(run *r)
{
    const settings *s = r->s;
    r->transform = (cr_transform){.resize = s->resize, .crop_w = s->size, .crop_h = s->size, .n_mean = s->mean.n,
                                  .n_std = s->std.n};
    memcpy(r->transform.mean, s->mean.v, sizeof s->mean.v);
    memcpy(r->transform.std, s->std.v, sizeof s->std.v);
}

/* ---- setting up: pictures ---- */

static bool find_pictures(run *r, cr_error *err)
{
    settings *s = r->s;
    double share = settings_val_share(s);
    if (!dataset_scan(&r->data, s->data, NULL, err))
        return false;
    if (share < 0) {
        if (!dataset_scan(&r->held_out, s->val, &r->data, err) || !(r->val_path = realpath(s->val, NULL)))
            return r->held_out.n ? cr_fail(err, "%s: cannot find the folder", s->val) : false;
        s->val = r->val_path;
    } else if (share > 0 && !dataset_split(&r->data, &r->held_out, share, (uint64_t)s->seed, err)) {
        return false;
    }
    if (!(r->data_path = realpath(s->data, NULL)))
        return cr_fail(err, "%s: cannot find the folder", s->data);
    s->data = r->data_path;
    uint64_t held_out = r->held_out.n ? dataset_fingerprint(&r->held_out) : 0;
    r->fingerprint = hash_bytes(dataset_fingerprint(&r->data), &held_out, sizeof held_out);
    if (!(r->order = malloc((size_t)r->data.n * sizeof *r->order)))
        return cr_fail(err, "out of memory");
    return true;
}

static void show_reading(void *context, int done, int n)
{
    journal_reading(context, done, n);
}

static bool read_pictures(run *r, cr_error *err)
{
    const size_t limit = (size_t)r->s->cache * 1000000;
    return pictures_open(&r->pictures, &r->data, &r->transform, r->s->channels, limit, show_reading, &r->journal, err) &&
           pictures_open(&r->held_out_pictures, &r->held_out, &r->transform, r->s->channels, limit - r->pictures.bytes,
                         show_reading, &r->journal, err);
}

/* ---- setting up: the model ---- */

/* Whether the classes of --init's file are those of the pictures. Where it names none, equal numbers have to do. */
static bool same_classes(run *r, bool *same, cr_error *err)
{
    cr_labels labels;
    if (!cr_labels_from_weights(&labels, r->from, r->from_net->classes, err))
        return false;
    *same = r->from_net->classes == r->data.n_classes;
    for (int i = 0; *same && i < labels.n; i++)
        *same = strcmp(labels.names[i], r->data.classes[i]) == 0;
    cr_labels_free(&labels);
    return true;
}

static bool take_init(run *r, cr_error *err)
{
    const char *path = r->s->init;
    bool same;
    transfer done;
    cr_error why;
    if (!same_classes(r, &same, err))
        return false;
    if (!model_take(&r->model, r->from_net, same, &done, &why))
        return cr_fail(err, "%.200s: %s", path, why.text);
    if (done.new_head && r->from_net->classes != r->data.n_classes)
        journal_say(&r->journal, "%s is for %d classes: the last layer starts anew, for %d", path, r->from_net->classes,
                    r->data.n_classes);
    else if (done.new_head)
        journal_say(&r->journal, "%s is for classes of other names: the last layer starts anew", path);
    if (done.from_channels)
        journal_say(&r->journal, "%s reads %d channel%s: the first convolution gets %s", path, done.from_channels,
                    done.from_channels > 1 ? "s" : "",
                    done.from_channels > 1 ? "the sum over them, for a grey picture" : "a third of it for each of 3");
    if (done.folded)
        journal_say(&r->journal, "%s is a %s: its batch normalisations are folded into the convolutions", path,
                    r->from_net->arch);
    return true;
}

static bool make_model(run *r, cr_error *err)
{
    settings *s = r->s;
    const cr_arch *arch = cr_arch_find(s->arch, err);
    if (!arch || !model_create(&r->model, arch, s->channels, r->data.n_classes, s->width, err))
        return false;
    if (!s->resume) {
        model_init(&r->model, (uint64_t)s->seed);
        if (s->init && !take_init(r, err))
            return false;
    }
    return (!s->freeze || model_freeze(&r->model, s->freeze, err)) &&
           trainer_create(&r->trainer, &r->model, s, r->data.n, s->size, err) &&
           (!s->resume || checkpoint_read(r->from, s->resume, &r->trainer, r->fingerprint, &r->at, err));
}

/* ---- writing ---- */

/* Whether a file can be written there: better to know before the training than after it. What an earlier run that was killed
 * left of it goes. */
static bool can_write(const char *path, cr_error *err)
{
    cr_file_sweep(path);
    cr_file *file = cr_file_create(path, err);
    if (file)
        cr_file_discard(file);
    return file != NULL;
}

static bool save_checkpoint(run *r, cr_error *err)
{
    return checkpoint_write(r->s->checkpoint, &r->trainer, &r->description, r->saved_settings, r->fingerprint, &r->at, err);
}

/* ---- running ---- */

static double left_ms(const run *r)
{
    const int64_t done = (int64_t)r->at.epoch * r->trainer.steps + r->at.step;
    const int64_t left = (int64_t)r->s->epochs * r->trainer.steps - done;
    return r->steps_here ? (now_ms() - r->start_ms) / (double)r->steps_here * (double)left : 0;
}

/* The steps from r->at to the end of its epoch. */
static bool train_epoch(run *r, epoch_facts *facts, bool *interrupted, cr_error *err)
{
    position *at = &r->at;
    const int batch = r->trainer.batch, steps = r->trainer.steps;
    const double start = now_ms();
    dataset_order(r->order, r->data.n, (uint64_t)r->s->seed, at->epoch);
    while (at->step < steps && !(*interrupted = interrupt_waits())) {
        cr_error why;
        if (!trainer_step(&r->trainer, &r->pictures, r->order + (size_t)at->step * (size_t)batch, at->epoch, at->step,
                          &at->sum, &why))
            return cr_fail(err, "epoch %d, step %d: %s", at->epoch + 1, at->step + 1, why.text);
        at->step++;
        r->steps_here++;
        facts->trained = at->sum;
        facts->trained_here += batch;
        facts->train_ms = now_ms() - start;
        facts->left_ms = left_ms(r);
        journal_step(&r->journal, facts, at->step, steps);
    }
    return true;
}

/* One epoch with its test and its checkpoint. */
static bool run_epoch(run *r, bool *interrupted, cr_error *err)
{
    const double start = now_ms();
    epoch_facts facts = {.epoch = r->at.epoch + 1, .epochs = r->s->epochs, .trained = r->at.sum,
                         .lr = trainer_lr(&r->trainer, r->at.epoch, r->trainer.steps - 1)};
    if (!train_epoch(r, &facts, interrupted, err))
        return false;
    if (!*interrupted && r->held_out.n &&
        !trainer_test(&r->trainer, &r->held_out_pictures, interrupt_waits, interrupted, &facts.tested, err))
        return false;
    if (*interrupted)
        return save_checkpoint(r, err);
    r->at = (position){.epoch = r->at.epoch + 1};
    facts.all_ms = now_ms() - start;
    facts.left_ms = left_ms(r);
    return save_checkpoint(r, err) && journal_epoch(&r->journal, &facts, err);
}

static bool run_epochs(run *r, bool *interrupted, cr_error *err)
{
    *interrupted = false;
    r->start_ms = now_ms();
    while (r->at.epoch < r->s->epochs && !*interrupted)
        if (!run_epoch(r, interrupted, err))
            return false;
    if (*interrupted) {
        journal_say(&r->journal, "interrupted in epoch %d, after %d of %d steps; to go on: camtrain --resume %s",
                    r->at.epoch + 1, r->at.step, r->trainer.steps, r->s->checkpoint);
        return true;
    }
    if (!weights_write(r->s->output, &r->model, &r->description, r->s->dtype, err))
        return false;
    journal_say(&r->journal, "weights written to %s; camrun --weights %s PICTURE shows what they look at", r->s->output,
                r->s->output);
    return true;
}

static bool set_up(run *r, int argc, char **argv, cr_error *err)
{
    settings *s = r->s;
    if (!check_isa(err) || !(s->resume ? resume(r, argc, argv, err) : settle(r, err)))
        return false;
    set_transform(r);
    r->description = (description){NULL, &r->transform};
    journal_open(&r->journal);
    if (!can_write(s->output, err) || !can_write(s->checkpoint, err) || (s->json && !can_write(s->json, err)) || !find_pictures(r, err) || !make_model(r, err) || !read_pictures(r, err))
        return false;
    r->description.classes = r->data.classes;
    if (!(r->saved_settings = settings_save(s)))
        return cr_fail(err, "out of memory");
    start_facts facts = {s, &r->model, &r->trainer, &r->data, &r->held_out, &r->pictures, &r->held_out_pictures};
    return journal_start(&r->journal, &facts, err);
}

static void tear_down(run *r)
{
    journal_clear(&r->journal);
    journal_close(&r->journal);
    trainer_free(&r->trainer);
    model_free(&r->model);
    pictures_close(&r->pictures);
    pictures_close(&r->held_out_pictures);
    dataset_free(&r->data);
    dataset_free(&r->held_out);
    cr_net_free(r->from_net);
    cr_weights_close(r->from);
    free(r->saved_settings);
    free(r->order);
    free(r->data_path);
    free(r->val_path);
}

bool train(settings *s, int argc, char **argv, bool *interrupted, cr_error *err)
{
    run r = {.s = s};
    bool ok = set_up(&r, argc, argv, err);
    if (ok) {
        interrupt_hold();
        ok = run_epochs(&r, interrupted, err);
    }
    tear_down(&r);
    return ok;
}
