
#include "engine/loop.h"

#include <errno.h>
#include <sys/epoll.h>

#include "engine/pieces/recheck.h"
#include "engine/torrent/source.h"
#include "engine/listen_ports.h"
#include "engine/upload/upload.h"


typedef struct {
    int   (*open)(engine_t *engine);
    int   (*fd)(const engine_t *engine);
    void  (*event)(engine_t *engine);
    void  (*close)(engine_t *engine);
} part_t;


static const part_t  parts[] = {
    { upload_open, upload_fd, upload_event, upload_close },
    { check_open, check_fd, check_event, check_close },
    { fetch_open, fetch_fd, fetch_event, fetch_close },
    { ports_open, ports_fd, ports_event, ports_close }
};

#define PARTS  (sizeof(parts) / sizeof(parts[0]))


int
parts_open(engine_t *engine)
{
    int                  rc, fd;
    size_t               i;
    struct epoll_event   ev;

    ev.events = EPOLLIN;

    for (i = 0; i < PARTS; i++) {
        rc = parts[i].open(engine);

        if (rc != 0) {
            return rc;
        }

        fd = parts[i].fd(engine);
        ev.data.ptr = (void *) &parts[i];

        if (fd != -1
            && epoll_ctl(engine->epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
        {
            return errno;
        }
    }

    return 0;
}


int
parts_event(engine_t *engine, const void *data)
{
    size_t  i;

    for (i = 0; i < PARTS; i++) {
        if (data == &parts[i]) {
            parts[i].event(engine);
            return 1;
        }
    }

    return 0;
}


void
parts_close(engine_t *engine)
{
    size_t  i;

    for (i = 0; i < PARTS; i++) {
        parts[i].close(engine);
    }
}
