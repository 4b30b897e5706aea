
/*
 * The pages of /debug/, as text for humans.
 */

#ifndef _ENGINE_DEBUG_H_INCLUDED_
#define _ENGINE_DEBUG_H_INCLUDED_


#include <stdio.h>

#include "engine/core/types.h"


/*
 * Writes the page of a PROTO_CALL_DEBUG or one of those that follow it.
 * Returns 0, or -1 if out of memory.  Engine thread.
 */
int debug_page(engine_t *engine, unsigned kind, FILE *out);


#endif /* _ENGINE_DEBUG_H_INCLUDED_ */
