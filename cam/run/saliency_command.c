/* saliency_command.c - camrun saliency: what in the input matters, pixel by pixel. */
#include "commands.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "camrun.h"
#include "network.h"
#include "picture_file.h"
#include "program.h"
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
    "  --save-raw F.npy  the values themselves, (C,H,W) at the input's size\n"
    "\n"
    "  --weights FILE  --arch NAME  --labels FILE  --threads N   as of camrun --help\n"
    "  --resize N|WxH  --size N  --no-crop  --mean R,G,B  --std R,G,B  --gray\n"
    "  --help\n";

typedef struct saliency_list {
    int n;
    const cr_saliency_method *items[8];
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

static bool is_given(const bool *given, const char *name)
{
    int i = 0;
    while (strcmp(table[i].name, name) != 0)
        i++;
    return given[i];
}

static bool check_saliency(const void *fields, const bool *given, const text_list *operands, cr_error *err)
{
    static const char *const of_noise[] = {"samples", "noise", "seed"}, *const of_steps[] = {"steps", "baseline"};
    const saliency_options *o = fields;
    const bool layer = is_given(given, "layer"), filter = is_given(given, "filter");
    const bool noise = any_method(&o->methods, cr_saliency_has_noise), cam = any_method(&o->methods, cr_saliency_has_cam);
    if (!network_options_check(&o->network, err) || !check_one_picture(operands, "camrun saliency", err))
        return false;
    for (int i = 0; i < 3; i++)
        if (is_given(given, of_noise[i]) && !noise)
            return cr_fail(err, "--%s has no effect: it is for --method smoothgrad", of_noise[i]);
    for (int i = 0; i < 2; i++)
        if (is_given(given, of_steps[i]) && !any_method(&o->methods, cr_saliency_has_steps))
            return cr_fail(err, "--%s has no effect: it is for --method integrated", of_steps[i]);
    if (filter && is_given(given, "class"))
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
    const char *source;
    network network;
    network_input input;
    saliency_list methods;
    int node;             /* --layer, or the last feature map */
    cr_target *targets;
    int n_scores;         /* classes, or filters */
    int *scores;          /* which */
    float *logits;        /* (classes) */
    float baseline[3];    /* as the network sees it */
    float *raw;           /* (n_scores, methods, C,H,W) */
    float *shown;         /* (C,H,W): a picture's values */
} run;

static void show_progress(void *owner, int done, int all)
{
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s: %d of %d runs", (const char *)owner, done, all);
    if (done == all)
        fputs("\r\033[K", stderr);
    fflush(stderr);
}

/* Finds the classes' indices, which needs the logits of the picture, or takes the filters. */
static bool choose_scores(run *r, cr_error *err)
{
    const cr_net *net = r->network.net;
    const saliency_options *o = r->o;
    if (o->filters.n) {
        const int channels = net->nodes[r->node].channels;
        if (!index_list_check(&o->filters, channels, "filter", net->nodes[r->node].name, err) ||
            !(r->scores = calloc((size_t)o->filters.n, sizeof *r->scores)))
            return false;
        r->n_scores = o->filters.n;
        memcpy(r->scores, o->filters.items, (size_t)r->n_scores * sizeof *r->scores);
        return true;
    }
    if (!network_targets(&r->network, &o->classes, &r->targets, &r->n_scores, err))
        return false;
    const cr_request request = {.n = 1, .h = r->input.geometry.h, .w = r->input.geometry.w};
    cr_plan *plan = cr_plan_create(net, &request, err);
    cr_tape *tape = plan ? cr_tape_create(plan, err) : NULL;
    r->logits = calloc((size_t)net->classes, sizeof *r->logits);
    r->scores = calloc((size_t)r->n_scores, sizeof *r->scores);
    bool ok = tape && ((r->logits && r->scores) || cr_fail(err, "out of memory"));
    if (ok)
        cr_tape_forward(tape, r->input.x);
    ok = ok && cr_tape_value(tape, net->n_nodes - 1, r->logits, err);
    cr_tape_free(tape);
    cr_plan_free(plan);
    float least, most;
    if (!ok || !cr_map_range(r->logits, (size_t)net->classes, &least, &most, err))
        return false;
    for (int i = 0; i < r->n_scores; i++)
        r->scores[i] = cr_target_class(&r->targets[i], r->logits, net->classes);
    return true;
}

static bool set_up(run *r, cr_error *err)
{
    const saliency_options *o = r->o;
    if (!network_open(&r->network, &o->network, err))
        return false;
    const cr_net *net = r->network.net;
    r->node = o->layer ? cr_net_find(net, o->layer, err) : cr_net_last_feature_map(net);
    if (r->node < 0 || !network_read(&r->input, &r->network, r->source, err) || !choose_scores(r, err))
        return false;
    const cr_transform *t = &r->network.transform;
    for (int c = 0; c < net->in_channels && o->baseline == BLACK; c++)
        r->baseline[c] = cr_transform_level(t, 0, c, net->in_channels); /* the mean is 0 there */
    const size_t count = (size_t)net->in_channels * (size_t)r->input.geometry.h * (size_t)r->input.geometry.w;
    r->raw = calloc((size_t)r->n_scores * (size_t)r->methods.n, count * sizeof *r->raw);
    r->shown = calloc(count, sizeof *r->shown);
    return (r->raw && r->shown) || cr_fail(err, "out of memory");
}

static void tear_down(run *r)
{
    free(r->raw);
    free(r->shown);
    free(r->logits);
    free(r->scores);
    free(r->targets);
    network_input_free(&r->input);
    network_close(&r->network);
}

/* ---- what comes out ---- */

static bool draw(const run *r, cr_image *picture, const float *raw, cr_saliency_style style, cr_error *err)
{
    const int c = r->network.net->in_channels, h = r->input.geometry.h, w = r->input.geometry.w;
    if (style == CR_STYLE_COLOR) {
        cr_saliency_color(r->shown, raw, c, h, w);
        return cr_picture_of_planes(picture, r->shown, c, w, h, err);
    }
    const bool heat = style == CR_STYLE_HEAT;
    return (heat ? cr_saliency_heat : cr_saliency_signed)(r->shown, raw, c, h, w, err) &&
           cr_picture_of_map(picture, r->shown, w, h, 0, 1, cr_colormap_find(heat ? "grey" : "bwr", err), err);
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

static bool show(const run *r, const cr_saliency_method *method, int score, const float *raw, const cr_saliency_facts *facts,
                   cr_error *err)
{
    const saliency_options *o = r->o;
    char path[PATH_SIZE], suffix[128] = "", class[72] = "", what[300];
    if (r->n_scores > 1)
        class_suffix(class, sizeof class, score, r->logits ? cr_label(&r->network.labels, score) : NULL);
    const bool named = r->methods.n > 1 && o->output && !is_folder(o->output);
    snprintf(suffix, sizeof suffix, "%s%s%s", named ? "_" : "", named ? cr_saliency_name(method) : "", class);
    const cr_saliency_style style = o->style ? (cr_saliency_style)(o->style - 1) : cr_saliency_usual_style(method);
    cr_image picture = {0};
    float least, most;
    const size_t count = (size_t)r->network.net->in_channels * (size_t)r->input.geometry.h * (size_t)r->input.geometry.w;
    const bool ok = cr_map_range(raw, count, &least, &most, err) &&
                    picture_path(path, o->output, r->source, cr_saliency_name(method), suffix, err) &&
                    check_not_itself(path, r->source, err) && draw(r, &picture, raw, style, err) &&
                    picture_write(&picture, path, err);
    cr_image_free(&picture);
    if (!ok)
        return false;
    describe(r, score, what, sizeof what);
    if (raw == r->raw) /* the first */
        printf("%s (%dx%d) through %s, input %dx%d\n", r->source, r->input.photo.w, r->input.photo.h, r->network.net->arch,
               r->input.geometry.w, r->input.geometry.h);
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

static bool explain_all(run *r, cr_error *err)
{
    const saliency_options *o = r->o;
    const size_t count = (size_t)r->network.net->in_channels * (size_t)r->input.geometry.h * (size_t)r->input.geometry.w;
    bool ok = true;
    for (int m = 0; ok && m < r->methods.n; m++) {
        const cr_saliency_method *method = r->methods.items[m];
        const cr_saliency_request request = {
            .method = method, .h = r->input.geometry.h, .w = r->input.geometry.w, .end = o->filters.n ? r->node : 0,
            .cam_layer = r->node, .samples = o->samples, .noise = o->noise, .seed = (uint64_t)o->seed, .steps = o->steps,
            .baseline = r->baseline, .progress = show_progress, .progress_owner = (void *)cr_saliency_name(method),
        };
        cr_saliency *s = cr_saliency_create(r->network.net, &request, err);
        ok = s != NULL;
        for (int k = 0; ok && k < r->n_scores; k++) {
            float *raw = r->raw + (size_t)(k * r->methods.n + m) * count;
            cr_saliency_facts facts;
            ok = cr_saliency_run(s, r->input.x, r->scores[k], raw, &facts, err) &&
                 show(r, method, r->scores[k], raw, &facts, err);
        }
        cr_saliency_free(s);
    }
    return ok;
}

/* (scores, methods, C,H,W) without the first two where there is one. */
static bool save_raw(const run *r, const char *path, cr_error *err)
{
    int dims[5], n = 0;
    if (r->n_scores > 1)
        dims[n++] = r->n_scores;
    if (r->methods.n > 1)
        dims[n++] = r->methods.n;
    dims[n++] = r->network.net->in_channels;
    dims[n++] = r->input.geometry.h;
    dims[n++] = r->input.geometry.w;
    if (!cr_npy_write(path, r->raw, n, dims, err))
        return false;
    printf("values written to %s\n", path);
    return true;
}

static bool run_saliency(const void *fields, const text_list *operands, cr_error *err)
{
    const saliency_options *o = fields;
    run r = {.o = o, .source = operands->items[0], .methods = o->methods};
    if (!r.methods.n)
        r.methods = (saliency_list){1, {cr_saliency_at(0)}};
    bool ok = set_up(&r, err);
    ok = ok && explain_all(&r, err) && (!o->save_raw || save_raw(&r, o->save_raw, err));
    tear_down(&r);
    return ok;
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
