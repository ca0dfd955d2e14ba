/* pickle.c - see pickle.h. The opcodes are described in CPython's Lib/pickletools.py.
 *
 * Read step() first: one case per opcode, in groups. Protocol 2 is what torch.save writes; the newer protocols'
 * spellings of the same things cost a line each. */
#include <stdlib.h>
#include <string.h>

#include "pickle.h"

enum { MAX_SLOTS = 1 << 21 }; /* of the stack and of the memo */

typedef struct slots {
    py_value **values; /* NULL where nothing was put */
    size_t capacity;
} slots;

typedef struct machine {
    pickle *in;
    const uint8_t *begin;
    slots stack, memo;
    size_t depth;    /* of the stack */
    size_t memoized; /* values in the memo */
    py_value *none, *opaque, *no, *yes, *mark;
    cr_error *err;
} machine;

static bool malformed(const machine *m, const char *what)
{
    cr_fail(m->err, "pickle, byte %zu: %s", (size_t)(m->in->at - m->begin), what);
    return false; /* said here, so that compilers see what is set where this does not happen */
}

/* ---- input ---- */

static const uint8_t *take(machine *m, uint64_t bytes)
{
    const uint8_t *p = m->in->at;
    if (bytes > (size_t)(m->in->end - p)) {
        malformed(m, "the file is cut off here");
        return NULL;
    }
    m->in->at += bytes;
    return p;
}

static bool take_number(machine *m, int bytes, uint64_t *value)
{
    const uint8_t *p = take(m, (uint64_t)bytes);
    if (p)
        *value = cr_little_endian(p, bytes);
    return p != NULL;
}

/* A length of so many bytes, and as much text as it says. */
static bool take_text(machine *m, int length_bytes, span *text)
{
    uint64_t length;
    if (!take_number(m, length_bytes, &length))
        return false;
    text->data = take(m, length);
    text->size = (size_t)length;
    return text->data != NULL;
}

/* Up to a newline, which is taken too. */
static bool take_line(machine *m, span *line)
{
    const uint8_t *begin = m->in->at, *newline = memchr(begin, '\n', (size_t)(m->in->end - begin));
    if (!newline)
        return malformed(m, "the file is cut off in a line of text");
    *line = (span){begin, (size_t)(newline - begin)};
    m->in->at = newline + 1;
    return true;
}

/* ---- values ---- */

static py_value *new_value(machine *m, py_kind kind)
{
    py_value *v = cr_arena_alloc(m->in->memory, 1, sizeof *v, m->err);
    if (v)
        v->kind = kind;
    return v;
}

/* Makes room for slot i. */
static bool reserve(machine *m, slots *s, uint64_t i)
{
    if (i >= MAX_SLOTS)
        return malformed(m, "more values at a time than any state dict needs");
    if (i < s->capacity)
        return true;
    size_t capacity = i < 256 ? 256 : 2 * (size_t)i;
    py_value **bigger = realloc(s->values, capacity * sizeof(py_value *));
    if (!bigger)
        return malformed(m, "out of memory");
    memset(bigger + s->capacity, 0, (capacity - s->capacity) * sizeof(py_value *));
    s->values = bigger;
    s->capacity = capacity;
    return true;
}

static bool push(machine *m, py_value *v)
{
    if (!v || !reserve(m, &m->stack, m->depth))
        return false;
    m->stack.values[m->depth++] = v;
    return true;
}

static py_value *top(machine *m)
{
    py_value *v = m->depth ? m->stack.values[m->depth - 1] : m->mark;
    if (v->kind == PY_MARK) {
        malformed(m, "a value is missing on the stack");
        return NULL;
    }
    return v;
}

static py_value *pop(machine *m)
{
    py_value *v = top(m);
    if (v)
        m->depth--;
    return v;
}

/* Takes everything above the last mark, and the mark, off the stack. The values stay readable until the next push. */
static bool pop_to_mark(machine *m, py_value ***values, size_t *count)
{
    size_t i = m->depth;
    while (i > 0 && m->stack.values[i - 1]->kind != PY_MARK)
        i--;
    if (i == 0)
        return malformed(m, "a mark is missing on the stack");
    *values = m->stack.values + i;
    *count = m->depth - i;
    m->depth = i - 1;
    return true;
}

static bool append(machine *m, py_items *items, const py_value *key, const py_value *value)
{
    py_item *item = cr_arena_alloc(m->in->memory, 1, sizeof *item, m->err);
    if (!item)
        return false;
    *item = (py_item){.key = key, .value = value};
    *(items->last ? &items->last->next : &items->first) = item;
    items->last = item;
    items->count++;
    return true;
}

/* ---- what opcodes do ---- */

static bool push_number(machine *m, py_kind kind, int64_t number)
{
    py_value *v = new_value(m, kind);
    if (v)
        v->number = number;
    return push(m, v);
}

static bool push_text(machine *m, int length_bytes)
{
    span text;
    if (!take_text(m, length_bytes, &text))
        return false;
    py_value *v = new_value(m, PY_STRING);
    if (v)
        v->text = text;
    return push(m, v);
}

static bool push_opaque_text(machine *m, int length_bytes)
{
    span text;
    return take_text(m, length_bytes, &text) && push(m, m->opaque);
}

/* Two's complement of any length. */
static bool push_long(machine *m, int length_bytes)
{
    span text;
    if (!take_text(m, length_bytes, &text))
        return false;
    if (text.size <= 8) {
        unsigned unused = 64 - 8 * (unsigned)text.size;
        uint64_t bits = cr_little_endian(text.data, (int)text.size);
        return push_number(m, PY_INT, unused == 64 ? 0 : (int64_t)(bits << unused) >> unused);
    }
    py_value *v = new_value(m, PY_LONG);
    if (v)
        v->text = text;
    return push(m, v);
}

static bool push_tuple(machine *m, py_value **values, size_t count)
{
    py_value *v = new_value(m, PY_TUPLE);
    bool ok = v != NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = append(m, &v->items, NULL, values[i]);
    return ok && push(m, v);
}

static bool push_marked_tuple(machine *m)
{
    py_value **values;
    size_t count;
    return pop_to_mark(m, &values, &count) && push_tuple(m, values, count);
}

static bool push_short_tuple(machine *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!pop(m))
            return false;
    return push_tuple(m, m->stack.values + m->depth, count);
}

/* Lists and dicts keep what they are given; the contents of anything else are of no interest. */
static bool append_values(machine *m, py_value **values, size_t count)
{
    py_value *list = top(m);
    if (!list)
        return false;
    for (size_t i = 0; list->kind == PY_LIST && i < count; i++)
        if (!append(m, &list->items, NULL, values[i]))
            return false;
    return true;
}

static bool set_values(machine *m, py_value **values, size_t count)
{
    py_value *dict = top(m);
    if (!dict)
        return false;
    if (count % 2)
        return malformed(m, "a key without a value");
    for (size_t i = 0; dict->kind == PY_DICT && i < count; i += 2)
        if (!append(m, &dict->items, values[i], values[i + 1]))
            return false;
    return true;
}

static bool append_one(machine *m)
{
    py_value *value = pop(m);
    return value && append_values(m, &value, 1);
}

static bool set_one(machine *m)
{
    py_value *value = pop(m), *key = value ? pop(m) : NULL;
    return key && set_values(m, (py_value *[]){key, value}, 2);
}

static bool append_marked(machine *m)
{
    py_value **values;
    size_t count;
    return pop_to_mark(m, &values, &count) && append_values(m, values, count);
}

static bool set_marked(machine *m)
{
    py_value **values;
    size_t count;
    return pop_to_mark(m, &values, &count) && set_values(m, values, count);
}

static bool drop_marked(machine *m)
{
    py_value **values;
    size_t count;
    return pop_to_mark(m, &values, &count);
}

static bool push_global(machine *m, span module, span name)
{
    py_value *v = new_value(m, PY_GLOBAL);
    if (v) {
        v->module = module;
        v->name = name;
    }
    return push(m, v);
}

static bool push_global_lines(machine *m)
{
    span module, name;
    return take_line(m, &module) && take_line(m, &name) && push_global(m, module, name);
}

static bool push_global_strings(machine *m)
{
    py_value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module)
        return false;
    if (name->kind != PY_STRING || module->kind != PY_STRING)
        return malformed(m, "a class without a name");
    return push_global(m, module->text, name->text);
}

/* An OrderedDict is a dict. Python 2 wrote its contents as an argument: a list of [key, value]. */
static bool push_ordered_dict(machine *m, const py_value *args)
{
    py_value *dict = new_value(m, PY_DICT);
    const py_value *pairs = cr_py_at(args, 0);
    bool ok = dict != NULL;
    for (const py_item *i = pairs && pairs->kind == PY_LIST ? pairs->items.first : NULL; ok && i; i = i->next) {
        const py_value *key = cr_py_at(i->value, 0), *value = cr_py_at(i->value, 1);
        ok = key && value ? append(m, &dict->items, key, value) : malformed(m, "a key without a value");
    }
    return ok && push(m, dict);
}

static bool push_object(machine *m, bool keyword_args)
{
    if (keyword_args && !pop(m))
        return false;
    py_value *args = pop(m), *callee = args ? pop(m) : NULL;
    if (!callee)
        return false;
    if (cr_py_is_global(callee, "collections", "OrderedDict"))
        return push_ordered_dict(m, args);
    py_value *v = new_value(m, PY_OBJECT);
    if (v) {
        v->callee = callee;
        v->args = args;
    }
    return push(m, v);
}

static bool set_state(machine *m)
{
    py_value *state = pop(m), *object = state ? top(m) : NULL;
    if (object && object->kind == PY_OBJECT)
        object->state = state;
    return object != NULL;
}

static bool push_persistent(machine *m)
{
    py_value *id = pop(m), *v = id ? new_value(m, PY_PERSISTENT) : NULL;
    if (v)
        v->id = id;
    return v && append(m, &m->in->persistent, NULL, v) && push(m, v);
}

static bool put(machine *m, uint64_t i)
{
    py_value *v = top(m);
    if (!v || !reserve(m, &m->memo, i))
        return false;
    m->memoized += m->memo.values[i] == NULL;
    m->memo.values[i] = v;
    return true;
}

static bool get(machine *m, uint64_t i)
{
    py_value *v = i < m->memo.capacity ? m->memo.values[i] : NULL;
    return v ? push(m, v) : malformed(m, "a value is fetched that was not stored");
}

static bool step(machine *m, uint8_t opcode)
{
    uint64_t n;
    span line;
    switch (opcode) {
    /* framing */
    case 0x80: return take_number(m, 1, &n) && (n <= 5 || malformed(m, "a pickle protocol above 5")); /* PROTO */
    case 0x95: return take_number(m, 8, &n);             /* FRAME: a hint about buffering */

    /* the stack and the memo */
    case '(': return push(m, m->mark);                   /* MARK */
    case '0': return pop(m) != NULL;                     /* POP */
    case '1': return drop_marked(m);                     /* POP_MARK */
    case 'q': return take_number(m, 1, &n) && put(m, n); /* BINPUT */
    case 'r': return take_number(m, 4, &n) && put(m, n); /* LONG_BINPUT */
    case 0x94: return put(m, m->memoized);               /* MEMOIZE */
    case 'h': return take_number(m, 1, &n) && get(m, n); /* BINGET */
    case 'j': return take_number(m, 4, &n) && get(m, n); /* LONG_BINGET */

    /* plain values */
    case 'N': return push(m, m->none);                   /* NONE */
    case 0x88: return push(m, m->yes);                   /* NEWTRUE */
    case 0x89: return push(m, m->no);                    /* NEWFALSE */
    case 'J': return take_number(m, 4, &n) && push_number(m, PY_INT, (int32_t)n); /* BININT */
    case 'K': return take_number(m, 1, &n) && push_number(m, PY_INT, (int64_t)n); /* BININT1 */
    case 'M': return take_number(m, 2, &n) && push_number(m, PY_INT, (int64_t)n); /* BININT2 */
    case 'I': return take_line(m, &line) && push(m, m->opaque); /* INT: decimal; Python 2, beyond 32 bits */
    case 0x8a: return push_long(m, 1);                   /* LONG1 */
    case 0x8b: return push_long(m, 4);                   /* LONG4 */
    case 'G': return take(m, 8) && push(m, m->opaque);   /* BINFLOAT */

    /* text and bytes */
    case 'X': return push_text(m, 4);                    /* BINUNICODE */
    case 0x8c: return push_text(m, 1);                   /* SHORT_BINUNICODE */
    case 0x8d: return push_text(m, 8);                   /* BINUNICODE8 */
    case 'U': return push_text(m, 1);                    /* SHORT_BINSTRING */
    case 'T': return push_text(m, 4);                    /* BINSTRING */
    case 'C': return push_opaque_text(m, 1);             /* SHORT_BINBYTES */
    case 'B': return push_opaque_text(m, 4);             /* BINBYTES */
    case 0x8e: return push_opaque_text(m, 8);            /* BINBYTES8 */
    case 0x96: return push_opaque_text(m, 8);            /* BYTEARRAY8 */

    /* containers */
    case ')': return push_tuple(m, NULL, 0);             /* EMPTY_TUPLE */
    case 0x85: return push_short_tuple(m, 1);            /* TUPLE1 */
    case 0x86: return push_short_tuple(m, 2);            /* TUPLE2 */
    case 0x87: return push_short_tuple(m, 3);            /* TUPLE3 */
    case 't': return push_marked_tuple(m);               /* TUPLE */
    case ']': return push(m, new_value(m, PY_LIST));     /* EMPTY_LIST */
    case 'a': return append_one(m);                      /* APPEND */
    case 'e': return append_marked(m);                   /* APPENDS */
    case '}': return push(m, new_value(m, PY_DICT));     /* EMPTY_DICT */
    case 's': return set_one(m);                         /* SETITEM */
    case 'u': return set_marked(m);                      /* SETITEMS */
    case 0x8f: return push(m, m->opaque);                /* EMPTY_SET */
    case 0x90: return drop_marked(m) && top(m);          /* ADDITEMS: of a set */
    case 0x91: return drop_marked(m) && push(m, m->opaque); /* FROZENSET */

    /* what would import and call */
    case 'c': return push_global_lines(m);               /* GLOBAL */
    case 0x93: return push_global_strings(m);            /* STACK_GLOBAL */
    case 'R': return push_object(m, false);              /* REDUCE */
    case 0x81: return push_object(m, false);             /* NEWOBJ */
    case 0x92: return push_object(m, true);              /* NEWOBJ_EX */
    case 'b': return set_state(m);                       /* BUILD */
    case 'Q': return push_persistent(m);                 /* BINPERSID */

    default:
        return cr_fail(m->err, "pickle, byte %zu: opcode 0x%02x, which no state dict needs",
                       (size_t)(m->in->at - m->begin) - 1, opcode);
    }
}

const py_value *cr_pickle_read(pickle *p, cr_error *err)
{
    enum { STOP = '.' };
    machine m = {.in = p, .begin = p->at, .err = err};
    m.none = new_value(&m, PY_NONE);
    m.opaque = new_value(&m, PY_OPAQUE);
    m.no = new_value(&m, PY_BOOL);
    m.yes = new_value(&m, PY_BOOL);
    m.mark = new_value(&m, PY_MARK);
    const py_value *result = NULL;
    if (m.none && m.opaque && m.no && m.yes && m.mark) {
        m.yes->number = 1;
        const uint8_t *opcode = take(&m, 1);
        while (opcode && *opcode != STOP && step(&m, *opcode))
            opcode = take(&m, 1);
        if (opcode && *opcode == STOP)
            result = pop(&m);
    }
    free(m.stack.values);
    free(m.memo.values);
    return result;
}

/* ---- looking at values ---- */

const py_value *cr_py_get(const py_value *dict, const char *key)
{
    const py_value *found = NULL;
    for (const py_item *i = dict->kind == PY_DICT ? dict->items.first : NULL; i; i = i->next)
        if (i->key->kind == PY_STRING && cr_span_is(i->key->text, key))
            found = i->value;
    return found;
}

const py_value *cr_py_at(const py_value *sequence, size_t i)
{
    if (!sequence || (sequence->kind != PY_TUPLE && sequence->kind != PY_LIST))
        return NULL;
    const py_item *item = sequence->items.first;
    while (item && i-- > 0)
        item = item->next;
    return item ? item->value : NULL;
}

bool cr_py_is_global(const py_value *v, const char *module, const char *name)
{
    return v && v->kind == PY_GLOBAL && cr_span_is(v->module, module) && cr_span_is(v->name, name);
}
