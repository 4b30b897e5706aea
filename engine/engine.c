
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/call.h"
#include "engine/pieces/recheck.h"
#include "engine/core/conf.h"
#include "engine/torrent/storage_fault.h"
#include "engine/torrent/source.h"
#include "engine/dht_item.h"
#include "engine/torrent/piece_layers.h"
#include "engine/cache/dir_lock.h"
#include "engine/core/log.h"
#include "engine/loop.h"
#include "engine/listen_ports.h"
#include "engine/metainfo/metainfo_evict.h"
#include "engine/pieces/reader.h"
#include "engine/control/reply.h"
#include "engine/control/conn.h"
#include "engine/torrent/torrent.h"
#include "engine/core/types.h"
#include "engine/upload/upload.h"
#include "engine/control/piece_watch.h"


#define ENGINE_EVENTS         64
#define ENGINE_STOP_TIME      1000      /* ms for trackers to be told */
#define ENGINE_SUCCESSOR      500       /* ms; it knocks every 20 */
#define ENGINE_SHIM_EVENTS    1024      /* at a time, then sockets again */


static int engine_open(engine_t *engine, char *err, size_t err_size);
static int engine_open_shim(engine_t *engine);
static int engine_watch(engine_t *engine, int fd, void *data);
static int engine_spawn(engine_t *engine);
static void *engine_thread(void *data);
static int engine_timeout(engine_t *engine);
static int engine_cycle(engine_t *engine);
static void engine_shim_events(engine_t *engine);
static void engine_shim_event(engine_t *engine, const shim_event_t *ev);
static void engine_evicted(void *ctx, store_t *store, uint32_t segment,
    int complete);
static void engine_refused(void *ctx, const char *name, int err);
static int engine_has_successor(engine_t *engine);
static void engine_close(engine_t *engine);
static void engine_free(engine_t *engine);


/* by engine_layout_e */
static const uint32_t  engine_layouts[] = {
    MAP_SEGMENTS,
    MAP_FILES,
    MAP_SQLITE
};


int
engine_start(engine_t **out, const engine_conf_t *conf, char *err,
    size_t err_size)
{
    int        rc;
    unsigned   deaths;
    engine_t  *engine;

    engine = calloc(1, sizeof(engine_t));

    if (engine == NULL) {
        snprintf(err, err_size, "out of memory");
        return ENOMEM;
    }

    engine->lock = -1;
    engine->listen = -1;
    engine->epoll = -1;
    engine->stop = -1;
    engine->changed = -1;
    engine->addresses = -1;
    engine->cache.dir = -1;
    engine->successor = INT64_MIN / 2;
    engine->started_at = time(NULL);

    sem_init(&engine->started, 0, 0);

    TAILQ_INIT(&engine->dirty);
    TAILQ_INIT(&engine->idle);
    LIST_INIT(&engine->watched);
    LIST_INIT(&engine->items);
    LIST_INIT(&engine->conns);

    engine->packet = malloc(PROTO_PACKET_MAX);

    rc = (conf_copy(&engine->conf, conf) == 0 && engine->packet != NULL)
         ? 0 : ENOMEM;

    if (rc == 0) {
        rc = lock_take(engine->conf.path, &engine->lock, &deaths);
    }

    if (rc == EAGAIN) {
        server_takeover(conf->path);

    } else if (rc == EBUSY) {
        snprintf(err, err_size, "the last %u engines died right after their "
                 "start", deaths);

    } else if (rc != 0) {
        snprintf(err, err_size, "cache directory \"%s\" cannot be used: %s",
                 conf->path, strerror(rc));

    } else {
        rc = engine_open(engine, err, err_size);
    }

    if (rc != 0) {
        engine_free(engine);
        return rc;
    }

    *out = engine;

    return 0;
}


static int
engine_open(engine_t *engine, char *err, size_t err_size)
{
    int  rc;

    engine->cache.path = engine->conf.path;
    engine->cache.caches = engine->conf.engines;
    engine->cache.layout = engine_layouts[engine->conf.layout];
    engine->cache.max_size = engine->conf.max_size;
    engine->cache.evicted = engine_evicted;
    engine->cache.refused = engine_refused;
    engine->cache.ctx = engine;

    rc = database_open(&engine->cache.database, engine->conf.path,
                       engine->conf.layout == ENGINE_SQLITE, err, err_size);

    if (rc != 0) {
        return rc;
    }

    rc = cache_open(&engine->cache);

    if (rc != 0) {
        snprintf(err, err_size, "cache directory \"%s\" cannot be read: %s",
                 engine->conf.path, strerror(rc));
        return rc;
    }

    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    engine->stop = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    engine->changed = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (engine->epoll == -1 || engine->stop == -1 || engine->changed == -1) {
        rc = errno;
        snprintf(err, err_size, "epoll_create1() or eventfd() failed: %s",
                 strerror(rc));
        return rc;
    }

    rc = server_open(engine);

    if (rc != 0) {
        snprintf(err, err_size, "control socket in \"%s\" failed: %s",
                 engine->conf.path, strerror(rc));
        return rc;
    }

    rc = engine_watch(engine, engine->stop, &engine->stop);

    if (rc == 0) {
        rc = engine_watch(engine, engine->changed, &engine->changed);
    }

    if (rc == 0) {
        rc = parts_open(engine);
    }

    if (rc == 0) {
        rc = engine_spawn(engine);
    }

    if (rc != 0) {
        snprintf(err, err_size, "thread of the engine failed: %s",
                 strerror(rc));
        return rc;
    }

    /* the session belongs to that thread: it tells whether it came up */

    while (sem_wait(&engine->started) == -1 && errno == EINTR) {
        /* void */
    }

    if (engine->error[0] != '\0') {
        pthread_join(engine->thread, NULL);
        snprintf(err, err_size, "BitTorrent session failed: %s",
                 engine->error);
        return EIO;
    }

    return 0;
}


static int
engine_open_shim(engine_t *engine)
{
    int            rc;
    shim_config_t  config;

    conf_shim(&engine->conf, &config);
    config.storage = store_storage;

    if (shim_open(&config, &engine->shim, engine->error,
                  sizeof(engine->error))
        != SHIM_OK)
    {
        return -1;
    }

    rc = engine_watch(engine, shim_event_fd(engine->shim), engine->shim);

    if (rc != 0) {
        snprintf(engine->error, sizeof(engine->error), "%s", strerror(rc));
        shim_close(engine->shim, 0);
        return -1;
    }

    return 0;
}


static int
engine_watch(engine_t *engine, int fd, void *data)
{
    struct epoll_event  ev;

    ev.events = EPOLLIN;
    ev.data.ptr = data;

    return (epoll_ctl(engine->epoll, EPOLL_CTL_ADD, fd, &ev) == -1) ? errno
                                                                    : 0;
}


static int
engine_spawn(engine_t *engine)
{
    int       rc;
    sigset_t  all, old;

    /* signals are the host's, but for that of guard.h */

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &old);

    rc = pthread_create(&engine->thread, NULL, engine_thread, engine);

    pthread_sigmask(SIG_SETMASK, &old, NULL);

    return rc;
}


int
engine_busy(engine_t *engine)
{
    return __atomic_load_n(&engine->workers, __ATOMIC_SEQ_CST) != 0
           && !engine_has_successor(engine);
}


static int
engine_has_successor(engine_t *engine)
{
    return engine_now() - __atomic_load_n(&engine->successor,
                                          __ATOMIC_SEQ_CST)
           < ENGINE_SUCCESSOR;
}


void
engine_quit(engine_t *engine)
{
    uint64_t  one;

    one = 1;

    while (write(engine->stop, &one, sizeof(one)) == -1 && errno == EINTR) {
        /* void */
    }
}


void
engine_stop(engine_t *engine)
{
    engine_quit(engine);

    pthread_join(engine->thread, NULL);

    engine_free(engine);
}


static void *
engine_thread(void *data)
{
    int        rc;
    engine_t  *engine;

    engine = data;

    (void) pthread_setname_np(pthread_self(), "engine");

    rc = engine_open_shim(engine);

    sem_post(&engine->started);

    if (rc != 0) {
        return NULL;
    }

    engine_log(engine, ENGINE_LOG_NOTICE, 0,
               "engine started, cache \"%s\" holds %llu bytes of %u torrents, "
               "%llu pieces in doubt", engine->conf.path,
               (unsigned long long) engine->cache.used,
               HASH_CNT(hh, engine->cache.stores),
               (unsigned long long) engine->cache.doubts);

    if (engine->cache.counters_err != 0) {
        engine_log(engine, ENGINE_LOG_WARN, engine->cache.counters_err,
                   "counters of \"%s\" cannot be opened, what is counted is "
                   "not kept", engine->conf.path);
    }

    prune_start(engine);

    if (engine->cache.database != NULL
        && database_damaged(engine->cache.database))
    {
        engine_log(engine, ENGINE_LOG_WARN, 0,
                   "database of \"%s\" was damaged and is begun anew",
                   engine->conf.path);
    }

    while (engine_cycle(engine) == 0) { /* void */ }

    server_close(engine);
    torrent_drop_all(engine);
    fetch_close(engine);
    shim_close(engine->shim, engine_has_successor(engine) ? 0
                                                          : ENGINE_STOP_TIME);

    engine_close(engine);

    return NULL;
}


/*
 * Does what is due, and returns the milliseconds until something is, or -1.
 */
static int
engine_timeout(engine_t *engine)
{
    int  a, b;

    a = torrent_expire(engine);
    b = layers_poll(engine);
    a = (a == -1 || (b != -1 && b < a)) ? b : a;

    b = item_poll(engine);
    a = (a == -1 || (b != -1 && b < a)) ? b : a;

    b = upload_timeout(engine);
    a = (a == -1 || (b != -1 && b < a)) ? b : a;

    b = check_timeout(engine);
    a = (a == -1 || (b != -1 && b < a)) ? b : a;

    b = ports_poll(engine);

    return (a == -1 || (b != -1 && b < a)) ? b : a;
}


/*
 * One turn: what happened, then what follows from it.  Returns nonzero to stop.
 */
static int
engine_cycle(engine_t *engine)
{
    int                  i, n;
    torrent_t           *torrent;
    struct epoll_event   events[ENGINE_EVENTS];

    n = epoll_wait(engine->epoll, events, ENGINE_EVENTS,
                   engine_timeout(engine));

    if (n == -1 && errno != EINTR) {
        engine_log(engine, ENGINE_LOG_ALERT, errno, "epoll_wait() failed");
        return -1;
    }

    for (i = 0; i < n; i++) {

        if (events[i].data.ptr == &engine->stop) {
            return -1;
        }

        if (events[i].data.ptr == &engine->listen) {
            server_accept(engine);

        } else if (events[i].data.ptr == engine->shim) {
            engine_shim_events(engine);

        } else if (events[i].data.ptr == &engine->changed) {
            watch_drain(engine);

        } else if (!parts_event(engine, events[i].data.ptr)) {
            server_event(events[i].data.ptr, events[i].events);
        }
    }

    server_reap(engine);

    fault_maps(engine);

    while ((torrent = TAILQ_FIRST(&engine->dirty)) != NULL) {
        if (!fault_renew(torrent)) {
            reader_schedule(torrent);
        }
    }

    return 0;
}


static void
engine_shim_events(engine_t *engine)
{
    int           i;
    shim_event_t  ev;

    for (i = 0; i < ENGINE_SHIM_EVENTS; i++) {

        if (!shim_next_event(engine->shim, &ev)) {
            return;
        }

        engine_shim_event(engine, &ev);
    }
}


static void
engine_shim_event(engine_t *engine, const shim_event_t *ev)
{
    switch (ev->type) {

    case SHIM_EVENT_LISTENING:
    case SHIM_EVENT_LISTEN_FAILED:
        ports_listening(engine, ev);
        break;

    case SHIM_EVENT_ITEM:
        item_event(engine, ev);
        break;

    case SHIM_EVENT_STATS:
        call_have_stats(engine);
        break;

    default:
        if (ev->id != 0) {
            torrent_event(engine, ev);

        } else {
            engine_log(engine, ev->level ? ev->level : ENGINE_LOG_INFO, 0,
                       "%s", ev->text);
        }

        break;
    }
}


/*
 * A segment was evicted: blocks held for it are forgotten, and workers close
 * their descriptors, which would keep its space.
 */
static void
engine_evicted(void *ctx, store_t *store, uint32_t segment, int complete)
{
    uint32_t    n, first;
    engine_t   *engine;
    torrent_t  *torrent;

    engine = ctx;

    torrent = torrent_find(engine, store->ih);

    if (torrent != NULL && torrent->store == store) {
        n = store_segment_pieces(store, segment, &first);
        (void) shim_forget(engine->shim, torrent->id, first, n);
    }

    if (complete) {
        reply_evicted(engine, store->ih, segment);
    }
}


/*
 * Called by the thread that opens the cache.
 */
static void
engine_refused(void *ctx, const char *name, int err)
{
    engine_log(ctx, ENGINE_LOG_WARN, (err == EBADMSG) ? 0 : err,
               "torrent \"%s\": its map in the cache is %s", name,
               (err == EBADMSG) ? "damaged, it is fetched again"
                                : "not usable");
}


/*
 * What is of the directory is closed; the lock last, since a successor waits
 * for it.
 */
static void
engine_close(engine_t *engine)
{
    server_close(engine);
    parts_close(engine);
    cache_close(&engine->cache, !engine_has_successor(engine));

    if (engine->lock != -1) {
        lock_release(engine->lock);
        engine->lock = -1;
    }
}


static void
engine_free(engine_t *engine)
{
    engine_close(engine);
    sem_destroy(&engine->started);

    if (engine->stop != -1) {
        close(engine->stop);
    }

    if (engine->changed != -1) {
        close(engine->changed);
    }

    if (engine->epoll != -1) {
        close(engine->epoll);
    }

    free(engine->packet);
    conf_free(&engine->conf);
    free(engine);
}
