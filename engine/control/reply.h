
/*
 * What the engine says to workers: hints, answers, and the queue of a
 * connection whose socket is full.
 */

#ifndef _ENGINE_REPLY_H_INCLUDED_
#define _ENGINE_REPLY_H_INCLUDED_


#include "engine/core/types.h"


/* Hints; lost if the connection is full, which WAKE 0 then makes good. */
void reply_wake(request_t *request);
void reply_evicted(engine_t *engine, const uint8_t *ih, uint32_t segment);

/* READY: the torrent's map is there. */
void reply_ready(request_t *request);

/*
 * Answers and forgets a request.  status: of HTTP; text: a line.
 */
void reply_fail(request_t *request, unsigned status, const char *text);

/*
 * The same for readers that wait for a piece; refused: only for those that
 * were refused its space.
 */
void reply_fail_readers(torrent_t *torrent, int refused, unsigned status,
    const char *text);

/*
 * Answers a call and forgets it.  The body is copied.  What cannot be sent
 * closes the connection, and the worker asks again.
 */
void reply_body(request_t *request, unsigned status, unsigned flags,
    const void *body, size_t len);

/*
 * Sends a packet now, or when there is room.  Takes over the descriptor to be
 * passed, or -1; the body is copied if it has to wait.
 */
void reply_send(conn_t *conn, const proto_msg_t *msg, const void *body,
    int fd);

/* There is room: sends what waits. */
void reply_flush(conn_t *conn);


#endif /* _ENGINE_REPLY_H_INCLUDED_ */
