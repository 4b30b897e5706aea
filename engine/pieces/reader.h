
/*
 * Readers and scheduling: which pieces are wanted, in which order.
 *
 * A reader is a request that reads.  The piece of its next byte comes first,
 * for all readers of a torrent alike; then each reader's window in order of
 * play, in turn.  Nothing else is fetched.  A window grows with what its reader
 * has read without a jump, and with its rate, up to the readahead: a probe of a
 * file's end does not drag megabytes.
 */

#ifndef _ENGINE_READER_H_INCLUDED_
#define _ENGINE_READER_H_INCLUDED_


#include "engine/core/types.h"


/* READ: the request will read [begin, end) of the piece space. */
void reader_read(request_t *request, uint64_t begin, uint64_t end);

/* The request reads no more; harmless if it never did. */
void reader_stop(request_t *request);

/* The store has come: what was read before it is scheduled now. */
void reader_start(request_t *request);

/* A piece was verified: who waits for it is woken. */
void reader_piece(torrent_t *torrent, uint32_t piece);

/* Pieces [first, first + n) are complete: who waits for one is woken. */
void reader_have(torrent_t *torrent, uint32_t first, uint32_t n);

/* Blocks of a piece came to nothing: its space is free unless it is wanted. */
void reader_dropped(torrent_t *torrent, uint32_t piece);

/* Marks the torrent for reader_schedule(). */
void reader_dirty(torrent_t *torrent);

/* Tells the shim what is wanted now. */
void reader_schedule(torrent_t *torrent);

/*
 * There is less space than was thought: reservations are given back, windows
 * measured anew, and everything is scheduled again.
 */
void reader_shrink(engine_t *engine);

/* The torrent is dropped: what was reserved for wanted pieces is free. */
void reader_abandon(torrent_t *torrent);


#endif /* _ENGINE_READER_H_INCLUDED_ */
