
#include "engine/cache/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cache/map_create.h"
#include "engine/cache/scan.h"
#include "engine/cache/clean_marker.h"
#include "engine/shared/file_tree.h"


static int cache_open_folders(cache_t *cache);
static int cache_scan(cache_t *cache, int sealed);
static int cache_scan_one(cache_t *cache, scan_t *scan, const char *name);
static void cache_add(cache_t *cache, store_t *store);
static void cache_empty(cache_t *cache, store_t *store);
static void cache_drop_partial(cache_t *cache, store_t *store);
static void cache_retire(cache_t *cache, store_t *store);


int
cache_open(cache_t *cache)
{
    int  rc, sealed;

    cache->dir = open(cache->path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (cache->dir == -1) {
        return errno;
    }

    files_open(&cache->files, cache->caches);

    rc = cache_open_folders(cache);

    if (rc != 0) {
        return rc;
    }

    counters_init(&cache->counters);
    cache->counters_err = counters_create(&cache->counters, cache->path);
    counters_add(&cache->counters, COUNTERS_STARTS, 1);

    rc = seal_break(cache->dir, &sealed);

    if (rc == 0) {
        rc = cache_scan(cache, sealed);
    }

    if (rc != 0) {
        return rc;
    }

    scan_files(cache->stores, cache->dir, &cache->trash);

    if (cache->sealable) {
        scan_rows(cache->stores, cache->database);
    }

    cache->limit = cache->max_size;

    while (cache->max_size >= 0
           && cache->used > (uint64_t) cache->max_size
           && cache_evict(cache) != 0)
    {
        /* void */
    }

    return 0;
}


static int
cache_open_folders(cache_t *cache)
{
    if ((mkdirat(cache->dir, "pieces", 0700) == -1 && errno != EEXIST)
        || (mkdirat(cache->dir, "metainfo", 0700) == -1 && errno != EEXIST))
    {
        return errno;
    }

    if (cache->layout == MAP_FILES
        && mkdirat(cache->dir, TREE_FOLDER, 0755) == -1 && errno != EEXIST)
    {
        return errno;
    }

    return trash_open(&cache->trash, cache->dir);
}


static int
cache_scan(cache_t *cache, int sealed)
{
    int             rc;
    DIR            *dir;
    char            name[PATH_MAX];
    scan_t          scan;
    struct dirent  *entry;

    if (snprintf(name, PATH_MAX, "%s/pieces", cache->path) >= PATH_MAX) {
        return ENAMETOOLONG;
    }

    dir = opendir(name);

    if (dir == NULL) {
        return errno;
    }

    scan.dir = cache->dir;
    scan.path = cache->path;
    scan.files = &cache->files;
    scan.database = cache->database;
    scan.sealed = sealed;

    cache->sealable = 1;
    rc = 0;

    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        rc = cache_scan_one(cache, &scan, entry->d_name);
    }

    closedir(dir);

    return rc;
}


/*
 * Returns an errno if it is of no use to look at more.
 */
static int
cache_scan_one(cache_t *cache, scan_t *scan, const char *name)
{
    int       rc;
    store_t  *store;

    rc = scan_store(scan, &store, name);

    if (rc == 0) {
        cache->doubts += scan->doubts;
        cache_add(cache, store);
        return 0;
    }

    if (rc == EINVAL) {
        return 0;
    }

    if (rc != EBADMSG && rc != EIO && rc != ENOENT) {
        /* it is there still: the next one who looks must not trust it */
        cache->sealable = 0;
    }

    if (rc == EMFILE || rc == ENFILE || rc == ENOMEM) {
        return rc;
    }

    if (cache->refused != NULL) {
        cache->refused(cache->ctx, name, rc);
    }

    return 0;
}


void
cache_close(cache_t *cache, int flush)
{
    store_t  *store, *next;

    database_close(cache->database);
    cache->database = NULL;

    if (cache->dir == -1) {
        return;
    }

    trash_close(&cache->trash);

    HASH_ITER(hh, cache->stores, store, next) {
        HASH_DEL(cache->stores, store);
        store_release(store);
    }

    files_close(&cache->files);
    victims_free(&cache->victims);

    counters_close(&cache->counters);

    if (flush && cache->sealable) {
        seal_make(cache->dir);
    }

    close(cache->dir);
    cache->dir = -1;
}


static void
cache_add(cache_t *cache, store_t *store)
{
    cache->used += store->charged;

    store->trash = &cache->trash;
    store->counters = &cache->counters;
    store->database = cache->database;

    HASH_ADD_KEYPTR(hh, cache->stores, store->ih, 20, store);
}


store_t *
cache_find(cache_t *cache, const uint8_t *ih)
{
    store_t  *store;

    HASH_FIND(hh, cache->stores, ih, 20, store);

    return store;
}


int
cache_store(cache_t *cache, store_t **store, const uint8_t *ih, shim_t *shim,
    shim_id_t id, const shim_info_t *info, char *err, size_t err_size)
{
    int       rc;
    map_t     map;
    store_t  *s;

    err[0] = '\0';
    s = cache_find(cache, ih);

    if (s != NULL && !map_is_there(&s->map, cache->path)) {
        cache_lose(cache, s);
        s = NULL;
    }

    if (s != NULL
        && (!layout_matches(&s->map, info)
            || (s->charged_n == 0 && map_layout(&s->map) != cache->layout)))
    {
        cache_empty(cache, s);
        cache_retire(cache, s);
        s = NULL;
    }

    if (s == NULL) {
        rc = layout_create(&map, cache->path, ih, cache->layout, shim, id,
                           info);

        if (rc != 0) {
            return rc;
        }

        s = store_create(&map, cache->dir, &cache->files);

        if (s == NULL) {
            map_close(&map);
            return ENOMEM;
        }

        cache_add(cache, s);

        rc = (s->payload->check != NULL)
             ? s->payload->check(&s->map, err, err_size) : 0;

        if (rc != 0) {
            cache_retire(cache, s);
            return rc;
        }
    }

    s->loaded = 1;
    *store = s;

    return 0;
}


void
cache_unload(cache_t *cache, store_t *store, int keep)
{
    store->loaded = 0;
    store->readers = 0;

    if (!map_usable(&store->map)) {
        cache_lose(cache, store);
        return;
    }

    if (store->payload->whole && !keep && store->charged_n != 0) {
        (void) cache_evict_segment(cache, store, 0);    /* and retires it */
        return;
    }

    cache_drop_partial(cache, store);

    if (store->charged_n == 0) {
        cache_retire(cache, store);
    }
}


void
cache_lose(cache_t *cache, store_t *store)
{
    DIR   *dir;
    char   hex[41], name[PATH_MAX];

    map_hex(hex, store->ih, 20);

    if (cache->refused != NULL) {
        cache->refused(cache->ctx, hex, EBADMSG);
    }

    map_retire(&store->map);
    cache_empty(cache, store);

    /* files of generations that it does not tell any more, too */

    snprintf(name, sizeof(name), "%s/pieces/%s", cache->path, hex);

    dir = opendir(name);

    if (dir != NULL) {
        scan_remove(dir, name);
        closedir(dir);
    }

    if (cache->evicted != NULL) {
        cache->evicted(cache->ctx, store, 0, MAP_COMPLETE);
    }

    cache_retire(cache, store);
}


/*
 * Evicts all of it, whether the map tells what that is or not.
 */
static void
cache_empty(cache_t *cache, store_t *store)
{
    int       complete;
    uint32_t  i;

    for (i = 0; i < store->map.header->segment_n; i++) {
        cache->used -= store_evict(store, i, &complete);
    }

    cache->used -= store->charged;
    store->charged = 0;
    store->charged_n = 0;
}


/*
 * Gives the space of pieces back that are not whole: the torrent's blocks, in
 * memory, go with it.
 */
static void
cache_drop_partial(cache_t *cache, store_t *store)
{
    int       complete;
    uint32_t  i, k, n, first;

    for (i = 0; i < store->map.header->segment_n; i++) {

        if (store->map.segments[i].charged == 0) {
            continue;
        }

        n = store_segment_pieces(store, i, &first);
        complete = 0;

        for (k = first; k < first + n; k++) {
            cache_unreserve(cache, store, k, 1);
            complete |= store_holds(store, k);
        }

        if (!complete) {
            cache->used -= store_evict(store, i, &complete);
        }
    }
}


/*
 * Removes a store that has no bytes.
 */
static void
cache_retire(cache_t *cache, store_t *store)
{
    char  hex[41], name[PATH_MAX];

    map_retire(&store->map);

    map_hex(hex, store->ih, 20);

    snprintf(name, sizeof(name), "pieces/%s/map", hex);
    (void) unlinkat(cache->dir, name, 0);

    snprintf(name, sizeof(name), "pieces/%s", hex);
    (void) unlinkat(cache->dir, name, AT_REMOVEDIR);

    HASH_DEL(cache->stores, store);
    store_release(store);

    /* the list may name it */
    cache->victims.n = 0;
}


uint64_t
cache_evict(cache_t *cache)
{
    uint64_t  n;
    victim_t  v;

    if (victims_take(&cache->victims, cache->stores, &v) != 0) {
        return 0;
    }

    n = cache_evict_segment(cache, v.store, v.segment);

    counters_add(&cache->counters, COUNTERS_EVICTED_SEGMENTS, 1);
    counters_add(&cache->counters, COUNTERS_EVICTED_BYTES, n);

    return n;
}


uint64_t
cache_evict_segment(cache_t *cache, store_t *store, uint32_t segment)
{
    int       complete;
    uint64_t  n;

    n = store_evict(store, segment, &complete);

    cache->used -= n;

    if (cache->evicted != NULL) {
        cache->evicted(cache->ctx, store, segment, complete);
    }

    if (store->charged_n == 0 && !store->loaded) {
        cache_retire(cache, store);
    }

    return n;
}
