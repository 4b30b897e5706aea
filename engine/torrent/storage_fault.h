
/*
 * Disks that fail, and others who meddle with the directory: what is done about
 * a piece that cannot be written, or is not there any more.
 *
 * Engine thread.
 */

#ifndef _ENGINE_FAULT_H_INCLUDED_
#define _ENGINE_FAULT_H_INCLUDED_


#include "engine/core/types.h"


/*
 * A piece of a torrent could not be written; error: the storage's errno.  If
 * the disk is full what is not needed is evicted; what has lost its file is
 * fetched again; else readers are told.
 */
void fault_write(torrent_t *torrent, uint32_t piece, int error);

/*
 * A worker could not open what a piece of a store lies in: if it is not there,
 * or is not what was written, its segment is evicted.
 */
void fault_missing(engine_t *engine, const uint8_t *ih, uint64_t piece);

/*
 * If somebody has cut a mapped file: stores whose map it was are removed, and
 * torrents that use one are marked for fault_renew().
 */
void fault_maps(engine_t *engine);

/*
 * If the map of a torrent was cut, removed or replaced it gets another one, and
 * what its readers need is fetched again.  Returns 0 if the map is whole; else
 * the torrent may be gone.
 */
int fault_renew(torrent_t *torrent);

/*
 * Evicts the segment of a piece, and says so: clients may have it open, or the
 * disk cannot read it, nothing is written there again.
 *
 * error: an errno, or 0; what: is wrong with the piece
 * The store may be gone on return, as after cache_evict_segment().
 */
void fault_evict(engine_t *engine, store_t *store, uint32_t piece, int error,
    const char *what);


#endif /* _ENGINE_FAULT_H_INCLUDED_ */
