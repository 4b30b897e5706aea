
#include "engine/cache/map_create.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "engine/base/boot_id.h"


#define LAYOUT_ALIGN  64
#define LAYOUT_ROWS   (1024 * 1024)     /* bytes of a segment in a database */


static int layout_header(map_header_t *h, const uint8_t *ih, uint32_t layout,
    shim_t *shim, shim_id_t id, const shim_info_t *info);
static int layout_write(const char *name, const map_header_t *h, shim_t *shim,
    shim_id_t id, const shim_info_t *info);
static int layout_fill(uint8_t *p, const map_header_t *h, shim_t *shim,
    shim_id_t id, const shim_info_t *info);
static void layout_sort(const map_t *map);
static int layout_digest(const map_t *map, uint8_t *digest);
static int layout_cmp(const void *a, const void *b, void *data);
static int layout_counts(const shim_info_t *info, const shim_file_t *file);
static uint64_t layout_align(uint64_t n);


int
layout_create(map_t *map, const char *path, const uint8_t *ih,
    uint32_t layout, shim_t *shim, shim_id_t id, const shim_info_t *info)
{
    int           rc;
    char          hex[41], dir[PATH_MAX], name[PATH_MAX], temp[PATH_MAX];
    map_header_t  h;

    map_hex(hex, ih, 20);

    if (snprintf(dir, PATH_MAX, "%s/pieces/%s", path, hex) >= PATH_MAX
        || snprintf(name, PATH_MAX, "%.*s/map", PATH_MAX - 10, dir) >= PATH_MAX
        || snprintf(temp, PATH_MAX, "%.*s/map.tmp", PATH_MAX - 10, dir)
           >= PATH_MAX)
    {
        return ENAMETOOLONG;
    }

    if (layout_header(&h, ih, layout, shim, id, info) != 0) {
        return EINVAL;
    }

    if (mkdir(dir, 0700) == -1 && errno != EEXIST) {
        return errno;
    }

    rc = layout_write(temp, &h, shim, id, info);

    if (rc == 0 && rename(temp, name) == -1) {
        rc = errno;
    }

    if (rc == 0) {
        rc = map_open_file(map, name);
    }

    if (rc != 0) {
        (void) unlink(temp);
        (void) rmdir(dir);
    }

    return rc;
}


static int
layout_header(map_header_t *h, const uint8_t *ih, uint32_t layout,
    shim_t *shim, shim_id_t id, const shim_info_t *info)
{
    uint32_t     i, size;
    uint64_t     off;
    shim_file_t  file;

    memset(h, 0, sizeof(map_header_t));

    memcpy(h->magic, MAP_MAGIC, sizeof(h->magic));
    h->version = MAP_VERSION;
    h->header_size = sizeof(map_header_t);

    memcpy(h->ih, ih, 20);
    memcpy(h->v1, info->v1, 20);
    memcpy(h->v2, info->v2, 32);

    h->flags = (info->has_v1 ? MAP_HAS_V1 : 0)
               | (info->has_v2 ? MAP_HAS_V2 : 0)
               | (info->single_file ? MAP_SINGLE_FILE : 0)
               | (info->is_private ? MAP_IS_PRIVATE : 0)
               | layout;

    h->piece_length = info->piece_length;
    h->piece_n = info->piece_n;
    h->total_size = info->total_size;
    h->creation_date = info->creation_date;
    h->file_n = info->file_n;

    /* what has no file of its own may be evicted in small parts */

    size = (layout == MAP_SQLITE) ? LAYOUT_ROWS : MAP_SEGMENT_SIZE;

    h->pieces_per_segment = (size + info->piece_length - 1)
                            / info->piece_length;

    if (layout == MAP_FILES && h->pieces_per_segment < info->piece_n) {
        h->pieces_per_segment = info->piece_n;
    }

    h->segment_n = (info->piece_n + h->pieces_per_segment - 1)
                   / h->pieces_per_segment;

    h->strings_len = info->name_len;
    h->name_len = info->name_len;

    for (i = 0; i < info->file_n; i++) {
        if (shim_file(shim, id, i, &file) != SHIM_OK) {
            return -1;
        }

        h->strings_len += file.path_len;

        if (layout_counts(info, &file)) {
            h->whole_size += file.length;
        }
    }

    off = layout_align(sizeof(map_header_t));
    h->files_off = off;

    off = layout_align(off + (uint64_t) h->file_n * sizeof(map_file_t));
    h->sorted_off = off;

    off = layout_align(off + (uint64_t) h->file_n * sizeof(uint32_t));
    h->strings_off = off;

    off = layout_align(off + h->strings_len);
    h->states_off = off;

    off = layout_align(off + h->piece_n);
    h->segments_off = off;

    h->map_size = layout_align(off + (uint64_t) h->segment_n
                                     * sizeof(map_segment_t));

    snprintf(h->boot_id, sizeof(h->boot_id), "%s", boot_id());
    h->state = MAP_READY;

    return 0;
}


static int
layout_write(const char *name, const map_header_t *h, shim_t *shim,
    shim_id_t id, const shim_info_t *info)
{
    int    fd, rc;
    void  *p;

    fd = open(name, O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return errno;
    }

    /* every block now: a full disk is an error here, not a SIGBUS later */

    rc = posix_fallocate(fd, 0, h->map_size);

    if (rc != 0) {
        close(fd);
        return rc;
    }

    p = mmap(NULL, h->map_size, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    rc = errno;

    close(fd);

    if (p == MAP_FAILED) {
        return rc;
    }

    rc = layout_fill(p, h, shim, id, info);

    munmap(p, h->map_size);

    return rc;
}


static int
layout_fill(uint8_t *p, const map_header_t *h, shim_t *shim, shim_id_t id,
    const shim_info_t *info)
{
    map_t         map;
    uint32_t      i;
    uint64_t      whole, pos;
    map_file_t   *f;
    shim_file_t   file;

    memcpy(p, h, sizeof(map_header_t));

    map.header = (map_header_t *) p;
    map.files = (map_file_t *) (p + h->files_off);
    map.sorted = (uint32_t *) (p + h->sorted_off);
    map.strings = p + h->strings_off;
    map.states = p + h->states_off;
    map.segments = (map_segment_t *) (p + h->segments_off);

    memcpy(map.strings, info->name, info->name_len);

    pos = info->name_len;
    whole = 0;

    for (i = 0; i < h->file_n; i++) {
        f = &map.files[i];

        (void) shim_file(shim, id, i, &file);

        f->offset = file.offset;
        f->length = file.length;
        f->whole_offset = whole;
        f->path_off = pos;
        f->path_len = file.path_len;
        f->flags = (file.flags & SHIM_PAD_FILE) ? MAP_PAD_FILE : 0;

        memcpy(map.strings + pos, file.path, file.path_len);
        pos += file.path_len;

        if (layout_counts(info, &file)) {
            whole += file.length;
        }

        map.sorted[i] = i;
    }

    for (i = 0; i < h->segment_n; i++) {
        map.segments[i].generation = 1;
    }

    layout_sort(&map);

    return layout_digest(&map, map.header->digest);
}


static void
layout_sort(const map_t *map)
{
    qsort_r(map->sorted, map->header->file_n, sizeof(uint32_t), layout_cmp,
            (void *) map);
}


static int
layout_cmp(const void *a, const void *b, void *data)
{
    int                rc;
    uint32_t           x, y;
    const map_t       *map;
    const map_file_t  *f, *g;

    map = data;
    x = *(const uint32_t *) a;
    y = *(const uint32_t *) b;
    f = &map->files[x];
    g = &map->files[y];

    rc = map_bytes_cmp(map->strings + f->path_off, f->path_len,
                       map->strings + g->path_off, g->path_len);

    /* of files of one name the first in torrent order is found */

    return (rc != 0) ? rc : (x > y) - (x < y);
}


/*
 * Whether a file is part of the whole torrent as served: pads of a v2 or
 * hybrid torrent are alignment; those of a v1 torrent are files like others.
 */
static int
layout_counts(const shim_info_t *info, const shim_file_t *file)
{
    return !info->has_v2 || !(file->flags & SHIM_PAD_FILE);
}


int
layout_matches(const map_t *map, const shim_info_t *info)
{
    const map_header_t  *h;

    h = map->header;

    return h->piece_length == info->piece_length
           && h->piece_n == info->piece_n
           && h->total_size == info->total_size
           && h->file_n == info->file_n
           && !(h->flags & MAP_HAS_V1) == !info->has_v1
           && !(h->flags & MAP_HAS_V2) == !info->has_v2
           && memcmp(h->v1, info->v1, 20) == 0
           && memcmp(h->v2, info->v2, 32) == 0;
}


int
layout_is_whole(const map_t *map)
{
    uint8_t  digest[32];

    return layout_digest(map, digest) == 0
           && memcmp(map->header->digest, digest, sizeof(digest)) == 0;
}


/*
 * The digest of what never changes.  The bounds of the map were checked.
 */
static int
layout_digest(const map_t *map, uint8_t *digest)
{
    int             ok;
    uint32_t        i;
    EVP_MD_CTX     *ctx;
    map_file_t      file;
    const uint8_t  *rest, *end;

    rest = (const uint8_t *) &map->files[map->header->file_n];
    end = (const uint8_t *) map->header + map->header->states_off;
    ctx = EVP_MD_CTX_new();

    ok = ctx != NULL
         && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)
         && EVP_DigestUpdate(ctx, map->header, offsetof(map_header_t, digest));

    for (i = 0; ok && i < map->header->file_n; i++) {
        file = map->files[i];
        file.flags &= ~MAP_MADE;
        ok = EVP_DigestUpdate(ctx, &file, sizeof(file));
    }

    ok = ok
         && EVP_DigestUpdate(ctx, rest, end - rest)
         && EVP_DigestFinal_ex(ctx, digest, NULL);

    EVP_MD_CTX_free(ctx);

    return ok ? 0 : ENOMEM;
}


static uint64_t
layout_align(uint64_t n)
{
    return (n + LAYOUT_ALIGN - 1) & ~(uint64_t) (LAYOUT_ALIGN - 1);
}
