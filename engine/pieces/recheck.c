
#include "engine/pieces/recheck.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/torrent/storage_fault.h"
#include "engine/base/job.h"
#include "engine/core/log.h"
#include "engine/pieces/reader.h"
#include "engine/pieces/scrub.h"
#include "engine/torrent/torrent.h"
#include "engine/pieces/hash_job.h"


#define CHECK_THREADS   2
#define CHECK_BYTES     (1024 * 1024)   /* in a job, or one piece */
#define CHECK_NOW       6               /* jobs that readers wait for */
#define CHECK_AHEAD     2               /* while there are fewer than that */


struct checks_s {
    jobs_t    jobs;
    scrub_t   scrub;
    unsigned  running;          /* jobs that are not the scrub's */
    unsigned  refused:1;        /* a torrent has more to be checked */
};


static uint32_t check_run(const store_t *store, uint32_t piece);
static int check_submit(engine_t *engine, verify_t *v);
static void check_done(engine_t *engine, verify_t *v);
static void check_result(engine_t *engine, store_t *store, verify_t *v);
static uint32_t check_doubt(engine_t *engine, store_t *store,
    torrent_t *torrent, verify_t *v, uint32_t i);
static void check_lost(engine_t *engine, store_t *store, uint32_t piece);
static void check_retry(engine_t *engine);
static void check_drop(job_t *job);


int
check_open(engine_t *engine)
{
    int        rc;
    checks_t  *c;

    c = calloc(1, sizeof(checks_t));

    if (c == NULL) {
        return ENOMEM;
    }

    rc = jobs_open(&c->jobs, CHECK_THREADS, "engine-check");

    if (rc != 0) {
        free(c);
        return rc;
    }

    scrub_init(&c->scrub, engine);
    engine->checks = c;

    return 0;
}


void
check_close(engine_t *engine)
{
    checks_t  *c;

    c = engine->checks;

    if (c == NULL) {
        return;
    }

    engine->checks = NULL;

    jobs_close(&c->jobs, check_drop);
    scrub_done(&c->scrub);
    free(c);
}


static void
check_drop(job_t *job)
{
    verify_free((verify_t *) job);
}


int
check_fd(const engine_t *engine)
{
    return engine->checks->jobs.fd;
}


int
check_timeout(engine_t *engine)
{
    int        left;
    checks_t  *c;
    verify_t  *v;

    c = engine->checks;

    if (c->running != 0 || c->scrub.busy) {
        return -1;
    }

    left = scrub_timeout(&c->scrub);

    if (left != 0) {
        return left;
    }

    v = scrub_next(&c->scrub);

    if (v != NULL && check_submit(engine, v) != 0) {
        scrub_result(&c->scrub, v);
        verify_free(v);
    }

    return c->scrub.busy ? -1 : scrub_timeout(&c->scrub);
}


int
check_piece(torrent_t *torrent, uint32_t piece, int now)
{
    uint8_t    state;
    uint32_t   i, n;
    store_t   *store;
    checks_t  *c;
    verify_t  *v;

    c = torrent->engine->checks;
    store = torrent->store;
    state = store_state(store, piece);

    if (!map_in_doubt(state)) {
        return 0;
    }

    if ((state & MAP_CHECK) != MAP_QUEUED) {
        return 1;       /* under way */
    }

    if (c->running >= (now ? CHECK_NOW : CHECK_AHEAD)) {
        torrent->unchecked = 1;
        c->refused = 1;
        return 1;
    }

    n = check_run(store, piece);
    v = verify_create(store, piece, n);

    if (v == NULL
        || shim_hashes(torrent->engine->shim, torrent->id, &v->hashes)
           != SHIM_OK
        || check_submit(torrent->engine, v) != 0)
    {
        /* cannot be known: fetched */

        for (i = piece; i < piece + n; i++) {
            check_lost(torrent->engine, store, i);
        }

        if (v != NULL) {
            verify_free(v);
        }

        return 0;
    }

    return 1;
}


/*
 * How many pieces of one segment are in doubt from that one on, at most what
 * one job is to hash.
 */
static uint32_t
check_run(const store_t *store, uint32_t piece)
{
    uint32_t  i, n, end, first;

    n = store_segment_pieces(store, store_segment(store, piece), &first);
    end = first + n;

    n = CHECK_BYTES / store->map.header->piece_length;
    n = (n == 0) ? 1 : n;
    end = (end - piece < n) ? end : piece + n;

    for (i = piece + 1; i < end; i++) {
        if ((store_state(store, i) & ~MAP_PRIORITY)
            != (MAP_QUEUED|MAP_CHARGED))
        {
            break;
        }
    }

    return i - piece;
}


/*
 * Marks what is in doubt of it as being hashed.  Returns 0 or an errno.
 */
static int
check_submit(engine_t *engine, verify_t *v)
{
    int         rc;
    uint32_t    i;
    torrent_t  *torrent;

    torrent = torrent_find(engine, v->store->ih);

    if (v->hashes == NULL && torrent != NULL && torrent->store == v->store) {
        (void) shim_hashes(engine->shim, torrent->id, &v->hashes);
    }

    rc = jobs_submit(&engine->checks->jobs, &v->job);

    if (rc != 0) {
        return rc;
    }

    for (i = v->first; i < v->first + v->n; i++) {
        if (map_in_doubt(store_state(v->store, i))) {
            store_state_set(v->store, i, MAP_HASHING, MAP_CHECK);
        }
    }

    if (v->scrub) {
        engine->checks->scrub.busy = 1;

    } else {
        engine->checks->running++;
    }

    return 0;
}


void
check_event(engine_t *engine)
{
    job_t     *job;
    checks_t  *c;
    verify_t  *v;

    c = engine->checks;

    while ((job = jobs_done(&c->jobs)) != NULL) {
        v = (verify_t *) job;

        if (v->scrub) {
            c->scrub.busy = 0;
            scrub_result(&c->scrub, v);

        } else {
            c->running--;
        }

        check_done(engine, v);
        verify_free(v);
    }

    if (c->refused) {
        check_retry(engine);
    }
}


/*
 * There is room again: who had more to be checked says it again.
 */
static void
check_retry(engine_t *engine)
{
    torrent_t  *torrent, *next;

    engine->checks->refused = 0;

    HASH_ITER(hh, engine->torrents, torrent, next) {
        if (torrent->unchecked) {
            torrent->unchecked = 0;
            reader_dirty(torrent);
        }
    }
}


static void
check_done(engine_t *engine, verify_t *v)
{
    store_t    *store;
    torrent_t  *torrent;

    store = v->store;

    if (cache_find(&engine->cache, store->ih) != store
        || store->map.segments[store_segment(store, v->first)].generation
           != v->generation)
    {
        return;     /* evicted meanwhile */
    }

    torrent = torrent_find(engine, store->ih);

    check_result(engine, store, v);

    if (torrent != NULL && torrent->store == store) {
        reader_dirty(torrent);
    }
}


/*
 * Acts on each piece's verdict.
 */
static void
check_result(engine_t *engine, store_t *store, verify_t *v)
{
    char         hex[41];
    uint32_t     i, lost;
    torrent_t   *torrent;

    lost = 0;
    torrent = torrent_find(engine, store->ih);
    torrent = (torrent != NULL && torrent->store == store) ? torrent : NULL;

    for (i = 0; i < v->n; i++) {

        if (v->verdicts[i] == VERIFY_BAD
            && (v->err != 0
                || !map_in_doubt(store_state(store, v->first + i))))
        {
            fault_evict(engine, store, v->first + i, v->err, "is corrupt");
            return;
        }
    }

    for (i = 0; i < v->n; i++) {
        lost += check_doubt(engine, store, torrent, v, i);
    }

    if (lost == 0) {
        return;
    }

    map_hex(hex, store->ih, 20);
    engine_log(engine, ENGINE_LOG_WARN, 0,
               "torrent \"%s\": %u of pieces %u to %u were lost in an unclean "
               "stop, they are fetched again", hex, lost, v->first,
               v->first + v->n - 1);

    if (!store_segment_holds(store, store_segment(store, v->first))) {
        (void) cache_evict_segment(&engine->cache, store,
                                   store_segment(store, v->first));
    }
}


/*
 * The verdict about a piece that was in doubt, if it was.  Returns 1 if it is
 * not there.
 */
static uint32_t
check_doubt(engine_t *engine, store_t *store, torrent_t *torrent, verify_t *v,
    uint32_t i)
{
    uint32_t  piece;

    piece = v->first + i;

    if (v->verdicts[i] == VERIFY_SKIP
        || !map_in_doubt(store_state(store, piece)))
    {
        return 0;
    }

    if (v->verdicts[i] == VERIFY_GOOD) {
        store_state_set(store, piece, MAP_COMPLETE, MAP_CHECK|MAP_PRIORITY);

        if (torrent != NULL) {
            (void) shim_have(engine->shim, torrent->id, piece, 1);
            reader_have(torrent, piece, 1);
        }

        return 0;
    }

    if (v->verdicts[i] == VERIFY_UNKNOWN && v->scrub) {
        store_state_set(store, piece, MAP_QUEUED, MAP_CHECK);
        return 0;
    }

    check_lost(engine, store, piece);

    return 1;
}


/*
 * What was in doubt is not there.  Nobody has seen its bytes: they may be
 * written over.
 */
static void
check_lost(engine_t *engine, store_t *store, uint32_t piece)
{
    store_state_set(store, piece, 0, MAP_CHECK);
    cache_unreserve(&engine->cache, store, piece, 0);
}
