
#include "engine/control/piece_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/control/reply.h"


#define WATCH_BATCH  4096       /* pieces of a message */


static watch_t *watch_find(const request_t *request);
static watch_t *watch_create(request_t *request);
static int watch_begin(torrent_t *torrent);
static void watch_torrent(torrent_t *torrent);
static void watch_send(watch_t *watch);


int
watch_start(request_t *request)
{
    watch_t  *watch;

    if (request->watch != NULL) {
        return 0;
    }

    watch = watch_find(request);

    if (watch == NULL) {
        watch = watch_create(request);

        if (watch == NULL) {
            return ENOMEM;
        }
    }

    watch->refs++;
    request->watch = watch;

    return 0;
}


static watch_t *
watch_find(const request_t *request)
{
    watch_t  *watch;

    LIST_FOREACH(watch, &request->torrent->watches, torrent_link) {
        if (watch->conn == request->conn) {
            return watch;
        }
    }

    return NULL;
}


static watch_t *
watch_create(request_t *request)
{
    watch_t    *watch;
    torrent_t  *torrent;

    torrent = request->torrent;
    watch = calloc(1, sizeof(watch_t));

    if (watch == NULL) {
        return NULL;
    }

    if (pieces_init(&watch->changed, torrent->info.piece_n) != 0
        || (LIST_EMPTY(&torrent->watches) && watch_begin(torrent) != 0))
    {
        pieces_free(&watch->changed);
        free(watch);
        return NULL;
    }

    watch->conn = request->conn;
    watch->torrent = torrent;

    LIST_INSERT_HEAD(&torrent->watches, watch, torrent_link);
    LIST_INSERT_HEAD(&request->conn->watches, watch, conn_link);

    return watch;
}


/*
 * The first who watches a torrent: its store begins to note changes.
 */
static int
watch_begin(torrent_t *torrent)
{
    if (store_watch(torrent->store, torrent->engine->changed) != 0) {
        return -1;
    }

    LIST_INSERT_HEAD(&torrent->engine->watched, torrent, watched_link);

    return 0;
}


void
watch_stop(request_t *request)
{
    watch_t    *watch;
    torrent_t  *torrent;

    watch = request->watch;

    if (watch == NULL) {
        return;
    }

    request->watch = NULL;

    if (--watch->refs != 0) {
        return;
    }

    torrent = watch->torrent;

    LIST_REMOVE(watch, torrent_link);
    LIST_REMOVE(watch, conn_link);

    if (LIST_EMPTY(&torrent->watches)) {
        LIST_REMOVE(torrent, watched_link);
        store_unwatch(torrent->store);
    }

    pieces_free(&watch->changed);
    free(watch);
}


void
watch_drain(engine_t *engine)
{
    uint64_t    count;
    torrent_t  *torrent;

    /* reset first: what is noted after this line is written again */

    (void) !read(engine->changed, &count, sizeof(count));

    LIST_FOREACH(torrent, &engine->watched, watched_link) {
        watch_torrent(torrent);
    }
}


static void
watch_torrent(torrent_t *torrent)
{
    uint32_t  i, n, list[WATCH_BATCH];
    watch_t  *watch;

    if (!store_noted(torrent->store)) {
        return;
    }

    do {
        n = pieces_take(&torrent->store->changes.pieces, list, WATCH_BATCH);

        LIST_FOREACH(watch, &torrent->watches, torrent_link) {
            for (i = 0; i < n; i++) {
                pieces_add(&watch->changed, list[i]);
            }
        }

    } while (n == WATCH_BATCH);

    LIST_FOREACH(watch, &torrent->watches, torrent_link) {
        watch_send(watch);
    }
}


void
watch_flush(conn_t *conn)
{
    watch_t  *watch;

    LIST_FOREACH(watch, &conn->watches, conn_link) {
        watch_send(watch);
    }
}


/*
 * Sends what the worker takes; the rest stays in the set.
 */
static void
watch_send(watch_t *watch)
{
    uint32_t      n, list[WATCH_BATCH];
    proto_msg_t   msg;

    while (!watch->conn->dead && STAILQ_EMPTY(&watch->conn->out)) {

        n = pieces_take(&watch->changed, list, WATCH_BATCH);

        if (n == 0) {
            return;
        }

        memset(&msg, 0, sizeof(msg));
        msg.type = PROTO_CHANGED;
        msg.body_len = n * sizeof(uint32_t);
        memcpy(msg.ih, watch->torrent->ih, 20);

        reply_send(watch->conn, &msg, list, -1);
    }
}
