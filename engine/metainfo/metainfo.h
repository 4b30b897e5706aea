
/*
 * The cached metainfo: metainfo/<ih>.torrent, what lets a torrent be loaded
 * without asking the swarm for its info.  Untrusted when read: its info must
 * hash to the infohash.
 */

#ifndef _ENGINE_METAINFO_H_INCLUDED_
#define _ENGINE_METAINFO_H_INCLUDED_


#include "engine/core/types.h"


#define METAINFO_MAX  (64 * 1024 * 1024)    /* bytes of a .torrent */


/*
 * Reads the file of an infohash.  dir: descriptor of the cache directory.
 * *buf is freed by the caller.  Returns 0 or an errno.  Any thread.
 */
int metainfo_load(int dir, const uint8_t *ih, void **buf, size_t *len);

/*
 * Writes the torrent's file if it changed, under its v2 name too.  Failures
 * are logged: the torrent works without.  Engine thread.
 */
void metainfo_save(torrent_t *torrent);

/*
 * Reads a descriptor of a file of len bytes from its start.  Returns 0 or an
 * errno: EFBIG if it is longer than METAINFO_MAX.  Any thread.
 */
int metainfo_read(int fd, uint64_t len, void **buf);


#endif /* _ENGINE_METAINFO_H_INCLUDED_ */
