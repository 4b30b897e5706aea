
/*
 * What there is to tell an operator, gathered for /status and /debug: all of
 * it at one moment, whatever form it is told in.
 */

#ifndef _ENGINE_FACTS_H_INCLUDED_
#define _ENGINE_FACTS_H_INCLUDED_


#include "engine/core/types.h"


#define FACTS_TRACKERS  64          /* listed of one torrent */


typedef struct {
    const torrent_t        *torrent;
    shim_torrent_status_t   shim;
    uint32_t                complete_n;     /* pieces in the cache */
    uint64_t                complete;       /* bytes of them */
    uint32_t                holders;        /* requests */

    shim_tracker_t         *trackers;
    uint32_t                tracker_n;      /* listed */
    shim_peer_t            *peers;
    uint32_t                peer_n;
} facts_torrent_t;


typedef struct {
    uint64_t                received;       /* bytes, ever */
    uint64_t                sent;
    uint64_t                download_rate;  /* bytes per second, payload */
    uint64_t                upload_rate;
    uint32_t                peers;
    int64_t                 dht_nodes;      /* as of the last STATS */
    uint32_t                readers;
    uint32_t                waiting;        /* requests without progress */

    facts_torrent_t        *torrents;       /* ordered by infohash */
    uint32_t                torrent_n;
} facts_t;


/*
 * Gathers the facts; asks the network thread several times for each torrent.
 * Returns 0, or -1 if out of memory.  They are valid until the engine does
 * anything else, and freed by facts_free() in any case.  Engine thread.
 */
int facts_gather(facts_t *facts, engine_t *engine);
void facts_free(facts_t *facts);

/* Requests that read, and that wait for their info or their next piece. */
void facts_requests(engine_t *engine, uint32_t *readers, uint32_t *waiting);

/* A counter of libtorrent's by its name, as of the last STATS; 0: not known. */
int64_t facts_stat(engine_t *engine, const char *name);


#endif /* _ENGINE_FACTS_H_INCLUDED_ */
