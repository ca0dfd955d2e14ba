/* interrupt.h - ending on SIGINT and SIGTERM, but never between a temporary file and its renaming, or where there is more
 * to save.
 *
 * The two signals end the program as ever; between interrupt_hold and interrupt_release they wait for the latter, of as
 * many as there were of the former. */
#ifndef CAMRUN_INTERRUPT_H
#define CAMRUN_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void); /* once, before the others */
void interrupt_hold(void);
void interrupt_release(void);
bool interrupt_waits(void); /* whether one does */

#endif
