/* file.c - reading whole files and replacing them in one step (file.h). */
#include "file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

enum { FIRST_READ = 1 << 16 };

/* Reads until the end of the file, as its size is not known beforehand for a pipe. */
static bool read_all(int fd, const char *path, unsigned char **data, size_t *bytes, cr_error *err)
{
    struct stat st;
    size_t capacity = FIRST_READ, used = 0;
    if (fstat(fd, &st) == 0 && st.st_size > 0 && (uintmax_t)st.st_size < SIZE_MAX)
        capacity = (size_t)st.st_size + 1; /* one more, so that the end is seen without growing */
    unsigned char *buffer = malloc(capacity);
    while (buffer) {
        ssize_t got = read(fd, buffer + used, capacity - used);
        if (got == 0) {
            *data = buffer;
            *bytes = used;
            return true;
        }
        if (got < 0 && errno != EINTR) {
            free(buffer);
            return cr_fail(err, "%s: cannot read: %s", path, strerror(errno));
        }
        used += got > 0 ? (size_t)got : 0;
        if (used == capacity) {
            unsigned char *grown = capacity <= SIZE_MAX / 2 ? realloc(buffer, capacity * 2) : NULL;
            if (!grown)
                free(buffer);
            buffer = grown;
            capacity *= 2;
        }
    }
    return cr_fail(err, "%s: out of memory for %zu bytes", path, capacity);
}

bool cr_file_read(const char *path, unsigned char **data, size_t *bytes, cr_error *err)
{
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return cr_fail(err, "%s: cannot open: %s", path, strerror(errno));
    bool ok = read_all(fd, path, data, bytes, err);
    close(fd);
    return ok;
}

char *cr_file_read_text(const char *path, const char *expected, cr_error *err)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    unsigned char *data;
    size_t bytes;
    char *text = NULL;
    if (!cr_file_read(path, &data, &bytes, err))
        return NULL;
    const size_t skip = bytes >= 3 && memcmp(data, byte_order_mark, 3) == 0 ? 3 : 0;
    if (memchr(data, '\0', bytes))
        cr_fail(err, "%.200s: expected %s; found binary data", path, expected);
    else if (!(text = calloc(bytes - skip + 1, 1)))
        cr_fail(err, "%.200s: out of memory for its text", path);
    else
        memcpy(text, data + skip, bytes - skip);
    free(data);
    return text;
}

/* ---- writing ---- */

struct cr_file {
    char *path;
    char *temporary; /* NULL where path is written to directly */
    int fd;
    int error;       /* errno of what failed first, or 0 */
};

/* Opens a new file beside path and puts its name into temporary. mkstemp would do, but for its mode of 0600, which
 * would stay on the result. */
static int open_temporary(const char *path, char *temporary, size_t size)
{
    int fd = -1;
    for (int i = 0; i < 1000; i++) {
        snprintf(temporary, size, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    return fd;
}

static void release(cr_file *file)
{
    free(file->path);
    free(file->temporary);
    free(file);
}

cr_file *cr_file_create(const char *path, cr_error *err)
{
    struct stat st;
    bool direct = lstat(path, &st) == 0 && !S_ISREG(st.st_mode);
    size_t size = strlen(path) + 64;
    cr_file *file = calloc(1, sizeof *file);
    if (file)
        *file = (cr_file){.path = strdup(path), .temporary = direct ? NULL : malloc(size), .fd = -1};
    if (!file || !file->path || (!direct && !file->temporary)) {
        cr_fail(err, "%s: out of memory", path);
    } else {
        file->fd = direct ? open(path, O_WRONLY | O_TRUNC) : open_temporary(path, file->temporary, size);
        if (file->fd >= 0)
            return file;
        cr_fail(err, "%s: cannot write: %s", path, strerror(errno));
    }
    if (file)
        release(file);
    return NULL;
}

void cr_file_add(cr_file *file, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    for (size_t done = 0; done < bytes && file->error == 0;) {
        ssize_t put = write(file->fd, from + done, bytes - done);
        if (put >= 0)
            done += (size_t)put;
        else if (errno != EINTR)
            file->error = errno;
    }
}

void cr_file_patch(cr_file *file, size_t at, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    for (size_t done = 0; done < bytes && file->error == 0;) {
        ssize_t put = pwrite(file->fd, from + done, bytes - done, (off_t)(at + done));
        if (put >= 0)
            done += (size_t)put;
        else if (errno != EINTR)
            file->error = errno;
    }
}

bool cr_file_finish(cr_file *file, bool durable, cr_error *err)
{
    /* Devices and pipes have nothing to synchronise. */
    if (file->error == 0 && durable && file->temporary && fsync(file->fd) != 0)
        file->error = errno;
    if (close(file->fd) != 0 && file->error == 0)
        file->error = errno;
    if (file->error == 0 && file->temporary && rename(file->temporary, file->path) != 0)
        file->error = errno;
    if (file->error != 0 && file->temporary)
        unlink(file->temporary);
    bool ok = file->error == 0 || cr_fail(err, "%s: cannot write: %s", file->path, strerror(file->error));
    release(file);
    return ok;
}

void cr_file_discard(cr_file *file)
{
    close(file->fd);
    if (file->temporary)
        unlink(file->temporary);
    release(file);
}

bool cr_file_write(const char *path, const void *data, size_t bytes, cr_error *err)
{
    cr_file *file = cr_file_create(path, err);
    if (!file)
        return false;
    cr_file_add(file, data, bytes);
    return cr_file_finish(file, false, err);
}

/* Where the number begins whose last digit is before `end`; `end` where there is none. */
static const char *number_before(const char *start, const char *end)
{
    while (end > start && isdigit((unsigned char)end[-1]))
        end--;
    return end;
}

/* The process that an entry of a folder is a temporary file of, as open_temporary names them; 0 where it is none, or its name
 * begins otherwise. */
static long temporary_of(const char *entry, const char *beginning)
{
    const size_t length = strlen(entry), least = strlen(beginning);
    const char *end = entry + length - (length < 4 ? 0 : 4);
    if (strncmp(entry, beginning, least) != 0 || strcmp(end, ".tmp") != 0)
        return 0;
    const char *count = number_before(entry + least, end);
    if (count == end || count == entry + least || count[-1] != '-')
        return 0;
    const char *process = number_before(entry + least, count - 1);
    return process < count - 1 && process > entry + least && process[-1] == '.' ? strtol(process, NULL, 10) : 0;
}

void cr_file_sweep(const char *beginning)
{
    const char *slash = strrchr(beginning, '/'), *name = slash ? slash + 1 : beginning;
    char *folder = slash ? strndup(beginning, (size_t)(slash - beginning) + 1) : strdup("./");
    DIR *open_folder = folder ? opendir(folder) : NULL;
    for (struct dirent *entry; open_folder && (entry = readdir(open_folder));) {
        long process = temporary_of(entry->d_name, name);
        if (process > 0 && kill((pid_t)process, 0) != 0 && errno == ESRCH)
            unlinkat(dirfd(open_folder), entry->d_name, 0);
    }
    if (open_folder)
        closedir(open_folder);
    free(folder);
}
