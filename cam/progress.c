/* progress.c - see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "program.h"

progress progress_start(void)
{
    return (progress){.terminal = isatty(STDERR_FILENO)};
}

bool progress_due(progress *p)
{
    enum { EVERY_MS = 200 };
    double now = now_ms();
    if (!p->terminal || now - p->shown < EVERY_MS)
        return false;
    p->shown = now;
    return true;
}

void progress_clear(progress *p)
{
    if (p->terminal && p->shown > 0)
        fputs("\r\033[K", stderr);
}

const char *duration_text(double ms, char text[32])
{
    long s = (long)(ms / 1e3 + 0.5);
    if (s < 60)
        snprintf(text, 32, "%ld s", s);
    else if (s < 3600)
        snprintf(text, 32, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld h %02ld min", s / 3600, s / 60 % 60);
    return text;
}
