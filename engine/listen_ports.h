
/*
 * Where peers can connect to: the log is told, a port that was in use is tried
 * again, and so is an address that was away, with its interface as a rule.
 */

#ifndef _ENGINE_PORTS_H_INCLUDED_
#define _ENGINE_PORTS_H_INCLUDED_


#include "engine/core/types.h"


/*
 * The kernel tells of addresses from now on.  Always 0: without that all is as
 * if none ever changed.  Engine thread or before it, as ports_close().
 */
int ports_open(engine_t *engine);

/* What to wait for, -1 if there is nothing. */
int ports_fd(const engine_t *engine);

/* The kernel tells something.  Engine thread, as below. */
void ports_event(engine_t *engine);

void ports_close(engine_t *engine);

/* SHIM_EVENT_LISTENING or _FAILED has come. */
void ports_listening(engine_t *engine, const shim_event_t *ev);

/*
 * Looks at ports that we want and have not, if it is time.  Returns the
 * milliseconds until it wants to be called again, -1 if there are none.
 */
int ports_poll(engine_t *engine);


#endif /* _ENGINE_PORTS_H_INCLUDED_ */
