
#include "engine/pieces/window.h"

#include "engine/core/log.h"
#include "engine/torrent/torrent.h"


#define WINDOW_MIN       (1024 * 1024)      /* bytes, of a reader that begins */
#define WINDOW_SECONDS   10                 /* of its rate, in the window */
#define WINDOW_RATE_MIN  (4 * 1024 * 1024)

#define WINDOW_STEP      20                 /* ms from one piece to the next */
#define WINDOW_SLACK     2                  /* times what the rate says */
#define WINDOW_FAR       10000              /* ms; beyond it, due in steps */


static uint64_t window_rate(const request_t *request);


uint64_t
window_size(const request_t *request)
{
    uint64_t   window, rate, limit, share;
    engine_t  *engine;

    engine = request->conn->engine;
    limit = engine->conf.readahead;

    if (engine->cache.limit >= 0) {
        share = engine->cache.limit / 2 / (engine->reader_n + 1);

        if (limit > share) {
            limit = share;
        }
    }

    window = WINDOW_MIN + 2 * (request->begin - request->start);
    rate = window_rate(request) * WINDOW_SECONDS;

    if (rate < WINDOW_RATE_MIN) {
        rate = WINDOW_RATE_MIN;
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


int32_t
window_deadline(const request_t *request, uint32_t piece, uint32_t nth)
{
    uint64_t  at, due, rate;

    due = nth * WINDOW_STEP;
    at = (uint64_t) piece * request->torrent->info.piece_length;
    rate = window_rate(request);

    if (at <= request->begin || rate == 0) {
        return due;
    }

    at = (at - request->begin) * WINDOW_SLACK * 1000 / rate;

    if (at > WINDOW_FAR) {
        at = WINDOW_FAR + due;
    }

    return (at > due) ? at : due;
}


/*
 * Bytes per second since the reader began to read on; 0 if it has not yet.
 */
static uint64_t
window_rate(const request_t *request)
{
    return (request->begin - request->start) * 1000
           / (engine_now() - request->since + 1);
}
