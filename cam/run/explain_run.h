/* run.h - what camrun does once its command line is understood. */
#ifndef CAMRUN_RUN_H
#define CAMRUN_RUN_H

#include <stdio.h>

#include "options.h"

/* Explains o's pictures or tensor: writes what o asks for, and the report to out. */
bool explain(const options *o, FILE *out, cr_error *err);

#endif
