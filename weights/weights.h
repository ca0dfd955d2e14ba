/* weights.h - weights files: what is in them, and binding them to a net.
 *
 * Read, told apart by content and never by file name: safetensors, and PyTorch state dicts (.pth: the zip format and
 * the one before PyTorch 1.6). Files are mapped, not read: a float32 tensor costs no copy. */
#ifndef CAMRUN_WEIGHTS_H
#define CAMRUN_WEIGHTS_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CR_TENSOR_DIMS = 8 };

typedef enum cr_dtype { CR_F32, CR_F16, CR_BF16, CR_F64, CR_I64, CR_OTHER } cr_dtype;

typedef struct cr_tensor {
    const char *name;
    cr_dtype dtype;
    int ndim;
    int64_t dim[CR_TENSOR_DIMS];
    const void *data; /* contiguous, little-endian, inside the mapped file; alignment not promised */
    size_t bytes;
} cr_tensor;

typedef struct cr_weights cr_weights;

cr_weights *cr_weights_open(const char *path, cr_error *err);
void cr_weights_close(cr_weights *weights);
int cr_weights_count(const cr_weights *weights);
const cr_tensor *cr_weights_at(const cr_weights *weights, int i);
const cr_tensor *cr_weights_find(const cr_weights *weights, const char *name); /* NULL where there is none */
const char *cr_weights_meta(const cr_weights *weights, const char *key);       /* NULL where there is none */
/* The tensor's values as float32: the mapped bytes themselves where they are float32 and aligned, else a converted copy
 * that lives as long as the file stays open. NULL for integers, or out of memory. */
const float *cr_weights_f32(cr_weights *weights, const cr_tensor *tensor, cr_error *err);

/* Builds the net the file holds and binds every parameter. arch may be NULL where the file's metadata names it. Class
 * count, input channels and a ResNet's width are read from the tensors' shapes. The file must stay open while the net
 * lives. */
cr_net *cr_net_load(cr_weights *weights, const char *arch, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
