
/*
 * Verified data that did not come from peers: files that become segments, or
 * whose bytes are copied by a job to where a torrent in files has them.
 */

#ifndef _ENGINE_ADOPT_H_INCLUDED_
#define _ENGINE_ADOPT_H_INCLUDED_


#include "engine/base/job.h"
#include "engine/core/types.h"


/* A copy that is under way. */
typedef struct adopt_s  adopt_t;


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

/*
 * Copies a file to a torrent that is one segment, and publishes its pieces;
 * removes the file.  Called until it is done, again after a job was.
 *
 * adopt: NULL at first, and when it is done
 * begin: of the bytes in the piece space, where a piece begins; size: of them
 * Returns 0, EINPROGRESS, or an errno; ENOSPC if the cache is full.
 */
int adopt_copy(torrent_t *torrent, jobs_t *jobs, adopt_t **adopt,
    const char *from, uint64_t begin, uint64_t size);

/* Takes a job that is done, or dropped, if it is one of adopt_copy(). */
int adopt_done(job_t *job);

/* Nobody will ask for it any more. */
void adopt_forget(adopt_t *adopt);


#endif /* _ENGINE_ADOPT_H_INCLUDED_ */
