
#include "engine/torrent/piece_layers.h"

#include "engine/call.h"
#include "engine/core/log.h"


#define LAYERS_TIME      3000   /* ms that a call waits at most */
#define LAYERS_INTERVAL  50     /* ms between looks: there is no event */


static int layers_look(engine_t *engine);


int
layers_wait(request_t *request)
{
    engine_t  *engine;

    if (!request->torrent->info.has_v2 || (request->flags & PROTO_NOWAIT)) {
        return 0;
    }

    engine = request->conn->engine;

    if (shim_is_whole(engine->shim, request->torrent->id)) {
        return 0;
    }

    if (request->layers_until == 0) {
        request->layers_until = engine_now() + LAYERS_TIME;
        engine->layers_waited = 1;
    }

    return request->layers_until > engine_now();
}


int
layers_poll(engine_t *engine)
{
    if (!engine->layers_waited) {
        return -1;
    }

    if (engine->layers_next > engine_now()) {
        return engine->layers_next - engine_now();
    }

    engine->layers_waited = layers_look(engine);
    engine->layers_next = engine_now() + LAYERS_INTERVAL;

    return engine->layers_waited ? LAYERS_INTERVAL : -1;
}


/*
 * An answered request is gone.
 */
static int
layers_look(engine_t *engine)
{
    int         waiting;
    conn_t     *conn;
    request_t  *request, *next;

    waiting = 0;

    LIST_FOREACH(conn, &engine->conns, link) {

        HASH_ITER(hh, conn->requests, request, next) {

            if (request->layers_until == 0) {
                continue;
            }

            if (layers_wait(request)) {
                waiting = 1;

            } else {
                call_answer(request);
            }
        }
    }

    return waiting;
}
