/* main.c - the camrun program: finds the command that is called for. */
#include <string.h>

#include "commands.h"
#include "interrupt.h"

/* The first is what camrun does where no command is named. A picture of such a name is still to be had, as ./NAME. */
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"explain", explain_main},
    {"dream", dream_main},
    {"evaluate", evaluate_main},
    {"features", features_main},
    {"filters", filters_main},
    {"maximise", maximise_main},
    {"report", report_main},
    {"saliency", saliency_main},
};

int main(int argc, char **argv)
{
    interrupt_watch();
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return commands[0].run(argc, argv);
}
