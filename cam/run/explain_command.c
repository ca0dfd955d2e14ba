/* explain_command.c - camrun without a sub-command: maps of pictures, and lists of what there is to choose from. */
#include "commands.h"

#include <stdlib.h>

#include "camrun.h"
#include "options.h"
#include "program.h"
#include "explain_report.h"
#include "explain_run.h"

static bool list_layers(const options *o, FILE *out, cr_error *err)
{
    const cr_arch *arch = o->network.arch ? cr_arch_find(o->network.arch, err) : NULL;
    cr_transform transform = cr_transform_default();
    cr_weights *weights = NULL;
    cr_net *net = NULL;
    if (!o->network.weights)
        net = cr_net_create(arch, 3, 1000, arch->width, err);
    else if ((weights = cr_weights_open(o->network.weights, err)) && cr_transform_from_weights(&transform, weights, err))
        net = cr_net_load(weights, o->network.arch, err);
    int side = o->network.size ? o->network.size : transform.crop_w;
    int w = o->network.size || !o->network.resize.w ? side : o->network.resize.w, h = o->network.size || !o->network.resize.h ? side : o->network.resize.h;
    int (*dims)[3] = net ? calloc((size_t)net->n_nodes, sizeof *dims) : NULL;
    bool ok = net && (dims || cr_fail(err, "out of memory")) && cr_net_shapes(net, h, w, dims, err);
    if (ok)
        report_layers(out, o->json, net, dims);
    free(dims);
    cr_net_free(net);
    cr_weights_close(weights);
    return ok;
}

static bool run_task(const options *o, const series *pictures, FILE *out, int *failed, cr_error *err)
{
    switch (o->task) {
    case SHOW_HELP:
        fputs(options_help, out);
        return true;
    case SHOW_VERSION:
        fputs("camrun " CAMRUN_VERSION "\n", out);
        return true;
    case LIST_METHODS:
        report_methods(out, o->json);
        return true;
    case LIST_LAYERS:
        return list_layers(o, out, err);
    default:
        return explain(o, pictures, out, failed, err);
    }
}

/* JSON is written at once, at the end, so that a failure leaves none of it; but not of many pictures, which may take long. */
static bool run_task_at_once(const options *o, const series *pictures, int *failed, cr_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return cr_fail(err, "out of memory");
    bool ok = run_task(o, pictures, out, failed, err);
    if (fclose(out) != 0 && ok)
        ok = cr_fail(err, "out of memory for the report");
    if (ok)
        fwrite(text, 1, bytes, stdout);
    free(text);
    return ok;
}

/* What is made of each picture. kinds: room for all. */
static void set_kinds(series *s, const options *o, const char *kinds[MOST_METHODS])
{
    for (int i = 0; i < o->methods.n; i++)
        kinds[i] = o->methods.items[i]->name;
    if (o->sheet)
        kinds[0] = "sheet";
    *s = (series){.output = o->output, .kinds = kinds, .n_kinds = o->sheet ? 1 : o->methods.n};
}

static int run_options(const options *o, series *s, cr_error *err)
{
    int failed = 0;
    if (o->task == EXPLAIN_PICTURES && !series_list(s, &o->images, &o->lists, err))
        return BAD_INPUT;
    if (o->task == EXPLAIN_PICTURES && !series_name(s, err))
        return BAD_USAGE;
    const bool ok = o->json && !s->many ? run_task_at_once(o, s, &failed, err) : run_task(o, s, stdout, &failed, err);
    return ok ? series_status(s->pictures.n, failed, err) : BAD_INPUT;
}

int explain_main(int argc, char **argv)
{
    cr_error err = {""};
    options o;
    series s = {0};
    const char *kinds[MOST_METHODS];
    int status = BAD_USAGE;
    if (options_parse(&o, argc, argv, &err)) {
        set_kinds(&s, &o, kinds);
        status = run_options(&o, &s, &err);
    }
    status = finish("camrun", status, &err);
    series_free(&s);
    options_free(&o);
    return status;
}
