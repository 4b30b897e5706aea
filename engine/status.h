
/*
 * The text of /status.
 */

#ifndef _ENGINE_STATUS_H_INCLUDED_
#define _ENGINE_STATUS_H_INCLUDED_


#include "types.h"


/* *buf is freed by the caller.  Returns 0 or an errno.  Engine thread. */
int status_text(engine_t *engine, char **buf, size_t *len);


#endif /* _ENGINE_STATUS_H_INCLUDED_ */
