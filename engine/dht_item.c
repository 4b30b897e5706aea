
#include "engine/dht_item.h"

#include <errno.h>

#include "engine/control/reply.h"


void
item_call(request_t *request, const uint8_t *target, const void *salt,
    size_t len, uint64_t ms)
{
    uint64_t   id;
    engine_t  *engine;

    engine = request->conn->engine;

    item_forget(request);

    switch (shim_item_get(engine->shim, target, salt, len,
                          (ms < UINT32_MAX) ? ms : UINT32_MAX, &id))
    {
    case SHIM_OK:
        request->item = id;
        LIST_INSERT_HEAD(&engine->items, request, item_link);
        break;

    case SHIM_INVALID:
        reply_fail(request, 500, "no dht servers\n");
        break;

    case SHIM_NOT_READY:
        reply_fail(request, 503, "too many requests to the DHT\n");
        break;

    default:
        reply_fail(request, 500, "DHT cannot be asked\n");
        break;
    }
}


void
item_event(engine_t *engine, const shim_event_t *ev)
{
    size_t       len;
    const void  *buf;
    request_t   *request, *next;

    for (request = LIST_FIRST(&engine->items);
         request != NULL;
         request = next)
    {
        next = LIST_NEXT(request, item_link);

        if (request->item != ev->id) {
            continue;
        }

        if (shim_item(engine->shim, ev->id, &buf, &len) == SHIM_OK) {
            reply_body(request, 200, 0, buf, len);

        } else if (ev->error == ENOENT) {
            reply_fail(request, 404, "not found\n");

        } else {
            reply_fail(request, 504, "timed out waiting for the DHT\n");
        }
    }
}


void
item_forget(request_t *request)
{
    if (request->item == 0) {
        return;
    }

    shim_item_drop(request->conn->engine->shim, request->item);

    request->item = 0;
    LIST_REMOVE(request, item_link);
}


int
item_poll(engine_t *engine)
{
    return LIST_EMPTY(&engine->items) ? -1 : shim_item_poll(engine->shim);
}
