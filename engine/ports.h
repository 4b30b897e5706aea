
/*
 * Where peers can connect to: the log is told, and a port that was in use is
 * tried again.
 */

#ifndef _ENGINE_PORTS_H_INCLUDED_
#define _ENGINE_PORTS_H_INCLUDED_


#include "types.h"


/* SHIM_EVENT_LISTENING or _FAILED has come.  Engine thread, as below. */
void ports_event(engine_t *engine, const shim_event_t *ev);

/*
 * Looks at ports that we want and have not, if it is time.  Returns the
 * milliseconds until it wants to be called again, -1 if there are none.
 */
int ports_poll(engine_t *engine);


#endif /* _ENGINE_PORTS_H_INCLUDED_ */
