/* picture_file.c - see picture_file.h. */
#include "picture_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "interrupt.h"

bool picture_name_check(const char *path, cr_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    if (dot && dot[1] && strcasecmp(dot, ".png") != 0 && strcmp(dot, "..") != 0)
        return cr_fail(err, "-o: pictures are written as PNG: expected a name that ends in .png, or a folder's with a "
                       "slash behind it, found '%.200s'", path);
    return true;
}

bool is_folder(const char *path)
{
    struct stat info;
    return path[strlen(path) - 1] == '/' || (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

size_t path_stem_length(const char *path)
{
    const char *name = base_name(path), *dot = strrchr(name, '.');
    return dot && dot != name ? (size_t)(dot - path) : strlen(path);
}

/* A class name as part of a file name: "_" for what shells and file systems trip over, cut at a whole character. */
static void file_safe(char *safe, size_t size, const char *name)
{
    size_t n = 0;
    for (; name[n] && n + 1 < size; n++) {
        unsigned char c = (unsigned char)name[n];
        bool plain = c >= 0x80 || strchr("-+.", c) || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        safe[n] = plain ? name[n] : '_';
    }
    while (name[n] && n && ((unsigned char)name[n] & 0xC0) == 0x80)
        n--;
    safe[n] = '\0';
}

void class_suffix(char *suffix, size_t size, int class_index, const char *name)
{
    const int length = snprintf(suffix, size, "_%d%s", class_index, name ? "_" : "");
    if (name && length > 0 && (size_t)length < size)
        file_safe(suffix + length, size - (size_t)length, name);
}

static bool check_length(const char *path, int length, cr_error *err)
{
    return (length >= 0 && length < PATH_SIZE) ||
           cr_fail(err, "the picture's path is too long: more than %d bytes for '%.100s...'", PATH_SIZE - 1, path);
}

bool picture_path_in(char path[PATH_SIZE], const char *folder, const char *stem, const char *name, const char *suffix,
                     cr_error *err)
{
    const char *slash = folder && *folder && folder[strlen(folder) - 1] != '/' ? "/" : "";
    const int length = snprintf(path, PATH_SIZE, "%s%s%s%s%s%s.png", folder ? folder : "", slash, stem, *stem ? "_" : "",
                                name, suffix);
    return check_length(path, length, err);
}

bool picture_path(char path[PATH_SIZE], const char *output, const char *stem, const char *name, const char *suffix,
                  cr_error *err)
{
    if (!output || is_folder(output))
        return picture_path_in(path, output, stem, name, suffix, err);
    const size_t kept = path_stem_length(output);
    const char *ending = output[kept] || !*suffix ? output + kept : ".png";
    return check_length(path, snprintf(path, PATH_SIZE, "%.*s%s%s", (int)kept, output, suffix, ending), err);
}

bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool check_not_itself(const char *path, const char *source, cr_error *err)
{
    return !same_file(path, source) || cr_fail(err, "-o: '%.200s' is the picture itself: it would be lost", path);
}

bool make_folders(const char *path, cr_error *err)
{
    char folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = folder + strspn(folder, "/"); (slash = strchr(slash, '/')); slash += strspn(slash, "/")) {
        *slash = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            return cr_fail(err, "%.300s: cannot make the folder: %s", folder, strerror(errno));
        *slash = '/';
    }
    return true;
}

bool picture_write(const cr_image *image, const char *path, cr_error *err)
{
    interrupt_hold();
    const bool ok = cr_image_write_png(image, path, err);
    interrupt_release();
    return ok;
}
