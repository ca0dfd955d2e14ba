/* memory.h - aligned memory for activations and packed weights. */
#ifndef CAMRUN_MEMORY_H
#define CAMRUN_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Uninitialised; at least 64-byte aligned; NULL where there is no memory. free() releases it. */
float *aligned_floats(size_t count);
/* Writes to every page of memory that is about to be filled, on all threads: the system clears a page at its first touch,
 * and unequal shares of that would leave threads waiting for each other. */
void touch_pages(float *p, size_t count);

#endif
