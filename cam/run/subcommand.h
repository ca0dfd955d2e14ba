/* subcommand.h - how camrun's commands but the first one run: options in, one line for what is wrong, a status out. */
#ifndef CAMRUN_SUBCOMMAND_H
#define CAMRUN_SUBCOMMAND_H

#include "command_line.h"

typedef struct subcommand {
    const char *name;     /* "camrun filters" */
    const char *help;     /* what --help writes */
    const option *options;
    int n_options;
    /* Of the struct that options are read into. check: whether they go together; run: the work, with what it has to say on
     * standard output, and the exit status, with a message where that is not DONE. operands: what is no option. */
    bool (*check)(const void *fields, const bool *given, const text_list *operands, cr_error *err);
    int (*run)(const void *fields, const text_list *operands, cr_error *err);
} subcommand;

/* fields: with the options' defaults. */
int subcommand_main(const subcommand *c, void *fields, int argc, char **argv);

/* "--name has no effect with OTHER", where it was given. */
bool check_without(const char *name, bool is_given, const char *other, cr_error *err);

/* Whether there are pictures among the operands. */
bool check_pictures(const text_list *operands, const char *program, cr_error *err);

#endif
