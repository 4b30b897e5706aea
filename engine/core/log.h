
/*
 * Log lines of the engine, handed to its host; and the clock.
 */

#ifndef _ENGINE_LOG_H_INCLUDED_
#define _ENGINE_LOG_H_INCLUDED_


#include "engine/engine.h"


#define ENGINE_LOG_LEN  1024        /* the longest line; the rest is cut */


/*
 * Writes a line: lower case, no full stop; err is an errno, or 0.  Control
 * characters are replaced.  Engine thread.
 */
void engine_log(engine_t *engine, int level, int err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The monotonic clock, milliseconds.  Any thread. */
int64_t engine_now(void);


#endif /* _ENGINE_LOG_H_INCLUDED_ */
