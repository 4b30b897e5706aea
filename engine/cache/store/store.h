
/*
 * The store: the payload of one torrent, and its map.  The disk back end's
 * storage functions (shim_storage_t) work on it.
 *
 *      network thread   storage_begin()  _read() --+
 *      hash threads     storage_write()  _mark() --+-- read lock
 *      engine thread    store_discharge()  store_evict()  write lock
 *
 * The lock keeps the generation of a segment from changing between a look at
 * it and what follows.  Bits of a piece's state are set with atomic operations,
 * since workers and storage_complete() look at them without the lock.
 *
 * Space: a piece is begun and written only while it is charged, that is,
 * counted in its segment's charged bytes, which the cache sums up.  A block for
 * a piece that is not charged is refused: the limit holds whatever peers send.
 */

#ifndef _ENGINE_STORE_H_INCLUDED_
#define _ENGINE_STORE_H_INCLUDED_


#include <pthread.h>
#include <sys/queue.h>

#include <uthash.h>

#include "engine/shared/counters.h"
#include "engine/cache/store/fd_cache.h"
#include "engine/shared/map.h"
#include "engine/cache/store/payload.h"
#include "engine/shared/piece_set.h"
#include "engine/cache/store/trash.h"

#include "shim/api/shim.h"


/* What a reader may need soon: those segments are not evicted. */
typedef struct store_window_s  store_window_t;

struct store_window_s {
    TAILQ_ENTRY(store_window_s)  link;
    uint64_t                     begin;     /* piece space, [begin, end) */
    uint64_t                     end;
};


/* Pieces whose state has changed, while somebody watches; any thread. */
typedef struct {
    pieces_t           pieces;
    int                fd;      /* eventfd to be written, not owned */
    int                on;      /* atomic */
    int                noted;   /* atomic: the eventfd was written */
} store_changes_t;


struct store_s {
    uint8_t            ih[20];
    map_t              map;
    const payload_t   *payload;     /* where its bytes lie */
    store_changes_t    changes;
    int                dir;     /* descriptor of the cache directory */
    files_t           *files;   /* the cache's */
    counters_t        *counters;    /* the cache's */
    database_t        *database;    /* the cache's, or NULL */

    pthread_rwlock_t   lock;

    int                refs;    /* atomic: the cache's, the shim's */

    /* the engine thread's own */

    TAILQ_HEAD(, store_window_s)  windows;
    trash_t           *trash;       /* the cache's */
    uint32_t           readers;     /* requests that read, or will */
    uint32_t           charged_n;   /* segments with charged bytes */
    uint64_t           charged;     /* bytes of all of them */
    unsigned           loaded:1;    /* a torrent uses it */

    UT_hash_handle     hh;      /* the cache's, by ih */
};


/* The functions the shim calls (storage.c); ctx is a store_t. */
extern const shim_storage_t  store_storage;


/*
 * Takes over the mapped map.  dir: descriptor of the cache directory, stays
 * the caller's, as files does.  Returns a store with one reference, or NULL
 * (out of memory; the map is still the caller's).  Engine thread.
 */
store_t *store_create(map_t *map, int dir, files_t *files);

/* Drops a reference; the last one unmaps and closes.  Any thread. */
void store_release(store_t *store);

/* The state of a piece, MAP_ bits; changed atomically.  Any thread. */
uint8_t store_state(const store_t *store, uint32_t piece);
void store_state_set(store_t *store, uint32_t piece, uint8_t set,
    uint8_t clear);

/* Nonzero if a piece is complete; if it is stored, be it in doubt. */
int store_complete(const store_t *store, uint32_t piece);
int store_holds(const store_t *store, uint32_t piece);

/* Bytes of a piece. */
uint32_t store_piece_length(const store_t *store, uint32_t piece);

/* The segment of a piece, and its generation.  The latter under the lock. */
uint32_t store_segment(const store_t *store, uint32_t piece);
uint32_t store_generation(const store_t *store, uint32_t piece);

/* Whether a piece of a segment is charged.  It stays so under the lock. */
int store_charged(const store_t *store, uint32_t segment);

/*
 * Charges a piece that is not charged yet; returns the bytes.  Engine thread,
 * as all below.
 */
uint64_t store_charge(store_t *store, uint32_t piece, uint32_t now);

/*
 * Takes the charge of a piece back.  Returns the bytes; 0 if it is stored or
 * being written, or if some of its blocks are in memory, unless partial is
 * given: then they come to nothing.
 */
uint64_t store_discharge(store_t *store, uint32_t piece, int partial);

/*
 * Nonzero if a reader's window touches the segment, or, of a whole torrent,
 * there is a reader.
 */
int store_segment_needed(const store_t *store, uint32_t segment);

/*
 * Evicts a segment (map.h, rule 3).  Returns the bytes it was charged;
 * *complete is set to nonzero if a piece of it was complete.
 */
uint64_t store_evict(store_t *store, uint32_t segment, int *complete);

/* The first piece of a segment and how many it has. */
uint32_t store_segment_pieces(const store_t *store, uint32_t segment,
    uint32_t *first);

/* Nonzero if blocks or more of some piece of it have come. */
int store_segment_holds(const store_t *store, uint32_t segment);

/*
 * Notes from now on in store->changes which pieces change, and writes the
 * eventfd when there are any.  Returns 0, or -1 if out of memory.
 */
int store_watch(store_t *store, int fd);
void store_unwatch(store_t *store);

/*
 * Nonzero if changes were noted since the last call.  Those are taken out of
 * store->changes.pieces after it.
 */
int store_noted(store_t *store);

/* The state of a piece was changed: notes it.  Any thread. */
void store_changed(store_t *store, uint32_t piece);


#endif /* _ENGINE_STORE_H_INCLUDED_ */
