/* memory.h - aligned memory for activations and packed weights. */
#ifndef CAMRUN_MEMORY_H
#define CAMRUN_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Uninitialised, or zeros; at least 64-byte aligned; NULL where there is no memory. free() releases it. */
float *aligned_floats(size_t count);
float *aligned_zeros(size_t count);

#endif
