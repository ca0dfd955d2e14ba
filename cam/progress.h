/* progress.h - how far long work is, on a terminal: one line on standard error that is written over. */
#ifndef CAMRUN_PROGRESS_H
#define CAMRUN_PROGRESS_H

#include <stdbool.h>

typedef struct progress {
    bool terminal; /* standard error is one */
    double shown;  /* when the line was last written, in ms */
} progress;

progress progress_start(void);
/* Whether to write the line, beginning with "\r\033[K": on a terminal, some times a second. It should fit 80 columns, as
 * what has wrapped cannot be cleared. */
bool progress_due(progress *p);
/* Clears the line, if there is one. */
void progress_clear(progress *p);

/* "12 s", "4 min 10 s", "2 h 05 min" */
const char *duration_text(double ms, char text[32]);

#endif
