
/*
 * Payload in a database: a segment is as many rows of it as its pieces have,
 * which are removed when it is evicted (database.h).
 */

#include <errno.h>
#include <stdio.h>

#include "engine/cache/store/payload.h"
#include "engine/cache/store/store.h"


/* A piece that is to be written. */
typedef struct {
    store_t   *store;
    uint32_t   piece;
    uint32_t   generation;
} blobs_piece_t;


static int blobs_check(const map_t *map, char *err, size_t err_size);
static uint64_t blobs_charge(const store_t *store, uint32_t piece);
static int blobs_write(store_t *store, uint32_t piece, uint32_t generation,
    const void *buf, uint32_t len);
static int blobs_mark(void *ctx);
static int blobs_read(store_t *store, uint32_t piece, uint32_t offset,
    void *buf, uint32_t len);
static int blobs_generation(store_t *store, uint32_t piece,
    uint32_t *generation);
static int blobs_copy(const store_t *store, uint32_t piece, void *buf,
    uint32_t len);
static void blobs_evict(store_t *store, uint32_t segment,
    uint32_t generation);
static void blobs_scan(map_t *map, int cache, DIR *dir, database_t *database);
static int blobs_holds(const map_t *map, uint32_t piece);
static void blobs_remove_rest(const map_t *map, database_t *database);


const payload_t  payload_sqlite = {
    MAP_SQLITE,
    0,
    1,
    blobs_check,
    blobs_charge,
    blobs_write,
    blobs_read,
    NULL,
    NULL,
    blobs_copy,
    blobs_evict,
    blobs_scan
};


static int
blobs_check(const map_t *map, char *err, size_t err_size)
{
    uint64_t  n;

    n = (uint64_t) map->header->piece_n * map_blocks(map->header);

    if (n > UINT32_MAX) {
        snprintf(err, err_size, "torrent is too large for the cache\n");
        return EINVAL;
    }

    return 0;
}


static uint64_t
blobs_charge(const store_t *store, uint32_t piece)
{
    return database_charge(store_piece_length(store, piece));
}


static int
blobs_write(store_t *store, uint32_t piece, uint32_t generation,
    const void *buf, uint32_t len)
{
    blobs_piece_t  p;

    p.store = store;
    p.piece = piece;
    p.generation = generation;

    return database_write(store->database, &store->map, piece, buf, len,
                          blobs_mark, &p);
}


/*
 * The rows of a segment that is evicted after this are removed after they were
 * written.
 */
static int
blobs_mark(void *ctx)
{
    int             rc;
    blobs_piece_t  *p;

    p = ctx;

    pthread_rwlock_rdlock(&p->store->lock);
    rc = payload_mark(p->store, p->piece, p->generation);
    pthread_rwlock_unlock(&p->store->lock);

    return rc;
}


/*
 * The lock is not held while the database is read: an eviction would wait for
 * it.  Bytes of another generation may be half of what they should be.
 */
static int
blobs_read(store_t *store, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len)
{
    int       rc;
    uint32_t  before, after;

    rc = blobs_generation(store, piece, &before);

    if (rc != 0) {
        return rc;
    }

    rc = database_read(store->database, &store->map,
                       (uint64_t) piece * store->map.header->piece_length
                       + offset, buf, len);

    if (blobs_generation(store, piece, &after) != 0 || before != after) {
        return ESTALE;
    }

    return (rc == EAGAIN) ? ESTALE : rc;
}


/*
 * Of a piece that is complete.
 */
static int
blobs_generation(store_t *store, uint32_t piece, uint32_t *generation)
{
    int  complete;

    pthread_rwlock_rdlock(&store->lock);

    *generation = store_generation(store, piece);
    complete = store_state(store, piece) & MAP_COMPLETE;

    pthread_rwlock_unlock(&store->lock);

    return complete ? 0 : ESTALE;
}


static int
blobs_copy(const store_t *store, uint32_t piece, void *buf, uint32_t len)
{
    return database_read(store->database, &store->map,
                         (uint64_t) piece * store->map.header->piece_length,
                         buf, len);
}


static void
blobs_evict(store_t *store, uint32_t segment, uint32_t generation)
{
    uint32_t  n, first;

    (void) generation;

    /* there is none if the cache has another layout and has lost it */

    if (store->database != NULL) {
        n = store_segment_pieces(store, segment, &first);
        database_remove(store->database, &store->map, first, n);
    }
}


/*
 * A piece is complete after its rows were committed: the map can be trusted as
 * long as it is the same database.  What else is there is of pieces that were
 * being written, or removed, when the engine died.
 */
static void
blobs_scan(map_t *map, int cache, DIR *dir, database_t *database)
{
    uint32_t             i, len;
    uint64_t             begin;
    const map_header_t  *h;

    (void) cache;
    (void) dir;

    h = map->header;

    if (database == NULL || !database_has(database, h->ih)) {
        return;
    }

    for (i = 0; i < h->piece_n; i++) {

        if (!blobs_holds(map, i)) {
            continue;
        }

        begin = (uint64_t) i * h->piece_length;
        len = (h->total_size - begin < h->piece_length)
              ? h->total_size - begin : h->piece_length;

        map->segments[i / h->pieces_per_segment].charged +=
                                                      database_charge(len);
    }

    blobs_remove_rest(map, database);
}


static int
blobs_holds(const map_t *map, uint32_t piece)
{
    uint8_t  state;

    state = map->states[piece];

    return (state & MAP_COMPLETE) || map_in_doubt(state);
}


static void
blobs_remove_rest(const map_t *map, database_t *database)
{
    uint32_t  i, n;

    for (i = 0; i < map->header->piece_n; i += n) {
        n = 1;

        if (blobs_holds(map, i)) {
            continue;
        }

        while (i + n < map->header->piece_n && !blobs_holds(map, i + n)) {
            n++;
        }

        database_remove(database, map, i, n);
    }
}
