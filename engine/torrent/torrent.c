
#include "engine/torrent/torrent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/call.h"
#include "engine/torrent/storage_fault.h"
#include "engine/torrent/source.h"
#include "engine/torrent/torrent_add.h"
#include "engine/core/log.h"
#include "engine/metainfo/metainfo.h"
#include "engine/pieces/reader.h"
#include "engine/control/reply.h"
#include "engine/control/conn.h"
#include "engine/control/piece_watch.h"


static void torrent_have_info(torrent_t *torrent);
static void torrent_rename(torrent_t *torrent);
static void torrent_refuse(torrent_t *torrent, const char *text);
static int torrent_open_store(torrent_t *torrent, char *err, size_t err_size);
static void torrent_answer(request_t *request);
static void torrent_drop(torrent_t *torrent, int keep);


torrent_t *
torrent_find(engine_t *engine, const uint8_t *ih)
{
    alias_t    *alias;
    torrent_t  *torrent;

    HASH_FIND(hh, engine->torrents, ih, 20, torrent);

    if (torrent != NULL) {
        return torrent;
    }

    HASH_FIND(hh, engine->aliases, ih, 20, alias);

    return (alias != NULL) ? alias->torrent : NULL;
}


torrent_t *
torrent_by_id(engine_t *engine, shim_id_t id)
{
    torrent_t  *torrent;

    HASH_FIND(hh_id, engine->ids, &id, sizeof(id), torrent);

    return torrent;
}


void
torrent_hold(request_t *request, const uint8_t *ih, const uint8_t *body,
    size_t len)
{
    char           err[256];
    unsigned       status;
    engine_t      *engine;
    torrent_t     *torrent;
    proto_hold_t   hold;

    engine = request->conn->engine;
    memcpy(&hold, body, sizeof(hold));

    torrent = request->torrent;

    if (torrent == NULL) {
        torrent = torrent_find(engine, ih);

        if (torrent == NULL) {
            status = load_torrent(engine, ih, &hold, &torrent, err,
                                  sizeof(err));
            if (status != 200) {
                reply_fail(request, status, err);
                return;
            }
        }

        torrent_enter(torrent, request);
    }

    if (len > sizeof(hold)) {
        load_magnet(torrent, body + sizeof(hold), len - sizeof(hold));
    }

    if (torrent->store != NULL) {

        /* a worker that has it open does not ask */

        if (map_is_there(&torrent->store->map, engine->cache.path)) {
            torrent_answer(request);

        } else {
            map_retire(&torrent->store->map);
            reader_dirty(torrent);
        }

    } else if (torrent_found(torrent)) {
        return;

    } else if (request->flags & PROTO_NOWAIT) {
        reply_fail(request, 202, "info not ready\n");
    }
}


torrent_t *
torrent_create(engine_t *engine, const uint8_t *ih, shim_id_t id)
{
    torrent_t  *torrent;

    torrent = calloc(1, sizeof(torrent_t));

    if (torrent == NULL) {
        return NULL;
    }

    torrent->engine = engine;
    torrent->id = id;
    torrent->info.size = sizeof(shim_info_t);
    memcpy(torrent->ih, ih, 20);
    TAILQ_INIT(&torrent->requests);
    LIST_INIT(&torrent->watches);
    LIST_INIT(&torrent->fetches);

    HASH_ADD(hh, engine->torrents, ih, 20, torrent);
    HASH_ADD(hh_id, engine->ids, id, sizeof(shim_id_t), torrent);

    return torrent;
}


void
torrent_alias(torrent_t *torrent, const uint8_t *ih)
{
    alias_t   *alias;
    engine_t  *engine;

    engine = torrent->engine;

    if (torrent_find(engine, ih) != NULL) {
        return;
    }

    alias = malloc(sizeof(alias_t));

    if (alias == NULL) {
        return;
    }

    memcpy(alias->ih, ih, 20);
    alias->torrent = torrent;

    HASH_ADD(hh, engine->aliases, ih, 20, alias);
}


void
torrent_enter(torrent_t *torrent, request_t *request)
{
    request->torrent = torrent;
    TAILQ_INSERT_TAIL(&torrent->requests, request, link);

    /* who only looks on, or asks about the torrent, needs no data to stay */

    request->reader = (request->upload != NULL
                       || (request->call == 0
                           && !(request->flags & PROTO_WATCH)));

    if (torrent->store != NULL) {
        torrent->store->readers += request->reader;
    }

    if (torrent->idle) {
        torrent->idle = 0;
        TAILQ_REMOVE(&torrent->engine->idle, torrent, idle_link);
    }
}


void
torrent_leave(request_t *request)
{
    engine_t   *engine;
    torrent_t  *torrent;

    torrent = request->torrent;

    if (torrent == NULL) {
        return;
    }

    engine = torrent->engine;

    request->torrent = NULL;
    TAILQ_REMOVE(&torrent->requests, request, link);

    if (torrent->store != NULL) {
        torrent->store->readers -= request->reader;
    }

    if (TAILQ_EMPTY(&torrent->requests)) {
        torrent->idle = 1;
        torrent->idle_since = engine_now();
        TAILQ_INSERT_TAIL(&engine->idle, torrent, idle_link);
    }
}


void
torrent_event(engine_t *engine, const shim_event_t *ev)
{
    char        hex[41];
    torrent_t  *torrent;

    torrent = torrent_by_id(engine, ev->id);

    if (torrent == NULL) {
        return;
    }

    if (torrent->store != NULL && !map_usable(&torrent->store->map)) {
        reader_dirty(torrent);      /* to get another one */
    }

    map_hex(hex, torrent->ih, 20);

    switch (ev->type) {

    case SHIM_EVENT_METADATA:
        (void) torrent_found(torrent);
        break;

    case SHIM_EVENT_PIECE:
        if (torrent->store != NULL) {
            reader_piece(torrent, ev->piece);
        }

        break;

    case SHIM_EVENT_PIECE_DROPPED:
        reader_dropped(torrent, ev->piece);
        break;

    case SHIM_EVENT_PIECE_FAILED:
        counters_add(&engine->cache.counters, COUNTERS_BAD_PIECES, 1);
        engine_log(engine, ENGINE_LOG_INFO, 0,
                   "torrent \"%s\": piece %u was corrupt", hex, ev->piece);
        break;

    case SHIM_EVENT_STORAGE_ERROR:
        fault_write(torrent, ev->piece, ev->error);
        break;

    case SHIM_EVENT_TORRENT_ERROR:
        engine_log(engine, ENGINE_LOG_ERR, 0, "torrent \"%s\": %s", hex,
                   ev->text);
        torrent_fail(torrent, 502, ev->text);
        break;

    default:
        engine_log(engine, ev->level ? ev->level : ENGINE_LOG_INFO, 0,
                   "torrent \"%s\": %s", hex, ev->text);
        break;
    }
}


int
torrent_found(torrent_t *torrent)
{
    if (torrent->store != NULL
        || shim_info(torrent->engine->shim, torrent->id, &torrent->info)
           != SHIM_OK)
    {
        return 0;
    }

    torrent_have_info(torrent);

    return 1;
}


/*
 * The info is known: the torrent takes its own name.
 */
static void
torrent_have_info(torrent_t *torrent)
{
    fetch_forget(torrent);
    torrent_rename(torrent);
    torrent_begin(torrent);
}


void
torrent_begin(torrent_t *torrent)
{
    int         rc;
    char        text[128], err[256], hex[41];
    engine_t   *engine;
    request_t  *request, *next;

    engine = torrent->engine;

    rc = torrent_open_store(torrent, err, sizeof(err));

    if (rc == EINVAL && err[0] != '\0') {
        torrent_refuse(torrent, err);
        return;
    }

    if (rc != 0) {
        map_hex(hex, torrent->ih, 20);
        engine_log(engine, ENGINE_LOG_CRIT, rc,
                   "torrent \"%s\": no place in the cache directory", hex);

        snprintf(text, sizeof(text), "cache directory: %s", strerror(rc));
        torrent_fail(torrent, (rc == ENOSPC || rc == EDQUOT) ? 507 : 500,
                     text);
        return;
    }

    metainfo_save(torrent);

    for (request = TAILQ_FIRST(&torrent->requests);
         request != NULL;
         request = next)
    {
        next = TAILQ_NEXT(request, link);
        torrent_answer(request);
    }
}


/*
 * A torrent is named by its v1 infohash, or by the start of its v2 infohash if
 * it has no other.  The name it was asked by may be the second of a hybrid.
 */
static void
torrent_rename(torrent_t *torrent)
{
    uint8_t    *ih, asked[20];
    engine_t   *engine;
    torrent_t  *other;

    engine = torrent->engine;
    ih = torrent->info.has_v1 ? torrent->info.v1 : torrent->info.v2;

    if (memcmp(torrent->ih, ih, 20) != 0) {
        HASH_FIND(hh, engine->torrents, ih, 20, other);

        if (other == NULL) {
            memcpy(asked, torrent->ih, 20);

            HASH_DEL(engine->torrents, torrent);
            memcpy(torrent->ih, ih, 20);
            HASH_ADD(hh, engine->torrents, ih, 20, torrent);

            torrent_alias(torrent, asked);
        }
    }

    if (torrent->info.has_v1 && torrent->info.has_v2) {
        torrent_alias(torrent, torrent->info.v2);
    }
}


/*
 * The cache's layout has no place for such a torrent.
 */
static void
torrent_refuse(torrent_t *torrent, const char *text)
{
    char        hex[41], line[300];
    request_t  *request, *next;

    map_hex(hex, torrent->ih, 20);
    engine_log(torrent->engine, ENGINE_LOG_ERR, 0,
               "torrent \"%s\" cannot be kept as files: %s", hex, text);

    snprintf(line, sizeof(line), "torrent cannot be kept as files: %s\n",
             text);

    for (request = TAILQ_FIRST(&torrent->requests);
         request != NULL;
         request = next)
    {
        next = TAILQ_NEXT(request, link);

        /* whoever brought it is to blame */

        if (request->call == PROTO_CALL_METAINFO_POST
            || request->call == PROTO_CALL_UPLOAD)
        {
            reply_fail(request, 400, line);
        }
    }

    line[strlen(line) - 1] = '\0';

    torrent_fail(torrent, 502, line);
}


static int
torrent_open_store(torrent_t *torrent, char *err, size_t err_size)
{
    int         i, rc;
    engine_t   *engine;
    request_t  *request;

    engine = torrent->engine;

    for (i = 0; i < 2; i++) {
        rc = cache_store(&engine->cache, &torrent->store, torrent->ih,
                         engine->shim, torrent->id, &torrent->info, err,
                         err_size);

        /* room for its map, unless workers have all that is evicted open */

        if ((rc != ENOSPC && rc != EDQUOT)
            || cache_disk_full(&engine->cache) == 0)
        {
            break;
        }
    }

    if (rc != 0) {
        torrent->store = NULL;
        return rc;
    }

    __atomic_add_fetch(&torrent->store->refs, 1, __ATOMIC_RELAXED);

    if (shim_attach(engine->shim, torrent->id, torrent->store) != SHIM_OK) {
        store_release(torrent->store);
        cache_unload(&engine->cache, torrent->store, 1);
        torrent->store = NULL;
        return EINVAL;
    }

    TAILQ_FOREACH(request, &torrent->requests, link) {
        torrent->store->readers += request->reader;
    }

    return 0;
}


/*
 * Answers a request of a torrent that is ready.
 */
static void
torrent_answer(request_t *request)
{
    if (request->call != 0) {
        call_answer(request);
        return;
    }

    /* first, or a change between the two would be seen by nobody */

    if ((request->flags & PROTO_WATCH) && watch_start(request) != 0) {
        reply_fail(request, 500, "out of memory");
        return;
    }

    reply_ready(request);
    reader_start(request);
}


void
torrent_fail(torrent_t *torrent, unsigned status, const char *text)
{
    request_t  *request;

    while ((request = TAILQ_FIRST(&torrent->requests)) != NULL) {
        reply_fail(request, status, text);
    }

    torrent_drop(torrent, 0);
}


int
torrent_expire(engine_t *engine)
{
    int64_t     left;
    torrent_t  *torrent;

    if (engine->conf.torrent_grace == ENGINE_OFF) {
        return -1;
    }

    while ((torrent = TAILQ_FIRST(&engine->idle)) != NULL) {
        left = torrent->idle_since + engine->conf.torrent_grace
               - engine_now();

        if (left > 0) {
            return (left < 60000) ? (int) left : 60000;
        }

        torrent_drop(torrent, 0);
    }

    return -1;
}


int
torrent_room(engine_t *engine)
{
    torrent_t  *torrent;

    while (HASH_COUNT(engine->torrents) >= engine->conf.max_torrents) {
        torrent = TAILQ_FIRST(&engine->idle);

        if (torrent == NULL) {
            return -1;
        }

        torrent_drop(torrent, engine->conf.torrent_grace == ENGINE_OFF);
    }

    return 0;
}


void
torrent_drop_all(engine_t *engine)
{
    torrent_t  *torrent, *next;

    HASH_ITER(hh, engine->torrents, torrent, next) {
        torrent_drop(torrent, 1);
    }
}


/*
 * Nobody holds it any more.  keep: data that would go with the torrent stay,
 * as the engine stops, or torrents are not to expire.
 */
static void
torrent_drop(torrent_t *torrent, int keep)
{
    alias_t   *alias, *next;
    engine_t  *engine;

    engine = torrent->engine;

    if (torrent->idle) {
        TAILQ_REMOVE(&engine->idle, torrent, idle_link);
    }

    fetch_forget(torrent);

    if (torrent->dirty) {
        TAILQ_REMOVE(&engine->dirty, torrent, dirty_link);
    }

    HASH_ITER(hh, engine->aliases, alias, next) {
        if (alias->torrent == torrent) {
            HASH_DEL(engine->aliases, alias);
            free(alias);
        }
    }

    if (torrent->store != NULL) {
        metainfo_save(torrent);
    }

    (void) shim_remove(engine->shim, torrent->id);

    if (torrent->store != NULL) {
        reader_abandon(torrent);
        cache_unload(&engine->cache, torrent->store, keep);
    }

    HASH_DEL(engine->torrents, torrent);
    HASH_DELETE(hh_id, engine->ids, torrent);

    free(torrent->wants);
    free(torrent);
}
