/* npy.h - float arrays in NumPy's .npy files. */
#ifndef CAMRUN_NPY_H
#define CAMRUN_NPY_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CR_NPY_DIMS = 6 };

/* float32, C order, 0 to CR_NPY_DIMS dimensions. */
bool cr_npy_write(const char *path, const float *data, int ndim, const int *dims, cr_error *err);

/* The same piece by piece, for as many values as come: the shape is told at the end. path is what it was before until
 * then, and must not be a pipe. A failure is kept until cr_npy_finish, which tells of it and frees. */
typedef struct cr_npy cr_npy;

cr_npy *cr_npy_create(const char *path, cr_error *err);
void cr_npy_add(cr_npy *npy, const float *data, size_t count);
bool cr_npy_finish(cr_npy *npy, int ndim, const int *dims, cr_error *err);
void cr_npy_discard(cr_npy *npy); /* NULL: nothing */

/* Reads little-endian float32 or float64 (narrowed to float32) in C order, versions 1 to 3 of the format. *data is
 * malloc'ed and the caller frees it. */
bool cr_npy_read(const char *path, float **data, int *ndim, int dims[CR_NPY_DIMS], cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
