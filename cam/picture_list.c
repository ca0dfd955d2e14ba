/* picture_list.c - walking folders, matching patterns and reading lists (picture_list.h). */
#define _DEFAULT_SOURCE /* scandir, realpath */
#include "picture_list.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "file.h"

static bool no_memory(const picture_list *l, cr_error *err)
{
    return cr_fail(err, "out of memory for the list of %d pictures", l->n);
}

static bool is_picture(const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t length = dot ? strlen(dot) : 0;
    for (const char *end = PICTURE_ENDINGS; length && *end; end += strcspn(end, " "), end += *end == ' ')
        if (strcspn(end, " ") == length && strncasecmp(end, dot, length) == 0)
            return true;
    return false;
}

char *join_path(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] != '/' ? "/" : "";
    size_t size = length + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s%s", folder, slash, name);
    return path;
}

/* Takes path. */
static bool add(picture_list *l, char *path, int64_t bytes, cr_error *err)
{
    if (path && l->n == l->capacity) {
        int more = l->capacity ? 2 * l->capacity : 256;
        picture_file *bigger = more > l->capacity ? realloc(l->items, (size_t)more * sizeof *bigger) : NULL;
        if (bigger) {
            l->items = bigger;
            l->capacity = more;
        }
    }
    if (!path || l->n == l->capacity) {
        free(path);
        return no_memory(l, err);
    }
    l->items[l->n++] = (picture_file){.path = path, .bytes = bytes};
    return true;
}

/* ---- folders ---- */

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* A folder that is being walked, and those it lies in. */
typedef struct ancestor {
    const struct ancestor *above;
    dev_t device;
    ino_t inode;
} ancestor;

static bool walk(picture_list *l, const char *folder, const ancestor *above, cr_error *err);

/* Takes path, of what a folder holds. */
static bool add_entry(picture_list *l, char *path, const ancestor *here, cr_error *err)
{
    struct stat st;
    if (!path)
        return no_memory(l, err);
    const bool exists = stat(path, &st) == 0;
    bool ok = true;
    if (exists && S_ISDIR(st.st_mode)) {
        ok = walk(l, path, here, err);
        free(path);
    } else if (is_picture(path)) {
        ok = add(l, path, exists ? st.st_size : -1, err);
    } else if (l->passed_over++ == 0) {
        l->first_passed_over = path;
    } else {
        free(path);
    }
    return ok;
}

static bool walk(picture_list *l, const char *folder, const ancestor *above, cr_error *err)
{
    struct stat st;
    struct dirent **entries;
    if (stat(folder, &st) != 0)
        return cr_fail(err, "%.300s: cannot read the folder: %s", folder, strerror(errno));
    const ancestor here = {above, st.st_dev, st.st_ino};
    if (l->has_except && l->except_device == here.device && l->except_inode == here.inode)
        return true;
    for (const ancestor *a = above; a; a = a->above)
        if (a->device == here.device && a->inode == here.inode)
            return true;
    int n = scandir(folder, &entries, not_hidden, alphasort);
    if (n < 0)
        return cr_fail(err, "%.300s: cannot read the folder: %s", folder, strerror(errno));
    bool ok = true;
    for (int i = 0; i < n; i++) {
        ok = ok && add_entry(l, join_path(folder, entries[i]->d_name), &here, err);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

/* As torchvision's ImageFolder orders the pictures of a class: sorted(os.walk(...)) goes by the folders' paths, then come
 * names. Bytes of UTF-8 sort as its code points do, and code points are what Python sorts by. */
static int by_folder_then_name(const void *a, const void *b)
{
    const char *s = ((const picture_file *)a)->path, *t = ((const picture_file *)b)->path;
    size_t n = (size_t)(strrchr(s, '/') - s), m = (size_t)(strrchr(t, '/') - t);
    int order = memcmp(s, t, n < m ? n : m);
    if (order == 0 && n != m)
        order = n < m ? -1 : 1;
    return order ? order : strcmp(s + n, t + m);
}

bool picture_list_add_folder(picture_list *l, const char *folder, cr_error *err)
{
    int before = l->n;
    if (!walk(l, folder, NULL, err))
        return false;
    if (l->n > before)
        qsort(l->items + before, (size_t)(l->n - before), sizeof *l->items, by_folder_then_name);
    return true;
}

/* ---- names below the folder that holds all ---- */

/* Shortens root to the folder that it shares with `folder`; both absolute, without a slash at the end ("" is "/"). */
static void share_root(char *root, const char *folder)
{
    size_t n = 0;
    for (size_t i = 0;; i++) {
        const bool ends = (!root[i] || root[i] == '/') && (!folder[i] || folder[i] == '/');
        if (ends)
            n = i;
        if (!root[i] || root[i] != folder[i])
            break;
    }
    root[n] = '\0';
}

/* The full paths of the pictures from `first` on, whose paths begin with that of a folder that was named, "" for the current
 * one. Where there is no such folder they do not exist either, and have no say in which folder holds all. */
static bool set_full(picture_list *l, int first, const char *folder, cr_error *err)
{
    char real[PATH_MAX];
    const bool exists = realpath(*folder ? folder : ".", real);
    if (exists && strcmp(real, "/") == 0)
        *real = '\0';
    if (exists && !l->root && !(l->root = strdup(real)))
        return no_memory(l, err);
    if (exists)
        share_root(l->root, real);
    for (int i = first; i < l->n; i++) {
        const char *path = l->items[i].path, *below = path + strlen(folder);
        if (!(l->items[i].full = exists ? join_path(*real ? real : "/", below + strspn(below, "/")) : strdup(path)))
            return no_memory(l, err);
    }
    return true;
}

typedef struct ranked {
    const char *full;
    int at;
} ranked;

static int by_full_path(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    int order = strcmp(x->full, y->full);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static void free_item(picture_file *item)
{
    free(item->path);
    free(item->full);
    *item = (picture_file){0};
}

static const char *name_of(const picture_list *l, const char *full)
{
    size_t length = l->root ? strlen(l->root) : 0;
    if (l->root && strncmp(full, l->root, length) == 0 && full[length] == '/')
        return full + length + 1;
    const char *slash = strrchr(full, '/');
    return slash ? slash + 1 : full;
}

/* Names all pictures, and keeps the first of those that are the same. */
static bool settle(picture_list *l, cr_error *err)
{
    ranked *all = malloc(((size_t)l->n + 1) * sizeof *all);
    if (!all)
        return no_memory(l, err);
    for (int i = 0; i < l->n; i++)
        all[i] = (ranked){l->items[i].full, i};
    qsort(all, (size_t)l->n, sizeof *all, by_full_path);
    for (int i = l->n - 1; i > 0; i--)
        if (strcmp(all[i].full, all[i - 1].full) == 0)
            free_item(&l->items[all[i].at]);
    free(all);
    int kept = 0;
    for (int i = 0; i < l->n; i++)
        if (l->items[i].path) {
            l->items[kept] = l->items[i];
            l->items[kept].name = name_of(l, l->items[i].full);
            kept++;
        }
    l->n = kept;
    return true;
}

/* ---- operands ---- */

/* A file or a folder. */
static bool add_path(picture_list *l, const char *path, cr_error *err)
{
    struct stat st;
    const int first = l->n;
    const bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) {
        l->open = true;
        return picture_list_add_folder(l, path, err) && set_full(l, first, path, err) &&
               (l->n > first || cr_fail(err, "%.300s: no pictures: expected names that end in " PICTURE_ENDINGS, path));
    }
    const char *slash = strrchr(path, '/');
    char *folder = strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
    bool ok = (folder || no_memory(l, err)) && add(l, strdup(path), exists ? st.st_size : -1, err) &&
              set_full(l, first, folder, err);
    free(folder);
    return ok;
}

/* Of the pictures from `first` on, all below a folder, keeps those whose path ends as the pattern says. */
static void keep_matches(picture_list *l, int first, const char *folder, const char *pattern)
{
    int kept = first, parts = 1;
    for (const char *c = pattern; *c; c++)
        parts += *c == '/';
    for (int i = first; i < l->n; i++) {
        const char *below = l->items[i].path + strlen(folder);
        below += strspn(below, "/");
        const char *tail = below + strlen(below); /* of as many parts as the pattern */
        int missing = parts;
        while (tail > below && !(tail[-1] == '/' && --missing == 0))
            tail--;
        if (missing <= 1 && fnmatch(pattern, tail, FNM_PATHNAME) == 0)
            l->items[kept++] = l->items[i];
        else
            free_item(&l->items[i]);
    }
    l->n = kept;
}

/* Every match of a pattern without "**", which is walked where it is a folder. tail: what is behind the "**", or NULL. */
static bool add_matches(picture_list *l, const char *pattern, const char *tail, cr_error *err)
{
    glob_t found = {0};
    int status = glob(pattern, 0, NULL, &found);
    bool ok = status == 0 || status == GLOB_NOMATCH || no_memory(l, err);
    for (size_t i = 0; ok && status == 0 && i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i];
        const int first = l->n;
        struct stat st;
        const bool exists = stat(path, &st) == 0;
        if (exists && S_ISDIR(st.st_mode)) {
            ok = picture_list_add_folder(l, path, err);
            if (ok && tail)
                keep_matches(l, first, path, tail);
        } else if (!tail) {
            ok = add(l, strdup(path), exists ? st.st_size : -1, err);
        }
    }
    globfree(&found);
    return ok;
}

static bool add_pattern(picture_list *l, const char *pattern, cr_error *err)
{
    const int first = l->n;
    const char *deep = strncmp(pattern, "**/", 3) == 0 ? pattern : strstr(pattern, "/**/");
    size_t literal = strcspn(pattern, "*?[\\");
    while (literal && pattern[literal - 1] != '/')
        literal--;
    char *folder = deep == pattern && !literal ? strdup(".") : strndup(pattern, literal); /* the paths begin with it */
    char *above = !deep ? strdup(pattern) : deep == pattern ? strdup(folder) : strndup(pattern, (size_t)(deep - pattern));
    l->open = true;
    bool ok = ((folder && above) || no_memory(l, err)) &&
              add_matches(l, above, deep ? strstr(deep, "**/") + 3 : NULL, err) &&
              (l->n > first || cr_fail(err, "no picture is like '%.300s'", pattern)) && set_full(l, first, folder, err);
    free(above);
    free(folder);
    return ok;
}

static bool add_list(picture_list *l, const char *path, cr_error *err)
{
    const char *name = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    unsigned char *text;
    size_t bytes;
    const int first = l->n;
    l->open = true;
    if (!cr_file_read(name, &text, &bytes, err))
        return false;
    bool ok = !memchr(text, '\0', bytes) ||
              cr_fail(err, "%.300s: expected a list of paths, one on each line, found a file of another kind", path);
    char *lines = ok ? malloc(bytes + 1) : NULL;
    ok = ok && (lines || no_memory(l, err));
    if (ok) {
        memcpy(lines, text, bytes);
        lines[bytes] = '\0';
    }
    free(text);
    for (char *line = lines, *next; ok && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        size_t length = strlen(line);
        if (length && line[length - 1] == '\r')
            line[length - 1] = '\0';
        ok = !*line || add_path(l, line, err);
    }
    free(lines);
    return ok && (l->n > first || cr_fail(err, "%.300s: the list is empty", path));
}

static bool add_operand(picture_list *l, const char *operand, cr_error *err)
{
    struct stat st;
    if (stat(operand, &st) == 0)
        return add_path(l, operand, err);
    if (*operand == '@' && operand[1])
        return add_list(l, operand + 1, err);
    return operand[strcspn(operand, "*?[")] ? add_pattern(l, operand, err) : add_path(l, operand, err);
}

bool picture_list_create(picture_list *l, const text_list *operands, const text_list *lists, const char *except,
                         cr_error *err)
{
    struct stat st;
    *l = (picture_list){0};
    if (except && stat(except, &st) == 0 && S_ISDIR(st.st_mode)) {
        l->has_except = true;
        l->except_device = st.st_dev;
        l->except_inode = st.st_ino;
    }
    bool ok = true;
    for (int i = 0; ok && i < operands->n; i++)
        ok = add_operand(l, operands->items[i], err);
    for (int i = 0; ok && i < lists->n; i++)
        ok = add_list(l, lists->items[i], err);
    return ok && (!l->n || settle(l, err));
}

void picture_list_free(picture_list *l)
{
    for (int i = 0; i < l->n; i++)
        free_item(&l->items[i]);
    free(l->items);
    free(l->first_passed_over);
    free(l->root);
    *l = (picture_list){0};
}
