/* weights.h - weights files: what is in them, binding them to a net, and writing them.
 *
 * Read, told apart by content and never by file name: safetensors, and PyTorch state dicts (.pth: the zip format and
 * the one before PyTorch 1.6). Files are mapped, not read: a float32 tensor costs no copy. Nothing in a file is
 * executed. A mapped file must not be changed while it is open; put a new one in its place by renaming. FORMATS.md says
 * what is read, and what is not. */
#ifndef CAMRUN_WEIGHTS_H
#define CAMRUN_WEIGHTS_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CR_TENSOR_DIMS = 8 };

typedef enum cr_dtype { CR_F32, CR_F16, CR_BF16, CR_F64, CR_I64, CR_OTHER } cr_dtype;

/* data is contiguous and little-endian, at any alignment. It lies in the mapped file, or in a copy where the file
 * has the elements in another order. */
typedef struct cr_tensor {
    const char *name;
    cr_dtype dtype;
    int ndim;
    int64_t dim[CR_TENSOR_DIMS];
    const void *data;
    size_t bytes;
} cr_tensor;

typedef struct cr_weights cr_weights;

cr_weights *cr_weights_open(const char *path, cr_error *err);
/* The same for a file that is in memory already, and stays there while it is open; the name is for messages. */
cr_weights *cr_weights_open_memory(const char *name, const void *bytes, size_t size, cr_error *err);
void cr_weights_close(cr_weights *weights);
/* Tells the system that these bytes of the mapped file are not needed for now, so that they stop counting as this
 * program's memory; a later read brings them back. What is not part of the mapped file (a converted copy) stays. A net
 * made by cr_net_load does this for every parameter that a plan has packed. */
void cr_weights_release_pages(const cr_weights *weights, const void *from, size_t bytes);

int cr_weights_count(const cr_weights *weights);
const cr_tensor *cr_weights_at(const cr_weights *weights, int i);
const cr_tensor *cr_weights_find(const cr_weights *weights, const char *name); /* NULL where there is none */
/* safetensors: its __metadata__; PyTorch: the strings beside the state dict ("arch"). NULL where there is none. What
 * camrun's converter writes: arch, classes (JSON array of strings), mean and std (JSON arrays of numbers), resize, crop
 * (pixels), interpolation. */
const char *cr_weights_meta(const cr_weights *weights, const char *key);
/* The tensor's values as float32: the mapped bytes themselves where they are float32 and aligned, else a converted copy
 * that lives as long as the file stays open. NULL for integers, or out of memory. */
const float *cr_weights_f32(cr_weights *weights, const cr_tensor *tensor, cr_error *err);

/* Builds the net the file holds and binds every parameter. arch may be NULL: then it is what the file's metadata
 * says, or else the one network that the tensors fit. Class count, input channels and a ResNet's width are read from
 * the tensors' shapes. Every tensor must be there, of the right shape and a floating-point type, and none more (a
 * batch normalisation's num_batches_tracked and names that begin with "optimizer." are passed over). The file must stay
 * open while the net lives. */
cr_net *cr_net_load(cr_weights *weights, const char *arch, cr_error *err);

/* ---- values of the metadata ---- */

/* A JSON array of at most max numbers; returns how many, -1 where the text is something else. */
int cr_meta_floats(const char *json, float *out, int max);
/* A JSON array of strings, in UTF-8; NULL with a message where the text is something else. */
char **cr_meta_strings(const char *json, int *count, cr_error *err);
void cr_meta_strings_free(char **strings);

/* ---- writing ---- */

typedef struct cr_meta {
    const char *key, *value;
} cr_meta;

/* Writes a safetensors file, which appears whole or not at all; durable: also if the power fails. A tensor's data are
 * float32 values, whatever its dtype: that, CR_F32 or CR_F16, is how they are stored; `bytes` is not looked at. Names,
 * keys and values are UTF-8. An error where a value does not fit a half. */
bool cr_weights_write(const char *path, const cr_tensor *tensors, int n_tensors, const cr_meta *meta, int n_meta,
                      bool durable, cr_error *err);

#ifdef __cplusplus
}
#endif
#endif
