
/*
 * Watches: who is told of every change of a torrent's pieces.
 *
 *      any thread     store_state_set() ---> store->changes, eventfd
 *                                                 |
 *      engine thread  watch_drain()               v
 *                       a watch of each worker that asked: a set of pieces
 *                                                 |
 *                       PROTO_CHANGED, as the worker takes it
 *
 * A change is noted after it was made: who hears of it finds it in the map.
 * Changes of one piece that come before the worker took the first collapse
 * into one; a worker that takes nothing costs piece_n / 8 bytes and no more,
 * and loses nothing.
 *
 * Engine thread only.
 */

#ifndef _ENGINE_WATCH_H_INCLUDED_
#define _ENGINE_WATCH_H_INCLUDED_


#include "engine/core/types.h"


/*
 * The request's worker is told of changes from now on, until every request of
 * it that asked has gone.  The torrent has its store.  Returns 0, or ENOMEM.
 */
int watch_start(request_t *request);

/* The request has gone; harmless if it never asked. */
void watch_stop(request_t *request);

/* Changes were noted: tells those who watch. */
void watch_drain(engine_t *engine);

/* The worker takes messages again: goes on to tell. */
void watch_flush(conn_t *conn);


#endif /* _ENGINE_WATCH_H_INCLUDED_ */
