
/*
 * What the parts of the engine share.  All of it belongs to the engine's
 * thread.
 *
 *      engine_t ---- conn_t      a worker's connection
 *         |             |
 *         |          request_t   a client's request: what it waits for, or
 *         |             |        the bytes it reads
 *         +------- torrent_t     loaded: known to the shim
 *                       |
 *                    store_t     its payload, once the info is known
 */

#ifndef _ENGINE_TYPES_H_INCLUDED_
#define _ENGINE_TYPES_H_INCLUDED_


#include <semaphore.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include <uthash.h>

#include "engine/cache/cache.h"
#include "engine/engine.h"
#include "engine/shared/proto.h"
#include "engine/cache/store/store.h"

#include "shim/api/shim.h"


#define ENGINE_NAME     "confluence-nginx"
#define ENGINE_VERSION  "0.1"


typedef struct conn_s     conn_t;
typedef struct packet_s   packet_t;
typedef struct request_s  request_t;
typedef struct watch_s    watch_t;
typedef struct torrent_s  torrent_t;
typedef struct upload_s   upload_t;
typedef struct uploads_s  uploads_t;
typedef struct checks_s   checks_t;
typedef struct fetch_s    fetch_t;
typedef struct fetches_s  fetches_t;


struct packet_s {
    STAILQ_ENTRY(packet_s)  link;
    int                     fd;         /* to be passed, or -1 */
    size_t                  len;
    proto_msg_t             msg;        /* the body follows */
};


struct conn_s {
    engine_t                  *engine;
    LIST_ENTRY(conn_s)         link;
    int                        fd;
    request_t                 *requests;    /* hash by tag */
    STAILQ_HEAD(, packet_s)    out;         /* what must not be lost */
    LIST_HEAD(, watch_s)       watches;
    unsigned                   greeted:1;   /* HELLO was seen */
    unsigned                   lost:1;      /* a hint did not fit */
    unsigned                   writing:1;   /* EPOLLOUT is asked for */
    unsigned                   dead:1;
};


struct request_s {
    uint32_t                   tag;
    conn_t                    *conn;
    torrent_t                 *torrent;
    TAILQ_ENTRY(request_s)     link;        /* the torrent's */
    watch_t                   *watch;       /* NULL: it does not */

    upload_t                  *upload;      /* it brings data, or NULL */

    uint16_t                   call;        /* proto_call_e, 0: data */
    uint16_t                   flags;

    unsigned                   reader:1;    /* it pins a torrent in files */
    unsigned                   reading:1;   /* READ was seen */
    unsigned                   waiting:1;   /* its next piece is missing */

    /* offsets are of the piece space */

    uint64_t                   begin;       /* the next byte it needs */
    uint64_t                   end;
    uint64_t                   start;       /* where it began to read on */
    int64_t                    since;       /* and when, ms */
    store_window_t             window;      /* in the store's list */

    /* while the wanted pieces are gathered */

    uint32_t                   piece;
    uint32_t                   last;
    unsigned                   first:1;
    unsigned                   refused:1;   /* no space for what it waits for */

    int64_t                    layers_until;    /* ms, 0: does not wait */

    uint64_t                   item;        /* of the DHT, 0: none */
    LIST_ENTRY(request_s)      item_link;   /* while it is not 0 */

    UT_hash_handle             hh;          /* the connection's */
};


/* What one worker has yet to be told of a torrent's pieces. */
struct watch_s {
    conn_t                    *conn;
    torrent_t                 *torrent;
    unsigned                   refs;        /* requests that watch */
    pieces_t                   changed;
    LIST_ENTRY(watch_s)        conn_link;
    LIST_ENTRY(watch_s)        torrent_link;
};


struct torrent_s {
    engine_t                  *engine;
    uint8_t                    ih[20];
    shim_id_t                  id;
    store_t                   *store;       /* NULL: no info yet */
    shim_info_t                info;

    TAILQ_HEAD(, request_s)    requests;
    LIST_HEAD(, watch_s)       watches;
    LIST_ENTRY(torrent_s)      watched_link;    /* while there are any */
    LIST_HEAD(, fetch_s)       fetches;     /* sources of its info */

    shim_want_t               *wants;       /* what the shim was told */
    uint32_t                   want_n;
    uint32_t                   want_max;

    unsigned                   dirty:1;     /* on the list of those */
    unsigned                   short_of:1;  /* more is wanted than is asked */
    unsigned                   idle:1;      /* in grace, on the list of those */
    unsigned                   unchecked:1; /* more is in doubt than checked */

    int64_t                    idle_since;  /* ms */

    TAILQ_ENTRY(torrent_s)     dirty_link;
    TAILQ_ENTRY(torrent_s)     idle_link;

    UT_hash_handle             hh;          /* by ih */
    UT_hash_handle             hh_id;       /* by id */
};


/* A second name of a torrent: a hybrid's v2 infohash, cut to 20 bytes. */
typedef struct {
    uint8_t                    ih[20];
    torrent_t                 *torrent;
    UT_hash_handle             hh;
} alias_t;


struct engine_s {
    engine_conf_t              conf;        /* strings are copies */
    shim_t                    *shim;
    cache_t                    cache;
    uint64_t                   metainfo_used;   /* bytes (prune.h) */

    torrent_t                 *torrents;    /* by ih */
    torrent_t                 *ids;         /* the same, by the shim's id */
    alias_t                   *aliases;

    TAILQ_HEAD(, torrent_s)    dirty;
    TAILQ_HEAD(, torrent_s)    idle;        /* longest idle first */

    LIST_HEAD(, torrent_s)     watched;

    time_t                     started_at;
    unsigned                   faults;      /* of guard.h, seen */
    unsigned                   reader_n;    /* requests that read */

    unsigned                   layers_waited:1; /* calls wait for layers */
    int64_t                    layers_next;     /* when to look, ms */
    int64_t                    ports_next;      /* the same, 0: need not */

    LIST_HEAD(, request_s)     items;       /* that look for one */

    uploads_t                 *uploads;
    checks_t                  *checks;
    fetches_t                 *fetches;

    LIST_HEAD(, conn_s)        conns;
    uint8_t                   *packet;      /* PROTO_PACKET_MAX bytes */

    int                        lock;
    int                        listen;
    int                        epoll;
    int                        stop;        /* eventfd */
    int                        changed;     /* eventfd: of watched pieces */
    int                        addresses;   /* netlink: of the machine */

    pthread_t                  thread;
    sem_t                      started;     /* the thread has begun */
    char                       error[256];  /* why it did not, or "" */

    /* read by other threads, atomic */

    int                        workers;     /* greeted connections */
    int64_t                    successor;   /* when one last knocked, ms */
};


#endif /* _ENGINE_TYPES_H_INCLUDED_ */
