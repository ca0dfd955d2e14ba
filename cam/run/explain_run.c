/* explain_run.c - camrun without a sub-command: explaining what the command line asks for.
 *
 * explain() sets a run up and feeds it with a tensor or with pictures, which explain_batch.c explains. Of many pictures some are
 * taken at a time: their files are decoded together, one on each thread; then the network, on all threads, explains one
 * after the other; then what was drawn is compressed and written, again together; and at last they are told of, in order. */
#include "explain_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explain_batch.h"
#include "file.h"
#include "interrupt.h"
#include "program.h"
#include "progress.h"
#include "results.h"

/* ---- setting up ---- */

static bool choose_layers(run *r, cr_error *err)
{
    if (!network_layers(&r->network, &r->o->layers, &r->layers, &r->n_layers, err))
        return false;
    bool needs_layer = false;
    for (int i = 0; i < r->o->methods.n; i++)
        needs_layer |= !(r->o->methods.items[i]->needs & CR_NEEDS_BIASES);
    if (!r->n_layers && needs_layer)
        r->layers[r->n_layers++] = cr_net_last_feature_map(r->network.net);
    return true;
}

static bool methods_fit(const run *r, cr_error *err)
{
    for (int i = 0; i < r->o->methods.n; i++)
        if (!cr_method_fits(r->o->methods.items[i], r->network.net, r->layers, r->n_layers, err))
            return false;
    return true;
}

static bool set_up(run *r, cr_error *err)
{
    const options *o = r->o;
    if (!network_open(&r->network, &o->network, err) ||
        (o->task == EXPLAIN_PICTURES && !network_takes_pictures(&r->network, err)) || !choose_layers(r, err) ||
        !network_targets(&r->network, &o->classes, &r->targets, &r->n_targets, err) || !methods_fit(r, err))
        return false;
    r->n_explained = o->average_classes ? 1 : r->n_targets;
    r->repeat = !o->timing ? 1 : o->repeat ? o->repeat : 10;
    if (!(r->times = calloc((size_t)r->repeat, sizeof *r->times)))
        return cr_fail(err, "out of memory");
    r->facts = (run_facts){
        .weights = o->network.weights, .net = r->network.net, .labels = &r->network.labels, .methods = o->methods.items,
        .n_methods = o->methods.n, .layers = r->layers, .n_layers = r->n_layers,
        .transform = o->task == EXPLAIN_PICTURES ? &r->network.transform : NULL,
        .load_ms = r->network.load_ms, .repeat = o->timing ? r->repeat : 0,
    };
    r->maps = (stack){.path = o->save_map, .inner = 2};
    r->raws = (stack){.path = o->save_raw, .inner = 2};
    r->logits = (stack){.path = o->save_logits, .inner = 1};
    return drawings_create(&r->drawings, r->series->many && o->output, err);
}

static void tear_down(run *r)
{
    stack_free(&r->maps);
    stack_free(&r->raws);
    stack_free(&r->logits);
    drawings_free(&r->drawings);
    cr_explainer_free(r->explainer);
    free(r->times);
    free(r->targets);
    free(r->layers);
    network_close(&r->network);
}

/* ---- one outcome ---- */

static bool written(const outcome *out, cr_error *err)
{
    if (out->failure.text[0])
        *err = out->failure;
    return !out->failure.text[0];
}

/* Adds what came of a batch, whose pictures are written, to all that tells of it. A failure is one of the run. */
static bool put_outcome(run *r, outcome *out, cr_error *err)
{
    report_put(&r->report, out->text);
    return stack_add(&r->maps, &out->maps, err) && stack_add(&r->raws, &out->raws, err) &&
           stack_add(&r->logits, &out->logits, err);
}

/* ---- a tensor ---- */

static bool explain_tensor(run *r, cr_error *err)
{
    const char *path = r->o->tensor;
    char *stem = picture_stem(path);
    subject s = {.source = path, .stem = stem};
    outcome out = {0};
    float *x = NULL;
    int n, dim[CR_NPY_DIMS] = {0};
    bool ok = (stem || cr_fail(err, "out of memory")) && cr_npy_read(path, &x, &n, dim, err);
    char found[64] = "";
    for (int i = 0; ok && i < n; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%d", i ? "," : "", dim[i]);
    ok = ok && ((n == 4 && dim[0] > 0 && dim[1] == r->network.net->in_channels) ||
              cr_fail(err, "%.200s: expected an array of shape (N,%d,H,W) for this %s, found (%s)%s", path,
                      r->network.net->in_channels, r->network.net->arch, found, n == 3 ? "; x[None] adds the axis N" : ""));
    ok = ok && explain_batch(r, &s, x, dim[0], dim[2], dim[3], &out, err);
    drawings_write(&r->drawings);
    ok = ok && written(&out, err) && put_outcome(r, &out, err);
    outcome_free(&out);
    free(stem);
    free(x);
    return ok;
}

/* ---- pictures ---- */

/* A picture that is being explained. */
typedef struct slot {
    const picture_file *picture;
    network_input input;
    bool ok;      /* so far */
    cr_error why; /* it is not */
    outcome out;
} slot;

enum { MOST_SLOTS = 16 };

/* A run over pictures. */
typedef struct passage {
    run *run;
    const series *series;
    results results;
    counts counts;
    int next;               /* picture to look at */
    double start;
    progress line;
    bool wants_line;        /* not where the report is on the terminal */
    slot slots[MOST_SLOTS];
    int n_slots;
} passage;

/* "[=====>              ] 123/1000  12.3 a second  1 min 10 s left  2 failed" */
static void show_pictures(passage *p, const char *more)
{
    enum { WIDTH = 20 };
    const counts *c = &p->counts;
    const int past = c->before + c->done + c->failed, here = c->done + c->failed;
    const double ms = now_ms() - p->start;
    char left[64] = "", failed[32] = "", bar[WIDTH + 1];
    if (!p->wants_line || !progress_due(&p->line))
        return;
    for (int i = 0; i < WIDTH; i++)
        bar[i] = (int64_t)i * c->pictures < (int64_t)past * WIDTH ? '=' : ' ';
    bar[WIDTH] = '\0';
    if (here) {
        char time[32];
        snprintf(left, sizeof left, "  %.1f/s  %s left", here / ms * 1e3, duration_text(ms / here * (c->pictures - past), time));
    }
    if (c->failed)
        snprintf(failed, sizeof failed, "  %d failed", c->failed);
    fprintf(stderr, "\r\033[K[%s] %d/%d%s%s%s", bar, past, c->pictures, left, failed, more);
}

/* Of a picture whose method runs the network for every channel. */
static void show_channels(void *owner, int done, int all)
{
    passage *p = ((run *)owner)->passage;
    char more[48];
    snprintf(more, sizeof more, "  %d of %d channels", done, all);
    if (p && p->series->many) {
        show_pictures(p, more);
    } else if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K%s", done < all ? more + 2 : "");
        fflush(stderr);
    }
}

/* Takes the next pictures that are not done. */
static void take_pictures(passage *p)
{
    const picture_list *l = &p->series->pictures;
    const int most = 2 * cr_threads() < MOST_SLOTS ? 2 * cr_threads() : MOST_SLOTS;
    for (p->n_slots = 0; p->n_slots < most && p->next < l->n; p->next++)
        if (!p->results.done[p->next])
            p->slots[p->n_slots++] = (slot){.picture = &l->items[p->next]};
}

static void explain_slot(passage *p, slot *s)
{
    const char *stem = p->series->stems[s->picture - p->series->pictures.items];
    const subject what = {.source = s->picture->path, .stem = stem, .bytes = s->picture->bytes, .photo = &s->input.photo,
                          .geometry = s->input.geometry};
    s->ok = explain_batch(p->run, &what, s->input.x, 1, s->input.geometry.h, s->input.geometry.w, &s->out, &s->why);
}

/* Tells of a picture that did not work out. */
static bool put_failure(passage *p, const slot *s, cr_error *err)
{
    char *text = NULL, *line = NULL;
    size_t bytes;
    FILE *to_text = open_memstream(&text, &bytes), *to_line = open_memstream(&line, &bytes);
    bool ok = to_text && to_line;
    if (ok) {
        report_failure(&p->run->report, to_text, s->picture->path, s->why.text);
        report_failure_line(to_line, s->picture->path, s->why.text);
    }
    ok = (!to_text || fclose(to_text) == 0) && ok;
    ok = (!to_line || fclose(to_line) == 0) && ok;
    progress_clear(&p->line);
    complain("camrun", &s->why, 0);
    p->counts.failed++;
    ok = ok || cr_fail(err, "out of memory");
    if (ok)
        report_put(&p->run->report, text);
    ok = ok && results_add(&p->results, line, err);
    free(text);
    free(line);
    return ok;
}

/* Everything that came of a picture. */
static bool put_slot(passage *p, slot *s, cr_error *err)
{
    s->ok = s->ok && written(&s->out, &s->why);
    if (!s->ok && !p->series->many) {
        *err = s->why;
        return false;
    }
    if (!s->ok)
        return put_failure(p, s, err);
    p->counts.done++;
    if (p->run->report.style != REPORT_JSON && *s->out.text)
        progress_clear(&p->line);
    return put_outcome(p->run, &s->out, err) && results_add(&p->results, s->out.line ? s->out.line : "", err);
}

/* The pictures in the slots; a signal leaves those behind the one that it meets for another run. */
static bool explain_slots(passage *p, cr_error *err)
{
    bool ok = true;
    int n = p->n_slots;
#pragma omp parallel for schedule(dynamic) num_threads(cr_threads())
    for (int i = 0; i < n; i++) {
        slot *s = &p->slots[i];
        s->ok = network_read(&s->input, &p->run->network, s->picture->path, &s->why);
    }
    for (int i = 0; i < n; i++) {
        if (p->series->many && i && interrupt_waits())
            n = i;
        else if (p->slots[i].ok)
            explain_slot(p, &p->slots[i]);
        network_input_free(&p->slots[i].input);
        show_pictures(p, "");
    }
    drawings_write(&p->run->drawings);
    for (int i = 0; i < p->n_slots; i++) {
        ok = ok && (i >= n || put_slot(p, &p->slots[i], err));
        outcome_free(&p->slots[i].out);
        network_input_free(&p->slots[i].input);
    }
    return ok;
}

/* Removes what a program that was killed left behind of the first pictures that are to do. */
static void sweep(const passage *p)
{
    const char *folder = p->run->o->output ? p->run->o->output : ".";
    for (int i = 0, left = MOST_SLOTS; i < p->series->pictures.n && left; i++) {
        char *beginning = p->results.done[i] ? NULL : join_path(folder, p->series->stems[i]);
        if (beginning)
            cr_file_sweep(beginning);
        left -= !p->results.done[i];
        free(beginning);
    }
}

static bool explain_pictures(passage *p, cr_error *err)
{
    const run *r = p->run;
    const uint64_t weights = r->o->jsonl ? network_fingerprint(&r->network) : 0;
    if (!results_open(&p->results, r->o, &r->facts, weights, &p->series->pictures, err))
        return false;
    p->counts = (counts){.pictures = p->series->pictures.n, .before = p->results.n_done};
    if (r->o->resume)
        sweep(p);
    if (p->series->many)
        interrupt_hold();
    bool ok = true;
    p->start = now_ms();
    for (take_pictures(p); ok && p->n_slots && !interrupt_waits(); take_pictures(p))
        ok = explain_slots(p, err);
    p->counts.ms = now_ms() - p->start;
    progress_clear(&p->line);
    cr_error unsaid;
    const bool complete = p->counts.before + p->counts.done + p->counts.failed == p->counts.pictures;
    return results_end(&p->results, &p->counts, complete, ok ? err : &unsaid) && ok;
}

/* ---- the whole ---- */

static bool save_arrays(run *r, cr_error *err)
{
    interrupt_hold();
    bool ok = stack_save(&r->maps, err) && stack_save(&r->raws, err) && stack_save(&r->logits, err);
    interrupt_release();
    return ok;
}

/* What to tell on standard output: of files that were named one by one everything, of what a folder, pattern or list holds
 * a line each, and nothing where progress is on the same terminal. */
static report_style choose_style(const options *o, const series *s)
{
    const bool open = s->pictures.open, terminal = isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
    return o->json ? REPORT_JSON : !open ? REPORT_TEXT : terminal ? REPORT_END : REPORT_LINES;
}

bool explain(const options *o, const series *s, FILE *out, int *failed, cr_error *err)
{
    run r = {.o = o, .series = s, .show_channels = show_channels};
    passage p = {.run = &r, .series = s, .line = progress_start()};
    const report_style style = choose_style(o, s);
    r.passage = &p;
    p.wants_line = s->many && (style == REPORT_END || !isatty(STDOUT_FILENO));
    bool ok = set_up(&r, err);
    if (ok) {
        report_begin(&r.report, out, style, &r.facts);
        ok = o->task == EXPLAIN_TENSOR ? explain_tensor(&r, err) : explain_pictures(&p, err);
        ok = ok && save_arrays(&r, err);
    }
    *failed = p.counts.failed;
    if (ok)
        report_end(&r.report, &(end_facts){s->many ? &p.counts : NULL, o->jsonl, o->save_map, o->save_raw, o->save_logits,
                                           peak_bytes()});
    results_free(&p.results);
    tear_down(&r);
    fflush(out);
    if (s->many)
        interrupt_release(); /* a signal that was held ends the program here */
    return ok;
}
