
#include "engine/pieces/reader.h"

#include <stdlib.h>
#include <string.h>

#include "engine/pieces/recheck.h"
#include "engine/core/log.h"
#include "engine/control/reply.h"
#include "engine/pieces/window.h"


#define READER_WANTS         1024           /* pieces of a torrent at a time */
#define READER_DEADLINES     64             /* of them, with a deadline */
#define READER_PRIORITY      7
#define READER_PRIORITY_LATE 1

#define READER_SLOTS         4096           /* a power of 2, sparse */


/* What is wanted, while it is gathered. */
typedef struct {
    uint32_t       n;
    int            refused;                 /* a request is */
    shim_want_t    wants[READER_WANTS];
    uint8_t        levels[READER_WANTS];    /* MAP_READAHEAD or MAP_NOW */
    uint16_t       slots[READER_SLOTS];     /* hash by piece: index + 1 */
} reader_list_t;


static void reader_position(request_t *request, uint64_t begin, uint64_t end);
static int reader_give_back(torrent_t *torrent, reader_list_t *list,
    int partial);
static void reader_refuse(torrent_t *torrent);
static void reader_gather(torrent_t *torrent, reader_list_t *list);
static int reader_gather_one(torrent_t *torrent, request_t *request,
    reader_list_t *list);
static uint16_t *reader_slot(reader_list_t *list, uint32_t piece);
static void reader_mark(torrent_t *torrent, uint32_t piece, uint8_t level);
static int reader_same(const torrent_t *torrent, const reader_list_t *list);


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
    request->window.end = request->begin + window_size(request);

    if (!request->reading) {
        request->reading = 1;
        torrent->engine->reader_n++;
        TAILQ_INSERT_TAIL(&torrent->store->windows, &request->window, link);
    }

    piece = request->begin / torrent->info.piece_length;
    request->waiting = !store_complete(torrent->store, piece);

    if (!request->waiting) {
        reply_wake(request);
    }

    reader_dirty(torrent);
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
    uint32_t  i;

    for (i = 0; i < torrent->want_n; i++) {
        if (torrent->wants[i].piece == piece) {
            torrent->want_n--;
            memmove(&torrent->wants[i], &torrent->wants[i + 1],
                    (torrent->want_n - i) * sizeof(shim_want_t));
            break;
        }
    }

    if (!store_complete(torrent->store, piece)) {
        reader_dirty(torrent);      /* it was lost since */
        return;
    }

    reader_have(torrent, piece, 1);

    if (torrent->short_of) {
        reader_dirty(torrent);
    }
}


void
reader_have(torrent_t *torrent, uint32_t first, uint32_t n)
{
    uint64_t    piece;
    request_t  *request;

    TAILQ_FOREACH(request, &torrent->requests, link) {
        piece = request->begin / torrent->info.piece_length;

        if (request->reading
            && request->waiting
            && piece >= first
            && piece - first < n)
        {
            request->waiting = 0;
            reply_wake(request);
        }
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
    int             restart;
    uint32_t        i;
    shim_want_t    *wants;
    reader_list_t   list;

    torrent->dirty = 0;
    TAILQ_REMOVE(&torrent->engine->dirty, torrent, dirty_link);

    if (torrent->store == NULL) {
        return;
    }

    reader_gather(torrent, &list);

    /* a piece that stays wanted is at no time marked as if it were not */

    for (i = 0; i < list.n; i++) {
        reader_mark(torrent, list.wants[i].piece, list.levels[i]);
    }

    restart = reader_give_back(torrent, &list, list.refused);

    if (list.refused) {

        if (restart) {
            /* what was given back may do */
            reader_dirty(torrent);

        } else {
            reader_refuse(torrent);
        }
    }

    if (reader_same(torrent, &list)) {
        return;
    }

    if (list.n > torrent->want_max) {
        wants = realloc(torrent->wants, list.n * sizeof(shim_want_t));

        if (wants == NULL) {
            return;
        }

        torrent->wants = wants;
        torrent->want_max = list.n;
    }

    memcpy(torrent->wants, list.wants, list.n * sizeof(shim_want_t));
    torrent->want_n = list.n;

    (void) shim_want(torrent->engine->shim, torrent->id, list.wants, list.n,
                     restart);
}


/*
 * All that is there is read: nothing will be evicted for them.
 */
static void
reader_refuse(torrent_t *torrent)
{
    char  hex[41];

    map_hex(hex, torrent->ih, 20);
    engine_log(torrent->engine, ENGINE_LOG_ERR, 0,
               "torrent \"%s\": the cache is full of what is being read",
               hex);

    reply_fail_readers(torrent, 1, 507,
                       "cache is full of what is being read");
}


/*
 * What nobody wants any more gives its space back.  Returns nonzero if there
 * is any that was not fetched.
 */
static int
reader_give_back(torrent_t *torrent, reader_list_t *list, int partial)
{
    int       restart;
    uint32_t  i, piece;

    restart = 0;

    for (i = 0; i < torrent->want_n; i++) {
        piece = torrent->wants[i].piece;

        if (*reader_slot(list, piece) != 0) {
            continue;
        }

        reader_mark(torrent, piece, 0);

        if (!store_complete(torrent->store, piece)) {
            cache_unreserve(&torrent->engine->cache, torrent->store, piece,
                            partial);
            restart = 1;
        }
    }

    return restart;
}


void
reader_dropped(torrent_t *torrent, uint32_t piece)
{
    if (torrent->store == NULL
        || piece >= torrent->store->map.header->piece_n)
    {
        return;
    }

    if (!(store_state(torrent->store, piece) & MAP_PRIORITY)) {
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
                                      + window_size(request);
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
static void
reader_gather(torrent_t *torrent, reader_list_t *list)
{
    int         more;
    uint32_t    length;
    request_t  *request;

    length = torrent->info.piece_length;
    torrent->short_of = 0;

    list->n = 0;
    list->refused = 0;
    memset(list->slots, 0, sizeof(list->slots));

    TAILQ_FOREACH(request, &torrent->requests, link) {
        if (request->reading) {
            request->piece = request->window.begin / length;
            request->last = (request->window.end - 1) / length;
            request->first = 1;
            request->refused = 0;
        }
    }

    do {
        more = 0;

        TAILQ_FOREACH(request, &torrent->requests, link) {

            if (list->n == READER_WANTS) {
                torrent->short_of = 1;
                return;
            }

            if (request->reading) {
                more |= reader_gather_one(torrent, request, list);
            }
        }

    } while (more);
}


/*
 * Adds the next missing piece of a reader's window.  Returns 0 if it has none,
 * or there is no space for it.
 */
static int
reader_gather_one(torrent_t *torrent, request_t *request, reader_list_t *list)
{
    int           first;
    uint8_t       level;
    uint16_t     *slot;
    uint32_t      piece;
    shim_want_t  *w;

    while (request->piece <= request->last
           && store_complete(torrent->store, request->piece))
    {
        request->piece++;
    }

    if (request->piece > request->last) {
        return 0;
    }

    piece = request->piece++;
    first = request->first;
    request->first = 0;

    level = (piece == request->begin / torrent->info.piece_length)
            ? MAP_NOW : MAP_READAHEAD;

    if (check_piece(torrent, piece, level == MAP_NOW)) {
        return 1;
    }

    slot = reader_slot(list, piece);

    if (*slot != 0) {
        /* another reader wants it already */

        if (list->levels[*slot - 1] < level) {
            list->levels[*slot - 1] = level;
        }

        return 1;
    }

    if (cache_reserve(&torrent->engine->cache, torrent->store, piece, first)
        != 0)
    {
        torrent->short_of = 1;
        request->refused = (level == MAP_NOW && request->waiting);
        list->refused |= request->refused;
        request->piece = request->last + 1;
        return 0;
    }

    w = &list->wants[list->n];
    w->piece = piece;

    if (list->n < READER_DEADLINES) {
        w->deadline_ms = window_deadline(request, piece, list->n);
        w->priority = READER_PRIORITY;

    } else {
        w->deadline_ms = -1;
        w->priority = READER_PRIORITY_LATE;
    }

    list->levels[list->n] = level;
    *slot = ++list->n;

    return 1;
}


/*
 * Where the index of a piece is, plus 1; 0 there if it is not in the list.
 */
static uint16_t *
reader_slot(reader_list_t *list, uint32_t piece)
{
    uint32_t  i;

    for (i = piece * 2654435761u / 65536; /* void */ ; i++) {
        i %= READER_SLOTS;

        if (list->slots[i] == 0
            || list->wants[list->slots[i] - 1].piece == piece)
        {
            return &list->slots[i];
        }
    }
}


/*
 * Sets the wish in a piece's state, which the disk back end changes, too.
 */
static void
reader_mark(torrent_t *torrent, uint32_t piece, uint8_t level)
{
    store_state_set(torrent->store, piece, level << MAP_PRIORITY_SHIFT,
                    MAP_PRIORITY);

    /* it was published in between, which ends the wish */

    if (level != 0 && store_complete(torrent->store, piece)) {
        store_state_set(torrent->store, piece, 0, MAP_PRIORITY);
    }
}


/*
 * Whether the shim knows this list already.
 */
static int
reader_same(const torrent_t *torrent, const reader_list_t *list)
{
    uint32_t  i;

    if (list->n != torrent->want_n) {
        return 0;
    }

    for (i = 0; i < list->n; i++) {
        if (list->wants[i].piece != torrent->wants[i].piece) {
            return 0;
        }
    }

    return 1;
}
