
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "reply.h"


#define READER_WINDOW_MIN    (1024 * 1024)  /* bytes, of a reader that begins */
#define READER_SECONDS       10             /* of its rate, in the window */
#define READER_RATE_MIN      (4 * 1024 * 1024)

#define READER_WANTS         1024           /* pieces of a torrent at a time */
#define READER_DEADLINES     64             /* of them, with a deadline */
#define READER_DEADLINE_STEP 20             /* ms from one to the next */
#define READER_PRIORITY      7
#define READER_PRIORITY_LATE 1


static void reader_position(request_t *request, uint64_t begin, uint64_t end);
static uint64_t reader_window(const request_t *request);
static int reader_is_complete(const torrent_t *torrent, uint32_t piece);
static uint32_t reader_gather(torrent_t *torrent, shim_want_t *wants,
    uint32_t max);
static int reader_gather_one(torrent_t *torrent, request_t *request,
    shim_want_t *wants, uint32_t *n);
static void reader_mark(torrent_t *torrent, uint32_t piece,
    unsigned priority);
static int reader_same(const torrent_t *torrent, const shim_want_t *wants,
    uint32_t n);


void
reader_read(request_t *request, uint64_t begin, uint64_t end)
{
    uint64_t    total;
    torrent_t  *torrent;

    torrent = request->torrent;

    if (torrent->store != NULL) {
        total = torrent->info.total_size;

        if (begin >= total || end > total || begin >= end) {
            return;
        }
    }

    reader_position(request, begin, end);

    if (torrent->store != NULL) {
        reader_start(request);
    }
}


/*
 * Notes where the reader is; a jump begins a new run.
 */
static void
reader_position(request_t *request, uint64_t begin, uint64_t end)
{
    if (!request->reading
        || begin < request->begin
        || begin > request->window.end)
    {
        request->start = begin;
        request->since = engine_now();
    }

    request->begin = begin;
    request->end = end;
}


void
reader_start(request_t *request)
{
    uint32_t    piece;
    torrent_t  *torrent;

    torrent = request->torrent;

    if (request->begin >= request->end
        || request->end > torrent->info.total_size)
    {
        return;
    }

    request->window.begin = request->begin;
    request->window.end = request->begin + reader_window(request);

    if (!request->reading) {
        request->reading = 1;
        torrent->engine->reader_n++;
        TAILQ_INSERT_TAIL(&torrent->store->windows, &request->window, link);
    }

    piece = request->begin / torrent->info.piece_length;
    request->waiting = !reader_is_complete(torrent, piece);

    if (!request->waiting) {
        reply_wake(request);
    }

    reader_dirty(torrent);
}


/*
 * The window grows with what was read on, and with the rate.  Together the
 * windows take no more than half of the cache, which would else be full of
 * what may not be evicted.
 */
static uint64_t
reader_window(const request_t *request)
{
    int64_t    elapsed;
    uint64_t   window, read, rate, limit, share;
    engine_t  *engine;

    engine = request->conn->engine;
    limit = engine->conf.readahead;

    if (engine->cache.limit >= 0) {
        share = engine->cache.limit / 2 / (engine->reader_n + 1);

        if (limit > share) {
            limit = share;
        }
    }

    read = request->begin - request->start;
    window = READER_WINDOW_MIN + 2 * read;

    elapsed = engine_now() - request->since + 1;
    rate = read * 1000 / elapsed * READER_SECONDS;

    if (rate < READER_RATE_MIN) {
        rate = READER_RATE_MIN;
    }

    if (window > rate) {
        window = rate;
    }

    if (window > limit) {
        window = limit;
    }

    if (window == 0) {
        window = 1;
    }

    if (window > request->end - request->begin) {
        window = request->end - request->begin;
    }

    return window;
}


void
reader_stop(request_t *request)
{
    if (!request->reading) {
        return;
    }

    request->reading = 0;
    request->torrent->engine->reader_n--;
    TAILQ_REMOVE(&request->torrent->store->windows, &request->window, link);

    reader_dirty(request->torrent);
}


void
reader_piece(torrent_t *torrent, uint32_t piece)
{
    uint32_t    i;
    request_t  *request;

    for (i = 0; i < torrent->want_n; i++) {
        if (torrent->wants[i].piece == piece) {
            torrent->want_n--;
            memmove(&torrent->wants[i], &torrent->wants[i + 1],
                    (torrent->want_n - i) * sizeof(shim_want_t));
            break;
        }
    }

    TAILQ_FOREACH(request, &torrent->requests, link) {

        if (request->reading
            && request->waiting
            && request->begin / torrent->info.piece_length == piece)
        {
            request->waiting = 0;
            reply_wake(request);
        }
    }

    if (torrent->short_of) {
        reader_dirty(torrent);
    }
}


void
reader_dirty(torrent_t *torrent)
{
    if (torrent->dirty) {
        return;
    }

    torrent->dirty = 1;
    TAILQ_INSERT_TAIL(&torrent->engine->dirty, torrent, dirty_link);
}


void
reader_schedule(torrent_t *torrent)
{
    int           restart;
    uint8_t       state;
    uint32_t      i, n, old_n;
    shim_want_t  *old, wants[READER_WANTS];

    torrent->dirty = 0;
    TAILQ_REMOVE(&torrent->engine->dirty, torrent, dirty_link);

    if (torrent->store == NULL) {
        return;
    }

    old = torrent->wants;
    old_n = torrent->want_n;

    for (i = 0; i < old_n; i++) {
        reader_mark(torrent, old[i].piece, 0);
    }

    n = reader_gather(torrent, wants, READER_WANTS);

    /* what nobody wants any more gives its space back */

    restart = 0;

    for (i = 0; i < old_n; i++) {
        state = __atomic_load_n(&torrent->store->map.states[old[i].piece],
                                __ATOMIC_RELAXED);

        if (!(state & (MAP_PRIORITY|MAP_COMPLETE))) {
            cache_unreserve(&torrent->engine->cache, torrent->store,
                            old[i].piece, 0);
            restart = 1;
        }
    }

    if (reader_same(torrent, wants, n)) {
        return;
    }

    if (n > torrent->want_max) {
        old = realloc(torrent->wants, n * sizeof(shim_want_t));

        if (old == NULL) {
            return;
        }

        torrent->wants = old;
        torrent->want_max = n;
    }

    memcpy(torrent->wants, wants, n * sizeof(shim_want_t));
    torrent->want_n = n;

    (void) shim_want(torrent->engine->shim, torrent->id, wants, n, restart);
}


void
reader_dropped(torrent_t *torrent, uint32_t piece)
{
    uint8_t  state;

    if (torrent->store == NULL
        || piece >= torrent->store->map.header->piece_n)
    {
        return;
    }

    state = __atomic_load_n(&torrent->store->map.states[piece],
                            __ATOMIC_RELAXED);

    if (!(state & MAP_PRIORITY)) {
        cache_unreserve(&torrent->engine->cache, torrent->store, piece, 0);
    }
}


void
reader_shrink(engine_t *engine)
{
    torrent_t  *torrent, *next;
    request_t  *request;

    HASH_ITER(hh, engine->torrents, torrent, next) {

        if (torrent->store == NULL) {
            continue;
        }

        reader_abandon(torrent);

        TAILQ_FOREACH(request, &torrent->requests, link) {
            if (request->reading) {
                request->window.end = request->window.begin
                                      + reader_window(request);
            }
        }

        reader_dirty(torrent);
    }
}


void
reader_abandon(torrent_t *torrent)
{
    uint32_t  i;

    for (i = 0; i < torrent->want_n; i++) {
        reader_mark(torrent, torrent->wants[i].piece, 0);
        cache_unreserve(&torrent->engine->cache, torrent->store,
                        torrent->wants[i].piece, 1);
    }

    torrent->want_n = 0;
}


/*
 * Gathers what is wanted: the first missing piece of every reader, the second
 * of every reader, and so on.
 */
static uint32_t
reader_gather(torrent_t *torrent, shim_want_t *wants, uint32_t max)
{
    int         more;
    uint32_t    n, length;
    request_t  *request;

    length = torrent->info.piece_length;
    torrent->short_of = 0;

    TAILQ_FOREACH(request, &torrent->requests, link) {
        if (request->reading) {
            request->piece = request->window.begin / length;
            request->last = (request->window.end - 1) / length;
            request->first = 1;
        }
    }

    n = 0;

    do {
        more = 0;

        TAILQ_FOREACH(request, &torrent->requests, link) {

            if (n == max) {
                torrent->short_of = 1;
                return n;
            }

            if (request->reading) {
                more |= reader_gather_one(torrent, request, wants, &n);
            }
        }

    } while (more);

    return n;
}


/*
 * Adds the next missing piece of a reader's window.  Returns 0 if it has none,
 * or there is no space for it.
 */
static int
reader_gather_one(torrent_t *torrent, request_t *request, shim_want_t *wants,
    uint32_t *n)
{
    int           first;
    uint8_t       state;
    uint32_t      piece;
    shim_want_t  *w;

    while (request->piece <= request->last
           && reader_is_complete(torrent, request->piece))
    {
        request->piece++;
    }

    if (request->piece > request->last) {
        return 0;
    }

    piece = request->piece++;
    first = request->first;
    request->first = 0;

    state = __atomic_load_n(&torrent->store->map.states[piece],
                            __ATOMIC_RELAXED);

    if (state & MAP_PRIORITY) {
        return 1;       /* another reader wants it already */
    }

    if (cache_reserve(&torrent->engine->cache, torrent->store, piece, first)
        != 0)
    {
        torrent->short_of = 1;
        request->piece = request->last + 1;
        return 0;
    }

    w = &wants[*n];
    w->piece = piece;

    if (*n < READER_DEADLINES) {
        w->deadline_ms = *n * READER_DEADLINE_STEP;
        w->priority = READER_PRIORITY;

    } else {
        w->deadline_ms = -1;
        w->priority = READER_PRIORITY_LATE;
    }

    (*n)++;

    reader_mark(torrent, piece, w->priority);

    return 1;
}


static int
reader_is_complete(const torrent_t *torrent, uint32_t piece)
{
    return __atomic_load_n(&torrent->store->map.states[piece],
                           __ATOMIC_ACQUIRE)
           & MAP_COMPLETE;
}


/*
 * Sets the wish in a piece's state, which the disk back end changes, too.
 */
static void
reader_mark(torrent_t *torrent, uint32_t piece, unsigned priority)
{
    uint8_t  *p;

    p = &torrent->store->map.states[piece];

    __atomic_and_fetch(p, (uint8_t) ~MAP_PRIORITY, __ATOMIC_RELAXED);

    if (priority != 0) {
        __atomic_or_fetch(p, priority << MAP_PRIORITY_SHIFT,
                          __ATOMIC_RELAXED);
    }
}


/*
 * Whether the shim knows this list already.
 */
static int
reader_same(const torrent_t *torrent, const shim_want_t *wants, uint32_t n)
{
    uint32_t  i;

    if (n != torrent->want_n) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (wants[i].piece != torrent->wants[i].piece) {
            return 0;
        }
    }

    return 1;
}
