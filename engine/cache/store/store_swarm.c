
#include "engine/cache/store/store.h"

#include <errno.h>


static int storage_begin(void *ctx, uint32_t piece, uint32_t *generation);
static int storage_write(void *ctx, uint32_t piece, uint32_t generation,
    void const *buf, uint32_t len);
static int storage_mark(void *ctx, uint32_t piece, uint32_t generation,
    shim_piece_state_t state);
static int storage_current(void *ctx, uint32_t piece, uint32_t generation);
static int storage_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len);
static int storage_complete(void *ctx, uint32_t piece);
static void storage_release(void *ctx);


const shim_storage_t  store_storage = {
    storage_begin,
    storage_write,
    storage_mark,
    storage_current,
    storage_read,
    storage_complete,
    storage_release
};


static int
storage_begin(void *ctx, uint32_t piece, uint32_t *generation)
{
    int       rc;
    uint8_t   state;
    store_t  *store;

    store = ctx;

    if (piece >= store->map.header->piece_n) {
        return EINVAL;
    }

    /* looked at under the lock: no eviction between this and the change */

    pthread_rwlock_rdlock(&store->lock);

    state = store_state(store, piece);

    if (state & MAP_COMPLETE) {
        rc = EEXIST;

    } else if (!(state & MAP_CHARGED) || map_in_doubt(state)
               || store_generation(store, piece) == 0)
    {
        rc = EAGAIN;

    } else {
        rc = 0;
        store_state_set(store, piece, MAP_PARTIAL, 0);
        *generation = store_generation(store, piece);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


static int
storage_write(void *ctx, uint32_t piece, uint32_t generation, void const *buf,
    uint32_t len)
{
    store_t  *store;

    store = ctx;

    return store->payload->write(store, piece, generation, buf, len);
}


static int
storage_mark(void *ctx, uint32_t piece, uint32_t generation,
    shim_piece_state_t state)
{
    int       rc;
    store_t  *store;

    store = ctx;

    pthread_rwlock_rdlock(&store->lock);

    rc = 0;

    if (generation != store_generation(store, piece)) {
        rc = ESTALE;

    } else if (state == SHIM_PIECE_COMPLETE) {
        store_state_set(store, piece, MAP_COMPLETE,
                        MAP_PARTIAL|MAP_CHECK|MAP_PRIORITY);
        counters_add(store->counters, COUNTERS_SWARM_RECEIVED,
                     store_piece_length(store, piece));

    } else if (state == SHIM_PIECE_HASHING) {
        store_state_set(store, piece, MAP_HASHING, MAP_CHECK);

    } else if (state == SHIM_PIECE_QUEUED) {
        store_state_set(store, piece, MAP_QUEUED, MAP_CHECK);

    } else {
        store_state_set(store, piece, 0, MAP_PARTIAL|MAP_CHECK);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


static int
storage_current(void *ctx, uint32_t piece, uint32_t generation)
{
    int       current;
    store_t  *store;

    store = ctx;

    pthread_rwlock_rdlock(&store->lock);
    current = (generation == store_generation(store, piece));
    pthread_rwlock_unlock(&store->lock);

    return current;
}


static int
storage_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len)
{
    int       rc;
    store_t  *store;

    store = ctx;

    if (!storage_complete(store, piece)) {
        return ESTALE;
    }

    rc = store->payload->read(store, piece, offset, buf, len);

    if (rc == 0) {
        counters_add(store->counters, COUNTERS_SWARM_SENT, len);
    }

    return rc;
}


static int
storage_complete(void *ctx, uint32_t piece)
{
    store_t  *store;

    store = ctx;

    return piece < store->map.header->piece_n
           && (store_state(store, piece) & MAP_COMPLETE);
}


static void
storage_release(void *ctx)
{
    store_release(ctx);
}
