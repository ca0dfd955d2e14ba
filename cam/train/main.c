/* main.c - the camtrain program: understands the command line, trains, and ends with a status and, where something is
 * wrong, one line on standard error. */
#include <stdio.h>

#include "interrupt.h"
#include "program.h"
#include "settings.h"
#include "train.h"

int main(int argc, char **argv)
{
    interrupt_watch();
    cr_error err = {""};
    settings s;
    int status = DONE;
    if (!settings_parse(&s, argc, argv, &err)) {
        status = complain("camtrain", &err, BAD_USAGE);
    } else {
        bool ok = true, interrupted = false;
        if (s.threads)
            cr_set_threads(s.threads);
        cr_bind_threads();
        if (s.task == SHOW_HELP)
            fputs(settings_help, stdout);
        else if (s.task == SHOW_VERSION)
            puts("camtrain " CAMRUN_VERSION);
        else
            ok = train(&s, argc, argv, &interrupted, &err);
        status = finish("camtrain", ok ? DONE : BAD_INPUT, &err);
    }
    settings_free(&s);
    interrupt_release(); /* a signal that was held ends the program here */
    return status;
}
