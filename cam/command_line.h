/* command_line.h - a program's options as a table, and the parser that walks it: what all programs here have in common.
 *
 * A row names an option, the function that reads its value, and the field of the program's own struct where it goes.
 * "--name VALUE", "--name=VALUE" and, for an option with a letter, "-l VALUE"; behind "--" nothing is an option. */
#ifndef CAMRUN_COMMAND_LINE_H
#define CAMRUN_COMMAND_LINE_H

#include "engine.h"

typedef struct option option;

struct option {
    const char *name; /* without the dashes */
    char letter;      /* its short form, or 0 */
    /* Reads text, for a flag NULL, into the field; the message need not name the option. */
    bool (*set)(void *field, const char *text, const option *o, cr_error *err);
    size_t field;     /* offset in the program's struct */
    unsigned use;     /* for the program to say what the option has a part in */
    double low, high; /* set_count, set_resize, set_number: the range, both ends inside */
};

/* An option without a value that decides what the program does. */
typedef struct task_option {
    const char *name;
    char letter;
    int task;
    bool at_once; /* what follows on the command line does not matter: --help */
} task_option;

typedef struct command {
    const option *options;
    int n_options;
    const task_option *tasks;
    int n_tasks;
} command;

/* Texts of argv. */
typedef struct text_list {
    int n;
    const char **items; /* room for all of argv */
} text_list;

bool text_list_create(text_list *list, int argc, cr_error *err);
void text_list_free(text_list *list);

/* What was on the command line, apart from values. */
typedef struct command_line {
    bool *given;        /* by option */
    int task;           /* the last task option's; what it was before where there is none */
    text_list operands; /* what is no option */
} command_line;

/* Whether the option of this name, which there is, was on the command line. */
bool is_given(const option *options, const bool *given, const char *name);

/* fields: the program's struct, with its defaults. line: given all false, operands empty but with room. */
bool command_parse(const command *c, void *fields, command_line *line, int argc, char **argv, cr_error *err);

/* ---- readers of values, with the type of the field ---- */

bool set_flag(void *field, const char *text, const option *o, cr_error *err);  /* bool; the option takes no value */
bool set_text(void *field, const char *text, const option *o, cr_error *err);  /* const char *, of argv */
bool add_text(void *field, const char *text, const option *o, cr_error *err);  /* text_list */
bool set_arch(void *field, const char *text, const option *o, cr_error *err);  /* const char *: a known network */
bool set_count(void *field, const char *text, const option *o, cr_error *err); /* int */
bool set_number(void *field, const char *text, const option *o, cr_error *err); /* double */

/* Numbers for the three channels, or one for all; n is 0 where the option is not given. */
typedef struct channel_values {
    int n;
    float v[3];
} channel_values;

bool set_mean(void *field, const char *text, const option *o, cr_error *err); /* channel_values, from 0 to 1 */
bool set_std(void *field, const char *text, const option *o, cr_error *err);  /* channel_values, above 0 */

/* For other readers. Each reads a number at *text and moves *text behind it. read_count: digits alone; false where there
 * are none or the number is outside of low to high. read_number: anything finite. */
bool read_count(const char **text, int low, int high, int *value);
bool read_number(const char **text, float *value);

#endif
