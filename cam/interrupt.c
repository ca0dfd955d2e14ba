/* interrupt.c - the signal handler of interrupt.h. */
#include "interrupt.h"

#include <signal.h>

static volatile sig_atomic_t held, arrived;

static void on_signal(int number)
{
    arrived = number;
    if (!held) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void interrupt_watch(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

void interrupt_hold(void)
{
    held = 1;
}

void interrupt_release(void)
{
    held = 0;
    if (arrived)
        on_signal(arrived);
}
