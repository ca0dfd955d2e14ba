/* ascent.h - what camrun maximise and camrun dream have in common: options of the ascent, and watching it. */
#ifndef CAMRUN_ASCENT_H
#define CAMRUN_ASCENT_H

#include <limits.h>

#include "command_line.h"
#include "maximise.h"
#include "progress.h"

typedef struct ascent_values {
    int steps, jitter, seed;
    double lr, blur, decay;
} ascent_values;

#define ASCENT_OPTIONS(at)                                                                                             \
    {"steps", 0, set_count, (at) + offsetof(ascent_values, steps), 1, 1, 100000},                                      \
    {"lr", 0, set_number, (at) + offsetof(ascent_values, lr), 1, 0, 100},                                              \
    {"jitter", 0, set_count, (at) + offsetof(ascent_values, jitter), 1, 0, 1000},                                      \
    {"blur", 0, set_number, (at) + offsetof(ascent_values, blur), 1, 0, 20},                                           \
    {"decay", 0, set_number, (at) + offsetof(ascent_values, decay), 1, 0, 1},                                          \
    {"seed", 0, set_count, (at) + offsetof(ascent_values, seed), 1, 0, INT_MAX}

/* Signals wait from ascent_begin to ascent_end, for what there is to be written: they end the ascent (interrupt.h). */
typedef struct ascent_watch {
    progress progress;
    double start;
    int done, all; /* steps */
} ascent_watch;

cr_ascent_options ascent_begin(ascent_watch *watch, const ascent_values *values, const cr_transform *transform);
/* Behind the last file: a signal that waits ends the program here. */
void ascent_end(void);
/* ", stopped after 17 of 128 steps", or "" */
const char *ascent_stopped(const ascent_watch *watch, char text[64]);

#endif
