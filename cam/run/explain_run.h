/* explain_run.h - what camrun does once its command line is understood. */
#ifndef CAMRUN_EXPLAIN_RUN_H
#define CAMRUN_EXPLAIN_RUN_H

#include <stdio.h>

#include "options.h"
#include "series.h"

/* Explains o's tensor or the pictures of s, which is empty for a tensor: writes what o asks for, and the report to out. Of
 * many pictures those that cannot be explained are told of on standard error and counted in *failed. */
bool explain(const options *o, const series *s, FILE *out, int *failed, cr_error *err);

#endif
