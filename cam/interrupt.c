/* interrupt.c - the signal handler of interrupt.h. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t held, arrived;

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(number, &action, NULL);
}

static void on_signal(int number)
{
    arrived = number;
    if (!held) {
        handle(number, SIG_DFL);
        raise(number);
    }
}

void interrupt_watch(void)
{
    handle(SIGINT, on_signal);
    handle(SIGTERM, on_signal);
}

void interrupt_hold(void)
{
    held++;
}

void interrupt_release(void)
{
    if (held)
        held--;
    if (!held && arrived)
        on_signal(arrived);
}

bool interrupt_waits(void)
{
    return arrived != 0;
}
