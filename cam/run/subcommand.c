/* subcommand.c - see subcommand.h. */
#include "subcommand.h"

#include <stdio.h>
#include <stdlib.h>

#include "program.h"

int subcommand_main(const subcommand *c, void *fields, int argc, char **argv)
{
    static const task_option help = {"help", 'h', 1, true};
    const command parsed = {c->options, c->n_options, &help, 1};
    command_line line = {.given = calloc((size_t)c->n_options, sizeof *line.given)};
    cr_error err = {"out of memory"};
    int status;
    if (!line.given || !text_list_create(&line.operands, argc, &err))
        status = complain(c->name, &err, BAD_INPUT);
    else if (!command_parse(&parsed, fields, &line, argc, argv, &err) ||
             (!line.task && !c->check(fields, line.given, &line.operands, &err)))
        status = complain(c->name, &err, BAD_USAGE);
    else if (line.task)
        status = finish(c->name, fputs(c->help, stdout) >= 0 ? DONE : BAD_INPUT, &err);
    else
        status = finish(c->name, c->run(fields, &line.operands, &err), &err);
    text_list_free(&line.operands);
    free(line.given);
    return status;
}

bool check_without(const char *name, bool is_given, const char *other, cr_error *err)
{
    return !is_given || cr_fail(err, "--%s has no effect with %s: leave one of them out", name, other);
}

bool check_pictures(const text_list *operands, const char *program, cr_error *err)
{
    return operands->n || cr_fail(err, "no picture given: %s --weights FILE PICTURE", program);
}
