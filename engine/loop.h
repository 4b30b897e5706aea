
/*
 * The parts of the engine that have threads of their own, and descriptors that
 * these make readable when they have done something.
 */

#ifndef _ENGINE_PARTS_H_INCLUDED_
#define _ENGINE_PARTS_H_INCLUDED_


#include "engine/core/types.h"


/*
 * Opens all and has them watched.  Returns 0 or an errno: parts_close() is to
 * be called in any case.
 */
int parts_open(engine_t *engine);

/*
 * An event of epoll, data: its pointer.  Returns 0 if it is none of theirs.
 * The engine's thread.
 */
int parts_event(engine_t *engine, const void *data);

/* Cancels what runs and waits for its end.  Harmless if called again. */
void parts_close(engine_t *engine);


#endif /* _ENGINE_PARTS_H_INCLUDED_ */
