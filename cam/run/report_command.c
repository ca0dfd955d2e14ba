/* report_command.c - camrun report: pictures and their maps in one HTML file (html.h). */
#include "commands.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "camrun.h"
#include "interrupt.h"
#include "network.h"
#include "program.h"
#include "series.h"
#include "subcommand.h"
#include "values.h"

static const char help[] =
    "camrun report writes pictures and their maps into one HTML file, to look at in any browser: which\n"
    "class, method and layer is shown, and how strongly, is chosen there. The file reads nothing else.\n"
    "\n"
    "  camrun report --weights weights/shapes.bin cam/demo/shapes.png        writes report.html\n"
    "  camrun report --weights r34.bin --class top1,boxer --layer layer2,layer3,layer4 dogs/\n"
    "\n"
    "Pictures  files, folders, patterns such as 'dogs/*.jpg', or @FILE, a list of them\n"
    "Network   --weights FILE  --arch NAME  --labels FILE       as camrun --help says\n"
    "          --resize N|WxH  --size N  --no-crop  --mean R,G,B  --std R,G,B  --gray\n"
    "Maps      --class LIST   index, name, top1, top2..., or all         (default: top1,top2,top3)\n"
    "          --method LIST  see camrun --list-methods                  (default: gradcam,layercam)\n"
    "          --layer LIST   see camrun --list-layers; of several, each and their average\n"
    "                                                                    (default: the last feature map)\n"
    "          --eigen-smooth  --aug-smooth  for less noise       --seed N  of random numbers (0)\n"
    "Output    -o FILE        (default: report.html)\n"
    "          --alpha 0..1   opacity to begin with (0.5)         --colormap jet|viridis|turbo|grey\n"
    "Other     --threads N  --help\n"
    "Exit status: 0 done; 1 a file or what it holds is at fault; 2 the command line; 3 some of many.\n";

typedef struct report_options {
    network_options network;
    method_list methods;
    text_list layers, classes;
    bool eigen_smooth, aug_smooth;
    const char *output;
    float alpha;
    const cr_colormap *colormap;
    int seed;
} report_options;

#define FIELD(member) offsetof(report_options, member)

static const option table[] = {
    NETWORK_OPTIONS(FIELD(network), 1, 1, 1, 1),
    {"method", 0, add_methods, FIELD(methods), 1, 0, 0},
    {"layer", 0, add_text, FIELD(layers), 1, 0, 0},
    {"class", 0, add_text, FIELD(classes), 1, 0, 0},
    {"eigen-smooth", 0, set_flag, FIELD(eigen_smooth), 1, 0, 0},
    {"aug-smooth", 0, set_flag, FIELD(aug_smooth), 1, 0, 0},
    {"output", 'o', set_text, FIELD(output), 1, 0, 0},
    {"alpha", 0, set_fraction, FIELD(alpha), 1, 0, 0},
    {"colormap", 0, set_colormap, FIELD(colormap), 1, 0, 0},
    {"seed", 0, set_count, FIELD(seed), 1, 0, INT_MAX},
};

/* ---- the command line ---- */

static bool check(const void *fields, const bool *given, const text_list *pictures, cr_error *err)
{
    const report_options *o = fields;
    if (!network_options_check(&o->network, err) || !check_pictures(pictures, "camrun report", err))
        return false;
    const char *dot = strrchr(o->output, '.');
    if (!dot || (strcasecmp(dot, ".html") != 0 && strcasecmp(dot, ".htm") != 0))
        return cr_fail(err, "-o: expected a file's name that ends in .html, found '%.200s'", o->output);
    bool seed = false, full = o->methods.n > 0;
    for (int i = 0; i < o->methods.n; i++) {
        const cr_method *m = o->methods.items[i];
        seed = seed || m->needs & CR_NEEDS_SEED;
        full = full && m->needs & CR_NEEDS_BIASES;
    }
    if (is_given(table, given, "seed") && !seed)
        return cr_fail(err, "--seed has no effect: of the methods, randomcam and smoothgradcam++ use random numbers");
    if (full && o->layers.n)
        return cr_fail(err, "--layer has no effect: %s explains all layers together", o->methods.items[0]->name);
    return true;
}

/* ---- the run ---- */

typedef struct report_run {
    const report_options *o;
    const series *series;
    network network;
    method_list methods;
    int *layers, n_layers; /* nodes */
    cr_target *targets;
    int n_targets;
    int *classes;          /* (n_targets): those explained in one picture */
    float *probabilities;  /* (classes of the network) */
    cr_explainer *explainer; /* of the last input size */
    cr_html *html;
} report_run;

/* Without --class: the best three. */
static bool choose_targets(report_run *r, cr_error *err)
{
    if (r->o->classes.n)
        return network_targets(&r->network, &r->o->classes, &r->targets, &r->n_targets, err);
    enum { BEST = 3 };
    r->n_targets = r->network.net->classes < BEST ? r->network.net->classes : BEST;
    if (!(r->targets = calloc(BEST, sizeof *r->targets)))
        return cr_fail(err, "out of memory");
    for (int i = 0; i < r->n_targets; i++)
        r->targets[i] = (cr_target){.index = -1, .rank = i + 1};
    return true;
}

static bool choose_layers(report_run *r, cr_error *err)
{
    const method_list *methods = &r->methods;
    if (!network_layers(&r->network, &r->o->layers, &r->layers, &r->n_layers, err))
        return false;
    bool needs_layer = false;
    for (int i = 0; i < methods->n; i++)
        needs_layer |= !(methods->items[i]->needs & CR_NEEDS_BIASES);
    if (!r->n_layers && needs_layer)
        r->layers[r->n_layers++] = cr_net_last_feature_map(r->network.net);
    for (int i = 0; i < methods->n; i++)
        if (!cr_method_fits(methods->items[i], r->network.net, r->layers, r->n_layers, err))
            return false;
    return true;
}

static bool set_up(report_run *r, cr_error *err)
{
    const report_options *o = r->o;
    for (int i = 0; i < r->series->pictures.n; i++)
        if (!check_not_itself(o->output, r->series->pictures.items[i].path, err))
            return false;
    if (o->methods.n)
        r->methods = o->methods;
    else if (!add_methods(&r->methods, "gradcam,layercam", NULL, err))
        return false;
    if (!network_open(&r->network, &o->network, err) || !network_takes_pictures(&r->network, err) || !choose_layers(r, err) ||
        !choose_targets(r, err))
        return false;
    r->classes = calloc((size_t)r->n_targets, sizeof *r->classes);
    r->probabilities = calloc((size_t)r->network.net->classes, sizeof *r->probabilities);
    return (r->classes && r->probabilities) || cr_fail(err, "out of memory");
}

static void tear_down(report_run *r)
{
    cr_explainer_free(r->explainer);
    free(r->probabilities);
    free(r->classes);
    free(r->targets);
    free(r->layers);
    network_close(&r->network);
}

/* Makes r->explainer fit this input size. */
static bool prepare(report_run *r, int h, int w, cr_error *err)
{
    if (r->explainer && r->explainer->h == h && r->explainer->w == w)
        return true;
    cr_explainer_free(r->explainer);
    const report_options *o = r->o;
    const cr_explain_request request = {
        .methods = r->methods.items, .n_methods = r->methods.n, .layers = r->layers, .n_layers = r->n_layers, .n = 1,
        .h = h, .w = w, .seed = (uint64_t)o->seed, .eigen_smooth = o->eigen_smooth, .aug_smooth = o->aug_smooth,
    };
    r->explainer = cr_explainer_create(r->network.net, &request, err);
    return r->explainer != NULL;
}

static bool add_maps(report_run *r, cr_error *err)
{
    cr_explainer *e = r->explainer;
    for (int k = 0; k < r->n_targets; k++)
        if ((r->o->aug_smooth ? !cr_explainer_smooth(e, &r->classes[k], err)
                              : !cr_explainer_backward(e, &r->classes[k], err) || !cr_explainer_maps(e, err)) ||
            !cr_html_maps(r->html, e, k, err))
            return false;
    return true;
}

static verdict add_picture(void *owner, const picture_file *file, const char *stem, cr_error *err)
{
    (void)stem;
    report_run *r = owner;
    network_input input;
    cr_error why;
    const bool read = network_read(&input, &r->network, file->path, err) &&
                      ((prepare(r, input.geometry.h, input.geometry.w, &why) && cr_explainer_forward(r->explainer, input.x, &why)) ||
                       cr_fail(err, "%.200s: %s", file->path, why.text));
    bool ok = read;
    if (ok) {
        const cr_explainer *e = r->explainer;
        const int classes = r->network.net->classes;
        cr_softmax(r->probabilities, e->logits, 1, classes);
        for (int k = 0; k < r->n_targets; k++)
            r->classes[k] = cr_target_class(&r->targets[k], e->logits, classes);
        const cr_html_picture_facts facts = {
            .name = file->name, .photo = &input.photo, .geometry = &input.geometry, .logits = e->logits,
            .probabilities = r->probabilities, .classes = r->classes, .n_classes = r->n_targets,
        };
        ok = cr_html_picture(r->html, &facts, err) && add_maps(r, err);
    }
    network_input_free(&input);
    return ok ? PICTURE_DONE : read ? RUN_FAILED : PICTURE_FAILED;
}

static bool end_report(void *owner, int done, cr_error *err)
{
    report_run *r = owner;
    if (interrupt_waits())
        return true;
    cr_html *html = r->html;
    r->html = NULL;
    if (!cr_html_finish(html, err))
        return false;
    printf("report of %d picture%s written to ", done, done > 1 ? "s" : "");
    put_printable(stdout, r->o->output);
    putchar('\n');
    return true;
}

static int write_report(report_run *r, cr_error *err)
{
    const report_options *o = r->o;
    const cr_html_run facts = {
        .weights = o->network.weights, .net = r->network.net, .labels = &r->network.labels, .transform = &r->network.transform,
        .methods = r->methods.items, .n_methods = r->methods.n, .layers = r->layers, .n_layers = r->n_layers,
        .only_average = o->aug_smooth, .alpha = o->alpha, .colormap = o->colormap,
    };
    const series_work work = {.program = "camrun report", .owner = r, .one = add_picture, .finish = end_report, .silent = true};
    interrupt_hold(); /* until the temporary file is renamed or gone */
    r->html = cr_html_create(o->output, &facts, err);
    const int status = r->html ? series_run(r->series, &work, err) : BAD_INPUT;
    cr_html_discard(r->html);
    interrupt_release();
    return status;
}

static int run_report(const void *fields, const text_list *pictures, cr_error *err)
{
    series s = {0};
    report_run r = {.o = fields, .series = &s};
    const bool ready = series_list(&s, pictures, &(text_list){0}, err) && set_up(&r, err);
    const int status = ready ? write_report(&r, err) : BAD_INPUT;
    tear_down(&r);
    series_free(&s);
    return status;
}

int report_main(int argc, char **argv)
{
    static const subcommand report = {"camrun report", help, table, sizeof table / sizeof table[0], check, run_report};
    cr_error err;
    report_options o = {.output = "report.html", .alpha = 0.5f};
    const int status = text_list_create(&o.layers, argc, &err) && text_list_create(&o.classes, argc, &err)
                           ? subcommand_main(&report, &o, argc, argv)
                           : complain("camrun report", &err, BAD_INPUT);
    text_list_free(&o.layers);
    text_list_free(&o.classes);
    return status;
}
