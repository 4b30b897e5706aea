
/*
 * The space of the cache: what is charged before bytes arrive, and what is done
 * when the disk has less than the limit allows.
 */

#include <errno.h>
#include <sys/statvfs.h>
#include <time.h>

#include "engine/cache/cache.h"
#include "engine/core/log.h"


#define CACHE_FULL_TIME   60000             /* ms */
#define CACHE_FULL_RETRY  900               /* ms */
#define CACHE_FULL_FREE   MAP_SEGMENT_SIZE  /* bytes, at once */
#define CACHE_DISK_SPARE  MAP_SEGMENT_SIZE  /* for maps and metainfo */
#define CACHE_PAGE        4096


static void cache_recover(cache_t *cache);
static uint64_t cache_room(const cache_t *cache);


int
cache_reserve(cache_t *cache, store_t *store, uint32_t piece, int force)
{
    uint64_t  n;

    if (__atomic_load_n(&store->map.states[piece], __ATOMIC_RELAXED)
        & (MAP_CHARGED|MAP_COMPLETE))
    {
        return 0;
    }

    cache_recover(cache);

    if (cache->limit >= 0) {
        n = store->payload->charge(store, piece);

        while (cache->used + n > (uint64_t) cache->limit) {
            if (cache_evict(cache) == 0) {
                break;
            }
        }

        if (cache->used + n > (uint64_t) cache->limit
            && (!force || store->payload->whole))
        {
            return ENOSPC;
        }
    }

    cache->used += store_charge(store, piece, time(NULL));

    return 0;
}


/*
 * Some time after the disk was full there may be more on it again.
 */
static void
cache_recover(cache_t *cache)
{
    if (cache->full != 0 && engine_now() - cache->full > CACHE_FULL_TIME) {
        cache->full = 0;
        cache->limit = cache->max_size;
    }
}


int
cache_stage(cache_t *cache, uint64_t need, uint64_t most, uint64_t *got)
{
    uint64_t  n, room;

    cache_recover(cache);

    room = cache_room(cache);

    while (room < most) {
        n = cache_evict(cache);

        if (n == 0) {
            break;
        }

        /* of the disk it may be free only when workers have closed it */

        room += n;
        n = (cache->limit >= 0 && cache->used < (uint64_t) cache->limit)
            ? cache->limit - cache->used : 0;
        room = (cache->limit >= 0 && n < room) ? n : room;
    }

    room &= ~(uint64_t) (CACHE_PAGE - 1);
    *got = (room < most) ? room : most;

    if (*got < need) {
        *got = 0;
        return ENOSPC;
    }

    cache->used += *got;

    return 0;
}


/*
 * Bytes that may be stored without evicting: of the limit, and of the disk.
 */
static uint64_t
cache_room(const cache_t *cache)
{
    uint64_t        limit, disk;
    struct statvfs  st;

    limit = UINT64_MAX;
    disk = UINT64_MAX;

    if (cache->limit >= 0) {
        limit = (cache->used < (uint64_t) cache->limit)
                ? cache->limit - cache->used : 0;
    }

    if (fstatvfs(cache->dir, &st) == 0) {
        disk = (uint64_t) st.f_bavail * st.f_frsize;
        disk = (disk > CACHE_DISK_SPARE) ? disk - CACHE_DISK_SPARE : 0;
    }

    return (limit < disk) ? limit : disk;
}


void
cache_unreserve(cache_t *cache, store_t *store, uint32_t piece, int partial)
{
    cache->used -= store_discharge(store, piece, partial);
}


int
cache_is_full(const cache_t *cache)
{
    return cache->full != 0 && engine_now() - cache->full < CACHE_FULL_RETRY;
}


uint64_t
cache_disk_full(cache_t *cache)
{
    uint64_t  n, used;

    used = cache->used;

    do {
        n = cache_evict(cache);
    } while (n != 0 && used - cache->used < CACHE_FULL_FREE);

    cache->full = engine_now();
    cache->limit = cache->used;

    return used - cache->used;
}
