/* ascent.c - see ascent.h. */
#include "ascent.h"

#include <stdio.h>

#include "interrupt.h"
#include "program.h"

static bool watch_step(void *owner, int done, int all)
{
    ascent_watch *w = owner;
    char left[32];
    w->done = done;
    w->all = all;
    if (progress_due(&w->progress))
        fprintf(stderr, "\r\033[K%d of %d steps, %s left", done, all,
                duration_text((now_ms() - w->start) / done * (all - done), left));
    if (done == all)
        progress_clear(&w->progress);
    return !interrupt_waits();
}

cr_ascent_options ascent_begin(ascent_watch *watch, const ascent_values *v, const cr_transform *transform)
{
    *watch = (ascent_watch){.progress = progress_start(), .start = now_ms()};
    interrupt_hold();
    return (cr_ascent_options){.steps = v->steps, .lr = v->lr, .jitter = v->jitter, .blur = v->blur, .decay = v->decay,
                               .seed = (uint64_t)v->seed, .transform = transform, .go_on = watch_step, .owner = watch};
}

void ascent_end(void)
{
    fflush(stdout);
    interrupt_release();
}

const char *ascent_stopped(const ascent_watch *watch, char text[64])
{
    text[0] = '\0';
    if (watch->done < watch->all)
        snprintf(text, 64, ", stopped after %d of %d steps", watch->done, watch->all);
    return text;
}
