
/*
 * The engine's end of the control socket (proto.h): connections of workers,
 * packets in and out.
 */

#ifndef _ENGINE_SERVER_H_INCLUDED_
#define _ENGINE_SERVER_H_INCLUDED_


#include "engine/core/types.h"


/*
 * Binds and listens; the caller holds the directory's lock.  Returns 0 or an
 * errno.
 */
int server_open(engine_t *engine);
void server_close(engine_t *engine);

/* The listening socket, or a connection, is ready for these epoll events. */
void server_accept(engine_t *engine);
void server_event(conn_t *conn, uint32_t events);

/* Frees connections that ended; nothing points to them any more. */
void server_reap(engine_t *engine);

/*
 * Tells the engine that holds the directory that another waits for it.
 * Blocks no longer than a local connect().  Any thread.
 */
void server_takeover(const char *path);

/* Removes a request from its connection and its torrent, and frees it. */
void server_forget(request_t *request);


#endif /* _ENGINE_SERVER_H_INCLUDED_ */
