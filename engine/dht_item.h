
/*
 * Values of the DHT, BEP 44, that clients ask for.
 */

#ifndef _ENGINE_ITEM_H_INCLUDED_
#define _ENGINE_ITEM_H_INCLUDED_


#include "engine/core/types.h"


/*
 * Looks for the value of a target, with len bytes of salt, for at most ms
 * milliseconds; the call is answered then, or at once if that is not possible.
 * Engine thread, as all below.
 */
void item_call(request_t *request, const uint8_t *target, const void *salt,
    size_t len, uint64_t ms);

/* SHIM_EVENT_ITEM came: answers the calls that are still there. */
void item_event(engine_t *engine, const shim_event_t *ev);

/* The call is gone. */
void item_forget(request_t *request);

/* Milliseconds until it wants to be called again, -1 if nothing runs. */
int item_poll(engine_t *engine);


#endif /* _ENGINE_ITEM_H_INCLUDED_ */
