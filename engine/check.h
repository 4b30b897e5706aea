
/*
 * Pieces in doubt (map.h, rule 7) are hashed when a reader comes to need them:
 *
 *      engine thread                 job threads
 *      check_piece() ... -- job ---> reads and hashes some pieces of a segment
 *      check_event()    <-- done ---
 *          good: it is complete, readers are woken
 *          bad:  it is not there, and fetched
 *
 * What is found counts only if the segment still is of the same generation:
 * bytes of a generation do not change once they are complete.
 */

#ifndef _ENGINE_CHECK_H_INCLUDED_
#define _ENGINE_CHECK_H_INCLUDED_


#include "types.h"


/* Returns 0 or an errno. */
int check_open(engine_t *engine);

/* Waits for what runs.  Before the cache is closed; harmless if not opened. */
void check_close(engine_t *engine);

/* The descriptor that is readable when check_event() has something to do. */
int check_fd(const engine_t *engine);
void check_event(engine_t *engine);

/*
 * A reader needs a piece of its torrent; now: it waits for it.  Returns 0 if it
 * is not in doubt.  Else it is hashed at once, or the torrent is scheduled
 * again when there is room for that.
 */
int check_piece(torrent_t *torrent, uint32_t piece, int now);


#endif /* _ENGINE_CHECK_H_INCLUDED_ */
