/* torch.c - see torch.h.
 *
 * The shapes of things, as torch.save has written them since PyTorch 0.1:
 *
 *   storage     persistent id ('storage', torch.FloatStorage, key, location, numel[, None or (key, offset, numel)])
 *   tensor      torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
 *               torch._utils._rebuild_tensor(storage, offset, size, stride)
 *               torch.FloatTensor() with the state (storage, offset, size, stride)
 *   parameter   torch._utils._rebuild_parameter(tensor, requires_grad, hooks)
 *               torch.nn.parameter.Parameter(tensor, ...)
 *   with attributes of its own: torch._tensor._rebuild_from_type_v2(a function above, class, its arguments, attributes)
 *   checkpoint  a state dict {name: tensor}, or a dict that has one under "state_dict" or the like */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "torch.h"

static const struct {
    const char *name;
    cr_dtype dtype;
    size_t bytes;
} storage_types[] = {
    {"FloatStorage", CR_F32, 4},           {"HalfStorage", CR_F16, 2},       {"BFloat16Storage", CR_BF16, 2},
    {"DoubleStorage", CR_F64, 8},          {"LongStorage", CR_I64, 8},       {"IntStorage", CR_OTHER, 4},
    {"ShortStorage", CR_OTHER, 2},         {"CharStorage", CR_OTHER, 1},     {"ByteStorage", CR_OTHER, 1},
    {"BoolStorage", CR_OTHER, 1},          {"UntypedStorage", CR_OTHER, 1},  {"ComplexFloatStorage", CR_OTHER, 8},
    {"ComplexDoubleStorage", CR_OTHER, 16}, {"QInt8Storage", CR_OTHER, 1},   {"QUInt8Storage", CR_OTHER, 1},
    {"QInt32Storage", CR_OTHER, 4},        {"QUInt4x2Storage", CR_OTHER, 1}, {"QUInt2x4Storage", CR_OTHER, 1},
};

static bool is_string(const py_value *v, const char *text)
{
    return v && v->kind == PY_STRING && cr_span_is(v->text, text);
}

static bool is_size(const py_value *v)
{
    return v && v->kind == PY_INT && v->number >= 0;
}

static int shown(span text)
{
    return (int)(text.size < 60 ? text.size : 60);
}

/* ---- storages ---- */

/* The id is a storage's: fills in all but its bytes. */
static bool read_storage_id(const py_value *id, torch_storage *s, cr_error *err)
{
    const py_value *type = cr_py_at(id, 1), *key = cr_py_at(id, 2), *numel = cr_py_at(id, 4);
    if (!type || type->kind != PY_GLOBAL || !key || key->kind != PY_STRING || !is_size(numel))
        return cr_fail(err, "the pickle names a storage in a way PyTorch does not");
    for (size_t i = 0; i < sizeof storage_types / sizeof storage_types[0]; i++)
        if (cr_span_is(type->name, storage_types[i].name)) {
            *s = (torch_storage){key->text, storage_types[i].dtype, storage_types[i].bytes, numel->number, {0}};
            return true;
        }
    return cr_fail(err, "unknown kind of storage %.*s", shown(type->name), (const char *)type->name.data);
}

static int by_key(const void *a, const void *b)
{
    return cr_span_compare(((const torch_storage *)a)->key, ((const torch_storage *)b)->key);
}

bool cr_torch_storages(torch_storages *s, const py_items *persistent, arena *memory, cr_error *err)
{
    size_t count = 0;
    torch_storage *all = cr_arena_alloc(memory, persistent->count, sizeof *all, err);
    if (!all)
        return false;
    for (const py_item *i = persistent->first; i; i = i->next) {
        const py_value *id = i->value->id;
        if (is_string(cr_py_at(id, 0), "module")) /* a class and its source code, in a pickled whole model */
            continue;
        if (!is_string(cr_py_at(id, 0), "storage"))
            return cr_fail(err, "the pickle leaves something to its surroundings that is no storage");
        if (!read_storage_id(id, &all[count++], err))
            return false;
    }
    qsort(all, count, sizeof *all, by_key);

    size_t unique = 0;
    for (size_t i = 0; i < count; i++) {
        torch_storage *last = unique ? &all[unique - 1] : NULL;
        if (!last || by_key(last, &all[i]) != 0)
            all[unique++] = all[i];
        else if (last->element != all[i].element || last->dtype != all[i].dtype || last->numel != all[i].numel)
            return cr_fail(err, "storage %.*s is given two different types or sizes", shown(last->key),
                           (const char *)last->key.data);
    }
    *s = (torch_storages){all, unique};
    return true;
}

torch_storage *cr_torch_find(const torch_storages *s, span key)
{
    torch_storage wanted = {.key = key};
    return bsearch(&wanted, s->all, s->count, sizeof wanted, by_key);
}

/* ---- tensors ---- */

/* The tuple or list behind a plain one or torch.Size(...). */
static const py_value *sequence(const py_value *v)
{
    return v && v->kind == PY_OBJECT && cr_py_is_global(v->callee, "torch", "Size") ? cr_py_at(v->args, 0) : v;
}

static bool is_tensor_class(const py_value *v)
{
    static const char end[] = "Tensor";
    size_t n = sizeof end - 1;
    return v && v->kind == PY_GLOBAL && (cr_span_is(v->module, "torch") || cr_span_is(v->module, "torch.cuda")) &&
           v->name.size >= n && memcmp(v->name.data + v->name.size - n, end, n) == 0;
}

static bool is_rebuild(const py_value *v)
{
    return cr_py_is_global(v, "torch._utils", "_rebuild_tensor_v2") ||
           cr_py_is_global(v, "torch._utils", "_rebuild_tensor");
}

/* The tuple that begins with storage, offset, size, stride; NULL where the value is no tensor. */
static const py_value *tensor_fields(const py_value *v)
{
    bool parameter =
        v->kind == PY_OBJECT && (cr_py_is_global(v->callee, "torch._utils", "_rebuild_parameter") ||
                                 cr_py_is_global(v->callee, "torch._utils", "_rebuild_parameter_with_state") ||
                                 cr_py_is_global(v->callee, "torch.nn.parameter", "Parameter"));
    if (parameter)
        v = cr_py_at(v->args, 0);
    if (!v || v->kind != PY_OBJECT)
        return NULL;
    if (is_rebuild(v->callee))
        return v->args;
    if (cr_py_is_global(v->callee, "torch._tensor", "_rebuild_from_type_v2"))
        return is_rebuild(cr_py_at(v->args, 0)) ? cr_py_at(v->args, 2) : NULL;
    return is_tensor_class(v->callee) ? v->state : NULL;
}

/* Sizes or strides into out; -1 where they are none. */
static int read_sizes(const py_value *v, int64_t *out)
{
    v = sequence(v);
    if (!v || (v->kind != PY_TUPLE && v->kind != PY_LIST) || v->items.count > CR_TENSOR_DIMS)
        return -1;
    int n = 0;
    for (const py_item *i = v->items.first; i; i = i->next) {
        if (!is_size(i->value))
            return -1;
        out[n++] = i->value->number;
    }
    return n;
}

/* Copies the elements of a strided tensor in the order of its sizes. */
static void copy_strided(uint8_t *to, const uint8_t *from, size_t element, const cr_tensor *t, const int64_t *stride)
{
    int64_t index[CR_TENSOR_DIMS] = {0};
    size_t at = 0; /* of element `index`; steps past the last of a dimension, and back again */
    for (size_t i = 0; i < t->bytes; i += element) {
        memcpy(to + i, from + at, element);
        for (int d = t->ndim - 1; d >= 0; d--) {
            at += (size_t)stride[d] * element;
            if (++index[d] < t->dim[d])
                break;
            at -= (size_t)t->dim[d] * (size_t)stride[d] * element;
            index[d] = 0;
        }
    }
}

/* Where in its storage the tensor's last element lies; false where that is beyond counting. */
static bool last_element(const cr_tensor *t, const int64_t *stride, int64_t offset, int64_t *last)
{
    *last = offset;
    for (int d = 0; d < t->ndim; d++) {
        int64_t step;
        if (__builtin_mul_overflow(t->dim[d] - 1, stride[d], &step) || __builtin_add_overflow(*last, step, last))
            return false;
    }
    return true;
}

static bool is_contiguous(const cr_tensor *t, const int64_t *stride)
{
    int64_t expected = 1;
    for (int d = t->ndim - 1; d >= 0; d--) {
        if (t->dim[d] != 1 && stride[d] != expected)
            return false;
        expected *= t->dim[d];
    }
    return true;
}

static bool read_tensor(cr_weights *w, const char *name, const py_value *fields, const torch_storages *storages,
                        cr_error *err)
{
    const py_value *storage = cr_py_at(fields, 0), *offset_value = cr_py_at(fields, 1);
    cr_tensor t = {.name = name};
    int64_t stride[CR_TENSOR_DIMS];
    t.ndim = read_sizes(cr_py_at(fields, 2), t.dim);
    if (!storage || storage->kind != PY_PERSISTENT || !is_size(offset_value) || t.ndim < 0 ||
        read_sizes(cr_py_at(fields, 3), stride) != t.ndim)
        return cr_fail(err, "%.100s: expected a dense tensor of at most %d dimensions, found something else", name,
                       CR_TENSOR_DIMS);

    torch_storage s;
    if (!read_storage_id(storage->id, &s, err))
        return false;
    const torch_storage *found = cr_torch_find(storages, s.key);
    if (!found || !found->bytes.data)
        return cr_fail(err, "%.100s: the file has no data for its storage %.*s", name, shown(s.key),
                       (const char *)s.key.data);
    s.bytes = found->bytes;
    if ((uint64_t)s.numel > s.bytes.size / s.element)
        return cr_fail(err, "%.100s: its storage %.*s should have %lld elements of %zu bytes, found %zu bytes", name,
                       shown(s.key), (const char *)s.key.data, (long long)s.numel, s.element, s.bytes.size);
    int64_t offset = offset_value->number, end = s.numel;
    const py_value *view = cr_py_at(storage->id, 5);
    if (view && view->kind == PY_TUPLE) { /* the storage is itself a part of one */
        const py_value *first = cr_py_at(view, 1), *count = cr_py_at(view, 2);
        if (!is_size(first) || !is_size(count) || first->number > s.numel || count->number > s.numel - first->number)
            return cr_fail(err, "%.100s: its part of storage %.*s lies outside it", name, shown(s.key),
                           (const char *)s.key.data);
        end = first->number + count->number;
        if (__builtin_add_overflow(offset, first->number, &offset))
            offset = INT64_MAX;
    }

    t.dtype = s.dtype;
    int64_t last;
    if (!cr_tensor_bytes(&t, s.element, &t.bytes) || !last_element(&t, stride, offset, &last))
        return cr_fail(err, "%.100s: its shape asks for more bytes than can be counted", name);
    t.data = s.bytes.data;
    if (t.bytes > 0) {
        if (last >= end)
            return cr_fail(err, "%.100s: reaches to element %lld of a storage of %lld", name, (long long)last,
                           (long long)end);
        t.data = s.bytes.data + (size_t)offset * s.element;
        if (!is_contiguous(&t, stride)) {
            uint8_t *copy = cr_arena_alloc(&w->copies, t.bytes, 1, err);
            if (!copy)
                return false;
            copy_strided(copy, t.data, s.element, &t, stride);
            t.data = copy;
        }
    }
    return cr_weights_add(w, &t, err);
}

/* ---- the state dict ---- */

static const char *const state_dict_keys[] = {"state_dict", "model_state_dict", "model"};
enum { STATE_DICT_KEYS = sizeof state_dict_keys / sizeof state_dict_keys[0] };

static bool has_tensors(const py_value *v)
{
    for (const py_item *i = v && v->kind == PY_DICT ? v->items.first : NULL; i; i = i->next)
        if (i->key->kind == PY_STRING && tensor_fields(i->value))
            return true;
    return false;
}

/* The class of an object; NULL where it has none by name. In the older format a module's class is a persistent id. */
static const py_value *class_of(const py_value *object)
{
    const py_value *v = object->callee;
    if (v->kind == PY_PERSISTENT)
        v = cr_py_at(v->id, 1);
    return v && v->kind == PY_GLOBAL ? v : NULL;
}

/* index: how Python gets from the loaded file to the object, "" or "[\"model\"]". */
static bool refuse_object(const cr_weights *w, const py_value *object, const char *index, cr_error *err)
{
    const py_value *class = class_of(object);
    if (tensor_fields(object) || (class && cr_span_is(class->module, "torch._utils")))
        return cr_fail(err, "a single tensor, expected a state dict: a dict of tensors by name");
    char name[128] = "of a class without a name";
    if (class)
        snprintf(name, sizeof name, "%.*s.%.*s", shown(class->module), (const char *)class->module.data,
                 shown(class->name), (const char *)class->name.data);
    return cr_fail(err, "a pickled whole model (%s), expected a state dict; where its code is installed, save one with "
                   "python3 -c 'import torch; torch.save(torch.load(\"%s\", weights_only=False)%s.state_dict(), "
                   "\"state_dict.pth\")'", name, w->path, index);
}

static bool refuse_other(const cr_weights *w, const py_value *root, cr_error *err)
{
    if (root->kind == PY_OBJECT)
        return refuse_object(w, root, "", err);
    if (root->kind != PY_DICT)
        return cr_fail(err, "a PyTorch file that holds no dict, expected a state dict: a dict of tensors by name");
    for (int i = 0; i < STATE_DICT_KEYS; i++) {
        const py_value *v = cr_py_get(root, state_dict_keys[i]);
        char index[32];
        snprintf(index, sizeof index, "[\"%s\"]", state_dict_keys[i]);
        if (v && v->kind == PY_OBJECT)
            return refuse_object(w, v, index, err);
    }
    char keys[160] = "";
    for (const py_item *i = root->items.first; i; i = i->next) {
        size_t used = strlen(keys);
        if (i->key->kind == PY_STRING && used < sizeof keys / 2)
            snprintf(keys + used, sizeof keys - used, "%s%.*s", used ? ", " : "", shown(i->key->text),
                     (const char *)i->key->text.data);
    }
    return cr_fail(err,
                   "a PyTorch file without a state dict: no tensors in its dict nor under state_dict, model_state_dict "
                   "or model; its keys: %s",
                   keys[0] ? keys : "none");
}

static bool add_strings(cr_weights *w, const py_value *root, cr_error *err)
{
    for (const py_item *i = root->items.first; i; i = i->next)
        if (i->key->kind == PY_STRING && i->value->kind == PY_STRING) {
            const char *key = cr_arena_text(&w->memory, i->key->text, err);
            const char *value = key ? cr_arena_text(&w->memory, i->value->text, err) : NULL;
            if (!value || !cr_weights_add_meta(w, key, value, err))
                return false;
        }
    return true;
}

bool cr_torch_read(cr_weights *w, const py_value *root, const torch_storages *s, cr_error *err)
{
    const py_value *state = NULL;
    for (int i = 0; !state && i < STATE_DICT_KEYS; i++) {
        const py_value *v = cr_py_get(root, state_dict_keys[i]);
        state = has_tensors(v) ? v : NULL;
    }
    if (!state && has_tensors(root))
        state = root;
    if (!state)
        return refuse_other(w, root, err);

    for (const py_item *i = state->items.first; i; i = i->next) {
        if (i->key->kind != PY_STRING)
            continue;
        const py_value *fields = tensor_fields(i->value);
        const py_value *callee = i->value->kind == PY_OBJECT ? class_of(i->value) : NULL;
        if (!fields && callee && cr_span_is(callee->module, "torch._utils"))
            return cr_fail(err, "%.*s: expected a dense tensor, found torch._utils.%.*s", shown(i->key->text),
                           (const char *)i->key->text.data, shown(callee->name), (const char *)callee->name.data);
        if (!fields)
            continue;
        const char *name = cr_arena_text(&w->memory, i->key->text, err);
        if (!name || !read_tensor(w, name, fields, s, err))
            return false;
    }
    return add_strings(w, root, err);
}
