
/*
 * A cache without a swarm, and torrents of four files in it; for programs that
 * test one.
 */

#ifndef _T_UNIT_FIXTURE_H_INCLUDED_
#define _T_UNIT_FIXTURE_H_INCLUDED_


#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cache/cache.h"
#include "tap.h"


#define PIECE   65536
#define PIECES  200                 /* 64 to a segment */
#define TOTAL   ((uint64_t) PIECES * PIECE - 1000)


static char           path[PATH_MAX];
static uint8_t        ih[20];
static unsigned       evicted;
static unsigned       refused;

static const struct {
    const char       *path;
    uint64_t          offset;
    uint64_t          length;
    uint32_t          flags;
} files[] = {
    { "b/two", 0, 100, 0 },
    { ".pad/1", 100, PIECE - 100, SHIM_PAD_FILE },
    { "a", PIECE, 10, 0 },
    { "b/two", PIECE + 10, TOTAL - PIECE - 10, 0 }
};


/* what layout_create() asks of the shim */

shim_rc_t
shim_file(shim_t *s, shim_id_t id, uint32_t n, shim_file_t *file)
{
    (void) s;
    (void) id;

    file->offset = files[n].offset;
    file->length = files[n].length;
    file->path = files[n].path;
    file->path_len = strlen(files[n].path);
    file->flags = files[n].flags;

    return SHIM_OK;
}


/* A directory for caches; ends the program with all that is there. */

static inline int
fixture_begin(void)
{
    snprintf(path, sizeof(path), "%s/confluence-unit.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");

    return (mkdtemp(path) == NULL) ? -1 : 0;
}


static inline int
fixture_end(void)
{
    (void) done_testing();
    fflush(stdout);

    return execlp("rm", "rm", "-rf", path, NULL);
}


static inline void
count_evicted(void *ctx, store_t *store, uint32_t segment, int complete)
{
    (void) ctx;
    (void) store;
    (void) segment;
    (void) complete;

    evicted++;
}


static inline void
count_refused(void *ctx, const char *name, int err)
{
    (void) ctx;
    (void) name;
    (void) err;

    refused++;
}


static inline void
open_cache(cache_t *cache, int64_t max_size)
{
    memset(cache, 0, sizeof(cache_t));

    cache->path = path;
    cache->caches = 1;
    cache->max_size = max_size;
    cache->evicted = count_evicted;
    cache->refused = count_refused;

    if (cache_open(cache) != 0) {
        ok(0, "cache_open()");
        exit(1);
    }
}


static inline store_t *
make_store(cache_t *cache, uint8_t name)
{
    char          err[256];
    store_t      *store;
    shim_info_t   info;

    memset(&info, 0, sizeof(info));
    info.size = sizeof(info);
    info.has_v1 = 1;
    info.has_v2 = 1;
    info.v1[0] = name;
    info.piece_length = PIECE;
    info.piece_n = PIECES;
    info.total_size = TOTAL;
    info.file_n = sizeof(files) / sizeof(files[0]);
    info.name = "name";
    info.name_len = 4;

    memset(ih, 0, 20);
    ih[0] = name;

    if (cache_store(cache, &store, ih, NULL, 0, &info, err, sizeof(err)) != 0) {
        return NULL;
    }

    return store;
}


static inline int
fill(cache_t *cache, store_t *store, uint32_t piece)
{
    uint32_t  generation;
    uint8_t   bytes[PIECE];

    if (cache_reserve(cache, store, piece, 0) != 0
        || store_storage.begin(store, piece, &generation) != 0)
    {
        return -1;
    }

    memset(bytes, piece, sizeof(bytes));

    if (store_storage.write(store, piece, generation, bytes,
                            store_piece_length(store, piece))
        != 0)
    {
        return -1;
    }

    return store_storage.mark(store, piece, generation, SHIM_PIECE_COMPLETE);
}


/* As a worker reads: by the map and the segment's file. */
static inline int
is_right(uint32_t piece)
{
    int           fd, rc;
    char          name[PATH_MAX];
    map_t         map;
    uint8_t       byte[2];
    map_extent_t  e;

    if (map_open(&map, path, ih) != 0) {
        return 0;
    }

    rc = 0;

    if (map_extent(&map, (uint64_t) piece * PIECE, 1000, 1, &e) == 1000) {
        rc = snprintf(name, sizeof(name), "%s/", path);
        map_segment_name(ih, e.segment, e.generation, name + rc,
                         sizeof(name) - rc);

        fd = open(name, O_RDONLY);

        rc = fd != -1
             && pread(fd, byte, 1, e.offset) == 1
             && pread(fd, byte + 1, 1, e.offset + 999) == 1
             && map_still(&map, &e)
             && byte[0] == (uint8_t) piece
             && byte[1] == (uint8_t) piece;

        close(fd);
    }

    map_close(&map);

    return rc;
}


#endif /* _T_UNIT_FIXTURE_H_INCLUDED_ */
