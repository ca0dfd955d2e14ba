/* run.c - explaining what the command line asks for.
 *
 * explain() sets a run up; explain_pictures() or explain_tensor() feeds it; explain_batch() does the work and hands the
 * facts to explain_report.c. */
#include "explain_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "camrun.h"
#include "contact.h"
#include "interrupt.h"
#include "output.h"
#include "program.h"
#include "explain_report.h"

/* What a run needs from its first picture to its last. */
typedef struct run {
    const options *o;
    network network;
    int *layers, n_layers;       /* nodes */
    cr_target *targets;
    int n_targets;
    int repeat;                  /* runs that are timed, of which the median counts */
    double *times;               /* (repeat) */
    cr_explainer *explainer;     /* of the last input size */
    stack maps, raws, logits;    /* for --save-... */
    run_facts facts;
    report report;
} run;

/* ---- small things ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

static bool no_memory(cr_error *err)
{
    return cr_fail(err, "out of memory");
}

/* ---- progress, on a terminal that does not show the report ---- */

static bool wants_progress(const options *o)
{
    return o->images.n > 1 && isatty(STDERR_FILENO) && (o->json || !isatty(STDOUT_FILENO));
}

static void show_progress(const options *o, int image)
{
    if (!wants_progress(o))
        return;
    fprintf(stderr, "\r\033[K%d/%d ", image + 1, o->images.n);
    put_printable(stderr, o->images.items[image]);
}

static void clear_progress(const options *o)
{
    if (wants_progress(o))
        fputs("\r\033[K", stderr);
}

/* Of one picture whose method runs the network for every channel; it is gone before the report goes on. */
static void show_channels(void *owner, int done, int all)
{
    (void)owner;
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%d of %d channels", done, all);
    if (done == all)
        fputs("\r\033[K", stderr);
    fflush(stderr);
}

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
    if (!network_open(&r->network, &o->network, err) || !choose_layers(r, err) ||
        !network_targets(&r->network, &o->classes, &r->targets, &r->n_targets, err) || !methods_fit(r, err))
        return false;
    r->repeat = !o->timing ? 1 : o->repeat ? o->repeat : 10;
    if (!(r->times = calloc((size_t)r->repeat, sizeof *r->times)))
        return no_memory(err);
    r->facts = (run_facts){
        .weights = o->network.weights, .net = r->network.net, .labels = &r->network.labels, .methods = o->methods.items,
        .n_methods = o->methods.n, .layers = r->layers, .n_layers = r->n_layers,
        .transform = o->task == EXPLAIN_PICTURES ? &r->network.transform : NULL,
        .load_ms = r->network.load_ms, .repeat = o->timing ? r->repeat : 0,
    };
    return true;
}

static void tear_down(run *r)
{
    stack_free(&r->maps);
    stack_free(&r->raws);
    stack_free(&r->logits);
    cr_explainer_free(r->explainer);
    free(r->times);
    free(r->targets);
    free(r->layers);
    network_close(&r->network);
}

/* ---- pictures ---- */

/* What is explained: a photograph the network saw through geometry, or (NULL) a tensor. */
typedef struct subject {
    const char *source;
    const cr_image *photo;
    cr_geometry geometry;
} subject;

static bool color_map(cr_image *out, const float *map, int w, int h, const cr_colormap *colormap, cr_error *err)
{
    if (!cr_image_create(out, w, h, err))
        return false;
    for (size_t i = 0; i < (size_t)w * (size_t)h; i++)
        cr_colormap_rgb(colormap, map[i], out->rgb + 3 * i);
    return true;
}

/* The class in a picture's title. */
static void describe_class(char *title, size_t size, const run *r, int class_index, float probability)
{
    char name[200];
    cr_class_title(name, sizeof name, &r->network.labels, class_index);
    snprintf(title, size, "%s (%.1f %%)", name, 100 * (double)probability);
}

/* For a panel. */
static void describe(char *caption, size_t size, const run *r, const cr_explanation *result, const char *class_title)
{
    snprintf(caption, size, "%s for %s at %s%s", result->method->title, class_title,
             r->network.net->nodes[result->raw[0].node].name, result->n_raw > 1 ? " and others" : "");
}

static bool write_png(const cr_image *picture, const char *path, cr_error *err)
{
    interrupt_hold();
    bool ok = cr_image_write_png(picture, path, err);
    interrupt_release();
    return ok;
}

static bool write_picture(const run *r, const subject *s, const float *map, const char *caption, const char *path,
                          cr_error *err)
{
    const options *o = r->o;
    cr_error unknown;
    const cr_colormap *colormap = o->colormap ? o->colormap : cr_colormap_find("jet", &unknown);
    cr_image picture = {0};
    bool ok;
    if (!s->photo)
        ok = color_map(&picture, map, r->explainer->w, r->explainer->h, colormap, err);
    else if (o->panel)
        ok = cr_picture_panel(&picture, s->photo, map, &s->geometry, o->alpha, colormap, caption, err);
    else
        ok = cr_picture_overlay(&picture, s->photo, map, &s->geometry, o->alpha, colormap, err);
    ok = ok && write_png(&picture, path, err);
    cr_image_free(&picture);
    return ok;
}

/* ---- explaining one batch ---- */

/* Makes r->explainer fit this input size. *plan_ms is negative where it did already. */
static bool prepare(run *r, int n, int h, int w, double *plan_ms, cr_error *err)
{
    const cr_explainer *e = r->explainer;
    *plan_ms = -1;
    if (e && e->n == n && e->h == h && e->w == w)
        return true;
    cr_explainer_free(r->explainer);
    double start = now_ms();
    const options *o = r->o;
    const cr_explain_request request = {
        .methods = o->methods.items, .n_methods = o->methods.n, .layers = r->layers, .n_layers = r->n_layers,
        .n = n, .h = h, .w = w, .direct = o->direct, .seed = (uint64_t)o->seed,
        .eigen_smooth = o->eigen_smooth, .aug_smooth = o->aug_smooth, .progress = show_channels,
    };
    r->explainer = cr_explainer_create(r->network.net, &request, err);
    *plan_ms = now_ms() - start;
    return r->explainer != NULL;
}

typedef enum stage { FORWARD, SCORES, BACKWARD, MAPS, SMOOTH } stage;

/* Runs one stage; what it reads: the input, or the classes. *ms is the median over r->repeat runs; --timing begins with
 * one more to warm up. */
static bool run_timed(run *r, stage which, const void *reads, double *ms, cr_error *err)
{
    for (int i = r->o->timing ? -1 : 0; i < r->repeat; i++) {
        double start = now_ms();
        cr_explainer *e = r->explainer;
        if (which == FORWARD    ? !cr_explainer_forward(e, reads, err)
            : which == SCORES   ? !cr_explainer_score(e, err)
            : which == BACKWARD ? !cr_explainer_backward(e, reads, err)
            : which == SMOOTH   ? !cr_explainer_smooth(e, reads, err)
                                : !cr_explainer_maps(e, err))
            return false;
        if (i >= 0)
            r->times[i] = now_ms() - start;
    }
    *ms = median(r->times, r->repeat);
    return true;
}

/* One batch on its way: facts of image i, target k and method m are at [(i * n_targets + k) * n_methods + m]. */
typedef struct batch {
    const subject *subject;
    int n;
    int *classes;               /* (n): the ones explained at the moment */
    float *probabilities;       /* (n, all classes) */
    int n_maps;                 /* of each image: n_targets * n_methods */
    map_facts *maps;            /* (n, n_targets, n_methods) */
    float (*ranges)[2];         /* (n, n_targets, n_methods, n_layers + 1) */
    char (*paths)[PATH_SIZE];   /* (n, n_targets, n_methods) */
    float *saved_maps;          /* its part of run.maps, or NULL */
    float *saved_raws;          /* its part of run.raws, or NULL */
    contact sheet;              /* with --sheet; its one picture's */
    char sheet_path[PATH_SIZE];
} batch;

static bool allocate_batch(batch *b, const run *r, int n)
{
    b->n = n;
    b->n_maps = r->n_targets * r->o->methods.n;
    size_t images = (size_t)n, maps = images * (size_t)b->n_maps;
    return (b->classes = calloc(images, sizeof *b->classes)) &&
           (b->probabilities = calloc(images * (size_t)r->network.net->classes, sizeof *b->probabilities)) &&
           (b->maps = calloc(maps, sizeof *b->maps)) &&
           (b->ranges = calloc(maps * ((size_t)r->n_layers + 1), sizeof *b->ranges)) &&
           (b->paths = calloc(maps, sizeof *b->paths));
}

static void free_batch(batch *b)
{
    free(b->classes);
    free(b->probabilities);
    free(b->maps);
    free(b->ranges);
    free(b->paths);
    contact_free(&b->sheet);
}

/* Makes room for the batch in the arrays to be saved; its logits are there already. */
static bool grow_stacks(run *r, batch *b, cr_error *err)
{
    const options *o = r->o;
    const cr_explainer *e = r->explainer;
    float *logits;
    const int maps[STACK_DIMS] = {r->n_targets, e->n_results, e->h, e->w};
    if (o->save_map && !stack_grow(&r->maps, b->n, maps, &b->saved_maps, err))
        return false;
    const cr_raw_map *raw = &e->results[0].raw[0];
    const int raws[STACK_DIMS] = {r->n_targets, e->n_results, raw->h, raw->w};
    if (o->save_raw && !stack_grow(&r->raws, b->n, raws, &b->saved_raws, err))
        return false;
    if (o->save_logits) {
        const int all[STACK_DIMS] = {1, 1, 1, r->network.net->classes};
        if (!stack_grow(&r->logits, b->n, all, &logits, err))
            return false;
        memcpy(logits, e->logits, (size_t)b->n * (size_t)r->network.net->classes * sizeof *logits);
    }
    return true;
}

static bool begin_sheet(const run *r, batch *b, cr_error *err)
{
    return !r->o->sheet || contact_begin(&b->sheet, r->o, b->subject->photo, &b->subject->geometry, r->n_targets,
                                         r->n_layers, err);
}

static bool write_sheet(const run *r, batch *b, cr_error *err)
{
    return !r->o->sheet || (output_path(b->sheet_path, r->o, b->subject->source, NULL, -1, -1, NULL, err) &&
                            write_png(cr_sheet_image(b->sheet.sheet), b->sheet_path, err));
}

/* What is to be told, saved and drawn of method m's map of image i for target k, which the explainer has just made. */
static bool finish_map(run *r, batch *b, int i, int k, int m, cr_error *err)
{
    const options *o = r->o;
    const cr_explainer *e = r->explainer;
    const cr_explanation *result = &e->results[m];
    size_t at = (size_t)i * (size_t)b->n_maps + (size_t)(k * e->n_results + m), pixels = (size_t)e->h * (size_t)e->w;
    map_facts *facts = &b->maps[at];
    const float *map = result->maps + (size_t)i * pixels;
    float least, most;
    if (!cr_map_range(map, pixels, &least, &most, err))
        return false;
    facts->class_index = b->classes[i];
    facts->result = result;
    facts->empty = !(most > 0);
    facts->range = b->ranges + at * ((size_t)r->n_layers + 1);
    for (int l = 0; l < result->n_raw; l++) {
        const cr_raw_map *raw = &result->raw[l];
        size_t size = (size_t)raw->h * (size_t)raw->w;
        const float *values = raw->values + (size_t)i * size;
        if (!cr_map_range(values, size, &facts->range[l][0], &facts->range[l][1], err))
            return false;
        if (b->saved_raws)
            memcpy(b->saved_raws + at * size, values, size * sizeof *values);
    }
    if (b->saved_maps)
        memcpy(b->saved_maps + at * pixels, map, pixels * sizeof *map);

    if (!b->subject->photo && !o->output)
        return true;
    char title[240], caption[400];
    describe_class(title, sizeof title, r, b->classes[i],
                   b->probabilities[i * r->network.net->classes + b->classes[i]]);
    if (o->sheet)
        return contact_add(&b->sheet, e, k, m, title, err);
    describe(caption, sizeof caption, r, result, title);
    bool several = r->n_targets > 1;
    facts->picture = b->paths[at];
    return output_path(b->paths[at], o, b->subject->source, result->method, b->n > 1 ? i : -1,
                       several ? b->classes[i] : -1, several ? cr_label(&r->network.labels, b->classes[i]) : NULL, err) &&
           write_picture(r, b->subject, map, caption, facts->picture, err);
}

static bool explain_targets(run *r, batch *b, cr_error *err)
{
    const cr_explainer *e = r->explainer;
    for (int k = 0; k < r->n_targets; k++) {
        double backward_ms = -1, map_ms;
        for (int i = 0; i < b->n; i++)
            b->classes[i] = cr_target_class(&r->targets[k], e->logits + (size_t)i * (size_t)r->network.net->classes,
                                            r->network.net->classes);
        if (r->o->aug_smooth ? !run_timed(r, SMOOTH, b->classes, &map_ms, err)
                             : !run_timed(r, BACKWARD, b->classes, &backward_ms, err) ||
                                   !run_timed(r, MAPS, NULL, &map_ms, err))
            return false;
        for (int i = 0; i < b->n; i++)
            for (int m = 0; m < e->n_results; m++) {
                map_facts *facts = &b->maps[i * b->n_maps + k * e->n_results + m];
                facts->backward_ms = e->needs_backward ? backward_ms : -1;
                facts->map_ms = map_ms;
                if (!finish_map(r, b, i, k, m, err))
                    return false;
            }
    }
    return true;
}

/* x: (n,C,h,w), one image where it is a photograph. */
static bool explain_batch(run *r, const subject *s, const float *x, int n, int h, int w, cr_error *err)
{
    double plan_ms, forward_ms, scores_ms = -1;
    cr_error why;
    if (!prepare(r, n, h, w, &plan_ms, &why) || !run_timed(r, FORWARD, x, &forward_ms, &why))
        return cr_fail(err, "%.200s: %s", s->source, why.text);
    const cr_explainer *e = r->explainer;
    if (e->needs_scores && !r->o->aug_smooth && !run_timed(r, SCORES, NULL, &scores_ms, err))
        return false;
    batch b = {.subject = s};
    bool ok = allocate_batch(&b, r, n) || no_memory(err);
    if (ok)
        cr_softmax(b.probabilities, e->logits, n, r->network.net->classes);
    ok = ok && grow_stacks(r, &b, err) && begin_sheet(r, &b, err) && explain_targets(r, &b, err) && write_sheet(r, &b, err);
    for (int i = 0; ok && i < n; i++) {
        size_t logits = (size_t)i * (size_t)r->network.net->classes;
        image_facts facts = {
            .source = s->source, .index = s->photo ? -1 : i,
            .photo_w = s->photo ? s->photo->w : 0, .photo_h = s->photo ? s->photo->h : 0,
            .explainer = e, .logits = e->logits + logits, .probabilities = b.probabilities + logits,
            .plan_ms = plan_ms, .forward_ms = forward_ms, .scores_ms = scores_ms,
            .maps = b.maps + i * b.n_maps, .n_maps = b.n_maps, .sheet = r->o->sheet ? b.sheet_path : NULL,
        };
        report_image(&r->report, &facts);
    }
    free_batch(&b);
    return ok;
}

/* ---- what is explained ---- */

static bool explain_picture(run *r, const char *path, cr_error *err)
{
    network_input input;
    bool ok = network_read(&input, &r->network, path, err);
    subject s = {.source = path, .photo = &input.photo, .geometry = input.geometry};
    ok = ok && explain_batch(r, &s, input.x, 1, s.geometry.h, s.geometry.w, err);
    network_input_free(&input);
    return ok;
}

static bool explain_pictures(run *r, cr_error *err)
{
    const options *o = r->o;
    bool ok = true;
    for (int i = 0; ok && i < o->images.n; i++) {
        show_progress(o, i);
        ok = explain_picture(r, o->images.items[i], err);
    }
    clear_progress(o);
    return ok;
}

static bool explain_tensor(run *r, cr_error *err)
{
    const char *path = r->o->tensor;
    subject s = {.source = path};
    float *x;
    int n, dim[CR_NPY_DIMS] = {0};
    if (!cr_npy_read(path, &x, &n, dim, err))
        return false;
    char found[64] = "";
    for (int i = 0; i < n; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%d", i ? "," : "", dim[i]);
    bool ok = (n == 4 && dim[0] > 0 && dim[1] == r->network.net->in_channels) ||
              cr_fail(err, "%.200s: expected an array of shape (N,%d,H,W) for this %s, found (%s)%s", path,
                      r->network.net->in_channels, r->network.net->arch, found, n == 3 ? "; x[None] adds the axis N" : "");
    ok = ok && explain_batch(r, &s, x, dim[0], dim[2], dim[3], err);
    free(x);
    return ok;
}

static bool save_arrays(const run *r, cr_error *err)
{
    interrupt_hold();
    bool ok = stack_save(&r->maps, r->o->save_map, 2, err) && stack_save(&r->raws, r->o->save_raw, 2, err) &&
              stack_save(&r->logits, r->o->save_logits, 1, err);
    interrupt_release();
    return ok;
}

bool explain(const options *o, FILE *out, cr_error *err)
{
    run r = {.o = o};
    bool ok = set_up(&r, err);
    if (ok) {
        report_begin(&r.report, out, o->json, &r.facts);
        ok = o->task == EXPLAIN_TENSOR ? explain_tensor(&r, err) : explain_pictures(&r, err);
        ok = ok && save_arrays(&r, err);
    }
    if (ok)
        report_end(&r.report, &(end_facts){o->save_map, o->save_raw, o->save_logits, peak_bytes()});
    tear_down(&r);
    return ok;
}
