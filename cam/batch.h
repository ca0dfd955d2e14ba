/* batch.h - how many inputs to run together. */
#ifndef CAMRUN_BATCH_H
#define CAMRUN_BATCH_H

#include "engine.h"

/* At most MOST_BATCH. */
enum { MOST_BATCH = 8 };

/* `wanted`, or fewer where the values of a whole network of that many h x w inputs would fill more than half a gigabyte; at
 * least 1. Results do not depend on it. */
int batch_that_fits(const cr_net *net, int h, int w, int wanted);

#endif
