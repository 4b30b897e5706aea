
#include "engine/control/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/core/log.h"
#include "engine/control/conn.h"
#include "engine/control/piece_watch.h"


static void reply_hint(conn_t *conn, const proto_msg_t *msg);
static int reply_send_packet(conn_t *conn, const proto_msg_t *msg, const void
    *body, int fd);
static void reply_want_write(conn_t *conn, unsigned on);


void
reply_wake(request_t *request)
{
    proto_msg_t  msg;

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_WAKE;
    msg.tag = request->tag;

    reply_hint(request->conn, &msg);
}


void
reply_evicted(engine_t *engine, const uint8_t *ih, uint32_t segment)
{
    conn_t       *conn;
    proto_msg_t   msg;

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_EVICTED;
    msg.arg0 = segment;
    memcpy(msg.ih, ih, 20);

    LIST_FOREACH(conn, &engine->conns, link) {
        if (conn->greeted && !conn->dead) {
            reply_hint(conn, &msg);
        }
    }
}


void
reply_ready(request_t *request)
{
    proto_msg_t  msg;

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_READY;
    msg.tag = request->tag;
    memcpy(msg.ih, request->torrent->ih, 20);

    reply_send(request->conn, &msg, NULL, -1);
}


void
reply_fail(request_t *request, unsigned status, const char *text)
{
    proto_msg_t  msg;

    if (request->call != 0) {
        reply_body(request, status, 0, text, strlen(text));
        return;
    }

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_FAIL;
    msg.tag = request->tag;
    msg.status = status;
    msg.body_len = strlen(text);

    reply_send(request->conn, &msg, text, -1);
    server_forget(request);
}


void
reply_fail_readers(torrent_t *torrent, int refused, unsigned status,
    const char *text)
{
    request_t  *request, *next;

    for (request = TAILQ_FIRST(&torrent->requests);
         request != NULL;
         request = next)
    {
        next = TAILQ_NEXT(request, link);

        if (request->reading && request->waiting
            && (request->refused || !refused))
        {
            reply_fail(request, status, text);
        }
    }
}


void
reply_body(request_t *request, unsigned status, unsigned flags,
    const void *body, size_t len)
{
    int          fd;
    size_t       n;
    ssize_t      rc;
    proto_msg_t  msg;

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_REPLY;
    msg.tag = request->tag;
    msg.status = status;
    msg.flags = flags;

    fd = -1;

    if (len <= PROTO_BODY_MAX / 2) {
        msg.body_len = len;

    } else {
        fd = memfd_create("confluence-reply", MFD_CLOEXEC);

        for (n = 0; fd != -1 && n < len; n += rc) {
            rc = write(fd, (const char *) body + n, len - n);

            if (rc <= 0) {
                close(fd);
                fd = -1;
            }
        }

        if (fd == -1) {
            engine_log(request->conn->engine, ENGINE_LOG_CRIT, errno,
                       "memory for a reply of %zu bytes failed", len);
            msg.status = 500;

        } else {
            msg.arg0 = len;
        }
    }

    reply_send(request->conn, &msg, msg.body_len ? body : NULL, fd);
    server_forget(request);
}


/*
 * Sends a hint, or notes that hints were lost.
 */
static void
reply_hint(conn_t *conn, const proto_msg_t *msg)
{
    if (conn->dead || conn->lost) {
        return;
    }

    if (!STAILQ_EMPTY(&conn->out)
        || reply_send_packet(conn, msg, NULL, -1) == EAGAIN)
    {
        conn->lost = 1;
        reply_want_write(conn, 1);
    }
}


/*
 * Sends a packet now or when there is room.  Takes over the descriptor.
 */
void
reply_send(conn_t *conn, const proto_msg_t *msg, const void *body, int fd)
{
    packet_t  *packet;

    if (conn->dead) {
        goto done;
    }

    if (STAILQ_EMPTY(&conn->out)
        && reply_send_packet(conn, msg, body, fd) != EAGAIN)
    {
        goto done;
    }

    packet = malloc(sizeof(packet_t) + msg->body_len);

    if (packet == NULL) {
        /* the worker notices, and asks again */
        (void) shutdown(conn->fd, SHUT_RDWR);
        goto done;
    }

    packet->fd = fd;
    packet->len = sizeof(proto_msg_t) + msg->body_len;
    packet->msg = *msg;

    if (msg->body_len != 0) {
        memcpy(packet + 1, body, msg->body_len);
    }

    STAILQ_INSERT_TAIL(&conn->out, packet, link);
    reply_want_write(conn, 1);

    return;

done:

    if (fd != -1) {
        close(fd);
    }
}


/*
 * Returns 0 if the packet went out, EAGAIN if there was no room, else an errno:
 * the connection is then about to end, its closing is seen by epoll.
 */
static int
reply_send_packet(conn_t *conn, const proto_msg_t *msg, const void *body,
    int fd)
{
    ssize_t          n;
    struct iovec     iov[2];
    struct msghdr    hdr;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  align;
        char            space[CMSG_SPACE(sizeof(int))];
    } control;

    iov[0].iov_base = (void *) msg;
    iov[0].iov_len = sizeof(proto_msg_t);
    iov[1].iov_base = (void *) body;
    iov[1].iov_len = msg->body_len;

    memset(&hdr, 0, sizeof(hdr));
    hdr.msg_iov = iov;
    hdr.msg_iovlen = (msg->body_len != 0) ? 2 : 1;

    if (fd != -1) {
        memset(&control, 0, sizeof(control));
        hdr.msg_control = control.space;
        hdr.msg_controllen = sizeof(control.space);

        cmsg = CMSG_FIRSTHDR(&hdr);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    }

    do {
        n = sendmsg(conn->fd, &hdr, MSG_DONTWAIT|MSG_NOSIGNAL);
    } while (n == -1 && errno == EINTR);

    if (n != -1) {
        return 0;
    }

    return (errno == ENOBUFS) ? EAGAIN : errno;
}


void
reply_flush(conn_t *conn)
{
    packet_t     *packet;
    proto_msg_t   msg;

    while ((packet = STAILQ_FIRST(&conn->out)) != NULL) {

        if (reply_send_packet(conn, &packet->msg, packet + 1, packet->fd)
            == EAGAIN)
        {
            return;
        }

        STAILQ_REMOVE_HEAD(&conn->out, link);

        if (packet->fd != -1) {
            close(packet->fd);
        }

        free(packet);
    }

    if (conn->lost) {
        memset(&msg, 0, sizeof(msg));
        msg.type = PROTO_WAKE;

        if (reply_send_packet(conn, &msg, NULL, -1) == EAGAIN) {
            return;
        }

        conn->lost = 0;
    }

    reply_want_write(conn, 0);
    watch_flush(conn);
}


static void
reply_want_write(conn_t *conn, unsigned on)
{
    struct epoll_event  ev;

    if (conn->writing == on) {
        return;
    }

    ev.events = EPOLLIN|EPOLLRDHUP|(on ? EPOLLOUT : 0);
    ev.data.ptr = conn;

    if (epoll_ctl(conn->engine->epoll, EPOLL_CTL_MOD, conn->fd, &ev) == -1) {
        engine_log(conn->engine, ENGINE_LOG_CRIT, errno, "epoll_ctl() failed");
        return;
    }

    conn->writing = on;
}
