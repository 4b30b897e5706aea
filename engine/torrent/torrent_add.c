
#include "engine/torrent/torrent_add.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/torrent/source.h"
#include "engine/core/log.h"
#include "engine/parse/magnet.h"
#include "engine/metainfo/metainfo.h"
#include "engine/torrent/torrent.h"


#define LOAD_URL    4096
#define LOAD_ERROR  256


static shim_rc_t load_add(engine_t *engine, const uint8_t *ih, const
    proto_hold_t *hold, shim_id_t *id, char *err, size_t err_size);
static int load_cached(engine_t *engine, const uint8_t *ih, shim_id_t *id);
static int load_is_named(engine_t *engine, shim_id_t id, const uint8_t *ih);
static void load_trackers(torrent_t *torrent);
static torrent_t *load_replace(engine_t *engine, shim_id_t id, const shim_add_t
    *add, char *err, size_t err_size);
static unsigned load_posted(engine_t *engine, shim_id_t id,
    torrent_t **torrent, char *err, size_t err_size);
static unsigned load_create(engine_t *engine, const uint8_t *ih, shim_id_t id,
    torrent_t **torrent, char *err, size_t err_size);
static unsigned load_named(engine_t *engine, const shim_add_t *add,
    const load_name_t *name, torrent_t **torrent, char *err, size_t err_size);
static void load_error(char *err, size_t err_size, const char *what);
static void load_merge(torrent_t *torrent, const shim_add_t *add);


unsigned
load_torrent(engine_t *engine, const uint8_t *ih, const proto_hold_t *hold,
    torrent_t **torrent, char *err, size_t err_size)
{
    shim_rc_t  rc;
    shim_id_t  id;

    rc = load_add(engine, ih, hold, &id, err, err_size);

    if (rc == SHIM_EXISTS) {

        /* a hybrid that is loaded by its other name */

        *torrent = torrent_by_id(engine, id);

        if (*torrent != NULL) {
            torrent_alias(*torrent, ih);
            return 200;
        }
    }

    if (rc != SHIM_OK) {
        engine_log(engine, ENGINE_LOG_ERR, 0, "torrent cannot be added: %s",
                   err);
        return 500;
    }

    return load_create(engine, ih, id, torrent, err, err_size);
}


/*
 * The shim has a new torrent.
 */
static unsigned
load_create(engine_t *engine, const uint8_t *ih, shim_id_t id,
    torrent_t **torrent, char *err, size_t err_size)
{
    unsigned  status;

    if (torrent_room(engine) != 0) {
        snprintf(err, err_size, "too many torrents are in use");
        status = 503;
        goto failed;
    }

    *torrent = torrent_create(engine, ih, id);

    if (*torrent == NULL) {
        snprintf(err, err_size, "out of memory");
        status = 500;
        goto failed;
    }

    load_trackers(*torrent);

    return 200;

failed:

    (void) shim_remove(engine->shim, id);

    return status;
}


static shim_rc_t
load_add(engine_t *engine, const uint8_t *ih, const proto_hold_t *hold,
    shim_id_t *id, char *err, size_t err_size)
{
    shim_add_t  add;

    if (load_cached(engine, ih, id)) {
        return SHIM_OK;
    }

    memset(&add, 0, sizeof(add));
    add.size = sizeof(add);

    /* a name that is the start of the v2 infohash is not a v1 infohash */

    if (hold->has_v2) {
        add.v2 = hold->v2;
    }

    if (!hold->has_v2 || memcmp(hold->v2, ih, 20) != 0) {
        add.v1 = ih;
    }

    return shim_add(engine->shim, &add, id, err, err_size);
}


static int
load_cached(engine_t *engine, const uint8_t *ih, shim_id_t *id)
{
    char        err[256], hex[41];
    void       *buf;
    size_t      len;
    shim_rc_t   rc;
    shim_add_t  add;

    if (metainfo_load(engine->cache.dir, ih, &buf, &len) != 0) {
        return 0;
    }

    memset(&add, 0, sizeof(add));
    add.size = sizeof(add);
    add.metainfo = buf;
    add.metainfo_len = len;

    rc = shim_add(engine->shim, &add, id, err, sizeof(err));

    free(buf);

    if (rc == SHIM_OK) {

        if (load_is_named(engine, *id, ih)) {
            return 1;
        }

        (void) shim_remove(engine->shim, *id);
    }

    map_hex(hex, ih, 20);
    engine_log(engine, ENGINE_LOG_WARN, 0,
               "torrent \"%s\": cached metainfo is damaged, ignored", hex);

    return 0;
}


static int
load_is_named(engine_t *engine, shim_id_t id, const uint8_t *ih)
{
    shim_info_t  info;

    info.size = sizeof(info);

    return shim_info(engine->shim, id, &info) == SHIM_OK
           && ((info.has_v1 && memcmp(info.v1, ih, 20) == 0)
               || (info.has_v2 && memcmp(info.v2, ih, 20) == 0));
}


/*
 * Trackers of the configuration.
 */
static void
load_trackers(torrent_t *torrent)
{
    engine_t     *engine;
    const char  **url;

    engine = torrent->engine;

    if (engine->conf.implicit_trackers == NULL) {
        return;
    }

    for (url = engine->conf.implicit_trackers; *url != NULL; url++) {
        (void) shim_add_tracker(engine->shim, torrent->id, *url, 0);
    }
}


void
load_magnet(torrent_t *torrent, const uint8_t *text, size_t len)
{
    int        type;
    char       value[LOAD_URL];
    size_t     pos;
    engine_t  *engine;

    engine = torrent->engine;
    pos = 0;

    while ((type = magnet_next(text, len, &pos, value, sizeof(value))) != 0) {

        switch (type) {

        case MAGNET_TRACKER:
            if (!engine->conf.override_trackers) {
                (void) shim_add_tracker(engine->shim, torrent->id, value, 0);
            }

            break;

        case MAGNET_PEER:
            (void) shim_add_peer(engine->shim, torrent->id, value);
            break;

        case MAGNET_WEB_SEED:
            (void) shim_add_web_seed(engine->shim, torrent->id, value);
            break;

        case MAGNET_SOURCE:
            fetch_source(torrent, value);
            break;

        default:
            break;
        }
    }
}


unsigned
load_post(request_t *request, const void *metainfo, size_t len,
    const load_name_t *name, char *err, size_t err_size)
{
    unsigned    status;
    engine_t   *engine;
    shim_rc_t   rc;
    shim_id_t   id;
    torrent_t  *torrent;
    shim_add_t  add;

    engine = request->conn->engine;

    memset(&add, 0, sizeof(add));
    add.size = sizeof(add);
    add.metainfo = metainfo;
    add.metainfo_len = len;

    rc = shim_add(engine->shim, &add, &id, err, err_size);

    switch (rc) {

    case SHIM_OK:
        status = load_posted(engine, id, &torrent, err, err_size);
        break;

    case SHIM_EXISTS:
        torrent = load_replace(engine, id, &add, err, err_size);
        status = (torrent != NULL) ? 200 : 500;
        break;

    case SHIM_NOT_READY:
        status = load_named(engine, &add, name, &torrent, err, err_size);
        break;

    case SHIM_MALFORMED:
        load_error(err, err_size, "error decoding body: ");
        return 400;

    case SHIM_INVALID:
        load_error(err, err_size, "error putting metainfo: ");
        return 400;

    default:
        return 500;
    }

    if (status == 200) {
        torrent_enter(torrent, request);
    }

    return status;
}


/*
 * The shim has a new torrent with its info.
 */
static unsigned
load_posted(engine_t *engine, shim_id_t id, torrent_t **torrent, char *err,
    size_t err_size)
{
    shim_info_t  info;

    info.size = sizeof(info);

    if (shim_info(engine->shim, id, &info) != SHIM_OK) {
        snprintf(err, err_size, "info is not at hand");
        return 500;
    }

    return load_create(engine, info.has_v1 ? info.v1 : info.v2, id, torrent,
                       err, err_size);
}


/*
 * What was posted has no info: it is about the torrent that the query names.
 */
static unsigned
load_named(engine_t *engine, const shim_add_t *add, const load_name_t *name,
    torrent_t **torrent, char *err, size_t err_size)
{
    unsigned  status;

    if (name->hold == NULL) {
        snprintf(err, err_size, "error putting metainfo: no info "
                 "dictionary, and nothing else names a torrent");
        return 400;
    }

    *torrent = torrent_find(engine, name->ih);

    if (*torrent == NULL) {
        status = load_torrent(engine, name->ih, name->hold, torrent, err,
                              err_size);
        if (status != 200) {
            return status;
        }
    }

    if (name->magnet_len != 0) {
        load_magnet(*torrent, name->magnet, name->magnet_len);
    }

    load_merge(*torrent, add);

    if ((*torrent)->store != NULL) {
        metainfo_save(*torrent);
    }

    return 200;
}


/*
 * Puts in front of a text what it is about.
 */
static void
load_error(char *err, size_t err_size, const char *what)
{
    char  text[LOAD_ERROR];

    snprintf(text, sizeof(text), "%s", err);
    snprintf(err, err_size, "%s%s", what, text);
}


void
load_source(torrent_t *torrent, const void *metainfo, size_t len)
{
    char        err[256];
    engine_t   *engine;
    shim_add_t  add;

    engine = torrent->engine;

    memset(&add, 0, sizeof(add));
    add.size = sizeof(add);
    add.metainfo = metainfo;
    add.metainfo_len = len;

    if (load_replace(engine, torrent->id, &add, err, sizeof(err)) == NULL) {
        engine_log(engine, ENGINE_LOG_ERR, 0,
                   "torrent cannot be added: %s", err);
    }
}


/*
 * The torrent of a posted metainfo is loaded: its sources are merged; if it
 * waits for its info, this is it.
 */
static torrent_t *
load_replace(engine_t *engine, shim_id_t id, const shim_add_t *add,
    char *err, size_t err_size)
{
    shim_rc_t   rc;
    torrent_t  *torrent;

    torrent = torrent_by_id(engine, id);

    if (torrent == NULL) {
        snprintf(err, err_size, "torrent is being removed");
        return NULL;
    }

    if (torrent->store != NULL) {
        load_merge(torrent, add);
        metainfo_save(torrent);
        return torrent;
    }

    rc = shim_replace(engine->shim, torrent->id, add, &id, err, err_size);

    if (rc != SHIM_OK) {
        torrent_fail(torrent, 500, err);
        return NULL;
    }

    HASH_DELETE(hh_id, engine->ids, torrent);
    torrent->id = id;
    HASH_ADD(hh_id, engine->ids, id, sizeof(shim_id_t), torrent);

    load_trackers(torrent);

    return torrent;
}


/*
 * Adds the sources of a posted metainfo.
 */
static void
load_merge(torrent_t *torrent, const shim_add_t *add)
{
    char       err[256];
    engine_t  *engine;

    engine = torrent->engine;

    if (shim_merge(engine->shim, torrent->id, add->metainfo,
                   add->metainfo_len, !engine->conf.override_trackers, err,
                   sizeof(err))
        != SHIM_OK)
    {
        engine_log(engine, ENGINE_LOG_INFO, 0, "posted metainfo: %s", err);
    }
}
