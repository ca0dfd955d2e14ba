/* test_weights_damaged.c - weights files that are cut off, damaged or made to do harm: every one ends in a message,
 * none in a crash, a hang or an absurd allocation. Run it under the sanitizers (make DEBUG=1) to see more than
 * crashes: each file is handed over in a block of exactly its size. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

#define DATA "tests/data/weights/"

typedef struct file {
    uint8_t *bytes;
    size_t size;
} file;

static file read_data(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, DATA "%s", name);
    FILE *in = fopen(path, "rb");
    if (!in)
        fail_msg("cannot open %s", path);
    file f = {zeros(1 << 16, 1), 0};
    f.size = fread(f.bytes, 1, 1 << 16, in);
    assert_int_equal(fclose(in), 0);
    assert_in_range(f.size, 1, (1 << 16) - 1);
    return f;
}

static file safetensors(void)
{
    static const char header[] = "{\"__metadata__\":{\"arch\":\"resnet\\u003118\",\"mean\":\"[0.5]\"},"
                                 "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                                 "\"a.bias\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]}}  ";
    enum { LENGTH = sizeof header - 1, DATA_BYTES = 28 };
    file f = {zeros(8 + LENGTH + DATA_BYTES, 1), 8 + LENGTH + DATA_BYTES};
    f.bytes[0] = LENGTH;
    memcpy(f.bytes + 8, header, LENGTH);
    return f;
}

/* Opens it, and touches all there is. */
static bool try_file(const uint8_t *bytes, size_t size, cr_error *err)
{
    uint8_t *exact = malloc(size ? size : 1); /* a block that ends where the file does */
    assert_non_null(exact);
    if (size)
        memcpy(exact, bytes, size);
    cr_weights *w = cr_weights_open_memory("f", exact, size, err);
    float sum = 0;
    for (int i = 0; w && i < cr_weights_count(w); i++) {
        const cr_tensor *t = cr_weights_at(w, i);
        const float *x = cr_weights_f32(w, t, err);
        assert_ptr_equal(cr_weights_find(w, t->name), t);
        int64_t count = 1;
        for (int d = 0; d < t->ndim; d++)
            count *= t->dim[d];
        for (int64_t k = 0; x && k < count; k++)
            sum += x[k];
    }
    volatile float used = sum;
    (void)used;
    if (w)
        cr_net_free(cr_net_load(w, NULL, err));
    cr_weights_close(w);
    free(exact);
    return w != NULL;
}

/* The files that the next two tests damage, one of each way through the readers; "" is safetensors(). */
static const char *const samples[] = {"", "zip.pth", "zip64.pth", "legacy.pth", "python2.pth", "legacy_protocol4.pth",
                                      "strided.pth", "checkpoint_legacy.pth"};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

static file sample(int i)
{
    file f = samples[i][0] ? read_data(samples[i]) : safetensors();
    cr_error err = {""};
    if (!try_file(f.bytes, f.size, &err))
        fail_msg("%s: %s", samples[i], err.text);
    return f;
}

static void test_cut_off_anywhere(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        file f = sample(i);
        for (size_t size = 0; size < f.size; size++) {
            cr_error err = {""};
            if (try_file(f.bytes, size, &err))
                fail_msg("%s: accepted the first %zu of its %zu bytes", samples[i], size, f.size);
            check_message(&err, "f: ", NULL);
        }
        free(f.bytes);
    }
}

static void test_random_bytes_changed(void **state)
{
    (void)state;
    enum { ROUNDS = 2000 };
    uint64_t random = SEED;
    int refused = 0;
    for (int i = 0; i < SAMPLES; i++) {
        file f = sample(i);
        uint8_t *damaged = zeros(f.size, 1);
        for (int round = 0; round < ROUNDS; round++) {
            memcpy(damaged, f.bytes, f.size);
            for (int n = 0; n <= round % 3; n++) /* one to three of them */
                damaged[(size_t)random_uniform(&random, 0, (float)f.size)] = (uint8_t)random_uniform(&random, 0, 256);
            cr_error err = {""};
            if (!try_file(damaged, f.size, &err)) {
                check_message(&err, "f: ", NULL);
                refused++;
            }
        }
        free(damaged);
        free(f.bytes);
    }
    assert_in_range(refused, SAMPLES * ROUNDS / 4, SAMPLES * ROUNDS);
}

static void check_refused(const char *what, const uint8_t *bytes, size_t size, const char *words)
{
    cr_error err = {""};
    if (try_file(bytes, size, &err))
        fail_msg("accepted: %s", what);
    if (!strstr(err.text, words))
        fail_msg("%s: expected '%s' in the message: %s", what, words, err.text);
}

/* ---- zip archives that lie ---- */

/* Where these bytes are, from `from` on; the n-th time. */
static size_t find(file f, const char *bytes, size_t size, int n)
{
    for (size_t i = 0; i + size <= f.size; i++)
        if (memcmp(f.bytes + i, bytes, size) == 0 && --n == 0)
            return i;
    fail_msg("the sample is not what this test was written for");
    return 0;
}

static void test_lying_zip(void **state)
{
    (void)state;
    static const struct {
        const char *file, *record;
        int nth; /* of the records that begin so */
        size_t at, bytes;
        uint64_t value;
        const char *words;
    } lies[] = {
        /* the end record: entries, the directory's size and place */
        {"zip.pth", "PK\5\6", 1, 10, 2, 0xfffe, "directory of 65534 entries"},
        {"zip.pth", "PK\5\6", 1, 12, 4, 0xfffffffe, "4294967294 bytes"},
        {"zip.pth", "PK\5\6", 1, 16, 4, 0xfffffffe, "at 4294967294"},
        {"zip.pth", "PK\5\6", 1, 16, 4, 0, "entry 1 of"},
        {"repacked.pth", "PK\5\6", 1, 16, 4, 0xffffffff, "ZIP64 record is missing"},
        {"zip.pth", "PK\5\6", 1, 20, 2, 1, "without its last record"},
        {"zip64.pth", "PK\6\7", 1, 8, 8, UINT64_MAX, "ZIP64 record is missing"},
        {"zip64.pth", "PK\6\6", 1, 32, 8, UINT64_MAX, "directory of 18446744073709551615 entries"},
        {"zip64.pth", "PK\6\6", 1, 40, 8, UINT64_MAX, "18446744073709551615 bytes"},
        {"zip64.pth", "PK\6\6", 1, 48, 8, UINT64_MAX - 10, "18446744073709551605"},
        /* the directory's first entry, data.pkl: flags, method, sizes, lengths of name, extra and comment, place */
        {"zip.pth", "PK\1\2", 1, 8, 2, 1, "compressed or encrypted"},
        {"zip.pth", "PK\1\2", 1, 10, 2, 8, "compressed or encrypted"},
        {"zip.pth", "PK\1\2", 1, 20, 4, 5, "compressed or encrypted"},
        {"zip.pth", "PK\1\2", 1, 28, 2, 0xffff, "entry 1 of"},
        {"zip.pth", "PK\1\2", 1, 30, 2, 0xffff, "entry 1 of"},
        {"zip.pth", "PK\1\2", 1, 32, 2, 0xffff, "entry 1 of"},
        {"zip.pth", "PK\1\2", 1, 42, 4, 1, "no header of data.pkl at byte 1"},
        {"zip.pth", "PK\1\2", 1, 42, 4, 0xfffffff0, "no header of data.pkl"},
        /* the length of its ZIP64 field, behind a name of 12 bytes */
        {"zip64.pth", "PK\1\2", 1, 46 + 12 + 2, 2, 4, "entry 1 of"},
        /* its local header: length of name and of extra */
        {"zip.pth", "PK\3\4", 1, 26, 2, 0xffff, "of data.pkl at byte 65"},
        {"zip.pth", "PK\3\4", 1, 28, 2, 0xfff0, "of data.pkl at byte 65"},
        /* the pickle: a tensor of 25 elements in a storage of 24; the storage's own number of them */
        {"zip.pth", "K\x02K\x03K\x02K\x02t", 1, 1, 1, 3, "0.weight: reaches to element 35 of a storage of 24"},
        {"zip.pth", "cpuq\x07K\x18", 1, 6, 1, 25,
         "0.weight: its storage 0 should have 25 elements of 4 bytes, found 96"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        file f = read_data(lies[i].file);
        size_t at = find(f, lies[i].record, strlen(lies[i].record), lies[i].nth) + lies[i].at;
        for (size_t k = 0; k < lies[i].bytes; k++)
            f.bytes[at + k] = (uint8_t)(lies[i].value >> (8 * k));
        char what[32];
        snprintf(what, sizeof what, "lie %zu", i);
        check_refused(what, f.bytes, f.size, lies[i].words);
        free(f.bytes);
    }

    /* Both sizes of data.pkl at once, so that it still looks stored. */
    file f = read_data("zip.pth");
    size_t at = find(f, "PK\1\2", 4, 1);
    memset(f.bytes + at + 20, 0xf0, 8);
    check_refused("sizes", f.bytes, f.size, "do not fit the file's");
    free(f.bytes);
}

/* ---- pickles that lie ---- */

/* Opcodes, as they stand in a pickle. */
#define HEAD \
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." "\x80\x02M\xe9\x03." "\x80\x02}U\x0dlittle_endian\x88s."
#define STR1(c) "U\x01" c
#define INT(byte) "K" byte
#define LONG(bytes) "\x8a\x08" bytes
#define ID(kind, type, key, numel, rest) "(" kind "ctorch\n" type "\n" STR1(key) "U\x03" "cpu" INT(numel) rest "tQ"
#define STORAGE(type, numel) ID("U\x07storage", type, "k", numel, "")
#define FLOATS STORAGE("FloatStorage", "\2")
#define REBUILD(storage, offset, sizes, strides) \
    "ctorch._utils\n_rebuild_tensor\n(" storage offset "(" sizes "t(" strides "ttR"
#define TWO REBUILD(FLOATS, INT("\0"), INT("\2"), INT("\1"))
#define DICT(items) "}(" items "u."
#define ONLY(tensor) DICT(STR1("a") tensor)
#define KEYS(keys) "](" keys "e."
#define DATA2 "\2\0\0\0\0\0\0\0" "abcdefgh" /* two floats, behind their number */
#define STORED KEYS(STR1("k")) DATA2

static void test_lying_pickle(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        size_t size;
        const char *bytes; /* behind HEAD */
        const char *words; /* NULL: to be accepted */
    } files[] = {
#define FILE(what, bytes, words) {what, sizeof(bytes) - 1, bytes, words}
#define TENSOR(what, storage, offset, sizes, strides, words) \
    FILE(what, ONLY(REBUILD(storage, offset, sizes, strides)) STORED, words)
        FILE("an honest one", ONLY(TWO) STORED, NULL),
        FILE("calls that are not made",
             DICT(STR1("x") "cos\nsystem\n" STR1("x") "\x85R"
                  STR1("y") "cargparse\nNamespace\n)\x81}b"
                  STR1("a") TWO)
             STORED, NULL),
        FILE("protocol 5",
             "\x80\x05\x95\0\0\0\0\0\0\0\0}\x94("
             "\x8c\1b" "\x8d\1\0\0\0\0\0\0\0c"
             "\x8c\1d\x94" "h\1"
             "\x8c\1e" "\x8f(K\1\x90"
             "\x8c\1f" "(K\1\x91"
             "\x8c\1g" "\x96\1\0\0\0\0\0\0\0h"
             "\x8c\1i" "\x8c\1m\x8c\1n\x93)}\x92"
             "\x8c\1j" "\x8b\4\0\0\0\1\2\3\4"
             "\x8c\1k" "I12345678901\n"
             "\x8c\1l" "K\1K\2" "0"
             "\x8c\1o" "((K\1" "1N0t"
             "\x8c\1p" "](K\1eK\2a"
             "\x8c\1a" TWO "u." STORED, NULL),

        FILE("a storage larger than the file", ONLY(TWO) KEYS(STR1("k")) "\3\0\0\0\0\0\0\0" "abcdefgh", "cut off"),
        FILE("a storage of 2^63 elements", ONLY(TWO) KEYS(STR1("k")) "\0\0\0\0\0\0\0\x80" "abcdefgh", "cut off"),
        FILE("a storage smaller than said", ONLY(TWO) KEYS(STR1("k")) "\1\0\0\0\0\0\0\0" "abcdefgh",
             "a: its storage k should have 2 elements"),
        FILE("a storage that is not listed", ONLY(TWO) KEYS(""), "a: the file has no data for its storage k"),
        FILE("a list with another storage", ONLY(TWO) KEYS(STR1("l")) DATA2, "no tensor has"),
        FILE("a list with a number", ONLY(TWO) KEYS(INT("\1")) DATA2, "no tensor has"),
        FILE("no list", ONLY(TWO) "N." DATA2, "no list of storages"),
        FILE("two sizes of a storage",
             DICT(STR1("a") TWO
                  STR1("b") REBUILD(STORAGE("FloatStorage", "\3"), INT("\0"), INT("\2"), INT("\1")))
             STORED,
             "storage k is given two different"),
        FILE("two tensors of a name", DICT(STR1("a") TWO STR1("a") TWO) STORED, "two tensors are called a"),
        FILE("a name with a NUL", DICT("U\3a\0b" TWO) STORED, "NUL"),

        TENSOR("an offset past the end", FLOATS, INT("\1"), INT("\2"), INT("\1"),
               "a: reaches to element 2 of a storage of 2"),
        TENSOR("the largest offset", FLOATS, LONG("\xff\xff\xff\xff\xff\xff\xff\x7f"), INT("\1"), INT("\1"),
               "a: reaches to element"),
        TENSOR("an offset that overflows", FLOATS, LONG("\xff\xff\xff\xff\xff\xff\xff\x7f"), INT("\2"), INT("\1"),
               "more bytes than can be counted"),
        TENSOR("a negative offset", FLOATS, "J\xff\xff\xff\xff", INT("\2"), INT("\1"), "a: expected a dense tensor"),
        TENSOR("a negative size", FLOATS, INT("\0"), "J\xff\xff\xff\xff", INT("\1"), "a: expected a dense tensor"),
        TENSOR("fewer strides than sizes", FLOATS, INT("\0"), INT("\1") INT("\2"), INT("\1"),
               "a: expected a dense tensor"),
        TENSOR("2^62 elements from one", FLOATS, INT("\0"), LONG("\0\0\0\0\0\0\0\x40"), INT("\0"),
               "a: its shape asks for more bytes"),
        TENSOR("2^40 elements from one", FLOATS, INT("\0"), LONG("\0\0\0\0\0\1\0\0"), INT("\0"),
               "more than a weights file may ask for"),
        TENSOR("a stride that overflows", FLOATS, INT("\0"), INT("\5"), LONG("\0\0\0\0\0\0\0\x40"),
               "a: its shape asks for more bytes"),
        TENSOR("a stride that does not matter", FLOATS, INT("\0"), INT("\1") INT("\2"),
               LONG("\0\0\0\0\0\0\0\x40") INT("\1"), NULL),
        TENSOR("a part of a storage outside it",
               ID("U\x07storage", "FloatStorage", "k", "\2", "(" STR1("v") INT("\1") INT("\2") "t"), INT("\0"),
               INT("\1"), INT("\1"), "a: its part of storage k lies outside it"),
        TENSOR("a storage of an unknown type", STORAGE("FancyStorage", "\2"), INT("\0"), INT("\1"), INT("\1"),
               "unknown kind of storage FancyStorage"),
        FILE("a class in a storage's place",
             ONLY(REBUILD(ID("U\x06module", "FloatStorage", "k", "\2", ""), INT("\0"), INT("\1"), INT("\1"))) KEYS(""),
             "a: the file has no data for its storage k"),
        FILE("a storage without a type", ONLY(REBUILD("(U\x07storageNNNNtQ", INT("\0"), INT("\1"), INT("\1"))) KEYS(""),
             "in a way PyTorch does not"),

        FILE("a persistent id that is no tuple", ONLY("NQ") KEYS(""), "no storage"),
        FILE("a dict in itself", "}q\0U\x0astate_dicth\0s." KEYS(""), "without a state dict"),
        FILE("a list of itself in an OrderedDict", "ccollections\nOrderedDict\n]q\0h\0a\x85R." KEYS(""),
             "a key without a value"),
        FILE("a parameter of itself", ONLY("ctorch.nn.parameter\nParameter\n]q\0h\0aR") KEYS(""),
             "without a state dict"),
        FILE("an OrderedDict of no pairs", "ccollections\nOrderedDict\n](NNe\x85R." KEYS(""), "a key without a value"),

        FILE("fetching what was not stored", "h\1." KEYS(""), "not stored"),
        FILE("fetching from far away", "j\xff\xff\xff\xff.", "not stored"),
        FILE("storing far away", "Nr\xff\xff\xff\xff.", "more values at a time"),
        FILE("a marked storing", "(q\0.", "missing on the stack"),
        FILE("an empty stack", "s.", "missing on the stack"),
        FILE("a mark as the result", "(.", "missing on the stack"),
        FILE("no mark", "}u.", "mark is missing"),
        FILE("a key alone", "}(Nu.", "a key without a value"),
        FILE("a class without a name", "NN\x93.", "a class without a name"),
        FILE("a protocol to come", "\x80\x06N.", "protocol above 5"),
        FILE("an opcode of protocol 0", "(i__main__\nX\n.", "opcode 0x69"),
        FILE("a string longer than the file", "X\xff\xff\xff\xff" "abc", "cut off"),
        FILE("a string of 2^64 - 1 bytes", "\x8d\xff\xff\xff\xff\xff\xff\xff\xff" "abc", "cut off"),
#undef TENSOR
#undef FILE
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t head = sizeof HEAD - 1, size = head + files[i].size;
        uint8_t *bytes = zeros(size, 1);
        memcpy(bytes, HEAD, head);
        memcpy(bytes + head, files[i].bytes, files[i].size);
        cr_error err = {""};
        if (files[i].words)
            check_refused(files[i].what, bytes, size, files[i].words);
        else if (!try_file(bytes, size, &err))
            fail_msg("%s: %s", files[i].what, err.text);
        free(bytes);
    }
}

static void test_legacy_head(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* of HEAD */
        uint8_t byte;
        const char *words;
    } files[] = {
        {13, 0x18, "magic number"}, {18, 0xe8, "unknown version"}, {39, 0x89, "big-endian"}, {30, 'L', "big-endian"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        uint8_t bytes[sizeof HEAD - 1];
        memcpy(bytes, HEAD, sizeof bytes);
        bytes[files[i].at] = files[i].byte;
        check_refused(files[i].words, bytes, sizeof bytes, files[i].words);
    }
}

static void test_deep_stack(void **state)
{
    (void)state;
    enum { DEPTH = 3 << 20 };
    static const char openers[] = "N(]}";
    for (int i = 0; i < 4; i++) {
        size_t head = sizeof HEAD - 1;
        uint8_t *bytes = zeros(head + DEPTH, 1);
        memcpy(bytes, HEAD, head);
        memset(bytes + head, openers[i], DEPTH);
        check_refused("a deep stack", bytes, head + DEPTH, "more values at a time");
        free(bytes);
    }
}

static void test_arena_limit(void **state)
{
    (void)state;
    arena a = {.limit = 1000};
    cr_error err = {""};
    for (int i = 0; i < 62; i++)
        assert_non_null(cr_arena_alloc(&a, 3, 5, &err)); /* rounded up to 16 each */
    assert_null(cr_arena_alloc(&a, 1, 16, &err));
    check_message(&err, "1000 bytes", NULL);
    assert_null(cr_arena_alloc(&a, SIZE_MAX / 2, 4, &err));
    assert_null(cr_arena_alloc(&a, SIZE_MAX, 1, &err));
    cr_arena_free(&a);
    assert_non_null(cr_arena_alloc(&a, 1, 16, &err));
    cr_arena_free(&a);
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_off_anywhere), cmocka_unit_test(test_random_bytes_changed),
        cmocka_unit_test(test_lying_zip),        cmocka_unit_test(test_lying_pickle),
        cmocka_unit_test(test_legacy_head),      cmocka_unit_test(test_deep_stack),
        cmocka_unit_test(test_arena_limit),
    };
    return cmocka_run_group_tests_name("weights, damaged", tests, NULL, NULL);
}
