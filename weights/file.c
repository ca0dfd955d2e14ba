/* file.c - reading whole files and replacing them in one step (file.h). */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* 0, or the errno of what failed. Closes fd. */
static int write_all(int fd, const unsigned char *data, size_t bytes)
{
    int error = 0;
    for (size_t done = 0; done < bytes && error == 0;) {
        ssize_t put = write(fd, data + done, bytes - done);
        if (put >= 0)
            done += (size_t)put;
        else if (errno != EINTR)
            error = errno;
    }
    if (close(fd) != 0 && error == 0)
        error = errno;
    return error;
}

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

bool cr_file_write(const char *path, const void *data, size_t bytes, cr_error *err)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        int fd = open(path, O_WRONLY | O_TRUNC);
        int error = fd < 0 ? errno : write_all(fd, data, bytes);
        return error == 0 || cr_fail(err, "%s: cannot write: %s", path, strerror(error));
    }

    size_t size = strlen(path) + 64;
    char *temporary = malloc(size);
    if (!temporary)
        return cr_fail(err, "%s: out of memory", path);
    int fd = open_temporary(path, temporary, size);
    int error = fd < 0 ? errno : write_all(fd, data, bytes);
    if (error == 0 && rename(temporary, path) != 0)
        error = errno;
    if (error != 0 && fd >= 0)
        unlink(temporary);
    free(temporary);
    return error == 0 || cr_fail(err, "%s: cannot write: %s", path, strerror(error));
}
