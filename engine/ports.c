
#include "ports.h"

#include "log.h"


#define PORTS_INTERVAL  3000    /* ms between looks */


void
ports_event(engine_t *engine, const shim_event_t *ev)
{
    engine_log(engine, ev->level, 0,
               ev->type == SHIM_EVENT_LISTENING
               ? "listening for peers on %s"
               : "listening for peers failed: %s", ev->text);

    if (ev->level != SHIM_LOG_NOTICE && engine->ports_next == 0) {
        engine->ports_next = engine_now() + PORTS_INTERVAL;
    }
}


int
ports_poll(engine_t *engine)
{
    int64_t  now;

    if (engine->ports_next == 0) {
        return -1;
    }

    now = engine_now();

    if (engine->ports_next <= now) {
        engine->ports_next = shim_listen_again(engine->shim)
                             ? now + PORTS_INTERVAL : 0;
    }

    return engine->ports_next ? (int) (engine->ports_next - now) : -1;
}
