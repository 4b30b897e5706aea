
/*
 * Calls: requests that the engine itself answers with a body.
 */

#ifndef _ENGINE_CALL_H_INCLUDED_
#define _ENGINE_CALL_H_INCLUDED_


#include "engine/core/types.h"


/*
 * CALL: answers now, or holds the torrent until its info is known.  fd stays
 * the caller's.  Returns -1 if the message makes no sense.  The request may be
 * gone on return.
 */
int call_handle(request_t *request, const proto_msg_t *msg,
    const uint8_t *body, int fd);

/* The call's torrent is ready: answers it; the request is gone. */
void call_answer(request_t *request);

/* The shim has its counters: answers the calls that are about all torrents. */
void call_have_stats(engine_t *engine);


#endif /* _ENGINE_CALL_H_INCLUDED_ */
