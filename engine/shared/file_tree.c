
#include "engine/shared/file_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


#define TREE_TEXT  120      /* bytes of a path in an error's text */


static size_t tree_name_len(const map_t *map);
static int tree_path(const map_t *map, uint32_t n, char *buf);
static int tree_walk(int at, const char *root, char *path, int make,
    const char **last);
static int tree_enter(int dir, const char *name, int make);
static const char *tree_check_path(const map_t *map, uint32_t n);
static const char *tree_check_part(const uint8_t *path, size_t len);
static int tree_check_order(const map_t *map, uint32_t *list, uint32_t n,
    char *err, size_t err_size);
static int tree_cmp(const void *a, const void *b, void *data);
static void tree_error(const map_t *map, uint32_t n, const char *what,
    char *err, size_t err_size);


void
tree_root(char *buf, const uint8_t *ih)
{
    memcpy(buf, TREE_FOLDER "/", sizeof(TREE_FOLDER));
    map_hex(buf + sizeof(TREE_FOLDER), ih, 20);
}


int
tree_open(int at, const char *root, const map_t *map, uint32_t n, int flags)
{
    int          fd, dir, err;
    char         path[TREE_PATH + 1];
    const char  *last;
    struct stat  st;

    if (tree_path(map, n, path) != 0) {
        return -1;
    }

    dir = tree_walk(at, root, path, 0, &last);

    if (dir == -1) {
        return -1;
    }

    fd = openat(dir, last, flags|O_NONBLOCK|O_NOCTTY|O_CLOEXEC|O_NOFOLLOW);
    err = errno;

    close(dir);

    if (fd != -1) {
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
            return fd;
        }

        err = EINVAL;
        close(fd);
    }

    errno = err;

    return -1;
}


int
tree_create(int at, const char *root, const map_t *map, uint32_t n)
{
    int          fd, dir, err;
    char         path[TREE_PATH + 1];
    const char  *last;

    if (tree_path(map, n, path) != 0) {
        return -1;
    }

    dir = tree_walk(at, root, path, 1, &last);

    if (dir == -1) {
        return -1;
    }

    /* never one that is there: a file system may take two names for one */

    fd = openat(dir, last, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0644);
    err = errno;

    if (fd != -1 && ftruncate(fd, map->files[n].length) == -1) {
        err = errno;
        (void) unlinkat(dir, last, 0);
        close(fd);
        fd = -1;
    }

    close(dir);
    errno = err;

    return fd;
}


void
tree_remove(int at, const char *root, const map_t *map, uint32_t n)
{
    int          dir;
    char         path[TREE_PATH + 1];
    const char  *last;

    if (tree_path(map, n, path) != 0) {
        return;
    }

    dir = tree_walk(at, root, path, 0, &last);

    if (dir != -1) {
        (void) unlinkat(dir, last, 0);
        close(dir);
    }
}


/*
 * Bytes of the torrent's name, if that is a folder.
 */
static size_t
tree_name_len(const map_t *map)
{
    const map_header_t  *h;

    h = map->header;

    if ((h->flags & MAP_SINGLE_FILE)
        || (h->name_len == 1 && map->strings[h->name_off] == '-'))
    {
        return 0;
    }

    return h->name_len;
}


static int
tree_path(const map_t *map, uint32_t n, char *buf)
{
    size_t             len;
    const map_file_t  *f;

    f = &map->files[n];
    len = tree_name_len(map);

    if (len + 1 + f->path_len > TREE_PATH) {
        errno = ENAMETOOLONG;
        return -1;
    }

    if (len != 0) {
        memcpy(buf, map->strings + map->header->name_off, len);
        buf[len++] = '/';
    }

    memcpy(buf + len, map->strings + f->path_off, f->path_len);
    buf[len + f->path_len] = '\0';

    return 0;
}


/*
 * The folder in which a path ends, and its last component.  Cuts the path.
 */
static int
tree_walk(int at, const char *root, char *path, int make, const char **last)
{
    int    dir, next, err;
    char  *p;

    dir = tree_enter(at, root, make);

    while (dir != -1) {
        p = strchr(path, '/');

        if (p == NULL) {
            *last = path;
            return dir;
        }

        *p = '\0';

        next = tree_enter(dir, path, make);
        err = errno;

        close(dir);
        errno = err;

        dir = next;
        path = p + 1;
    }

    return -1;
}


static int
tree_enter(int dir, const char *name, int make)
{
    int  fd;

    fd = openat(dir, name, O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_NOFOLLOW);

    if (fd != -1 || errno != ENOENT || !make) {
        return fd;
    }

    if (mkdirat(dir, name, 0755) == -1 && errno != EEXIST) {
        return -1;
    }

    return openat(dir, name, O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_NOFOLLOW);
}


int
tree_check(const map_t *map, char *err, size_t err_size)
{
    int          rc;
    uint32_t     i, n, *list;
    const char  *what;

    list = malloc((map->header->file_n + 1) * sizeof(uint32_t));

    if (list == NULL) {
        snprintf(err, err_size, "out of memory");
        errno = ENOMEM;
        return -1;
    }

    n = 0;
    rc = 0;

    for (i = 0; rc == 0 && i < map->header->file_n; i++) {

        if (map_flags(&map->files[i]) & MAP_PAD_FILE) {
            continue;
        }

        list[n++] = i;
        what = tree_check_path(map, i);

        if (what != NULL) {
            tree_error(map, i, what, err, err_size);
            rc = -1;
        }
    }

    if (rc == 0) {
        rc = tree_check_order(map, list, n, err, err_size);
    }

    free(list);
    errno = EINVAL;

    return rc;
}


static const char *
tree_check_path(const map_t *map, uint32_t n)
{
    size_t             len;
    const char        *what;
    const map_file_t  *f;

    f = &map->files[n];
    len = tree_name_len(map);

    if (len + 1 + f->path_len > TREE_PATH) {
        return "is too long";
    }

    what = (len != 0) ? tree_check_part(map->strings + map->header->name_off,
                                        len)
                      : NULL;

    return (what != NULL) ? what
                          : tree_check_part(map->strings + f->path_off,
                                            f->path_len);
}


/*
 * What is wrong about the components of a path, or NULL.
 */
static const char *
tree_check_part(const uint8_t *path, size_t len)
{
    size_t          n;
    unsigned        depth;
    const uint8_t  *p, *end;

    if (memchr(path, '\0', len) != NULL) {
        return "has a zero byte";
    }

    end = path + len;

    for (depth = 0; depth < TREE_DEPTH; depth++) {
        p = memchr(path, '/', end - path);
        n = (p != NULL) ? p - path : end - path;

        if (n == 0) {
            return "has an empty component";
        }

        if ((n == 1 && path[0] == '.')
            || (n == 2 && path[0] == '.' && path[1] == '.'))
        {
            return "has a component \".\" or \"..\"";
        }

        if (n > TREE_COMPONENT) {
            return "has a component that is too long";
        }

        if (p == NULL) {
            return NULL;
        }

        path = p + 1;
    }

    return "has too many components";
}


/*
 * In an order in which '/' comes first, what is in a folder follows right after
 * a file of the folder's name.
 */
static int
tree_check_order(const map_t *map, uint32_t *list, uint32_t n, char *err,
    size_t err_size)
{
    uint32_t           i;
    const map_file_t  *f, *g;

    qsort_r(list, n, sizeof(uint32_t), tree_cmp, (void *) map);

    for (i = 1; i < n; i++) {
        f = &map->files[list[i - 1]];
        g = &map->files[list[i]];

        if (f->path_len > g->path_len
            || memcmp(map->strings + f->path_off, map->strings + g->path_off,
                      f->path_len)
               != 0)
        {
            continue;
        }

        if (f->path_len == g->path_len) {
            tree_error(map, list[i], "is there twice", err, err_size);
            return -1;
        }

        if (map->strings[g->path_off + f->path_len] == '/') {
            tree_error(map, list[i - 1], "is a file and a folder", err,
                       err_size);
            return -1;
        }
    }

    return 0;
}


static int
tree_cmp(const void *a, const void *b, void *data)
{
    uint32_t           i, n;
    const map_t       *map;
    const uint8_t     *x, *y;
    const map_file_t  *f, *g;

    map = data;
    f = &map->files[*(const uint32_t *) a];
    g = &map->files[*(const uint32_t *) b];
    x = map->strings + f->path_off;
    y = map->strings + g->path_off;
    n = (f->path_len < g->path_len) ? f->path_len : g->path_len;

    for (i = 0; i < n && x[i] == y[i]; i++) { /* void */ }

    if (i == n) {
        return (f->path_len > g->path_len) - (f->path_len < g->path_len);
    }

    if (x[i] == '/' || y[i] == '/') {
        return (x[i] == '/') ? -1 : 1;
    }

    return (x[i] < y[i]) ? -1 : 1;
}


/*
 * Text of the network: no byte of it is to look like something else.
 */
static void
tree_error(const map_t *map, uint32_t n, const char *what, char *err,
    size_t err_size)
{
    char               text[TREE_TEXT + 4];
    size_t             i, len;
    const map_file_t  *f;

    f = &map->files[n];
    len = (f->path_len < TREE_TEXT) ? f->path_len : TREE_TEXT;

    memcpy(text, map->strings + f->path_off, len);

    for (i = 0; i < len; i++) {
        if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
        }
    }

    snprintf(text + len, sizeof(text) - len, "%s",
             (len < f->path_len) ? "..." : "");
    snprintf(err, err_size, "path \"%s\" %s", text, what);
}
