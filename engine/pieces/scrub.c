
#include "engine/pieces/scrub.h"

#include <string.h>
#include <unistd.h>

#include "engine/core/log.h"


#define SCRUB_BYTES    (1024 * 1024)    /* in a job, or one piece */
#define SCRUB_STORES   16               /* looked into at a time */
#define SCRUB_SLEEP    60000            /* ms, the most */


static void scrub_begin(scrub_t *scrub);
static int scrub_advance(scrub_t *scrub);
static store_t *scrub_after(cache_t *cache, const uint8_t *ih);
static void scrub_move(scrub_t *scrub, const uint8_t *ih);
static verify_t *scrub_find(scrub_t *scrub, store_t *store);


void
scrub_init(scrub_t *scrub, engine_t *engine)
{
    memset(scrub, 0, sizeof(scrub_t));

    scrub->engine = engine;
    scrub->next = engine_now();
}


void
scrub_done(scrub_t *scrub)
{
    shim_hashes_free(scrub->hashes);
    scrub->hashes = NULL;
}


int
scrub_timeout(const scrub_t *scrub)
{
    int64_t  left;

    if (scrub->engine->conf.scrub_rate == 0) {
        return -1;
    }

    left = scrub->next - engine_now();

    if (left <= 0) {
        return 0;
    }

    return (left < SCRUB_SLEEP) ? (int) left : SCRUB_SLEEP;
}


verify_t *
scrub_next(scrub_t *scrub)
{
    int        i;
    store_t   *store;
    verify_t  *v;

    if (!scrub->active) {
        scrub_begin(scrub);
    }

    for (i = 0; i < SCRUB_STORES; i++) {
        store = cache_find(&scrub->engine->cache, scrub->at);
        v = (store != NULL) ? scrub_find(scrub, store) : NULL;

        if (v != NULL) {
            v->scrub = 1;
            v->hashes = scrub->hashes;
            scrub->hashes = NULL;
            return v;
        }

        if (!scrub_advance(scrub)) {
            scrub_done(scrub);
            scrub->active = 0;
            scrub->next = scrub->round + scrub->engine->conf.scrub_interval;
            break;
        }
    }

    return NULL;
}


static void
scrub_begin(scrub_t *scrub)
{
    scrub->active = 1;
    scrub->wrapped = 0;
    scrub->round = engine_now();

    /* if there is no chance it begins with the lowest */

    if (getentropy(scrub->start, sizeof(scrub->start)) == -1) {
        memset(scrub->start, 0, sizeof(scrub->start));
    }

    scrub_move(scrub, scrub->start);
}


/*
 * On to the next store.  Returns 0 if the round is over.
 */
static int
scrub_advance(scrub_t *scrub)
{
    store_t             *store;
    static const uint8_t  zero[20];

    store = scrub_after(&scrub->engine->cache, scrub->at);

    if (store == NULL && !scrub->wrapped) {
        scrub->wrapped = 1;
        store = cache_find(&scrub->engine->cache, zero);
        store = (store != NULL) ? store
                                : scrub_after(&scrub->engine->cache, zero);
    }

    if (store == NULL
        || (scrub->wrapped && memcmp(store->ih, scrub->start, 20) > 0))
    {
        return 0;
    }

    scrub_move(scrub, store->ih);

    return 1;
}


/*
 * The store with the lowest infohash above that one, or NULL.
 */
static store_t *
scrub_after(cache_t *cache, const uint8_t *ih)
{
    store_t  *store, *next, *best;

    best = NULL;

    HASH_ITER(hh, cache->stores, store, next) {
        if (memcmp(store->ih, ih, 20) > 0
            && (best == NULL || memcmp(store->ih, best->ih, 20) < 0))
        {
            best = store;
        }
    }

    return best;
}


static void
scrub_move(scrub_t *scrub, const uint8_t *ih)
{
    scrub_done(scrub);

    memcpy(scrub->at, ih, 20);
    scrub->piece = 0;
}


/*
 * Pieces of one segment from the next stored one on; NULL if none is left.
 */
static verify_t *
scrub_find(scrub_t *scrub, store_t *store)
{
    uint32_t             n, end, first, max;
    verify_t            *v;
    const map_header_t  *h;

    h = store->map.header;

    while (scrub->piece < h->piece_n && !store_holds(store, scrub->piece)) {
        scrub->piece++;
    }

    if (scrub->piece >= h->piece_n) {
        return NULL;
    }

    n = store_segment_pieces(store, store_segment(store, scrub->piece),
                             &first);
    end = first + n;

    max = SCRUB_BYTES / h->piece_length;
    max = (max == 0) ? 1 : max;

    n = (end - scrub->piece < max) ? end - scrub->piece : max;

    v = verify_create(store, scrub->piece, n);

    if (v != NULL) {
        scrub->piece += n;
    }

    return v;
}


void
scrub_result(scrub_t *scrub, verify_t *v)
{
    if (memcmp(v->store->ih, scrub->at, 20) == 0) {

        if (v->hashes == NULL) {
            /* without its metainfo nothing of it can be checked */
            scrub->piece = UINT32_MAX;

        } else {
            scrub_done(scrub);
            scrub->hashes = v->hashes;
            v->hashes = NULL;
        }
    }

    scrub->next = engine_now()
                  + (int64_t) (v->bytes * 1000
                               / scrub->engine->conf.scrub_rate);
}
