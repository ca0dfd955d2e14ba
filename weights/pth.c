/* pth.c - the two containers of torch.save: the zip archive (PyTorch 1.6 and newer) and what came before.
 *
 * zip      NAME/data.pkl is the pickle, NAME/data/KEY the bytes of storage KEY, NAME/byteorder "little" or "big".
 * legacy   pickles behind each other: a magic number, the format's version, the system, the object, the list of the
 *          storages' keys; then in the list's order each storage's number of elements (8 bytes) and its bytes. */
#include <stdio.h>

#include "torch.h"
#include "zip.h"

/* ---- zip ---- */

static bool fill_from_zip(torch_storages *s, const zip *z, cr_error *err)
{
    for (size_t i = 0; i < s->count; i++) {
        torch_storage *storage = &s->all[i];
        char name[64];
        if (storage->key.size > sizeof name - 8)
            continue;
        snprintf(name, sizeof name, "data/%.*s", (int)storage->key.size, (const char *)storage->key.data);
        const zip_entry *entry = cr_zip_find(z, name);
        if (entry && !cr_zip_data(z, entry, &storage->bytes, err))
            return false;
    }
    return true;
}

static bool read_zip(cr_weights *w, arena *memory, cr_error *err)
{
    zip z;
    if (!cr_zip_open(&z, w->file, memory, err))
        return false;
    if (cr_zip_find(&z, "constants.pkl"))
        return cr_fail(err, "a TorchScript archive, expected a state dict; save one with python3 -c 'import torch; "
                       "torch.save(torch.jit.load(\"%s\").state_dict(), \"state_dict.pth\")'", w->path);
    const zip_entry *entry = cr_zip_find(&z, "data.pkl");
    if (!entry)
        return cr_fail(err, "a zip archive that torch.save did not write: there is no data.pkl in it");
    span data, order;
    if (!cr_zip_data(&z, entry, &data, err))
        return false;
    entry = cr_zip_find(&z, "byteorder");
    if (entry && !cr_zip_data(&z, entry, &order, err))
        return false;
    if (entry && !cr_span_is(order, "little"))
        return cr_fail(err, "written on a big-endian machine: load and save it again with PyTorch on this one");

    pickle p = {.at = data.data, .end = data.data + data.size, .memory = memory};
    torch_storages s;
    const py_value *root = cr_pickle_read(&p, err);
    return root && cr_torch_storages(&s, &p.persistent, memory, err) && fill_from_zip(&s, &z, err) &&
           cr_torch_read(w, root, &s, err);
}

/* ---- legacy ---- */

static bool fill_from_stream(torch_storages *s, const py_value *keys, pickle *p, cr_error *err)
{
    if (keys->kind != PY_LIST)
        return cr_fail(err, "no list of storages behind the state dict");
    for (const py_item *i = keys->items.first; i; i = i->next) {
        torch_storage *storage = i->value->kind == PY_STRING ? cr_torch_find(s, i->value->text) : NULL;
        if (!storage)
            return cr_fail(err, "the list of storages names one that no tensor has");
        size_t left = (size_t)(p->end - p->at);
        uint64_t numel = left >= 8 ? cr_little_endian(p->at, 8) : 0;
        if (left < 8 || numel > (left - 8) / storage->element)
            return cr_fail(err,
                           "storage %.*s: expected %lld elements of %zu bytes, found %zu bytes: the file is cut off",
                           (int)(storage->key.size < 40 ? storage->key.size : 40), (const char *)storage->key.data,
                           (long long)storage->numel, storage->element, left < 8 ? 0 : left - 8);
        storage->bytes = (span){p->at + 8, (size_t)numel * storage->element};
        p->at += 8 + storage->bytes.size;
    }
    return true;
}

static bool read_legacy(cr_weights *w, arena *memory, cr_error *err)
{
    static const uint8_t magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    enum { VERSION = 1001 };
    pickle p = {.at = w->file.data, .end = w->file.data + w->file.size, .memory = memory};
    const py_value *v = cr_pickle_read(&p, err);
    if (!v)
        return false;
    if (v->kind != PY_LONG || cr_span_compare(v->text, (span){magic, sizeof magic}) != 0)
        return cr_fail(err, "a Python pickle, but not one of torch.save: expected its magic number first");
    v = cr_pickle_read(&p, err);
    if (!v)
        return false;
    if (v->kind != PY_INT || v->number != VERSION)
        return cr_fail(err, "an unknown version of PyTorch's file format, expected %d", VERSION);
    const py_value *system = cr_pickle_read(&p, err);
    if (!system)
        return false;
    const py_value *little_endian = cr_py_get(system, "little_endian");
    if (!little_endian || little_endian->kind != PY_BOOL || !little_endian->number)
        return cr_fail(err, "written on a big-endian machine: load and save it again with PyTorch on this one");

    p.persistent = (py_items){0};
    torch_storages s;
    const py_value *root = cr_pickle_read(&p, err), *keys = root ? cr_pickle_read(&p, err) : NULL;
    return keys && cr_torch_storages(&s, &p.persistent, memory, err) && fill_from_stream(&s, keys, &p, err) &&
           cr_torch_read(w, root, &s, err);
}

/* The Python values are needed only while reading. */
bool cr_pth_zip_read(cr_weights *w, cr_error *err)
{
    arena memory = {.limit = CR_ARENA_LIMIT};
    bool ok = read_zip(w, &memory, err);
    cr_arena_free(&memory);
    return ok;
}

bool cr_pth_legacy_read(cr_weights *w, cr_error *err)
{
    arena memory = {.limit = CR_ARENA_LIMIT};
    bool ok = read_legacy(w, &memory, err);
    cr_arena_free(&memory);
    return ok;
}
