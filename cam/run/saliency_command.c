/* saliency_command.c - camrun saliency: what in the input matters, pixel by pixel. */
#include "commands.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "camrun.h"
#include "network.h"
#include "program.h"
#include "progress.h"
#include "series.h"
#include "stack.h"
#include "subcommand.h"
#include "values.h"

static const char help[] =
    "camrun saliency shows which pixels of a picture matter to a class.\n"
    "\n"
    "  camrun saliency --weights weights/shapes.bin cam/demo/shapes.png\n"
    "  camrun saliency --weights r34.bin --method guided,smoothgrad --class cat d.jpg\n"
    "\n"
    "  --method LIST     one picture each (default vanilla): vanilla, inputxgradient,\n"
    "                    smoothgrad, integrated: in grey; guided, deconvnet,\n"
    "                    guidedgradcam: in colour\n"
    "  --class LIST      index, name, or top1, top2...: one picture each (top1)\n"
    "  --layer NAME --filter LIST  the mean of a layer's filters in place of a class\n"
    "  --layer NAME      of guidedgradcam: its map's (default: the last feature map)\n"
    "  --style NAME      grey: the largest |value| of a pixel's channels, cut at the\n"
    "                    99th percentile; color: (x - mean) / std * 0.1 + 0.5;\n"
    "                    signed: their sum, blue below 0, red above\n"
    "  --samples N       of smoothgrad (50)             --seed N  of its noise (0)\n"
    "  --noise F         its deviation, of the input's range (0.15)\n"
    "  --steps N         of integrated (50)             --baseline black|mean (black)\n"
    "  -o PATH           file or folder                 (default: PICTURE_METHOD.png)\n"
    "  --save-raw F.npy  the values themselves, (C,H,W) at the input's size; of\n"
    "                    several (pictures, classes, methods, C,H,W)\n"
    "\n"
    "  --weights FILE  --arch NAME  --labels FILE  --threads N   as of camrun --help\n"
    "  --resize N|WxH  --size N  --no-crop  --mean R,G,B  --std R,G,B  --gray\n"
    "  --help\n"
    "Of many pictures (files, folders, patterns, @LISTs; -o names a folder) those\n"
    "that are broken are told of and passed over, with exit status 3.\n";

typedef struct saliency_list {
    int n;
    const cr_saliency_method *items[MOST_METHODS];
} saliency_list;

enum { BLACK, MEAN };

typedef struct saliency_options {
    network_options network;
    saliency_list methods;
    text_list classes;
    index_list filters;
    const char *layer, *output, *save_raw;
    int style;    /* 1 + cr_saliency_style; 0: each method's usual one */
    int samples, steps, seed, baseline;
    double noise;
} saliency_options;

static bool add_saliency(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    saliency_list *list = field;
    for (const char *item = text, *end; item; item = *end ? end + 1 : NULL) {
        char name[64];
        end = item + strcspn(item, ",");
        snprintf(name, sizeof name, "%.*s", (int)(end - item), item);
        const cr_saliency_method *method = cr_saliency_find(name, err);
        if (!method)
            return false;
        for (int i = 0; i < list->n; i++)
            if (list->items[i] == method)
                return cr_fail(err, "method %s is named twice", name);
        list->items[list->n++] = method;
    }
    return true;
}

/* names: of 0, 1, ...; the last one is NULL. */
static bool set_name(int *field, const char *text, const char *const *names, cr_error *err)
{
    char known[64] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *field = i;
            return true;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", names[i]);
    }
    return cr_fail(err, "expected one of %s, found '%.60s'", known, text);
}

static bool set_style(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    static const char *const names[] = {[CR_STYLE_HEAT] = "grey", [CR_STYLE_COLOR] = "color", [CR_STYLE_SIGNED] = "signed", NULL};
    int style;
    if (!set_name(&style, text, names, err))
        return false;
    *(int *)field = style + 1;
    return true;
}

static bool set_baseline(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    static const char *const names[] = {[BLACK] = "black", [MEAN] = "mean", NULL};
    return set_name(field, text, names, err);
}

#define FIELD(member) offsetof(saliency_options, member)

static const option table[] = {
    NETWORK_OPTIONS(FIELD(network), 1, 1, 1, 1),
    {"method", 0, add_saliency, FIELD(methods), 1, 0, 0},
    {"class", 0, add_text, FIELD(classes), 1, 0, 0},
    {"layer", 0, set_text, FIELD(layer), 1, 0, 0},
    {"filter", 0, add_indices, FIELD(filters), 1, 0, 0},
    {"samples", 0, set_count, FIELD(samples), 1, 1, 100000},
    {"noise", 0, set_number, FIELD(noise), 1, 0, 100},
    {"seed", 0, set_count, FIELD(seed), 1, 0, INT_MAX},
    {"steps", 0, set_count, FIELD(steps), 1, 1, 100000},
    {"baseline", 0, set_baseline, FIELD(baseline), 1, 0, 0},
    {"style", 0, set_style, FIELD(style), 1, 0, 0},
    {"output", 'o', set_text, FIELD(output), 1, 0, 0},
    {"save-raw", 0, set_text, FIELD(save_raw), 1, 0, 0},
};

static bool any_method(const saliency_list *list, bool (*has)(const cr_saliency_method *method))
{
    for (int i = 0; i < list->n; i++)
        if (has(list->items[i]))
            return true;
    return false;
}

static bool check_saliency(const void *fields, const bool *given, const text_list *operands, cr_error *err)
{
    static const char *const of_noise[] = {"samples", "noise", "seed"}, *const of_steps[] = {"steps", "baseline"};
    const saliency_options *o = fields;
    const bool layer = is_given(table, given, "layer"), filter = is_given(table, given, "filter");
    const bool noise = any_method(&o->methods, cr_saliency_has_noise), cam = any_method(&o->methods, cr_saliency_has_cam);
    if (!network_options_check(&o->network, err) || !check_pictures(operands, "camrun saliency", err))
        return false;
    for (int i = 0; i < 3; i++)
        if (is_given(table, given, of_noise[i]) && !noise)
            return cr_fail(err, "--%s has no effect: it is for --method smoothgrad", of_noise[i]);
    for (int i = 0; i < 2; i++)
        if (is_given(table, given, of_steps[i]) && !any_method(&o->methods, cr_saliency_has_steps))
            return cr_fail(err, "--%s has no effect: it is for --method integrated", of_steps[i]);
    if (filter && is_given(table, given, "class"))
        return cr_fail(err, "--filter and --class are two scores: explain them in separate runs");
    if (filter && cam)
        return cr_fail(err, "--filter: guidedgradcam explains a class: leave one of them out");
    if (filter && !layer)
        return cr_fail(err, "--filter: of which layer? add --layer NAME");
    if (layer && !filter && !cam)
        return cr_fail(err, "--layer says whose filters are explained, or where guidedgradcam's map is made: add --filter LIST");
    return !o->output || picture_name_check(o->output, err);
}

/* ---- a run ---- */

typedef struct run {
    const saliency_options *o;
    const series *series;
    network network;
    saliency_list methods;
    int node;             /* --layer, or the last feature map */
    cr_target *targets;
    int n_scores;         /* classes, or filters */
    int *scores;          /* which, of the picture at hand */
    float *logits;        /* (classes), likewise; NULL for filters */
    float baseline[3];    /* as the network sees it */
    const cr_saliency_method *method; /* of s */
    int h, w;
    cr_saliency *s;
    stack raws;           /* --save-raw */
    progress line;
} run;

static void show_progress(void *owner, int done, int all)
{
    run *r = owner;
    if (progress_due(&r->line))
        fprintf(stderr, "\r\033[K%s: %d of %d runs", cr_saliency_name(r->method), done, all);
    if (done == all)
        progress_clear(&r->line);
}

/* Which filters, or how many classes: those depend on the picture. */
static bool choose_scores(run *r, cr_error *err)
{
    const cr_net *net = r->network.net;
    const index_list *filters = &r->o->filters;
    if (filters->n ? !index_list_check(filters, net->nodes[r->node].channels, "filter", net->nodes[r->node].name, err)
                   : !network_targets(&r->network, &r->o->classes, &r->targets, &r->n_scores, err))
        return false;
    if (filters->n)
        r->n_scores = filters->n;
    else if (!(r->logits = calloc((size_t)net->classes, sizeof *r->logits)))
        return cr_fail(err, "out of memory");
    if (!(r->scores = calloc((size_t)r->n_scores, sizeof *r->scores)))
        return cr_fail(err, "out of memory");
    memcpy(r->scores, filters->items, (size_t)filters->n * sizeof *r->scores);
    return true;
}

static bool set_up(run *r, cr_error *err)
{
    const saliency_options *o = r->o;
    if (!network_open(&r->network, &o->network, err) || !network_takes_pictures(&r->network, err))
        return false;
    const cr_net *net = r->network.net;
    r->line = progress_start();
    r->raws = (stack){.path = o->save_raw, .inner = 3};
    r->node = o->layer ? cr_net_find(net, o->layer, err) : cr_net_last_feature_map(net);
    for (int c = 0; c < net->in_channels && o->baseline == BLACK; c++)
        r->baseline[c] = cr_transform_level(&r->network.transform, 0, c, net->in_channels); /* the mean is 0 there */
    return r->node >= 0 && choose_scores(r, err);
}

static void tear_down(run *r)
{
    stack_free(&r->raws);
    cr_saliency_free(r->s);
    free(r->logits);
    free(r->scores);
    free(r->targets);
    network_close(&r->network);
}

/* Makes r->s fit this method and input size. */
static bool prepare(run *r, const cr_saliency_method *method, int h, int w, cr_error *err)
{
    const saliency_options *o = r->o;
    if (r->s && r->method == method && r->h == h && r->w == w)
        return true;
    cr_saliency_free(r->s);
    r->method = method;
    r->h = h;
    r->w = w;
    const cr_saliency_request request = {
        .method = method, .h = h, .w = w, .end = o->filters.n ? r->node : 0, .cam_layer = r->node, .samples = o->samples,
        .noise = o->noise, .seed = (uint64_t)o->seed, .steps = o->steps, .baseline = r->baseline, .progress = show_progress,
        .progress_owner = r,
    };
    r->s = cr_saliency_create(r->network.net, &request, err);
    return r->s != NULL;
}

/* The classes' indices, which need the logits of the picture. */
static bool find_classes(run *r, const float *x, cr_error *err)
{
    const int classes = r->network.net->classes;
    float least, most;
    if (!cr_saliency_value(r->s, x, r->logits, err) || !cr_map_range(r->logits, (size_t)classes, &least, &most, err))
        return false;
    for (int i = 0; i < r->n_scores; i++)
        r->scores[i] = cr_target_class(&r->targets[i], r->logits, classes);
    return true;
}

/* ---- what comes out ---- */

/* A picture on its way. */
typedef struct subject {
    const picture_file *file;
    const char *stem;
    network_input input;
    size_t count;         /* C * H * W */
    float *raw, *shown;   /* (C,H,W): of one method and score; what is drawn of it */
} subject;

static bool draw(const run *r, const subject *s, cr_image *picture, cr_saliency_style style, cr_error *err)
{
    const int c = r->network.net->in_channels;
    if (style == CR_STYLE_COLOR) {
        cr_saliency_color(s->shown, s->raw, c, r->h, r->w);
        return cr_picture_of_planes(picture, s->shown, c, r->w, r->h, err);
    }
    const bool heat = style == CR_STYLE_HEAT;
    return (heat ? cr_saliency_heat : cr_saliency_signed)(s->shown, s->raw, c, r->h, r->w, err) &&
           cr_picture_of_map(picture, s->shown, r->w, r->h, 0, 1, cr_colormap_find(heat ? "grey" : "bwr", err), err);
}

/* "for 3 circle (97.1 %)" or "for filter 12 of layer1.0.conv1" */
static void describe(const run *r, int score, char *text, size_t size)
{
    const cr_net *net = r->network.net;
    if (!r->logits) {
        snprintf(text, size, "filter %d of %s", score, net->nodes[r->node].name);
        return;
    }
    char title[200];
    double largest = (double)r->logits[0], sum = 0;
    for (int i = 1; i < net->classes; i++)
        largest = (double)r->logits[i] > largest ? (double)r->logits[i] : largest;
    for (int i = 0; i < net->classes; i++)
        sum += exp((double)r->logits[i] - largest);
    cr_class_title(title, sizeof title, &r->network.labels, score);
    snprintf(text, size, "%s (%.1f %%)", title, 100 * exp((double)r->logits[score] - largest) / sum);
}

static bool show(const run *r, const subject *s, int score, const cr_saliency_facts *facts, cr_error *err)
{
    const saliency_options *o = r->o;
    const cr_saliency_method *method = r->method;
    char path[PATH_SIZE], suffix[72] = "", what[300];
    if (r->n_scores > 1)
        class_suffix(suffix, sizeof suffix, score, r->logits ? cr_label(&r->network.labels, score) : NULL);
    const cr_saliency_style style = o->style ? (cr_saliency_style)(o->style - 1) : cr_saliency_usual_style(method);
    cr_image picture = {0};
    float least, most;
    const bool ok = cr_map_range(s->raw, s->count, &least, &most, err) &&
                    series_path(path, r->series, s->stem, cr_saliency_name(method), suffix, err) &&
                    check_not_itself(path, s->file->path, err) && draw(r, s, &picture, style, err) &&
                    series_write(r->series, &picture, path, err);
    cr_image_free(&picture);
    if (!ok)
        return false;
    describe(r, score, what, sizeof what);
    printf("%s for %s: score %.4g, ", cr_saliency_title(method), what, facts->score);
    if (most > 0 || least < 0)
        printf("values from %.4g to %.4g", (double)least, (double)most);
    else
        printf("all values are 0, no evidence for it");
    if (cr_saliency_has_noise(method))
        printf(", mean of %d samples", o->samples);
    if (cr_saliency_has_steps(method)) {
        const double difference = facts->score - facts->baseline_score;
        printf("\nthey sum to %.6g, and the score rises by %.6g from the %s baseline in %d steps: off by %.2g", facts->sum,
               difference, o->baseline == BLACK ? "black" : "mean", o->steps, fabs(facts->sum - difference));
    }
    printf("; written to %s\n", path);
    return true;
}

/* All scores by all methods. raws: where it is allocated, (scores, methods, C,H,W). */
static bool explain_picture(run *r, subject *s, float *raws, cr_error *err)
{
    const int h = s->input.geometry.h, w = s->input.geometry.w;
    for (int m = 0; m < r->methods.n; m++) {
        if (!prepare(r, r->methods.items[m], h, w, err) || (m == 0 && r->logits && !find_classes(r, s->input.x, err)))
            return false;
        if (m == 0)
            printf("%s (%dx%d) through %s, input %dx%d\n", s->file->path, s->input.photo.w, s->input.photo.h,
                   r->network.net->arch, w, h);
        for (int k = 0; k < r->n_scores; k++) {
            cr_saliency_facts facts;
            if (!cr_saliency_run(r->s, s->input.x, r->scores[k], s->raw, &facts, err) ||
                !show(r, s, r->scores[k], &facts, err))
                return false;
            if (raws)
                memcpy(raws + (size_t)(k * r->methods.n + m) * s->count, s->raw, s->count * sizeof *raws);
        }
    }
    return true;
}

static verdict explain_one(void *owner, const picture_file *picture, const char *stem, cr_error *err)
{
    run *r = owner;
    subject s = {.file = picture, .stem = stem};
    block raws = {0};
    cr_error why;
    bool ok = network_read(&s.input, &r->network, picture->path, err);
    if (ok) {
        const int dim[STACK_DIMS] = {r->n_scores, r->methods.n, r->network.net->in_channels, s.input.geometry.h,
                                     s.input.geometry.w};
        s.count = (size_t)dim[2] * (size_t)dim[3] * (size_t)dim[4];
        s.raw = calloc(s.count, sizeof *s.raw);
        s.shown = calloc(s.count, sizeof *s.shown);
        ok = (((s.raw && s.shown) || cr_fail(&why, "out of memory")) && block_create(&raws, &r->raws, 1, dim, &why) &&
              explain_picture(r, &s, raws.data, &why)) ||
             cr_fail(err, "%.200s: %s", picture->path, why.text);
    }
    const bool kept = !ok || stack_add(&r->raws, &raws, err);
    free(raws.data);
    free(s.raw);
    free(s.shown);
    network_input_free(&s.input);
    return !ok ? PICTURE_FAILED : kept ? PICTURE_DONE : RUN_FAILED;
}

static bool save(void *owner, int done, cr_error *err)
{
    (void)done;
    return stack_save_values(&((run *)owner)->raws, err);
}

static int run_saliency(const void *fields, const text_list *operands, cr_error *err)
{
    const saliency_options *o = fields;
    const char *kinds[MOST_METHODS];
    series s = {.output = o->output, .kinds = kinds};
    run r = {.o = o, .series = &s, .methods = o->methods};
    const series_work work = {.program = "camrun saliency", .owner = &r, .one = explain_one, .finish = save};
    if (!r.methods.n)
        r.methods = (saliency_list){1, {cr_saliency_at(0)}};
    for (; s.n_kinds < r.methods.n; s.n_kinds++)
        kinds[s.n_kinds] = cr_saliency_name(r.methods.items[s.n_kinds]);
    int status = BAD_INPUT;
    if (series_list(&s, operands, &(text_list){0}, err))
        status = !series_name(&s, err) ? BAD_USAGE : set_up(&r, err) ? series_run(&s, &work, err) : BAD_INPUT;
    tear_down(&r);
    series_free(&s);
    return status;
}

int saliency_main(int argc, char **argv)
{
    static saliency_options o = {.samples = 50, .noise = 0.15, .steps = 50};
    static const subcommand saliency = {"camrun saliency", help, table, sizeof table / sizeof table[0], check_saliency,
                                        run_saliency};
    cr_error err;
    if (!text_list_create(&o.classes, argc, &err))
        return complain("camrun saliency", &err, BAD_INPUT);
    const int status = subcommand_main(&saliency, &o, argc, argv);
    text_list_free(&o.classes);
    return status;
}
