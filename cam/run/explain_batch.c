/* explain_batch.c - see explain_batch.h. */
#include "explain_batch.h"

#include <stdlib.h>
#include <string.h>

#include "contact.h"
#include "program.h"

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

/* ---- pictures ---- */

static bool color_map(cr_image *out, const float *map, int w, int h, const cr_colormap *colormap, cr_error *err)
{
    if (!cr_image_create(out, w, h, err))
        return false;
    for (size_t i = 0; i < (size_t)w * (size_t)h; i++)
        cr_colormap_rgb(colormap, map[i], out->rgb + 3 * i);
    return true;
}

/* The class in a picture's title. */
static void describe_class(char *title, size_t size, const run *r, int class_index, const float *probabilities)
{
    char name[200];
    if (class_index < 0) {
        snprintf(title, size, "the mean of %d class%s", r->n_targets, r->n_targets > 1 ? "es" : "");
        return;
    }
    cr_class_title(name, sizeof name, &r->network.labels, class_index);
    snprintf(title, size, "%s (%.1f %%)", name, 100 * (double)probabilities[class_index]);
}

/* For a panel. */
static void describe(char *caption, size_t size, const run *r, const map_facts *facts, const char *class_title)
{
    const cr_explanation *result = facts->result;
    snprintf(caption, size, "%s%s for %s at %s%s%s", result->method->title, cr_explainer_smoothing(r->explainer), class_title,
             r->network.net->nodes[result->raw[0].node].name, result->n_raw > 1 ? " and others" : "",
             facts->empty ? " (empty)" : "");
}

static bool draw_picture(run *r, const subject *s, const float *map, const char *caption, const char *path,
                         cr_error *failure, cr_error *err)
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
    if (ok)
        drawings_add(&r->drawings, &picture, path, failure);
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
        .eigen_smooth = o->eigen_smooth, .aug_smooth = o->aug_smooth, .progress = r->show_channels, .progress_owner = r,
    };
    r->explainer = cr_explainer_create(r->network.net, &request, err);
    *plan_ms = now_ms() - start;
    return r->explainer != NULL;
}

typedef enum stage { FORWARD, SCORES, BACKWARD, MAPS, SMOOTH, MEAN } stage;

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
            : which == MEAN     ? !cr_explainer_mean(e, reads, r->n_targets, err)
                                : !cr_explainer_maps(e, err))
            return false;
        if (i >= 0)
            r->times[i] = now_ms() - start;
    }
    *ms = median(r->times, r->repeat);
    return true;
}

/* One batch on its way: facts of image i, k-th explained class and method m are at [(i * n_explained + k) *
 * n_methods + m]. */
typedef struct batch {
    const subject *subject;
    outcome *out;
    int n;
    int *classes;               /* (n): the ones explained at the moment; (n_targets,n) where they are averaged */
    float *probabilities;       /* (n, all classes) */
    int n_maps;                 /* of each image: n_explained * n_methods */
    map_facts *maps;            /* (n, n_explained, n_methods) */
    float (*ranges)[2];         /* (n, n_explained, n_methods, n_layers + 1) */
    char (*paths)[PATH_SIZE];   /* (n, n_explained, n_methods) */
    contact sheet;              /* with --sheet; its one picture's */
    char sheet_path[PATH_SIZE];
} batch;

static bool allocate_batch(batch *b, const run *r, int n)
{
    b->n = n;
    b->n_maps = r->n_explained * r->o->methods.n;
    size_t images = (size_t)n, maps = images * (size_t)b->n_maps;
    return (b->classes = calloc(images * (size_t)r->n_targets, sizeof *b->classes)) &&
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

/* Makes room for the batch's part of the arrays to be saved; its logits are there already. */
static bool create_blocks(run *r, batch *b, cr_error *err)
{
    const cr_explainer *e = r->explainer;
    const cr_raw_map *raw = &e->results[0].raw[0];
    const int maps[STACK_DIMS] = {r->n_explained, e->n_results, 1, e->h, e->w};
    const int raws[STACK_DIMS] = {r->n_explained, e->n_results, 1, raw->h, raw->w};
    const int logits[STACK_DIMS] = {1, 1, 1, 1, r->network.net->classes};
    if (!block_create(&b->out->maps, &r->maps, b->n, maps, err) || !block_create(&b->out->raws, &r->raws, b->n, raws, err) ||
        !block_create(&b->out->logits, &r->logits, b->n, logits, err))
        return false;
    if (b->out->logits.data)
        memcpy(b->out->logits.data, e->logits, (size_t)b->n * (size_t)r->network.net->classes * sizeof *e->logits);
    return true;
}

static bool begin_sheet(const run *r, batch *b, cr_error *err)
{
    return !r->o->sheet || contact_begin(&b->sheet, r->o, b->subject->photo, &b->subject->geometry, r->n_explained,
                                         r->n_layers, err);
}

static bool end_sheet(run *r, batch *b, cr_error *err)
{
    if (!r->o->sheet)
        return true;
    cr_image picture = {0};
    const cr_image *drawn = cr_sheet_image(b->sheet.sheet);
    if (!series_path(b->sheet_path, r->series, b->subject->stem, "sheet", "", err) ||
        !cr_image_create(&picture, drawn->w, drawn->h, err))
        return false;
    memcpy(picture.rgb, drawn->rgb, 3 * (size_t)drawn->w * (size_t)drawn->h);
    drawings_add(&r->drawings, &picture, b->sheet_path, &b->out->failure);
    return true;
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
    facts->class_index = o->average_classes ? -1 : b->classes[i];
    facts->n_classes = r->n_targets;
    facts->result = result;
    facts->empty = !(most > 0);
    facts->range = b->ranges + at * ((size_t)r->n_layers + 1);
    for (int l = 0; l < result->n_raw; l++) {
        const cr_raw_map *raw = &result->raw[l];
        size_t size = (size_t)raw->h * (size_t)raw->w;
        const float *values = raw->values + (size_t)i * size;
        if (!cr_map_range(values, size, &facts->range[l][0], &facts->range[l][1], err))
            return false;
        if (b->out->raws.data)
            memcpy(b->out->raws.data + at * size, values, size * sizeof *values);
    }
    if (b->out->maps.data)
        memcpy(b->out->maps.data + at * pixels, map, pixels * sizeof *map);

    if (!b->subject->photo && !o->output)
        return true;
    char title[240], caption[400];
    describe_class(title, sizeof title, r, facts->class_index, b->probabilities + i * r->network.net->classes);
    if (o->sheet)
        return contact_add(&b->sheet, e, k, m, title, err);
    describe(caption, sizeof caption, r, facts, title);
    char image[16] = "", class[64] = "", suffix[80];
    if (b->n > 1)
        snprintf(image, sizeof image, "_%d", i);
    if (r->n_explained > 1)
        class_suffix(class, sizeof class, b->classes[i], cr_label(&r->network.labels, b->classes[i]));
    snprintf(suffix, sizeof suffix, "%s%s", image, class);
    facts->picture = b->paths[at];
    return series_path(b->paths[at], r->series, b->subject->stem, result->method->name, suffix, err) &&
           draw_picture(r, b->subject, map, caption, facts->picture, &b->out->failure, err);
}

/* classes (n): what the k-th target means for each image. */
static void find_classes(int *classes, const run *r, const batch *b, int k)
{
    const int all = r->network.net->classes;
    for (int i = 0; i < b->n; i++)
        classes[i] = cr_target_class(&r->targets[k], r->explainer->logits + (size_t)i * (size_t)all, all);
}

static bool explain_targets(run *r, batch *b, cr_error *err)
{
    const cr_explainer *e = r->explainer;
    const bool average = r->o->average_classes;
    for (int k = 0; average && k < r->n_targets; k++)
        find_classes(b->classes + k * b->n, r, b, k);
    for (int k = 0; k < r->n_explained; k++) {
        double backward_ms = -1, map_ms;
        if (!average)
            find_classes(b->classes, r, b, k);
        if (average            ? !run_timed(r, MEAN, b->classes, &map_ms, err)
            : r->o->aug_smooth ? !run_timed(r, SMOOTH, b->classes, &map_ms, err)
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

/* Puts the batch into words. */
static bool tell(run *r, const batch *b, image_facts common, cr_error *err)
{
    const subject *s = b->subject;
    outcome *out = b->out;
    const cr_explainer *e = r->explainer;
    size_t bytes;
    FILE *text = open_memstream(&out->text, &bytes), *line = r->o->jsonl ? open_memstream(&out->line, &bytes) : NULL;
    bool ok = text && (line || !r->o->jsonl);
    for (int i = 0; ok && i < b->n; i++) {
        size_t logits = (size_t)i * (size_t)r->network.net->classes;
        common.index = s->photo ? -1 : i;
        common.logits = e->logits + logits;
        common.probabilities = b->probabilities + logits;
        common.maps = b->maps + i * b->n_maps;
        report_image(&r->report, text, &common);
        if (line)
            report_line(&r->report, line, &common, s->bytes);
    }
    ok = ok && !ferror(text) && !(line && ferror(line));
    ok = (!text || fclose(text) == 0) && ok;
    ok = (!line || fclose(line) == 0) && ok;
    return ok || no_memory(err);
}

bool explain_batch(run *r, const subject *s, const float *x, int n, int h, int w, outcome *out, cr_error *err)
{
    double plan_ms, forward_ms, scores_ms = -1;
    cr_error why;
    if (!prepare(r, n, h, w, &plan_ms, &why) || !run_timed(r, FORWARD, x, &forward_ms, &why))
        return cr_fail(err, "%.200s: %s", s->source, why.text);
    const cr_explainer *e = r->explainer;
    if (e->needs_scores && !r->o->aug_smooth && !run_timed(r, SCORES, NULL, &scores_ms, err))
        return false;
    batch b = {.subject = s, .out = out};
    bool ok = allocate_batch(&b, r, n) || no_memory(err);
    if (ok)
        cr_softmax(b.probabilities, e->logits, n, r->network.net->classes);
    const image_facts facts = {
        .source = s->source, .photo_w = s->photo ? s->photo->w : 0, .photo_h = s->photo ? s->photo->h : 0, .explainer = e,
        .plan_ms = plan_ms, .forward_ms = forward_ms, .scores_ms = scores_ms, .n_maps = b.n_maps,
        .sheet = r->o->sheet ? b.sheet_path : NULL,
    };
    ok = ok && create_blocks(r, &b, err) && begin_sheet(r, &b, err) && explain_targets(r, &b, err) &&
         end_sheet(r, &b, err) && tell(r, &b, facts, err);
    free_batch(&b);
    return ok;
}

void outcome_free(outcome *out)
{
    free(out->text);
    free(out->line);
    free(out->maps.data);
    free(out->raws.data);
    free(out->logits.data);
    *out = (outcome){0};
}
