/* torch.h - what the Python values in a PyTorch checkpoint mean: storages, tensors, the state dict.
 *
 * A tensor in a pickle is a view (offset, sizes, strides) of a storage, and a storage is a name: its bytes are
 * elsewhere in the file, where is the container's to say (pth.c). So reading takes three steps: collect the
 * storages, fill in their bytes, read the tensors. */
#ifndef CAMRUN_TORCH_H
#define CAMRUN_TORCH_H

#include "pickle.h"

typedef struct torch_storage {
    span key;
    cr_dtype dtype;
    size_t element;  /* bytes of one */
    int64_t numel;
    span bytes;      /* the container's part; .data is NULL where the file has none */
} torch_storage;

typedef struct torch_storages {
    torch_storage *all; /* sorted by key */
    size_t count;
} torch_storages;

/* Every storage the pickle names, once. */
bool cr_torch_storages(torch_storages *s, const py_items *persistent, arena *memory, cr_error *err);
/* NULL where there is none. */
torch_storage *cr_torch_find(const torch_storages *s, span key);
/* Finds the state dict in what was unpickled and adds its tensors, and the strings beside it as metadata. */
bool cr_torch_read(cr_weights *w, const py_value *root, const torch_storages *s, cr_error *err);

#endif
