
#include "engine/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/report/debug_pages.h"
#include "engine/dht_item.h"
#include "engine/report/status_json.h"
#include "engine/torrent/piece_layers.h"
#include "engine/torrent/torrent_add.h"
#include "engine/metainfo/metainfo.h"
#include "engine/report/metrics.h"
#include "engine/control/reply.h"
#include "engine/report/status_text.h"
#include "engine/torrent/torrent.h"
#include "engine/upload/upload.h"


#define CALL_COMMENT  "dynamic metainfo from client"


static void call_post(request_t *request, const proto_msg_t *msg,
    const uint8_t *body, int fd);
static void call_info(request_t *request);
static void call_metainfo(request_t *request);
static void call_name(request_t *request);
static void call_stats(request_t *request);
static int call_status(request_t *request, FILE *out);


int
call_handle(request_t *request, const proto_msg_t *msg, const uint8_t *body,
    int fd)
{
    request->call = msg->kind;
    request->flags = msg->flags;

    switch (msg->kind) {

    case PROTO_CALL_INFO:
    case PROTO_CALL_METAINFO:
        if (msg->body_len < sizeof(proto_hold_t)) {
            return -1;
        }

        torrent_hold(request, msg->ih, body, msg->body_len);
        return 0;

    case PROTO_CALL_METAINFO_POST:
        if (fd == -1) {
            return -1;
        }

        call_post(request, msg, body, fd);
        return 0;

    case PROTO_CALL_UPLOAD:
        if (fd == -1) {
            return -1;
        }

        upload_call(request, fd, msg->arg0);
        return 0;

    case PROTO_CALL_ITEM:
        if (msg->body_len < sizeof(proto_hold_t)) {
            return -1;
        }

        item_call(request, msg->ih, body + sizeof(proto_hold_t),
                  msg->body_len - sizeof(proto_hold_t), msg->arg0);
        return 0;

    case PROTO_CALL_STATUS:
    case PROTO_CALL_METRICS:
    case PROTO_CALL_DEBUG:
    case PROTO_CALL_DEBUG_DHT:
    case PROTO_CALL_DEBUG_CACHE:
    case PROTO_CALL_DEBUG_LRU:
    case PROTO_CALL_DEBUG_PEERS:
        if (shim_ask_stats(request->conn->engine->shim) != SHIM_OK) {
            reply_fail(request, 500, "the session cannot be asked\n");
        }

        return 0;

    case PROTO_CALL_HEALTH:
        reply_body(request, 200, 0, NULL, 0);
        return 0;

    default:
        return -1;
    }
}


void
call_answer(request_t *request)
{
    switch (request->call) {

    case PROTO_CALL_INFO:
        call_info(request);
        break;

    case PROTO_CALL_METAINFO:
        call_metainfo(request);
        break;

    case PROTO_CALL_UPLOAD:
        break;      /* when its data are there, too */

    default:
        call_name(request);
        break;
    }
}


/*
 * What a metainfo was posted for: the infohash, and a line feed.
 */
static void
call_name(request_t *request)
{
    char  hex[42];

    map_hex(hex, request->torrent->ih, 20);
    hex[40] = '\n';

    reply_body(request, 200, 0, hex, 41);
}


static void
call_info(request_t *request)
{
    size_t       len;
    const void  *buf;

    if (shim_info_bytes(request->conn->engine->shim, request->torrent->id,
                        &buf, &len)
        != SHIM_OK)
    {
        reply_fail(request, 500, "info is not at hand\n");
        return;
    }

    reply_body(request, 200, 0, buf, len);
}


static void
call_metainfo(request_t *request)
{
    char       *text;
    void       *buf;
    size_t      len;
    time_t      date;
    torrent_t  *torrent;

    if (layers_wait(request)) {
        return;
    }

    torrent = request->torrent;
    date = torrent->info.creation_date ? torrent->info.creation_date
                                       : time(NULL);

    if (request->flags & PROTO_JSON) {

        if (json_metainfo(torrent, CALL_COMMENT, date, &text, &len) != 0) {
            reply_fail(request, 500, "metainfo is not at hand\n");
            return;
        }

        reply_body(request, 200, PROTO_JSON, text, len);
        free(text);
        return;
    }

    if (shim_metainfo(torrent->engine->shim, torrent->id, CALL_COMMENT,
                      ENGINE_NAME, date, &buf, &len)
        != SHIM_OK)
    {
        reply_fail(request, 500, "metainfo is not at hand\n");
        return;
    }

    reply_body(request, 200, 0, buf, len);
    shim_free(buf);
}


static void
call_post(request_t *request, const proto_msg_t *msg, const uint8_t *body,
    int fd)
{
    int           rc;
    char          err[256], text[320];
    void         *buf;
    unsigned      status;
    load_name_t   name;
    proto_hold_t  hold;

    rc = metainfo_read(fd, msg->arg0, &buf);

    if (rc == EFBIG) {
        reply_fail(request, 413, "metainfo is too large\n");
        return;
    }

    if (rc != 0) {
        reply_fail(request, 500, "metainfo cannot be read\n");
        return;
    }

    memset(&name, 0, sizeof(name));

    if (msg->body_len >= sizeof(hold)) {
        memcpy(&hold, body, sizeof(hold));
        name.ih = msg->ih;
        name.hold = &hold;
        name.magnet = body + sizeof(hold);
        name.magnet_len = msg->body_len - sizeof(hold);
    }

    status = load_post(request, buf, msg->arg0, &name, err, sizeof(err));
    free(buf);

    if (status != 200) {
        snprintf(text, sizeof(text), "%s\n", err);
        reply_fail(request, status, text);
        return;
    }

    /* if it brought the info, everybody who waits for that is answered */

    if (request->torrent->store != NULL || !torrent_found(request->torrent)) {
        call_answer(request);
    }
}


void
call_have_stats(engine_t *engine)
{
    conn_t     *conn;
    request_t  *request, *next;

    LIST_FOREACH(conn, &engine->conns, link) {
        HASH_ITER(hh, conn->requests, request, next) {
            if (request->call == PROTO_CALL_STATUS
                || request->call >= PROTO_CALL_METRICS)
            {
                call_stats(request);
            }
        }
    }
}


/*
 * What is told about all torrents together.
 */
static void
call_stats(request_t *request)
{
    int      rc;
    char    *buf;
    FILE    *out;
    size_t   len;

    buf = NULL;
    out = open_memstream(&buf, &len);

    if (out == NULL) {
        reply_fail(request, 500, "out of memory\n");
        return;
    }

    switch (request->call) {

    case PROTO_CALL_STATUS:
        rc = call_status(request, out);
        break;

    case PROTO_CALL_METRICS:
        metrics_text(request->conn->engine, out);
        rc = 0;
        break;

    default:
        rc = debug_page(request->conn->engine, request->call, out);
        break;
    }

    if (fclose(out) != 0 || rc != 0) {
        reply_fail(request, 500, "out of memory\n");

    } else {
        reply_body(request, 200, request->flags & PROTO_JSON, buf, len);
    }

    free(buf);
}


static int
call_status(request_t *request, FILE *out)
{
    int        rc;
    facts_t    facts;
    engine_t  *engine;

    engine = request->conn->engine;

    rc = facts_gather(&facts, engine);

    if (rc == 0) {
        if (request->flags & PROTO_JSON) {
            rc = json_status(engine, &facts, out);

        } else {
            status_text(engine, &facts, out);
        }
    }

    facts_free(&facts);

    return rc;
}
