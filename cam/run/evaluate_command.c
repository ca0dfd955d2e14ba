/* evaluate_command.c - camrun evaluate: its command line. */
#include "commands.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "camrun.h"
#include "evaluate.h"
#include "interrupt.h"
#include "program.h"
#include "subcommand.h"

static const char help[] =
    "camrun evaluate measures what maps are worth, beside maps of noise and of the middle.\n"
    "\n"
    "  camrun evaluate --weights weights/shapes.bin --boxes shapes/boxes.csv --method gradcam,layercam\n"
    "  camrun evaluate --arch resnet34 --weights r34.pth --layer layer3,layer4 --csv all.csv pictures/\n"
    "\n"
    "Network   --weights FILE  --arch NAME  --labels FILE  --resize N|WxH  --size N  --no-crop  --gray\n"
    "          --mean R,G,B  --std R,G,B  --threads N              as camrun --help has them\n"
    "Pictures  files, folders with all below them, patterns, @LIST; or all that --boxes has boxes for\n"
    "          --boxes FILE   CSV with columns file,class,x0,y0,x1,y1: classes with boxes are explained\n"
    "          --class LIST   without boxes: index, name, or top1, top2...           (default: top1)\n"
    "Maps      --method LIST  see camrun --list-methods; baselines: random, a map of noise, and\n"
    "                         centre, a blob in the middle      (default: gradcam,random,centre)\n"
    "          --layer LIST   each by itself                     (default: the last feature map)\n"
    "Metrics   --metric LIST  of these     (default: all but the last; the first two with --boxes)\n"
    "  pointing       the map's highest pixel is on the object    --tolerance PX  or so near it (0)\n"
    "  energy         share of the map that is on the object\n"
    "  drop           of the probability, and how often it increases, for picture x map\n"
    "  insertion      area under the probability as a blurred picture gets its pixels back, best first\n"
    "  deletion       the same as the picture loses them           --steps N  of both (20)\n"
    "  road           how much less the least relevant pixels are missed than the most, at 20, 40, 60\n"
    "                 and 80 %, filled in from around              --road-noise STD  with noise (0.01)\n"
    "  randomization  how alike the maps stay as the network forgets its parameters from the top down\n"
    "Other     --csv FILE  a row for each picture, class, method and layer    --json  for programs\n"
    "          --seed N  of random numbers (1)                                --help\n"
    "Exit status: 0 done; 1 a file or what it holds is at fault; 2 the command line is.\n";

/* ---- values ---- */

/* Calls `add` with each item of a list with commas. */
static bool each_item(void *field, const char *text, const char *what,
                      bool (*add)(evaluate_options *o, const char *item, cr_error *err), cr_error *err)
{
    for (const char *item = text, *end; item; item = *end ? end + 1 : NULL) {
        char name[64];
        end = item + strcspn(item, ",");
        snprintf(name, sizeof name, "%.*s", (int)(end - item), item);
        if (!*name)
            return cr_fail(err, "a %s is missing: expected names with commas between, found '%.60s'", what, text);
        if (!add(field, name, err))
            return false;
    }
    return true;
}

static bool add_method(evaluate_options *o, const char *name, cr_error *err)
{
    maker m = {.baseline = strcmp(name, "random") == 0 ? RANDOM_MAP : strcmp(name, "centre") == 0 ? CENTRE_MAP : NO_BASELINE};
    if (!m.baseline && !(m.method = cr_method_find(name, err)))
        return false;
    for (int i = 0; i < o->n_makers; i++)
        if (o->makers[i].method == m.method && o->makers[i].baseline == m.baseline)
            return cr_fail(err, "method %s is named twice", name);
    if (o->n_makers == MOST_MAKERS)
        return cr_fail(err, "more than %d methods", MOST_MAKERS);
    o->makers[o->n_makers++] = m;
    return true;
}

static bool add_metric(evaluate_options *o, const char *name, cr_error *err)
{
    static const char *const names[] = {"pointing", "energy", "drop", "insertion", "deletion", "road", "randomization"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            o->metrics |= 1u << i;
            return true;
        }
    return cr_fail(err, "no metric '%.40s': expected some of pointing, energy, drop, insertion, deletion, road and "
                   "randomization", name);
}

/* Fields of these two: the whole struct. */
static bool add_methods(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    return each_item(field, text, "method", add_method, err);
}

static bool add_metrics(void *field, const char *text, const option *o, cr_error *err)
{
    (void)o;
    return each_item(field, text, "metric", add_metric, err);
}

/* ---- the table ---- */

enum { EVALUATE = 1 };

#define FIELD(member) offsetof(evaluate_options, member)

static const option table[] = {
    NETWORK_OPTIONS(FIELD(network), EVALUATE, EVALUATE, EVALUATE, EVALUATE),
    {"method", 0, add_methods, 0, EVALUATE, 0, 0},
    {"layer", 0, add_text, FIELD(layers), EVALUATE, 0, 0},
    {"class", 0, add_text, FIELD(classes), EVALUATE, 0, 0},
    {"metric", 0, add_metrics, 0, EVALUATE, 0, 0},
    {"boxes", 0, set_text, FIELD(boxes), EVALUATE, 0, 0},
    {"csv", 0, set_text, FIELD(csv), EVALUATE, 0, 0},
    {"tolerance", 0, set_number, FIELD(tolerance), EVALUATE, 0, 10000},
    {"steps", 0, set_count, FIELD(steps), EVALUATE, 1, 10000},
    {"road-noise", 0, set_number, FIELD(road_noise), EVALUATE, 0, 10},
    {"seed", 0, set_count, FIELD(seed), EVALUATE, 0, INT_MAX},
    {"json", 0, set_flag, FIELD(json), EVALUATE, 0, 0},
};

enum { OPTIONS = sizeof table / sizeof table[0] };

/* ---- what goes together ---- */

static unsigned metrics_of(const evaluate_options *o)
{
    return o->metrics ? o->metrics : METRIC_SCORES | (o->boxes ? METRIC_BOXES : 0u);
}

static bool check_metrics(const evaluate_options *o, const bool *given, cr_error *err)
{
    static const struct {
        const char *option;
        unsigned metrics;
    } of[] = {{"tolerance", METRIC_POINTING}, {"steps", METRIC_INSERTION | METRIC_DELETION}, {"road-noise", METRIC_ROAD}};
    if (o->metrics & METRIC_BOXES && !o->boxes)
        return cr_fail(err, "the metrics pointing and energy need to know where the objects are: add --boxes FILE.csv");
    for (int i = 0; i < OPTIONS; i++)
        for (size_t k = 0; k < sizeof of / sizeof of[0]; k++)
            if (given[i] && strcmp(table[i].name, of[k].option) == 0 && !(metrics_of(o) & of[k].metrics))
                return cr_fail(err, "--%s has no effect on the metrics asked for: leave it out", table[i].name);
    return true;
}

/* Baselines and methods that explain all layers together have none to choose. */
static bool check_layers(const evaluate_options *o, cr_error *err)
{
    bool at_layers = !o->n_makers || !o->layers.n; /* the default method is at one */
    for (int i = 0; i < o->n_makers; i++)
        at_layers = at_layers || (o->makers[i].method && !(o->makers[i].method->needs & CR_NEEDS_BIASES));
    return at_layers || cr_fail(err, "--layer has no effect: none of what is evaluated is at a layer; leave it out");
}

static bool check(const void *fields, const bool *given, const text_list *pictures, cr_error *err)
{
    const evaluate_options *o = fields;
    if (!network_options_check(&o->network, err))
        return false;
    if (!pictures->n && !o->boxes)
        return cr_fail(err, "no picture given: camrun evaluate --weights %.200s PICTURE..., or --boxes FILE.csv",
                       o->network.weights);
    if (o->classes.n && o->boxes)
        return cr_fail(err, "--class has no effect with --boxes, which says the pictures' classes: leave one of them out");
    const char *const read[][2] = {{"--boxes", o->boxes}, {"--weights", o->network.weights}, {"--labels", o->network.labels}};
    for (int i = 0; o->csv && i < 3; i++)
        if (read[i][1] && strcmp(o->csv, read[i][1]) == 0)
            return cr_fail(err, "--csv and %s name the same file, '%.200s'", read[i][0], o->csv);
    return check_layers(o, err) && check_metrics(o, given, err);
}

/* ---- the command ---- */

/* What is not asked for. */
static evaluate_options with_defaults(const evaluate_options *o)
{
    evaluate_options all = *o;
    if (!o->n_makers) {
        all.n_makers = 3;
        all.makers[0] = (maker){cr_method_at(0), NO_BASELINE};
        all.makers[1] = (maker){NULL, RANDOM_MAP};
        all.makers[2] = (maker){NULL, CENTRE_MAP};
    }
    all.metrics = metrics_of(o);
    return all;
}

static int run(const void *fields, const text_list *pictures, cr_error *err)
{
    const evaluate_options o = with_defaults(fields);
    evaluation e;
    bool ok = evaluate(&e, &o, pictures, err);
    interrupt_hold();
    ok = ok && (!o.csv || evaluation_write_csv(&e, o.csv, err));
    interrupt_release();
    ok = ok && evaluation_report(stdout, &e, err);
    evaluation_free(&e);
    return ok ? DONE : BAD_INPUT;
}

int evaluate_main(int argc, char **argv)
{
    static const subcommand evaluate_command = {"camrun evaluate", help, table, OPTIONS, check, run};
    cr_error err;
    evaluate_options o = {.steps = 20, .road_noise = 0.01, .seed = 1};
    const int status = text_list_create(&o.layers, argc, &err) && text_list_create(&o.classes, argc, &err)
                           ? subcommand_main(&evaluate_command, &o, argc, argv)
                           : complain("camrun evaluate", &err, BAD_INPUT);
    text_list_free(&o.layers);
    text_list_free(&o.classes);
    return status;
}
