
/*
 * The engine: what fetches, verifies and keeps the pieces of torrents in one
 * cache directory and serves the control socket in it (proto.h).  It has its
 * own thread and knows nothing of its host; nginx's cache manager process is
 * one, a test program another.
 */

#ifndef _ENGINE_ENGINE_H_INCLUDED_
#define _ENGINE_ENGINE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "engine/parse/blocklist.h"


typedef struct engine_s  engine_t;

/* log levels, the values of nginx and syslog */
#define ENGINE_LOG_ALERT   2
#define ENGINE_LOG_CRIT    3
#define ENGINE_LOG_ERR     4
#define ENGINE_LOG_WARN    5
#define ENGINE_LOG_NOTICE  6
#define ENGINE_LOG_INFO    7

#define ENGINE_OFF         -1


typedef enum {
    ENGINE_SEGMENTS = 0,            /* files of some MiB, pieces/<ih>/... */
    ENGINE_FILES,                   /* those of the torrent, files/<ih>/... */
    ENGINE_SQLITE                   /* rows of a database, pieces.db */
} engine_layout_e;


typedef struct {
    const char   *path;             /* the cache directory, exists */
    engine_layout_e  layout;        /* of torrents that are not there yet */
    int64_t       max_size;         /* bytes of payload; ENGINE_OFF: no limit */
    unsigned      engines;          /* in this process, this one included */

    const char   *listen;           /* "0.0.0.0:42069,[::]:42069" */
    const char   *dht_bootstrap;    /* "host:port,host:port"; "" for none */
    const char  **implicit_trackers;    /* NULL terminated, or NULL */
    const char   *public_ip;        /* "192.0.2.1,2001:db8::1"; "" for none */

    const char   *camouflage;       /* path of an SQLite database; "": none */

    const blocklist_range_t  *blocklist;    /* stays the caller's, until */
    size_t        blocklist_n;              /* engine_stop() */

    uint32_t      upload_rate;      /* bytes per second, 0: no limit */
    uint32_t      download_rate;
    uint32_t      max_connections;  /* peers of all torrents */
    uint32_t      max_torrents;     /* loaded at once, not 0 */

    uint64_t      scrub_rate;       /* bytes per second, 0: no scrub */
    int64_t       scrub_interval;   /* ms from one round's begin to the next */

    int64_t       torrent_grace;    /* milliseconds; ENGINE_OFF: for ever */
    uint64_t      readahead;        /* bytes, the most of one reader's window */

    unsigned      dht:1;
    unsigned      pex:1;
    unsigned      lsd:1;
    unsigned      private_networks:1;   /* may be talked to */
    unsigned      utp:1;
    unsigned      tcp:1;
    unsigned      upnp:1;           /* NAT-PMP too */
    unsigned      trackers:1;
    unsigned      override_trackers:1;
    unsigned      seed:1;

    /*
     * Takes a log line, not terminated by LF.  Called on the engine's thread;
     * must not block and must not call the engine.
     */
    void        (*log)(void *ctx, int level, const char *text, size_t len);

    /*
     * The number of connected workers has become 0, or a successor has
     * announced itself.  Same rules.
     */
    void        (*idle)(void *ctx);

    void         *ctx;
} engine_conf_t;


/*
 * Takes the directory's lock, opens the socket, starts the engine's thread.
 *
 * conf: copied
 * Returns 0 and *engine; EAGAIN if another engine has the directory (it was
 * told that we wait; try again in 20 ms); EBUSY if the last ones died soon
 * after their start: for some time, up to 30 s (try again in 250 ms); else an
 * errno; and, but for EAGAIN, a text in err.
 * Any thread; blocks for the time that the directory takes to read.
 */
int engine_start(engine_t **engine, const engine_conf_t *conf, char *err,
    size_t err_size);

/*
 * Nonzero while workers are connected and nobody waits to take over: a host
 * that was asked to quit gracefully should let the engine run on.  Any thread.
 */
int engine_busy(engine_t *engine);

/*
 * Asks the engine to stop, and does not wait: its lock is released when it has
 * stopped, all else is left to engine_stop().  Any thread.
 */
void engine_quit(engine_t *engine);

/*
 * Stops: trackers are told, maps closed cleanly, all threads joined, the lock
 * released.  Within some 2 s.  The host's thread.
 */
void engine_stop(engine_t *engine);


#endif /* _ENGINE_ENGINE_H_INCLUDED_ */
