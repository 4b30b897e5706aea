
/*
 * Torrents and their life: a request loads one (from cached metainfo, else by
 * its infohash from the swarm), holds it while it runs, and some grace after
 * the last holder has gone it is dropped.  A drop takes no data with it.
 */

#ifndef _ENGINE_TORRENT_H_INCLUDED_
#define _ENGINE_TORRENT_H_INCLUDED_


#include "engine/core/types.h"


/*
 * HOLD: the request needs the torrent; body: a proto_hold_t, then the text of
 * a magnet.  Answers READY or FAIL, now or when the info is known; calls are
 * answered in the same way.  The request may be gone on return.
 */
void torrent_hold(request_t *request, const uint8_t *ih, const uint8_t *body,
    size_t len);

/*
 * Looks whether the info has come.  If so, everybody who waits for it is
 * answered, and the torrent may be gone: returns nonzero then.
 */
int torrent_found(torrent_t *torrent);

/* The request needs its torrent no more; harmless if it has none. */
void torrent_leave(request_t *request);

/*
 * Gets the store of a torrent whose info is known, and answers everybody who
 * waits for it.  The torrent may be gone on return.
 */
void torrent_begin(torrent_t *torrent);

/* Events of the shim. */
void torrent_event(engine_t *engine, const shim_event_t *ev);

/*
 * Drops torrents whose grace is over.  Returns the milliseconds until the next
 * one's is, -1 if none is in grace.
 */
int torrent_expire(engine_t *engine);

/*
 * Makes room for one more torrent: if there are max_torrents, drops the one
 * that nobody has held for the longest time.  Returns -1 if all are held.
 */
int torrent_room(engine_t *engine);

/* Drops everything, saving what is worth it. */
void torrent_drop_all(engine_t *engine);

/* The loaded torrent of that name, or NULL. */
torrent_t *torrent_find(engine_t *engine, const uint8_t *ih);
torrent_t *torrent_by_id(engine_t *engine, shim_id_t id);

/* A new torrent that the shim knows by id; NULL if out of memory. */
torrent_t *torrent_create(engine_t *engine, const uint8_t *ih, shim_id_t id);

/* Gives it a second name, unless that name is taken. */
void torrent_alias(torrent_t *torrent, const uint8_t *ih);

/* The request holds it from now on. */
void torrent_enter(torrent_t *torrent, request_t *request);

/* Answers every request with that HTTP status, and drops the torrent. */
void torrent_fail(torrent_t *torrent, unsigned status, const char *text);


#endif /* _ENGINE_TORRENT_H_INCLUDED_ */
