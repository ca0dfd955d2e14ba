/* journal.c - the wording of journal.h. */
#include "journal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "json_writer.h"
#include "program.h"

void journal_open(journal *j)
{
    *j = (journal){.line = progress_start()};
}

void journal_close(journal *j)
{
    if (j->log)
        fclose(j->log);
    j->log = NULL;
}

/* Ends the line of JSON. */
static bool end_line(journal *j, cr_error *err)
{
    putc('\n', j->log);
    return fflush(j->log) == 0 || cr_fail(err, "%s: cannot write: %s", j->path, strerror(errno));
}

void journal_say(journal *j, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    journal_clear(j);
    put_printable(stdout, text);
    putchar('\n');
    fflush(stdout);
}

/* ---- words ---- */

static double megabytes(size_t bytes)
{
    return (double)bytes / 1e6;
}

static double per_second(const epoch_facts *f)
{
    return f->train_ms > 0 ? f->trained_here / f->train_ms * 1e3 : 0;
}

static double mean_loss(const score *s)
{
    return s->loss / s->n;
}

static double accuracy(const score *s)
{
    return (double)s->correct / s->n;
}

/* ---- progress ---- */

void journal_clear(journal *j)
{
    progress_clear(&j->line);
}

void journal_reading(journal *j, int done, int n)
{
    if (progress_due(&j->line))
        fprintf(stderr, "\r\033[Kreading pictures: %d of %d", done, n);
}

void journal_step(journal *j, const epoch_facts *f, int step, int steps)
{
    char left[32];
    if (progress_due(&j->line))
        fprintf(stderr, "\r\033[Kepoch %d/%d  step %d/%d  loss %.3f  %.1f %%  %.0f/s  %s left", f->epoch, f->epochs, step,
                steps, mean_loss(&f->trained), 100 * accuracy(&f->trained), per_second(f), duration_text(f->left_ms, left));
}

/* ---- the start ---- */

/* "arrow, circle, crescent, ..." */
static void list_classes(char *text, size_t size, const dataset *d)
{
    enum { SHOWN = 8 };
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < d->n_classes && i < SHOWN && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%.60s", i ? ", " : "", d->classes[i]);
    if (d->n_classes > SHOWN && used < size)
        snprintf(text + used, size - used, ", ...");
}

static void say_start(journal *j, const start_facts *f)
{
    const settings *s = f->settings;
    const model *m = f->model;
    const trainer *t = f->trainer;
    const memory_use use = trainer_memory(t);
    const size_t decoded = f->pictures->bytes + f->held_out_pictures->bytes;
    char classes[600], width[32] = "", kept[100] = "";
    list_classes(classes, sizeof classes, f->data);
    if (s->width != cr_arch_find(m->net->arch, NULL)->width)
        snprintf(width, sizeof width, " of width %d", s->width);
    journal_say(j, "%s%s for %d channel%s and %d classes (%s): %zu of %zu values are trained", m->net->arch, width,
                m->net->in_channels, m->net->in_channels > 1 ? "s" : "", f->data->n_classes, classes, m->trained_values,
                m->values);
    if (f->data->passed_over)
        journal_say(j, "%d file%s of other kinds passed over, the first %s", f->data->passed_over,
                    f->data->passed_over > 1 ? "s" : "", f->data->first_passed_over);
    journal_say(j, "pictures: %d to train on, %d held out, %dx%d; %d step%s of %d in an epoch", f->data->n, f->held_out->n,
                s->size, s->size, t->steps, t->steps > 1 ? "s" : "", t->batch);
    if (f->pictures->n_kept + f->held_out_pictures->n_kept < f->data->n + f->held_out->n)
        snprintf(kept, sizeof kept, " (%d of them, the rest is decoded each time: --cache)",
                 f->pictures->n_kept + f->held_out_pictures->n_kept);
    journal_say(j, "memory: activations %.1f MB, weights %.1f, laid out for the kernels %.1f, gradients %.1f, optimiser %.1f, "
                "decoded pictures %.1f%s", megabytes(use.activations), megabytes(use.weights), megabytes(use.packed),
                megabytes(use.gradients), megabytes(use.optimizer), megabytes(decoded), kept);
}

static void log_start(journal *j, const start_facts *f)
{
    const memory_use use = trainer_memory(f->trainer);
    json_writer w = {.out = j->log, .compact = true};
    json_open(&w, NULL, '{');
    json_text(&w, "camtrain", CAMRUN_VERSION);
    json_text(&w, "arch", f->model->net->arch);
    json_integer(&w, "channels", f->model->net->in_channels);
    json_open(&w, "classes", '[');
    for (int i = 0; i < f->data->n_classes; i++)
        json_text(&w, NULL, f->data->classes[i]);
    json_close(&w, ']');
    json_integer(&w, "pictures", f->data->n);
    json_integer(&w, "held_out", f->held_out->n);
    json_integer(&w, "steps", f->trainer->steps);
    json_integer(&w, "batch", f->trainer->batch);
    json_integer(&w, "parameters", (int64_t)f->model->values);
    json_integer(&w, "trained_parameters", (int64_t)f->model->trained_values);
    json_open(&w, "bytes", '{');
    json_integer(&w, "activations", (int64_t)use.activations);
    json_integer(&w, "weights", (int64_t)use.weights);
    json_integer(&w, "packed", (int64_t)use.packed);
    json_integer(&w, "gradients", (int64_t)use.gradients);
    json_integer(&w, "optimizer", (int64_t)use.optimizer);
    json_integer(&w, "pictures", (int64_t)(f->pictures->bytes + f->held_out_pictures->bytes));
    json_close(&w, '}');
    json_integer(&w, "threads", cr_threads());
    json_text(&w, "isa", cr_isa());
    json_close(&w, '}');
}

bool journal_start(journal *j, const start_facts *facts, cr_error *err)
{
    const settings *s = facts->settings;
    say_start(j, facts);
    if (!s->json)
        return true;
    j->path = s->json;
    if (!(j->log = fopen(j->path, s->resume ? "a" : "w")))
        return cr_fail(err, "%s: cannot write: %s", j->path, strerror(errno));
    log_start(j, facts);
    return end_line(j, err);
}

/* ---- epochs ---- */

static void json_score(json_writer *w, const char *key, const score *s)
{
    json_open(w, key, '{');
    json_integer(w, "pictures", s->n);
    json_double(w, "loss", mean_loss(s));
    json_double(w, "accuracy", accuracy(s));
    json_close(w, '}');
}

bool journal_epoch(journal *j, const epoch_facts *f, cr_error *err)
{
    char tested[80] = "", left[32], rest[48] = "";
    if (f->epoch < f->epochs)
        snprintf(rest, sizeof rest, "  %s left", duration_text(f->left_ms, left));
    if (f->tested.n)
        snprintf(tested, sizeof tested, "  held out: loss %.4f  accuracy %.1f %%", mean_loss(&f->tested),
                 100 * accuracy(&f->tested));
    journal_say(j, "epoch %*d/%d  loss %.4f  accuracy %.1f %%%s  %.0f pictures/s%s", snprintf(NULL, 0, "%d", f->epochs),
                f->epoch, f->epochs, mean_loss(&f->trained), 100 * accuracy(&f->trained), tested, per_second(f), rest);
    if (!j->log)
        return true;
    json_writer w = {.out = j->log, .compact = true};
    json_open(&w, NULL, '{');
    json_integer(&w, "epoch", f->epoch);
    json_double(&w, "lr", f->lr);
    json_score(&w, "trained", &f->trained);
    if (f->tested.n)
        json_score(&w, "held_out", &f->tested);
    json_double(&w, "pictures_per_second", per_second(f));
    json_double(&w, "seconds", f->all_ms / 1e3);
    json_close(&w, '}');
    return end_line(j, err);
}
