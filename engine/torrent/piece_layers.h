
/*
 * Piece layers of v2 torrents (BEP 52) that came by magnet: peers are asked for
 * them when the info is known, and a .torrent without them is of little use to
 * others.  A call for the metainfo waits for them, but not for long: peers may
 * not have them.
 */

#ifndef _ENGINE_LAYERS_H_INCLUDED_
#define _ENGINE_LAYERS_H_INCLUDED_


#include "engine/core/types.h"


/*
 * Nonzero if the call has to wait; call_answer() is called for it again then.
 * Engine thread, as below.
 */
int layers_wait(request_t *request);

/*
 * Answers the calls whose wait is over.  Returns the milliseconds until it
 * wants to be called again, -1 if nobody waits.
 */
int layers_poll(engine_t *engine);


#endif /* _ENGINE_LAYERS_H_INCLUDED_ */
