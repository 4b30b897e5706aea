
#include "engine/control/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/call.h"
#include "engine/torrent/storage_fault.h"
#include "engine/dht_item.h"
#include "engine/core/log.h"
#include "engine/pieces/reader.h"
#include "engine/control/reply.h"
#include "engine/torrent/torrent.h"
#include "engine/upload/upload.h"
#include "engine/control/piece_watch.h"


#define SERVER_BACKLOG  64
#define SERVER_BATCH    64          /* packets of one connection at a time */


static int server_address(struct sockaddr_un *sun, const char *path);
static int server_trusts(int fd);
static void server_closed(conn_t *conn);
static int server_recv(conn_t *conn);
static ssize_t server_recv_packet(conn_t *conn, int *fd);
static int server_handle(conn_t *conn, const proto_msg_t *msg, const uint8_t
    *body, int fd);
static int server_handle_request(conn_t *conn, const proto_msg_t *msg, const
    uint8_t *body, int fd);
static int server_hello(conn_t *conn, const proto_msg_t *msg);
static request_t *server_request(conn_t *conn, uint32_t tag, int create);


int
server_open(engine_t *engine)
{
    int                 err;
    struct sockaddr_un  sun;
    struct epoll_event  ev;

    err = server_address(&sun, engine->conf.path);

    if (err != 0) {
        return err;
    }

    engine->listen = socket(AF_UNIX,
                            SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (engine->listen == -1) {
        return errno;
    }

    (void) unlink(sun.sun_path);

    if (bind(engine->listen, (struct sockaddr *) &sun, sizeof(sun)) == -1
        || chmod(sun.sun_path, 0600) == -1
        || listen(engine->listen, SERVER_BACKLOG) == -1)
    {
        return errno;
    }

    ev.events = EPOLLIN;
    ev.data.ptr = &engine->listen;

    if (epoll_ctl(engine->epoll, EPOLL_CTL_ADD, engine->listen, &ev) == -1) {
        return errno;
    }

    return 0;
}


void
server_close(engine_t *engine)
{
    conn_t  *conn;

    LIST_FOREACH(conn, &engine->conns, link) {
        server_closed(conn);
    }

    server_reap(engine);

    if (engine->listen != -1) {
        close(engine->listen);
        engine->listen = -1;
    }
}


static int
server_address(struct sockaddr_un *sun, const char *path)
{
    memset(sun, 0, sizeof(struct sockaddr_un));

    sun->sun_family = AF_UNIX;

    if (snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/%s", path,
                 PROTO_SOCKET)
        >= (int) sizeof(sun->sun_path))
    {
        return ENAMETOOLONG;
    }

    return 0;
}


void
server_takeover(const char *path)
{
    int                 fd;
    proto_msg_t         msg;
    struct sockaddr_un  sun;

    if (server_address(&sun, path) != 0) {
        return;
    }

    fd = socket(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return;
    }

    if (connect(fd, (struct sockaddr *) &sun, sizeof(sun)) == 0) {
        memset(&msg, 0, sizeof(msg));
        msg.type = PROTO_TAKEOVER;
        msg.arg0 = PROTO_VERSION;
        msg.arg1 = getpid();

        (void) send(fd, &msg, sizeof(msg), MSG_NOSIGNAL);
    }

    close(fd);
}


void
server_accept(engine_t *engine)
{
    int                 fd;
    conn_t             *conn;
    struct epoll_event  ev;

    for ( ;; ) {
        fd = accept4(engine->listen, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == -1) {
            if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
                engine_log(engine, ENGINE_LOG_CRIT, errno,
                           "accept() of a worker failed");
            }

            return;
        }

        if (!server_trusts(fd)) {
            engine_log(engine, ENGINE_LOG_WARN, 0,
                       "connection of another user to the control socket "
                       "refused");
            close(fd);
            continue;
        }

        conn = calloc(1, sizeof(conn_t));

        if (conn == NULL) {
            close(fd);
            return;
        }

        conn->engine = engine;
        conn->fd = fd;
        STAILQ_INIT(&conn->out);

        ev.events = EPOLLIN|EPOLLRDHUP;
        ev.data.ptr = conn;

        if (epoll_ctl(engine->epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
            engine_log(engine, ENGINE_LOG_CRIT, errno, "epoll_ctl() failed");
            close(fd);
            free(conn);
            continue;
        }

        LIST_INSERT_HEAD(&engine->conns, conn, link);
    }
}


/*
 * Workers run as the user we run as; root may look, too.
 */
static int
server_trusts(int fd)
{
    socklen_t     len;
    struct ucred  cred;

    len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1) {
        return 0;
    }

    return cred.uid == geteuid() || cred.uid == 0;
}


void
server_event(conn_t *conn, uint32_t events)
{
    if (conn->dead) {
        return;
    }

    if (events & EPOLLIN) {
        if (server_recv(conn) != 0) {
            server_closed(conn);
            return;
        }

    } else if (events & (EPOLLHUP|EPOLLERR|EPOLLRDHUP)) {
        server_closed(conn);
        return;
    }

    if ((events & EPOLLOUT) && !conn->dead) {
        reply_flush(conn);
    }
}


static void
server_closed(conn_t *conn)
{
    engine_t   *engine;
    packet_t   *packet;
    request_t  *request, *next;

    if (conn->dead) {
        return;
    }

    engine = conn->engine;
    conn->dead = 1;

    HASH_ITER(hh, conn->requests, request, next) {
        server_forget(request);
    }

    while ((packet = STAILQ_FIRST(&conn->out)) != NULL) {
        STAILQ_REMOVE_HEAD(&conn->out, link);

        if (packet->fd != -1) {
            close(packet->fd);
        }

        free(packet);
    }

    /* a child that has it for a moment would keep its events coming */

    (void) epoll_ctl(engine->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    close(conn->fd);

    if (conn->greeted
        && __atomic_sub_fetch(&engine->workers, 1, __ATOMIC_SEQ_CST) == 0)
    {
        engine->conf.idle(engine->conf.ctx);
    }
}


void
server_reap(engine_t *engine)
{
    conn_t  *conn, *next;

    for (conn = LIST_FIRST(&engine->conns); conn != NULL; conn = next) {
        next = LIST_NEXT(conn, link);

        if (conn->dead) {
            LIST_REMOVE(conn, link);
            free(conn);
        }
    }
}


static int
server_recv(conn_t *conn)
{
    int                 fd, rc, i;
    ssize_t             n;
    proto_msg_t         msg;
    const uint8_t      *body;

    for (i = 0; i < SERVER_BATCH; i++) {
        n = server_recv_packet(conn, &fd);

        if (n == -1) {
            return (errno == EAGAIN) ? 0 : -1;
        }

        rc = -1;

        if (n >= (ssize_t) sizeof(msg)) {
            memcpy(&msg, conn->engine->packet, sizeof(msg));
            body = conn->engine->packet + sizeof(msg);

            if (msg.body_len == n - sizeof(msg)) {
                rc = server_handle(conn, &msg, body, fd);
            }
        }

        if (fd != -1) {
            close(fd);
        }

        if (rc != 0) {
            if (n != 0) {
                engine_log(conn->engine, ENGINE_LOG_ERR, 0,
                           "control message of %zd bytes, type %u, not "
                           "understood", n,
                           n < (ssize_t) sizeof(msg) ? 0 : msg.type);
            }

            return -1;
        }

        if (conn->dead) {
            return 0;
        }
    }

    return 0;       /* level-triggered: the rest comes next time */
}


/*
 * Receives one packet into the engine's buffer, and a descriptor that came
 * with it, or -1.
 */
static ssize_t
server_recv_packet(conn_t *conn, int *fd)
{
    ssize_t          n;
    struct iovec     iov;
    struct msghdr    hdr;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  align;
        char            space[CMSG_SPACE(sizeof(int))];
    } control;

    *fd = -1;

    iov.iov_base = conn->engine->packet;
    iov.iov_len = PROTO_PACKET_MAX;

    memset(&hdr, 0, sizeof(hdr));
    hdr.msg_iov = &iov;
    hdr.msg_iovlen = 1;
    hdr.msg_control = control.space;
    hdr.msg_controllen = sizeof(control.space);

    do {
        n = recvmsg(conn->fd, &hdr, MSG_DONTWAIT|MSG_CMSG_CLOEXEC);
    } while (n == -1 && errno == EINTR);

    if (n == -1) {
        return -1;
    }

    cmsg = CMSG_FIRSTHDR(&hdr);

    if (cmsg != NULL
        && cmsg->cmsg_level == SOL_SOCKET
        && cmsg->cmsg_type == SCM_RIGHTS
        && cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
    {
        memcpy(fd, CMSG_DATA(cmsg), sizeof(int));
    }

    /* a packet that was cut is not understood: 0 is end of file, too */

    return (hdr.msg_flags & (MSG_TRUNC|MSG_CTRUNC)) ? 0 : n;
}


static int
server_handle(conn_t *conn, const proto_msg_t *msg, const uint8_t *body,
    int fd)
{
    engine_t  *engine;

    engine = conn->engine;

    if (msg->type == PROTO_TAKEOVER) {
        __atomic_store_n(&engine->successor, engine_now(), __ATOMIC_SEQ_CST);
        engine->conf.idle(engine->conf.ctx);
        return 0;
    }

    if (!conn->greeted) {
        return (msg->type == PROTO_HELLO) ? server_hello(conn, msg) : -1;
    }

    if (msg->type == PROTO_MISSING) {
        fault_missing(engine, msg->ih, msg->arg0);
        return 0;
    }

    if (msg->tag == 0) {
        return -1;
    }

    return server_handle_request(conn, msg, body, fd);
}


static int
server_handle_request(conn_t *conn, const proto_msg_t *msg,
    const uint8_t *body, int fd)
{
    request_t  *request;

    request = server_request(conn, msg->tag, msg->type == PROTO_HOLD
                                             || msg->type == PROTO_STAGE
                                             || msg->type == PROTO_CALL);

    switch (msg->type) {

    case PROTO_HOLD:
        if (request == NULL || msg->body_len < sizeof(proto_hold_t)) {
            return -1;
        }

        request->flags = msg->flags;
        torrent_hold(request, msg->ih, body, msg->body_len);
        return 0;

    case PROTO_CALL:
        if (request == NULL) {
            return -1;
        }

        return call_handle(request, msg, body, fd);

    case PROTO_STAGE:
        if (request == NULL) {
            return -1;
        }

        return upload_stage(request, msg->arg0, msg->arg1);

    case PROTO_READ:
        if (request != NULL && request->torrent != NULL) {
            reader_read(request, msg->arg0, msg->arg1);
        }

        return 0;

    case PROTO_RELEASE:
        if (request != NULL) {
            server_forget(request);
        }

        return 0;

    default:
        return -1;
    }
}


static int
server_hello(conn_t *conn, const proto_msg_t *msg)
{
    proto_msg_t  reply;

    memset(&reply, 0, sizeof(reply));
    reply.type = PROTO_WELCOME;
    reply.arg0 = PROTO_VERSION;

    reply_send(conn, &reply, NULL, -1);

    if (msg->arg0 != PROTO_VERSION) {
        engine_log(conn->engine, ENGINE_LOG_ERR, 0,
                   "worker %llu speaks version %llu of the control protocol, "
                   "not %d", (unsigned long long) msg->arg1,
                   (unsigned long long) msg->arg0, PROTO_VERSION);
        return -1;
    }

    conn->greeted = 1;
    __atomic_add_fetch(&conn->engine->workers, 1, __ATOMIC_SEQ_CST);

    return 0;
}


static request_t *
server_request(conn_t *conn, uint32_t tag, int create)
{
    request_t  *request;

    HASH_FIND(hh, conn->requests, &tag, sizeof(tag), request);

    if (request != NULL || !create) {
        return request;
    }

    request = calloc(1, sizeof(request_t));

    if (request == NULL) {
        return NULL;
    }

    request->tag = tag;
    request->conn = conn;

    HASH_ADD(hh, conn->requests, tag, sizeof(request->tag), request);

    return request;
}


void
server_forget(request_t *request)
{
    watch_stop(request);
    reader_stop(request);
    upload_forget(request);
    item_forget(request);
    torrent_leave(request);

    HASH_DEL(request->conn->requests, request);
    free(request);
}
