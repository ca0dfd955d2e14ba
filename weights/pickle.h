/* pickle.h - reads Python's pickles as data: nothing is imported, called or executed.
 *
 * A pickle is a program for a small stack machine. Opcodes that would import a name give a PY_GLOBAL, those that
 * would call one give a PY_OBJECT that remembers what would have been called with which arguments. What any of it
 * means is for torch.c to say. */
#ifndef CAMRUN_PICKLE_H
#define CAMRUN_PICKLE_H

#include "reader.h"

typedef enum py_kind {
    PY_NONE,
    PY_BOOL,
    PY_INT,
    PY_LONG,        /* an integer beyond 64 bits, as little-endian bytes */
    PY_STRING,      /* text, or the bytes that were text in Python 2 */
    PY_TUPLE,
    PY_LIST,
    PY_DICT,        /* a dict or a collections.OrderedDict */
    PY_GLOBAL,      /* a class or function, by name */
    PY_OBJECT,      /* callee(*args), then maybe given a state */
    PY_PERSISTENT,  /* what the pickle leaves to its surroundings: a storage, for PyTorch */
    PY_OPAQUE,      /* a float, a set, bytes: never of interest */
    PY_MARK         /* inside the reader only */
} py_kind;

typedef struct py_value py_value;

typedef struct py_item {
    const py_value *key; /* of a dict; NULL elsewhere */
    const py_value *value;
    struct py_item *next;
} py_item;

typedef struct py_items {
    py_item *first, *last;
    size_t count;
} py_items;

/* A container may contain itself: walk down by known steps only, or count them. */
struct py_value {
    py_kind kind;
    union {
        int64_t number;                                      /* PY_BOOL, PY_INT */
        span text;                                           /* PY_STRING, PY_LONG: bytes of the pickle */
        py_items items;                                      /* PY_TUPLE, PY_LIST, PY_DICT */
        struct { span module, name; };                       /* PY_GLOBAL */
        struct { const py_value *callee, *args, *state; };   /* PY_OBJECT; NULL where there is none */
        const py_value *id;                                  /* PY_PERSISTENT */
    };
};

typedef struct pickle {
    const uint8_t *at, *end;
    arena *memory;            /* where the values go */
    py_items persistent;      /* every PY_PERSISTENT met so far */
} pickle;

/* Reads one pickle and leaves p->at behind it; NULL with a message where it is malformed or uses an opcode that no
 * state dict needs. */
const py_value *cr_pickle_read(pickle *p, cr_error *err);

/* The dict's last value under this string, NULL where there is none. */
const py_value *cr_py_get(const py_value *dict, const char *key);
/* Item i of a tuple or list; NULL if the value is neither or has fewer. */
const py_value *cr_py_at(const py_value *sequence, size_t i);
/* Is it a PY_GLOBAL of this module and name? NULL may be asked. */
bool cr_py_is_global(const py_value *v, const char *module, const char *name);

#endif
