
/*
 * Checks of what is stored already, by hashing it:
 *
 *      what                                    when
 *      pieces in doubt (map.h, rule 7)         a reader comes to need them
 *      the scrub: all pieces, round by round   at the rate of the configuration
 *
 *      engine thread                 job threads
 *      check_piece() ... -- job ---> reads and hashes some pieces of a segment
 *      check_event()    <-- done ---
 *          good: what was in doubt is complete, readers are woken
 *          bad:  what was in doubt is not there; if it was complete, clients
 *                may have it open: the segment is evicted
 *
 * What is found counts only if the segment still is of the same generation:
 * bytes of a generation do not change once they are complete.
 *
 * Readers go first: the scrub has one job at a time, and the next is not begun
 * while any other runs.
 */

#ifndef _ENGINE_CHECK_H_INCLUDED_
#define _ENGINE_CHECK_H_INCLUDED_


#include "engine/core/types.h"


/* Returns 0 or an errno. */
int check_open(engine_t *engine);

/* Waits for what runs.  Before the cache is closed; harmless if not opened. */
void check_close(engine_t *engine);

/* The descriptor that is readable when check_event() has something to do. */
int check_fd(const engine_t *engine);
void check_event(engine_t *engine);

/* Does what is due; the milliseconds until something is, or -1. */
int check_timeout(engine_t *engine);

/*
 * A reader needs a piece of its torrent; now: it waits for it.  Returns 0 if it
 * is not in doubt.  Else it is hashed at once, or the torrent is scheduled
 * again when there is room for that.
 */
int check_piece(torrent_t *torrent, uint32_t piece, int now);


#endif /* _ENGINE_CHECK_H_INCLUDED_ */
