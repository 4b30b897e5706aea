
#include "adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader.h"


static int adopt_is_complete(const store_t *store, uint32_t segment);


int
adopt_segment(torrent_t *torrent, uint32_t segment, const char *from,
    uint64_t size)
{
    int           complete;
    char          to[MAP_SEGMENT_NAME];
    cache_t      *cache;
    store_t      *store;
    uint32_t      i, n, first;
    struct stat   st;

    cache = &torrent->engine->cache;
    store = torrent->store;

    if (adopt_is_complete(store, segment)) {
        (void) unlinkat(cache->dir, from, 0);
        return 0;
    }

    if (fstatat(cache->dir, from, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return errno;
    }

    if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != size) {
        return EINVAL;
    }

    cache->used -= store_evict(store, segment, &complete);
    cache->evicted(cache->ctx, store, segment, complete);

    map_segment_name(store->ih, segment,
                     store->map.segments[segment].generation, to, sizeof(to));

    if (renameat(cache->dir, from, cache->dir, to) == -1) {
        return errno;
    }

    /*
     * The file has its name before a piece is charged, so that nobody else
     * creates it, and its bytes before a piece is complete.
     */

    n = store_segment_pieces(store, segment, &first);

    for (i = first; i < first + n; i++) {
        (void) cache_reserve(cache, store, i, 1);
        store_state_set(store, i, MAP_COMPLETE, 0);
    }

    (void) shim_have(torrent->engine->shim, torrent->id, first, n);
    reader_have(torrent, first, n);

    return 0;
}


static int
adopt_is_complete(const store_t *store, uint32_t segment)
{
    uint32_t  i, n, first;

    n = store_segment_pieces(store, segment, &first);

    for (i = first; i < first + n; i++) {
        if (!(store_state(store, i) & MAP_COMPLETE)) {
            return 0;
        }
    }

    return 1;
}
