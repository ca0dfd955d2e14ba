/* main.c - the camrun program: understands the command line, runs the task, and ends with a status and, where something
 * is wrong, one line on standard error. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "camrun.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "program.h"
#include "report.h"
#include "run.h"

static bool list_layers(const options *o, FILE *out, cr_error *err)
{
    const cr_arch *arch = o->arch ? cr_arch_find(o->arch, err) : NULL;
    cr_transform transform = cr_transform_default();
    cr_weights *weights = NULL;
    cr_net *net = NULL;
    if (!o->weights)
        net = cr_net_create(arch, 3, 1000, arch->width, err);
    else if ((weights = cr_weights_open(o->weights, err)) && cr_transform_from_weights(&transform, weights, err))
        net = cr_net_load(weights, o->arch, err);
    int side = o->size ? o->size : transform.crop_w;
    int w = o->size || !o->resize.w ? side : o->resize.w, h = o->size || !o->resize.h ? side : o->resize.h;
    int (*dims)[3] = net ? calloc((size_t)net->n_nodes, sizeof *dims) : NULL;
    bool ok = net && (dims || cr_fail(err, "out of memory")) && cr_net_shapes(net, h, w, dims, err);
    if (ok)
        report_layers(out, o->json, net, dims);
    free(dims);
    cr_net_free(net);
    cr_weights_close(weights);
    return ok;
}

static bool run_task(const options *o, FILE *out, cr_error *err)
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
        return explain(o, out, err);
    }
}

/* JSON is written at once, at the end, so that a failure leaves none of it. */
static bool run_task_as_json(const options *o, cr_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return cr_fail(err, "out of memory");
    bool ok = run_task(o, out, err);
    if (fclose(out) != 0 && ok)
        ok = cr_fail(err, "out of memory for the report");
    if (ok)
        fwrite(text, 1, bytes, stdout);
    free(text);
    return ok;
}

int main(int argc, char **argv)
{
    interrupt_watch();
    cr_error err = {""};
    options o;
    int status = DONE;
    if (!options_parse(&o, argc, argv, &err) || (o.task == EXPLAIN_PICTURES && !output_check(&o, &err))) {
        status = complain("camrun", &err, BAD_USAGE);
    } else {
        if (o.threads)
            cr_set_threads(o.threads);
        cr_bind_threads();
        bool ok = o.json ? run_task_as_json(&o, &err) : run_task(&o, stdout, &err);
        if (ok && (fflush(stdout) != 0 || ferror(stdout)))
            ok = cr_fail(&err, "cannot write to standard output: %s", strerror(errno));
        status = ok ? DONE : complain("camrun", &err, BAD_INPUT);
    }
    options_free(&o);
    return status;
}
