
#include "engine/report/snapshot.h"

#include <stdlib.h>
#include <string.h>


#define FACTS_DIALLED  100


static int facts_torrent(facts_torrent_t *f, torrent_t *torrent);
static void facts_pieces(facts_torrent_t *f);
static int facts_trackers(facts_torrent_t *f, shim_t *shim);
static int facts_peers(facts_torrent_t *f, shim_t *shim);
static int facts_cmp(const void *a, const void *b);


int
facts_gather(facts_t *facts, engine_t *engine)
{
    torrent_t        *torrent, *next;
    facts_torrent_t  *f;

    memset(facts, 0, sizeof(facts_t));

    facts->received = counters_sum(&engine->cache.counters,
                                   COUNTERS_SWARM_RECEIVED);
    facts->sent = counters_sum(&engine->cache.counters, COUNTERS_SWARM_SENT);
    facts->dht_nodes = facts_stat(engine, "dht.dht_nodes");

    facts_requests(engine, &facts->readers, &facts->waiting);

    facts->torrents = calloc(HASH_CNT(hh, engine->torrents) + 1,
                             sizeof(facts_torrent_t));

    if (facts->torrents == NULL) {
        return -1;
    }

    HASH_ITER(hh, engine->torrents, torrent, next) {
        f = &facts->torrents[facts->torrent_n++];

        if (facts_torrent(f, torrent) != 0) {
            return -1;
        }

        facts->download_rate += f->shim.download_rate;
        facts->upload_rate += f->shim.upload_rate;
        facts->peers += f->peer_n;
    }

    qsort(facts->torrents, facts->torrent_n, sizeof(facts_torrent_t),
          facts_cmp);

    return 0;
}


void
facts_free(facts_t *facts)
{
    uint32_t  i;

    for (i = 0; i < facts->torrent_n; i++) {
        free(facts->torrents[i].trackers);
        free(facts->torrents[i].peers);
    }

    free(facts->torrents);
}


static int
facts_torrent(facts_torrent_t *f, torrent_t *torrent)
{
    shim_t     *shim;
    request_t  *request;

    shim = torrent->engine->shim;

    f->torrent = torrent;
    f->shim.size = sizeof(f->shim);

    if (shim_torrent_status(shim, torrent->id, &f->shim) != SHIM_OK) {
        memset(&f->shim, 0, sizeof(f->shim));
    }

    TAILQ_FOREACH(request, &torrent->requests, link) {
        f->holders++;
    }

    if (torrent->store != NULL) {
        facts_pieces(f);
    }

    return (facts_trackers(f, shim) == 0) ? facts_peers(f, shim) : -1;
}


static void
facts_pieces(facts_torrent_t *f)
{
    uint32_t        i;
    const store_t  *store;

    store = f->torrent->store;

    for (i = 0; i < f->torrent->info.piece_n; i++) {
        if (store_state(store, i) & MAP_COMPLETE) {
            f->complete_n++;
            f->complete += store_piece_length(store, i);
        }
    }
}


static int
facts_trackers(facts_torrent_t *f, shim_t *shim)
{
    uint32_t  n;

    f->trackers = calloc(FACTS_TRACKERS, sizeof(shim_tracker_t));

    if (f->trackers == NULL) {
        return -1;
    }

    if (shim_trackers(shim, f->torrent->id, f->trackers, FACTS_TRACKERS, &n)
        == SHIM_OK)
    {
        f->tracker_n = (n < FACTS_TRACKERS) ? n : FACTS_TRACKERS;
    }

    return 0;
}


static int
facts_peers(facts_torrent_t *f, shim_t *shim)
{
    uint32_t      n, max;
    shim_peer_t  *peers;

    /* those that are being dialled are told, too */

    max = f->torrent->engine->conf.max_connections + FACTS_DIALLED;
    peers = calloc(max, sizeof(shim_peer_t));

    if (peers == NULL) {
        return -1;
    }

    if (shim_peers(shim, f->torrent->id, peers, max, &n) == SHIM_OK) {
        f->peer_n = (n < max) ? n : max;
    }

    f->peers = realloc(peers, (f->peer_n + 1) * sizeof(shim_peer_t));

    if (f->peers == NULL) {
        free(peers);
        return -1;
    }

    return 0;
}


static int
facts_cmp(const void *a, const void *b)
{
    const facts_torrent_t  *x, *y;

    x = a;
    y = b;

    return memcmp(x->torrent->ih, y->torrent->ih, 20);
}


void
facts_requests(engine_t *engine, uint32_t *readers, uint32_t *waiting)
{
    request_t  *request;
    torrent_t  *torrent, *next;

    *readers = 0;
    *waiting = 0;

    HASH_ITER(hh, engine->torrents, torrent, next) {
        TAILQ_FOREACH(request, &torrent->requests, link) {
            *readers += request->reading;
            *waiting += (torrent->store == NULL
                         || (request->reading && request->waiting));
        }
    }
}


int64_t
facts_stat(engine_t *engine, const char *name)
{
    uint32_t     i;
    shim_stat_t  stat;

    for (i = 0; shim_stat(engine->shim, i, &stat) == SHIM_OK; i++) {
        if (strcmp(stat.name, name) == 0) {
            return stat.value;
        }
    }

    return 0;
}
