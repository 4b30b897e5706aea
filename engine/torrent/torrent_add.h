
/*
 * How torrents come in: by a request's infohash and magnet, from cached
 * metainfo, or posted.
 */

#ifndef _ENGINE_LOAD_H_INCLUDED_
#define _ENGINE_LOAD_H_INCLUDED_


#include "engine/core/types.h"


/* What a request names a torrent by, when what it brings does not. */
typedef struct {
    const uint8_t       *ih;
    const proto_hold_t  *hold;          /* NULL: by nothing */
    const uint8_t       *magnet;
    size_t               magnet_len;
} load_name_t;


/*
 * Loads a torrent that is not loaded by that name: from its cached metainfo,
 * else from the swarm.  Returns an HTTP status: 200 and the torrent, or 500 or
 * 503 and a text in err.
 */
unsigned load_torrent(engine_t *engine, const uint8_t *ih,
    const proto_hold_t *hold, torrent_t **torrent, char *err,
    size_t err_size);

/* Takes trackers, peers, web seeds and sources out of a magnet's text. */
void load_magnet(torrent_t *torrent, const uint8_t *text, size_t len);

/*
 * Takes a .torrent in.  request: the call that brought it, held by the
 * torrent then; name: of the torrent if the metainfo has no info.  Returns an
 * HTTP status, 200 if the request holds the torrent; else a text in err.
 */
unsigned load_post(request_t *request, const void *metainfo, size_t len,
    const load_name_t *name, char *err, size_t err_size);

/*
 * A source has a .torrent of a torrent that waits for its info, which was
 * looked at before.  The torrent may be gone on return.
 */
void load_source(torrent_t *torrent, const void *metainfo, size_t len);


#endif /* _ENGINE_LOAD_H_INCLUDED_ */
