
/*
 * The cache: every store below one directory, and the limit on their bytes.
 *
 *      <path>/lock                    flock: one engine per directory
 *      <path>/engine.sock             control socket
 *      <path>/counters                what is counted (counters.h)
 *      <path>/metainfo/<ih>.torrent   last known metainfo
 *      <path>/pieces/<ih>/...         a store each
 *      <path>/files/<ih>/...          the payload of one in files (tree.h)
 *      <path>/pieces.db               that of those in a database (database.h)
 *      <path>/trash/<n>/...           what is being removed (trash.h)
 *      <path>/upload/<n>/...          what is being uploaded (upload.h)
 *      <path>/sealed                  all of it is on disk (seal.h)
 *
 * The limit is on the sum of the stores' charged bytes.  It is kept before
 * bytes arrive: cache_reserve() evicts until the piece fits.  Victims are
 * segments of stores that nobody reads, by last read; then segments no window
 * touches.  What a window touches is never evicted.  A torrent in files is one
 * segment, which goes only when it has no reader: if all that is there is read
 * there is no space for more.
 *
 * Engine thread only.
 */

#ifndef _ENGINE_CACHE_H_INCLUDED_
#define _ENGINE_CACHE_H_INCLUDED_


#include "engine/cache/store/store.h"
#include "engine/cache/victims.h"


typedef struct {
    const char      *path;
    int              dir;
    unsigned         caches;    /* in this process, 1 or more */
    uint32_t         layout;    /* of new stores: MAP_SEGMENTS... */
    int64_t          max_size;  /* bytes, negative: no limit */
    int64_t          limit;     /* the same, or less while the disk is full */
    int64_t          full;      /* when the disk was full, ms, or 0 */
    uint64_t         used;      /* bytes charged */

    store_t         *stores;    /* hash by ih */
    files_t          files;     /* open segments of all stores */
    trash_t          trash;
    database_t      *database;  /* NULL: there is none */

    victims_t        victims;

    counters_t       counters;
    int              counters_err;  /* errno, if there is no file of them */

    uint64_t         doubts;    /* pieces in doubt, when it was opened */
    unsigned         sealable:1;    /* all that is there was looked at */

    /* a folder of pieces/ could not be used; err: why */
    void           (*refused)(void *ctx, const char *name, int err);

    /* a segment was evicted; complete: bytes of it were servable */
    void           (*evicted)(void *ctx, store_t *store, uint32_t segment,
                              int complete);
    void            *ctx;
} cache_t;


/*
 * Makes the folders, reads what is there, discards what is damaged, and evicts
 * down to the limit.
 *
 * cache: path, caches, layout, max_size, database and the callbacks are set,
 *        the rest is zero; it takes over the database
 * Returns 0 or an errno; cache_close() in any case.
 */
int cache_open(cache_t *cache);

/*
 * Closes every map.  flush: all is brought to disk and sealed, so that it is
 * trusted after a reboot too.
 */
void cache_close(cache_t *cache, int flush);

/* The store of a torrent, or NULL. */
store_t *cache_find(cache_t *cache, const uint8_t *ih);

/*
 * The store of a torrent whose metadata is known: the one that is there if its
 * geometry is the same, in whatever layout it has bytes, else a new one.
 * Returns 0 or an errno; err is not "" if the torrent cannot be kept in this
 * layout.
 */
int cache_store(cache_t *cache, store_t **store, const uint8_t *ih,
    shim_t *shim, shim_id_t id, const shim_info_t *info, char *err,
    size_t err_size);

/*
 * A torrent stopped using its store; one without bytes is removed, and one in
 * files with all that it has, unless keep is given.
 */
void cache_unload(cache_t *cache, store_t *store, int keep);

/*
 * The map of a store was cut, removed or replaced: says so, and removes all
 * that the store had.  It is gone on return.
 */
void cache_lose(cache_t *cache, store_t *store);

/*
 * Reserves the space of a piece; does nothing if it has it.
 *
 * force: go beyond the limit rather than fail (a reader's next piece), unless
 *        it is of a torrent in files: what that has makes no room for it
 * Returns 0, or ENOSPC if nothing can be evicted.
 */
int cache_reserve(cache_t *cache, store_t *store, uint32_t piece, int force);

/*
 * Gives the space of a piece back unless it is complete; one of which blocks
 * have come only if partial is given.
 */
void cache_unreserve(cache_t *cache, store_t *store, uint32_t piece,
    int partial);

/*
 * Makes room for bytes that are not of a store yet, at least need and at most
 * most; *got is what now counts as used, until the caller takes it off.
 * Returns 0, or ENOSPC if not even need bytes can be had.
 */
int cache_stage(cache_t *cache, uint64_t need, uint64_t most, uint64_t *got);

/* Evicts the best victim.  Returns the bytes freed, 0 if there is none. */
uint64_t cache_evict(cache_t *cache);

/*
 * Evicts that segment.  The store is gone on return if that was its last one
 * and no torrent uses it.  Returns the bytes freed.
 */
uint64_t cache_evict_segment(cache_t *cache, store_t *store,
    uint32_t segment);

/*
 * Nonzero for a second after the disk was seen to be full, the time until the
 * pieces that failed are asked for again.
 */
int cache_is_full(const cache_t *cache);

/*
 * The disk is full below the limit: evicts, and keeps to what fits for a
 * minute.  Returns the bytes freed, 0 if nothing can be evicted.
 */
uint64_t cache_disk_full(cache_t *cache);


#endif /* _ENGINE_CACHE_H_INCLUDED_ */
