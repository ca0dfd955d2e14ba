/* npy.h - float arrays in NumPy's .npy files. */
#ifndef CAMRUN_NPY_H
#define CAMRUN_NPY_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CR_NPY_DIMS = 5 };

/* float32, C order, 0 to CR_NPY_DIMS dimensions. */
bool cr_npy_write(const char *path, const float *data, int ndim, const int *dims, cr_error *err);

/* Reads little-endian float32 or float64 (narrowed to float32) in C order, versions 1 to 3 of the format. *data is
 * malloc'ed and the caller frees it. */
bool cr_npy_read(const char *path, float **data, int *ndim, int dims[CR_NPY_DIMS], cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
