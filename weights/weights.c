/* weights.c - opens a weights file, tells its format by its first bytes, and answers questions about its tensors. */
#define _DEFAULT_SOURCE /* madvise */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader.h"

enum { MAX_TENSORS = 1 << 20, COPIES_PER_FILE = 8 };

/* ---- what readers call ---- */

bool cr_weights_add(cr_weights *w, const cr_tensor *tensor, cr_error *err)
{
    if (w->count == MAX_TENSORS)
        return cr_fail(err, "more than %d tensors", MAX_TENSORS);
    if (w->count == w->capacity) {
        int capacity = w->capacity ? 2 * w->capacity : 64;
        cr_tensor *bigger = realloc(w->tensors, (size_t)capacity * sizeof *bigger);
        if (!bigger)
            return cr_fail(err, "out of memory for %d tensors", capacity);
        w->tensors = bigger;
        w->capacity = capacity;
    }
    w->tensors[w->count++] = *tensor;
    return true;
}

bool cr_weights_add_meta(cr_weights *w, const char *key, const char *value, cr_error *err)
{
    weights_meta *meta = cr_arena_alloc(&w->memory, 1, sizeof *meta, err);
    if (!meta)
        return false;
    *meta = (weights_meta){key, value, w->meta};
    w->meta = meta;
    return true;
}

bool cr_tensor_bytes(const cr_tensor *tensor, size_t element, size_t *bytes)
{
    size_t product = element;
    for (int d = 0; d < tensor->ndim; d++)
        if (tensor->dim[d] < 0 || __builtin_mul_overflow(product, (size_t)tensor->dim[d], &product))
            return false;
    *bytes = product;
    return product <= PTRDIFF_MAX;
}

/* Names come from the file: no control character of theirs may break the message's one line, or a terminal. */
void cr_fail_at(const char *path, const cr_error *why, cr_error *err)
{
    cr_fail(err, "%s: %s", path, why->text);
    for (char *c = err ? err->text : NULL; c && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

/* ---- opening ---- */

typedef bool reader(cr_weights *w, cr_error *err);

static bool begins(span file, size_t at, const char *with)
{
    size_t n = strlen(with);
    return file.size >= at && file.size - at >= n && memcmp(file.data + at, with, n) == 0;
}

static bool refuse(cr_weights *w, cr_error *err)
{
    static const struct {
        size_t at;
        const char *bytes, *what;
    } known[] = {
        {0, "version https://git-lfs", "a Git LFS pointer: fetch the file itself with git lfs pull"},
        {0, "<", "text, an HTML page perhaps: download the file itself"},
        {0, "\x89HDF", "an HDF5 file, as Keras writes"},
        {0, "\x1f\x8b", "compressed with gzip: unpack it first"},
        {0, "\x89PNG", "a PNG picture"},
        {0, "\xff\xd8\xff", "a JPEG picture"},
        {257, "ustar",
         "a tar archive, as the first versions of PyTorch wrote: load and save it again with a newer one"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (begins(w->file, known[i].at, known[i].bytes))
            return cr_fail(err, "expected weights (safetensors, or a PyTorch state dict), found %s", known[i].what);
    return cr_fail(err, "expected weights (safetensors, or a PyTorch state dict), found neither");
}

/* The bytes that one format begins with exclude the others. */
static reader *reader_for(span file)
{
    if (begins(file, 8, "{"))
        return cr_safetensors_read;
    if (begins(file, 0, "PK\3\4"))
        return cr_pth_zip_read;
    if (begins(file, 0, "\x80") && file.size > 1 && file.data[1] >= 2 && file.data[1] <= 5)
        return cr_pth_legacy_read;
    return refuse;
}

/* torch.nn.DataParallel puts "module." in front of every name. */
static void drop_module_prefix(cr_weights *w)
{
    static const char prefix[] = "module.";
    size_t n = sizeof prefix - 1;
    for (int i = 0; i < w->count; i++)
        if (strncmp(w->tensors[i].name, prefix, n) != 0)
            return;
    for (int i = 0; i < w->count; i++)
        w->tensors[i].name += n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const cr_tensor *const *)a)->name, (*(const cr_tensor *const *)b)->name);
}

static bool index_names(cr_weights *w, cr_error *err)
{
    w->by_name = malloc(((size_t)w->count + 1) * sizeof(const cr_tensor *));
    w->floats = calloc((size_t)w->count + 1, sizeof(const float *));
    if (!w->by_name || !w->floats)
        return cr_fail(err, "out of memory for %d tensors", w->count);
    for (int i = 0; i < w->count; i++)
        w->by_name[i] = &w->tensors[i];
    qsort(w->by_name, (size_t)w->count, sizeof(const cr_tensor *), by_name);
    for (int i = 1; i < w->count; i++)
        if (by_name(&w->by_name[i - 1], &w->by_name[i]) == 0)
            return cr_fail(err, "two tensors are called %.100s", w->by_name[i]->name);
    return true;
}

static bool read_all(cr_weights *w, cr_error *err)
{
    if (!reader_for(w->file)(w, err))
        return false;
    if (w->count == 0)
        return cr_fail(err, "a weights file without tensors");
    drop_module_prefix(w);
    return index_names(w, err);
}

static bool map_file(const char *path, span *file, cr_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block */
    if (fd < 0)
        return cr_fail(err, "%s", strerror(errno));
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    if (!ok)
        cr_fail(err, "%s", strerror(errno));
    else if (S_ISDIR(st.st_mode))
        ok = cr_fail(err, "a directory, expected a weights file");
    else if (!S_ISREG(st.st_mode))
        ok = cr_fail(err, "not a regular file: weights are mapped, so they cannot come through a pipe");
    else if (st.st_size == 0)
        ok = cr_fail(err, "an empty file, expected weights");
    else {
        file->size = (size_t)st.st_size;
        void *map = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = map != MAP_FAILED || cr_fail(err, "cannot map %zu bytes: %s", file->size, strerror(errno));
        file->data = ok ? map : NULL;
    }
    close(fd);
    return ok;
}

static cr_weights *open_span(const char *path, span file, bool mapped, cr_error *err)
{
    cr_error why = {"out of memory"};
    cr_weights *w = calloc(1, sizeof *w);
    if (w) {
        *w = (cr_weights){
            .path = strdup(path),
            .file = file,
            .mapped = mapped,
            .memory.limit = CR_ARENA_LIMIT,
            .copies.limit = file.size < SIZE_MAX / COPIES_PER_FILE ? file.size * COPIES_PER_FILE : SIZE_MAX,
        };
        if (w->path && read_all(w, &why))
            return w;
        cr_weights_close(w);
    } else if (mapped) {
        munmap((void *)(uintptr_t)file.data, file.size);
    }
    cr_fail_at(path, &why, err);
    return NULL;
}

cr_weights *cr_weights_open(const char *path, cr_error *err)
{
    span file;
    cr_error why;
    if (!map_file(path, &file, &why)) {
        cr_fail_at(path, &why, err);
        return NULL;
    }
    return open_span(path, file, true, err);
}

cr_weights *cr_weights_open_memory(const char *name, const void *bytes, size_t size, cr_error *err)
{
    return open_span(name, (span){bytes, size}, false, err);
}

/* Letting go of the pages of a large file takes longer than reading them again would: all threads share in it. */
static void unmap(span file)
{
    enum { PIECE = 16 << 20 };
    const uintptr_t start = (uintptr_t)file.data;
#pragma omp parallel for
    for (size_t at = 0; at < file.size; at += PIECE)
        madvise((void *)(start + at), file.size - at < PIECE ? file.size - at : PIECE, MADV_DONTNEED);
    munmap((void *)start, file.size);
}

void cr_weights_close(cr_weights *w)
{
    if (!w)
        return;
    if (w->mapped)
        unmap(w->file);
    cr_arena_free(&w->memory);
    cr_arena_free(&w->copies);
    free(w->tensors);
    free(w->by_name);
    free(w->floats);
    free(w->path);
    free(w);
}

void cr_weights_release_pages(const cr_weights *w, const void *from, size_t bytes)
{
    const uintptr_t file = (uintptr_t)w->file.data, start = (uintptr_t)from, page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (!w->mapped || start < file || start - file > w->file.size || bytes > w->file.size - (start - file))
        return;
    /* Rounded outwards: what else lies on a page is read from the file again when it is needed. */
    const uintptr_t first = start / page * page, last = (start + bytes + page - 1) / page * page;
    madvise((void *)first, last - first, MADV_DONTNEED);
}

/* ---- questions ---- */

int cr_weights_count(const cr_weights *w)
{
    return w->count;
}

const cr_tensor *cr_weights_at(const cr_weights *w, int i)
{
    return i >= 0 && i < w->count ? &w->tensors[i] : NULL;
}

const cr_tensor *cr_weights_find(const cr_weights *w, const char *name)
{
    cr_tensor wanted = {.name = name};
    const cr_tensor *key = &wanted, **found =
        bsearch(&key, w->by_name, (size_t)w->count, sizeof(const cr_tensor *), by_name);
    return found ? *found : NULL;
}

const char *cr_weights_meta(const cr_weights *w, const char *key)
{
    for (const weights_meta *m = w->meta; m; m = m->next)
        if (strcmp(m->key, key) == 0)
            return m->value;
    return NULL;
}

/* ---- conversion ---- */

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* float16: sign, 5 bits of exponent (bias 15), 10 of fraction. Shifted to float32's places the value is 2^(15 - 127) of
 * what it should be, subnormals included; infinity and NaN keep an exponent of ones. */
static float float_of_half(uint16_t half)
{
    uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00)
        return float_of_bits(sign | 0x7f800000u | magnitude << 13);
    float value = float_of_bits(magnitude << 13) * 0x1p112f;
    return sign ? -value : value;
}

static void convert(float *to, const uint8_t *from, size_t n, cr_dtype dtype)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        double wide;
        switch (dtype) {
        case CR_F16:
            memcpy(&half, from + 2 * i, sizeof half);
            to[i] = float_of_half(half);
            break;
        case CR_BF16: /* a float32's upper half */
            memcpy(&half, from + 2 * i, sizeof half);
            to[i] = float_of_bits((uint32_t)half << 16);
            break;
        case CR_F64:
            memcpy(&wide, from + 8 * i, sizeof wide);
            to[i] = (float)wide;
            break;
        default: /* CR_F32, unaligned */
            memcpy(&to[i], from + 4 * i, sizeof to[i]);
        }
    }
}

const float *cr_weights_f32(cr_weights *w, const cr_tensor *tensor, cr_error *err)
{
    static const size_t element[] = {
        [CR_F32] = 4, [CR_F16] = 2, [CR_BF16] = 2, [CR_F64] = 8, [CR_I64] = 0, [CR_OTHER] = 0};
    const float **kept = &w->floats[tensor - w->tensors];
    cr_error why;
    if (!element[tensor->dtype]) {
        cr_fail(&why, "%.100s: expected floating point numbers, found another type", tensor->name);
        cr_fail_at(w->path, &why, err);
    } else if (!*kept && tensor->dtype == CR_F32 && (uintptr_t)tensor->data % _Alignof(float) == 0) {
        *kept = tensor->data;
    } else if (!*kept) {
        size_t n = tensor->bytes / element[tensor->dtype];
        float *copy = cr_arena_alloc(&w->copies, n, sizeof *copy, &why);
        if (copy)
            convert(copy, tensor->data, n, tensor->dtype);
        else
            cr_fail_at(w->path, &why, err);
        *kept = copy;
    }
    return *kept;
}
