/* main.c - the camrun program: understands the command line, runs the task, and ends with a status and, where something
 * is wrong, one line on standard error. Exit status: 0 done, 1 a file or what it holds is at fault, 2 the command line
 * is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "camrun.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "run.h"

enum { DONE = 0, BAD_INPUT = 1, BAD_USAGE = 2 };

static bool no_memory(cr_error *err)
{
    return cr_fail(err, "out of memory");
}

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
    bool ok = net && (dims || no_memory(err)) && cr_net_shapes(net, h, w, dims, err);
    if (ok)
        report_layers(out, o->json, net, dims);
    free(dims);
    cr_net_free(net);
    cr_weights_close(weights);
    return ok;
}

/* Runs the task with its report on standard output: JSON at once at the end, so that a failure leaves none. */
static bool run_task(const options *o, cr_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = o->json ? open_memstream(&text, &bytes) : stdout;
    if (!out)
        return no_memory(err);
    if (o->threads)
        cr_set_threads(o->threads);
    bool ok = o->task == LIST_LAYERS ? list_layers(o, out, err) : explain(o, out, err);
    if (o->json) {
        bool whole = fclose(out) == 0;
        if (ok && !whole)
            ok = no_memory(err);
        if (ok)
            fwrite(text, 1, bytes, stdout);
        free(text);
    }
    if (ok && (fflush(stdout) != 0 || ferror(stdout)))
        ok = cr_fail(err, "cannot write the report to standard output: %s", strerror(errno));
    return ok;
}

/* One line, whatever bytes a path or a tensor's name brought into it. */
static int complain(const cr_error *err, int status)
{
    fputs("camrun: ", stderr);
    for (const char *c = err->text; *c; c++)
        putc((unsigned char)*c < 0x20 || *c == 0x7F ? '?' : *c, stderr);
    putc('\n', stderr);
    return status;
}

int main(int argc, char **argv)
{
    interrupt_watch();
    cr_error err = {""};
    options o;
    int status = DONE;
    if (!options_parse(&o, argc, argv, &err))
        status = complain(&err, BAD_USAGE);
    else if (o.task == SHOW_HELP)
        fputs(options_help, stdout);
    else if (o.task == SHOW_VERSION)
        puts("camrun " CAMRUN_VERSION);
    else if (o.task == EXPLAIN_PICTURES && !output_check(&o, &err))
        status = complain(&err, BAD_USAGE);
    else if (!run_task(&o, &err))
        status = complain(&err, BAD_INPUT);
    options_free(&o);
    return status;
}
