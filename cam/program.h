/* program.h - what the programs have in common: how they end, clock and memory, text that a terminal may see. */
#ifndef CAMRUN_PROGRAM_H
#define CAMRUN_PROGRAM_H

#include <stdio.h>

#include "engine.h"

/* Exit statuses: done; a file or what it holds is at fault; the command line is; done but for some of many pictures. */
enum { DONE = 0, BAD_INPUT = 1, BAD_USAGE = 2, SOME_FAILED = 3 };

/* One line on standard error, "PROGRAM: why"; returns the status. */
int complain(const char *program, const cr_error *err, int status);
/* The status of a program that is through, with the message where it is not DONE; output that cannot be written is a bad
 * input, too. */
int finish(const char *program, int status, cr_error *err);
/* For text that came from a file or the command line: control characters, which a terminal would obey, become '?'. */
void put_printable(FILE *out, const char *text);

/* Whether CAMRUN_ISA in the environment, where it is set, names kernels that can run here. */
bool check_isa(cr_error *err);

double now_ms(void);      /* of a clock that never goes back */
size_t peak_bytes(void);  /* the most memory the process had so far */

#endif
