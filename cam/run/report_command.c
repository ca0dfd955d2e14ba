/* report_command.c - camrun report: pictures and their maps in one HTML file (html.h). */
#include "commands.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "camrun.h"
#include "interrupt.h"
#include "network.h"
#include "picture_list.h"
#include "program.h"
#include "values.h"

static const char help[] =
    "camrun report writes pictures and their maps into one HTML file, to look at in any browser: which class, method and\n"
    "layer is shown, and how strongly, is chosen there. The file reads nothing from anywhere.\n"
    "\n"
    "  camrun report --weights weights/shapes.bin cam/demo/shapes.png          writes report.html\n"
    "  camrun report --weights r34.bin --class top1,boxer --method gradcam,layercam --layer layer2,layer3,layer4 dogs/\n"
    "\n"
    "Pictures  files, folders, patterns such as 'dogs/*.jpg', or @FILE, a list of them\n"
    "Network   --weights FILE  --arch NAME  --labels FILE       as camrun --help says\n"
    "          --resize N|WxH  --size N  --no-crop  --mean R,G,B  --std R,G,B  --gray\n"
    "Maps      --class LIST   index, name, top1, top2..., or all         (default: top1,top2,top3)\n"
    "          --method LIST  see camrun --list-methods                  (default: gradcam,layercam)\n"
    "          --layer LIST   see camrun --list-layers; of several, each and their average\n"
    "                                                                    (default: the last feature map)\n"
    "          --eigen-smooth  --aug-smooth  for less noise       --seed N  of random numbers\n"
    "Output    -o FILE        (default: report.html)\n"
    "          --alpha 0..1   opacity to begin with (0.5)         --colormap jet|viridis|turbo|grey\n"
    "Other     --threads N  --help\n"
    "Exit status: 0 done; 1 a file or what it holds is at fault; 2 the command line is.\n";

typedef struct report_options {
    network_options network;
    method_list methods;
    text_list layers, classes, pictures;
    bool eigen_smooth, aug_smooth;
    const char *output;
    float alpha;
    const cr_colormap *colormap;
    int seed;
} report_options;

enum { WRITE_REPORT = 1, SHOW_HELP = 2 };

#define FIELD(member) offsetof(report_options, member)

static const option table[] = {
    NETWORK_OPTIONS(FIELD(network), WRITE_REPORT, WRITE_REPORT, WRITE_REPORT, WRITE_REPORT),
    {"method", 0, add_methods, FIELD(methods), WRITE_REPORT, 0, 0},
    {"layer", 0, add_text, FIELD(layers), WRITE_REPORT, 0, 0},
    {"class", 0, add_text, FIELD(classes), WRITE_REPORT, 0, 0},
    {"eigen-smooth", 0, set_flag, FIELD(eigen_smooth), WRITE_REPORT, 0, 0},
    {"aug-smooth", 0, set_flag, FIELD(aug_smooth), WRITE_REPORT, 0, 0},
    {"output", 'o', set_text, FIELD(output), WRITE_REPORT, 0, 0},
    {"alpha", 0, set_fraction, FIELD(alpha), WRITE_REPORT, 0, 0},
    {"colormap", 0, set_colormap, FIELD(colormap), WRITE_REPORT, 0, 0},
    {"seed", 0, set_count, FIELD(seed), WRITE_REPORT, 1, INT_MAX},
};

enum { OPTIONS = sizeof table / sizeof table[0] };

static const task_option tasks[] = {{"help", 'h', SHOW_HELP, true}};

/* ---- the command line ---- */

static bool check(const report_options *o, cr_error *err)
{
    if (!network_options_check(&o->network, err))
        return false;
    if (!o->pictures.n)
        return cr_fail(err, "no picture given: camrun report --weights %.200s PICTURE", o->network.weights);
    const char *dot = strrchr(o->output, '.');
    if (!dot || (strcasecmp(dot, ".html") != 0 && strcasecmp(dot, ".htm") != 0))
        return cr_fail(err, "-o: expected a file's name that ends in .html, found '%.200s'", o->output);
    bool seed = false, full = true;
    for (int i = 0; i < o->methods.n; i++) {
        const cr_method *m = o->methods.items[i];
        seed = seed || m->needs & CR_NEEDS_SEED;
        full = full && m->needs & CR_NEEDS_BIASES;
    }
    if (o->seed && !seed)
        return cr_fail(err, "--seed has no effect: of the methods, randomcam and smoothgradcam++ use random numbers");
    if (full && o->layers.n)
        return cr_fail(err, "--layer has no effect: %s explains all layers together", o->methods.items[0]->name);
    return true;
}

static bool parse(report_options *o, int *task, int argc, char **argv, cr_error *err)
{
    static const command report = {table, OPTIONS, tasks, 1};
    *o = (report_options){.output = "report.html", .alpha = 0.5f};
    if (!text_list_create(&o->layers, argc, err) || !text_list_create(&o->classes, argc, err) ||
        !text_list_create(&o->pictures, argc, err))
        return false;
    bool given[OPTIONS] = {false};
    command_line line = {given, WRITE_REPORT, o->pictures};
    const bool ok = command_parse(&report, o, &line, argc, argv, err);
    *task = line.task;
    o->pictures = line.operands;
    if (!ok || *task == SHOW_HELP)
        return ok;
    if (!o->methods.n)
        return add_methods(&o->methods, "gradcam,layercam", NULL, err) && check(o, err);
    return check(o, err);
}

static void free_options(report_options *o)
{
    text_list_free(&o->layers);
    text_list_free(&o->classes);
    text_list_free(&o->pictures);
}

/* ---- the run ---- */

typedef struct report_run {
    const report_options *o;
    network network;
    picture_list pictures;
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
    const method_list *methods = &r->o->methods;
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

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool set_up(report_run *r, cr_error *err)
{
    const report_options *o = r->o;
    if (!picture_list_create(&r->pictures, &o->pictures, &(text_list){0}, NULL, err))
        return false;
    for (int i = 0; i < r->pictures.n; i++)
        if (same_file(r->pictures.items[i].path, o->output))
            return cr_fail(err, "-o: '%.200s' is one of the pictures: it would be lost", o->output);
    if (!network_open(&r->network, &o->network, err) || !choose_layers(r, err) || !choose_targets(r, err))
        return false;
    r->classes = calloc((size_t)r->n_targets, sizeof *r->classes);
    r->probabilities = calloc((size_t)r->network.net->classes, sizeof *r->probabilities);
    return (r->classes && r->probabilities) || cr_fail(err, "out of memory");
}

static void tear_down(report_run *r)
{
    cr_html_discard(r->html);
    cr_explainer_free(r->explainer);
    free(r->probabilities);
    free(r->classes);
    free(r->targets);
    free(r->layers);
    network_close(&r->network);
    picture_list_free(&r->pictures);
}

/* Makes r->explainer fit this input size. */
static bool prepare(report_run *r, int h, int w, cr_error *err)
{
    if (r->explainer && r->explainer->h == h && r->explainer->w == w)
        return true;
    cr_explainer_free(r->explainer);
    const report_options *o = r->o;
    const cr_explain_request request = {
        .methods = o->methods.items, .n_methods = o->methods.n, .layers = r->layers, .n_layers = r->n_layers, .n = 1,
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

static bool add_picture(report_run *r, const picture_file *file, cr_error *err)
{
    network_input input;
    cr_error why;
    bool ok = network_read(&input, &r->network, file->path, err);
    if (ok && (!prepare(r, input.geometry.h, input.geometry.w, &why) || !cr_explainer_forward(r->explainer, input.x, &why)))
        ok = cr_fail(err, "%.200s: %s", file->path, why.text);
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
    return ok;
}

static bool add_pictures(report_run *r, cr_error *err)
{
    const bool progress = r->pictures.n > 1 && isatty(STDERR_FILENO);
    bool ok = true;
    for (int i = 0; ok && !interrupt_waits() && i < r->pictures.n; i++) {
        if (progress) {
            fprintf(stderr, "\r\033[K%d/%d ", i + 1, r->pictures.n);
            put_printable(stderr, r->pictures.items[i].name);
        }
        ok = add_picture(r, &r->pictures.items[i], err);
    }
    if (progress)
        fputs("\r\033[K", stderr);
    return ok;
}

static bool write_report(const report_options *o, cr_error *err)
{
    report_run r = {.o = o};
    bool ok = set_up(&r, err);
    const cr_html_run facts = {
        .weights = o->network.weights, .net = r.network.net, .labels = &r.network.labels, .transform = &r.network.transform,
        .methods = o->methods.items, .n_methods = o->methods.n, .layers = r.layers, .n_layers = r.n_layers,
        .only_average = o->aug_smooth, .alpha = o->alpha, .colormap = o->colormap,
    };
    interrupt_hold(); /* until the temporary file is renamed or gone */
    ok = ok && (r.html = cr_html_create(o->output, &facts, err)) && add_pictures(&r, err);
    if (ok && !interrupt_waits()) {
        ok = cr_html_finish(r.html, err);
        r.html = NULL;
    }
    const int n = r.pictures.n;
    tear_down(&r);
    interrupt_release();
    if (ok) {
        printf("report of %d picture%s written to ", n, n > 1 ? "s" : "");
        put_printable(stdout, o->output);
        putchar('\n');
    }
    return ok;
}

int report_main(int argc, char **argv)
{
    cr_error err = {""};
    report_options o;
    int status, task = WRITE_REPORT;
    if (!parse(&o, &task, argc, argv, &err)) {
        status = complain("camrun report", &err, BAD_USAGE);
    } else if (task == SHOW_HELP) {
        fputs(help, stdout);
        status = finish("camrun report", true, &err);
    } else {
        status = finish("camrun report", write_report(&o, &err), &err);
    }
    free_options(&o);
    return status;
}
