
/*
 * How far ahead of a reader is fetched, and when each piece of that is due.
 */

#ifndef _ENGINE_WINDOW_H_INCLUDED_
#define _ENGINE_WINDOW_H_INCLUDED_


#include "engine/core/types.h"


/*
 * Bytes from where the reader is.  The window grows with what was read on, and
 * with the rate.  Together the windows take no more than half of the cache,
 * which would else be full of what may not be evicted.
 */
uint64_t window_size(const request_t *request);

/*
 * Milliseconds from now until the piece is due, the nth from 0 that is wanted
 * of its torrent: when its reader gets there at the rate it had so far, and
 * never all at once.
 *
 * Once a second libtorrent asks for what is due within the next before anything
 * else that it has in a peer's queue, even for blocks of the piece that is
 * waited for.  Of a fast peer that is the whole window, in one go, which is
 * cheap; of a slow one it must be no more than the peer can send meanwhile.
 */
int32_t window_deadline(const request_t *request, uint32_t piece, uint32_t nth);


#endif /* _ENGINE_WINDOW_H_INCLUDED_ */
