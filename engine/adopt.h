
/*
 * Verified data that did not come from peers: files that become segments.
 */

#ifndef _ENGINE_ADOPT_H_INCLUDED_
#define _ENGINE_ADOPT_H_INCLUDED_


#include "types.h"


/*
 * Moves a file to the place of a segment of a torrent that has its store, and
 * publishes all its pieces: their bytes hash to what the torrent says.  If they
 * are there already the file is removed.
 *
 * from: below the cache directory; size: bytes it must have
 * Returns 0 or an errno.  Engine thread.
 */
int adopt_segment(torrent_t *torrent, uint32_t segment, const char *from,
    uint64_t size);


#endif /* _ENGINE_ADOPT_H_INCLUDED_ */
