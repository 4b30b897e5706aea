
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_confluence_link.h"
#include "ngx_http_confluence_store.h"


#define NGX_HTTP_CONFLUENCE_RETRY_MIN    20      /* ms */
#define NGX_HTTP_CONFLUENCE_RETRY_MAX    100
#define NGX_HTTP_CONFLUENCE_RETRY_OTHER  1000    /* of another version */
#define NGX_HTTP_CONFLUENCE_OUTAGE       1000    /* when it is worth a line */

#define NGX_HTTP_CONFLUENCE_RELEASED     1024


typedef struct {
    ngx_log_t           *log;
    ngx_connection_t    *connection;
    struct sockaddr_un   sockaddr;

    ngx_event_t          timer;
    ngx_msec_t           delay;
    ngx_msec_t           down;          /* since when */

    ngx_rbtree_t         waiters;       /* by tag */
    ngx_rbtree_node_t    sentinel;
    ngx_queue_t          queue;         /* waiters that have something to say */
    uint32_t             tag;

    /* RELEASE of waiters that are gone, when the socket was full */
    uint32_t             released[NGX_HTTP_CONFLUENCE_RELEASED];
    ngx_uint_t           released_n;

    unsigned             up:1;          /* WELCOME was seen */
    unsigned             warned:1;
    unsigned             closed:1;

    u_char              *buffer;        /* PROTO_PACKET_MAX */
} ngx_http_confluence_link_t;


static void ngx_http_confluence_link_connect(ngx_http_confluence_link_t *link);
static void ngx_http_confluence_link_timer_handler(ngx_event_t *ev);
static void ngx_http_confluence_link_retry(ngx_http_confluence_link_t *link);
static void ngx_http_confluence_link_down(ngx_http_confluence_link_t *link);
static void ngx_http_confluence_link_read_handler(ngx_event_t *rev);
static void ngx_http_confluence_link_write_handler(ngx_event_t *wev);
static ssize_t ngx_http_confluence_link_recv(ngx_connection_t *c,
    u_char *buf, ngx_fd_t *fd);
static ngx_fd_t ngx_http_confluence_link_passed(struct msghdr *msg);
static ngx_int_t ngx_http_confluence_link_message(
    ngx_http_confluence_link_t *link, proto_msg_t *msg, u_char *body,
    ngx_fd_t *fd);
static void ngx_http_confluence_link_welcome(ngx_http_confluence_link_t *link,
    proto_msg_t *msg);
static void ngx_http_confluence_link_answer(ngx_http_confluence_waiter_t *w,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd);
static void ngx_http_confluence_link_wake_all(
    ngx_http_confluence_link_t *link);
static void ngx_http_confluence_link_flush(ngx_http_confluence_link_t *link);
static void ngx_http_confluence_link_say(ngx_http_confluence_waiter_t *w,
    ngx_uint_t what);
static ngx_int_t ngx_http_confluence_link_say_one(
    ngx_http_confluence_link_t *link, ngx_http_confluence_waiter_t *w);
static ngx_int_t ngx_http_confluence_link_release_tag(
    ngx_http_confluence_link_t *link, uint32_t tag);
static ngx_int_t ngx_http_confluence_link_send(
    ngx_http_confluence_link_t *link, proto_msg_t *msg,
    ngx_http_confluence_waiter_t *w);
static ngx_http_confluence_waiter_t *ngx_http_confluence_link_find(
    ngx_http_confluence_link_t *link, uint32_t tag);


static ngx_http_confluence_link_t  ngx_http_confluence_link;


ngx_int_t
ngx_http_confluence_link_init(ngx_cycle_t *cycle, ngx_str_t *path)
{
    u_char                      *p;
    ngx_http_confluence_link_t  *link;

    link = &ngx_http_confluence_link;

    ngx_memzero(link, sizeof(ngx_http_confluence_link_t));

    link->log = cycle->log;
    link->delay = NGX_HTTP_CONFLUENCE_RETRY_MIN;
    link->down = ngx_current_msec;

    /* the length was checked when the configuration was read */

    link->sockaddr.sun_family = AF_UNIX;
    p = ngx_cpymem(link->sockaddr.sun_path, path->data, path->len);
    ngx_memcpy(p, "/" PROTO_SOCKET, sizeof("/" PROTO_SOCKET));

    link->buffer = ngx_palloc(cycle->pool, PROTO_PACKET_MAX);
    if (link->buffer == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&link->waiters, &link->sentinel, ngx_rbtree_insert_value);
    ngx_queue_init(&link->queue);

    link->timer.handler = ngx_http_confluence_link_timer_handler;
    link->timer.data = link;
    link->timer.log = cycle->log;
    link->timer.cancelable = 1;

    ngx_http_confluence_link_connect(link);

    return NGX_OK;
}


void
ngx_http_confluence_link_close(void)
{
    ngx_http_confluence_link_t  *link;

    link = &ngx_http_confluence_link;

    link->closed = 1;
    link->up = 0;

    if (link->connection) {
        ngx_close_connection(link->connection);
        link->connection = NULL;
    }

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }
}


static void
ngx_http_confluence_link_connect(ngx_http_confluence_link_t *link)
{
    ngx_err_t          err;
    proto_msg_t        msg;
    ngx_socket_t       s;
    ngx_connection_t  *c;

    if (ngx_cycle->free_connection_n == 0) {
        ngx_http_confluence_link_retry(link);
        return;
    }

    s = socket(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_CRIT, link->log, ngx_socket_errno,
                      ngx_socket_n " for the confluence engine failed");
        ngx_http_confluence_link_retry(link);
        return;
    }

    if (connect(s, (struct sockaddr *) &link->sockaddr,
                sizeof(struct sockaddr_un))
        == -1)
    {
        err = ngx_socket_errno;

        ngx_log_debug1(NGX_LOG_DEBUG_CORE, link->log, err,
                       "confluence connect() to \"%s\" failed",
                       link->sockaddr.sun_path);

        (void) ngx_close_socket(s);
        ngx_http_confluence_link_retry(link);
        return;
    }

    c = ngx_get_connection(s, link->log);

    if (c == NULL) {
        (void) ngx_close_socket(s);
        ngx_http_confluence_link_retry(link);
        return;
    }

    c->data = link;
    c->log = link->log;
    c->read->log = link->log;
    c->write->log = link->log;
    c->read->handler = ngx_http_confluence_link_read_handler;
    c->write->handler = ngx_http_confluence_link_write_handler;
    c->write->ready = 1;

    link->connection = c;

    ngx_memzero(&msg, sizeof(proto_msg_t));
    msg.type = PROTO_HELLO;
    msg.arg0 = PROTO_VERSION;
    msg.arg1 = ngx_pid;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK
        || ngx_http_confluence_link_send(link, &msg, NULL) != NGX_OK)
    {
        ngx_http_confluence_link_down(link);
    }
}


static void
ngx_http_confluence_link_timer_handler(ngx_event_t *ev)
{
    ngx_http_confluence_link_connect(ev->data);
}


static void
ngx_http_confluence_link_retry(ngx_http_confluence_link_t *link)
{
    if (link->closed) {
        return;
    }

    if (!link->warned
        && ngx_current_msec - link->down >= NGX_HTTP_CONFLUENCE_OUTAGE)
    {
        link->warned = 1;

        ngx_log_error(NGX_LOG_WARN, link->log, 0,
                      "no confluence engine on \"%s\" for %M ms, "
                      "only what is cached is served",
                      link->sockaddr.sun_path, ngx_current_msec - link->down);
    }

    ngx_add_timer(&link->timer, link->delay);

    if (link->delay < NGX_HTTP_CONFLUENCE_RETRY_MAX) {
        link->delay = ngx_min(link->delay * 2, NGX_HTTP_CONFLUENCE_RETRY_MAX);
    }
}


static void
ngx_http_confluence_link_down(ngx_http_confluence_link_t *link)
{
    if (link->connection) {
        ngx_close_connection(link->connection);
        link->connection = NULL;
    }

    if (link->up) {
        link->up = 0;
        link->down = ngx_current_msec;
        link->delay = NGX_HTTP_CONFLUENCE_RETRY_MIN;

        ngx_log_error(NGX_LOG_INFO, link->log, 0,
                      "connection to the confluence engine is lost");
    }

    link->released_n = 0;

    ngx_http_confluence_link_retry(link);
}


static void
ngx_http_confluence_link_read_handler(ngx_event_t *rev)
{
    ssize_t                      n;
    ngx_fd_t                     fd;
    ngx_int_t                    rc;
    proto_msg_t                 *msg;
    ngx_connection_t            *c;
    ngx_http_confluence_link_t  *link;

    c = rev->data;
    link = c->data;

    if (c->close) {
        /* worker_shutdown_timeout: nginx closes what is left */
        ngx_http_confluence_link_close();
        return;
    }

    msg = (proto_msg_t *) link->buffer;

    for ( ;; ) {
        n = ngx_http_confluence_link_recv(c, link->buffer, &fd);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n < (ssize_t) sizeof(proto_msg_t)
            || msg->body_len != n - sizeof(proto_msg_t))
        {
            rc = NGX_ERROR;

            if (n > 0) {
                ngx_log_error(NGX_LOG_ERR, c->log, 0,
                              "malformed message from the confluence engine");
            }

        } else {
            rc = ngx_http_confluence_link_message(link, msg,
                                      link->buffer + sizeof(proto_msg_t), &fd);
        }

        if (fd != NGX_INVALID_FILE) {
            (void) ngx_close_file(fd);
        }

        if (rc != NGX_OK) {
            ngx_http_confluence_link_down(link);
        }

        if (link->connection != c) {
            return;
        }
    }

    rev->ready = 0;

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_confluence_link_down(link);
    }
}


/* Returns the size of a packet, 0 at its end, NGX_AGAIN or NGX_ERROR. */

static ssize_t
ngx_http_confluence_link_recv(ngx_connection_t *c, u_char *buf, ngx_fd_t *fd)
{
    ssize_t        n;
    ngx_err_t      err;
    struct iovec   iov;
    struct msghdr  msg;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(4 * sizeof(int))];
    } cmsg;

    *fd = NGX_INVALID_FILE;

    for ( ;; ) {
        ngx_memzero(&msg, sizeof(struct msghdr));

        iov.iov_base = buf;
        iov.iov_len = PROTO_PACKET_MAX;

        msg.msg_iov = &iov;
        msg.msg_iovlen = 1;
        msg.msg_control = &cmsg;
        msg.msg_controllen = sizeof(cmsg);

        n = recvmsg(c->fd, &msg, MSG_DONTWAIT|MSG_CMSG_CLOEXEC);

        if (n >= 0) {
            break;
        }

        err = ngx_socket_errno;

        if (err == NGX_EAGAIN) {
            return NGX_AGAIN;
        }

        if (err == NGX_EINTR) {
            continue;
        }

        if (err != NGX_ECONNRESET) {
            ngx_log_error(NGX_LOG_ERR, c->log, err,
                          "recvmsg() from the confluence engine failed");
        }

        return NGX_ERROR;
    }

    *fd = ngx_http_confluence_link_passed(&msg);

    if (msg.msg_flags & MSG_TRUNC) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "oversized message from the confluence engine");

        if (*fd != NGX_INVALID_FILE) {
            (void) ngx_close_file(*fd);
            *fd = NGX_INVALID_FILE;
        }

        return NGX_ERROR;
    }

    return n;
}


static ngx_fd_t
ngx_http_confluence_link_passed(struct msghdr *msg)
{
    int              passed[4];
    ngx_fd_t         fd;
    ngx_uint_t       i, n;
    struct cmsghdr  *cm;

    fd = NGX_INVALID_FILE;

    for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {

        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        n = ngx_min(n, 4);

        ngx_memcpy(passed, CMSG_DATA(cm), n * sizeof(int));

        for (i = 0; i < n; i++) {

            if (fd == NGX_INVALID_FILE) {
                fd = passed[i];
                continue;
            }

            (void) ngx_close_file(passed[i]);
        }
    }

    return fd;
}


/* Takes the descriptor if the message is one that carries it. */

static ngx_int_t
ngx_http_confluence_link_message(ngx_http_confluence_link_t *link,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd)
{
    ngx_uint_t                     level;
    ngx_http_confluence_waiter_t  *w;

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, link->log, 0,
                   "confluence link message t:%ui tag:%uD st:%ui b:%uD",
                   (ngx_uint_t) msg->type, msg->tag,
                   (ngx_uint_t) msg->status, msg->body_len);

    if (!link->up && msg->type != PROTO_WELCOME) {
        return NGX_ERROR;
    }

    switch (msg->type) {

    case PROTO_WELCOME:

        if (msg->arg0 != PROTO_VERSION) {
            level = link->warned ? NGX_LOG_INFO : NGX_LOG_WARN;
            link->warned = 1;

            ngx_log_error(level, link->log, 0,
                          "confluence engine speaks version %uL, not %ui, "
                          "only what is cached is served",
                          (uint64_t) msg->arg0, (ngx_uint_t) PROTO_VERSION);

            link->delay = NGX_HTTP_CONFLUENCE_RETRY_OTHER;
            return NGX_ERROR;
        }

        ngx_http_confluence_link_welcome(link, msg);
        return NGX_OK;

    case PROTO_EVICTED:
        ngx_http_confluence_store_evicted(msg->ih, (uint32_t) msg->arg0);
        return NGX_OK;

    case PROTO_WAKE:

        if (msg->tag == 0) {
            ngx_http_confluence_link_wake_all(link);
            return NGX_OK;
        }

        break;

    case PROTO_READY:
    case PROTO_FAIL:
    case PROTO_REPLY:
        break;

    default:
        ngx_log_error(NGX_LOG_ERR, link->log, 0,
                      "unknown message %ui from the confluence engine",
                      (ngx_uint_t) msg->type);
        return NGX_ERROR;
    }

    w = ngx_http_confluence_link_find(link, msg->tag);

    if (w) {
        ngx_http_confluence_link_answer(w, msg, body, fd);
    }

    return NGX_OK;
}


static void
ngx_http_confluence_link_welcome(ngx_http_confluence_link_t *link,
    proto_msg_t *msg)
{
    ngx_rbtree_node_t             *node;
    ngx_http_confluence_waiter_t  *w;

    if (link->up) {
        return;
    }

    link->up = 1;
    link->delay = NGX_HTTP_CONFLUENCE_RETRY_MIN;

    if (link->warned) {
        link->warned = 0;
        ngx_log_error(NGX_LOG_NOTICE, link->log, 0,
                      "connected to the confluence engine again");
    }

    /* hints of the time between are lost */

    ngx_http_confluence_store_sweep();

    if (link->waiters.root == &link->sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(link->waiters.root, &link->sentinel);
         node;
         node = ngx_rbtree_next(&link->waiters, node))
    {
        w = (ngx_http_confluence_waiter_t *) node;

        w->seen = 1;
        w->said = 0;

        if (w->failed || w->replied) {
            continue;
        }

        if (w->say == 0 && (w->hold || w->read || w->call)) {
            ngx_queue_insert_tail(&link->queue, &w->queue);
        }

        w->say |= (w->hold ? NGX_HTTP_CONFLUENCE_SAY_HOLD : 0)
                  | (w->read ? NGX_HTTP_CONFLUENCE_SAY_READ : 0)
                  | (w->call ? NGX_HTTP_CONFLUENCE_SAY_CALL : 0);

        ngx_post_event(w->event, &ngx_posted_events);
    }

    ngx_http_confluence_link_flush(link);
}


static void
ngx_http_confluence_link_answer(ngx_http_confluence_waiter_t *w,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd)
{
    switch (msg->type) {

    case PROTO_READY:
        w->ready = 1;
        ngx_memcpy(w->ih, msg->ih, 20);
        break;

    case PROTO_FAIL:
    case PROTO_REPLY:

        if (w->failed || w->replied) {
            return;
        }

        w->status = msg->status;
        w->body.len = msg->body_len;

        if (w->body.len) {
            w->body.data = ngx_pnalloc(w->pool, w->body.len);
            if (w->body.data == NULL) {
                w->body.len = 0;
                w->status = 500;

            } else {
                ngx_memcpy(w->body.data, body, w->body.len);
            }
        }

        if (msg->type == PROTO_FAIL) {
            w->failed = 1;
            break;
        }

        w->replied = 1;

        if (msg->arg0) {
            w->reply_size = (off_t) msg->arg0;
            w->reply_fd = *fd;

            /* no descriptor came: this process has too many */

            if (*fd == NGX_INVALID_FILE) {
                w->status = 500;
            }

            *fd = NGX_INVALID_FILE;
        }

        break;

    default: /* PROTO_WAKE */
        break;
    }

    ngx_post_event(w->event, &ngx_posted_events);
}


static void
ngx_http_confluence_link_wake_all(ngx_http_confluence_link_t *link)
{
    ngx_rbtree_node_t             *node;
    ngx_http_confluence_waiter_t  *w;

    if (link->waiters.root == &link->sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(link->waiters.root, &link->sentinel);
         node;
         node = ngx_rbtree_next(&link->waiters, node))
    {
        w = (ngx_http_confluence_waiter_t *) node;

        ngx_post_event(w->event, &ngx_posted_events);
    }
}


static void
ngx_http_confluence_link_write_handler(ngx_event_t *wev)
{
    ngx_connection_t            *c;
    ngx_http_confluence_link_t  *link;

    c = wev->data;
    link = c->data;

    if (link->up) {
        ngx_http_confluence_link_flush(link);
        return;
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_http_confluence_link_down(link);
    }
}


/* Says all there is to say, until the socket is full. */

static void
ngx_http_confluence_link_flush(ngx_http_confluence_link_t *link)
{
    ngx_int_t                      rc;
    ngx_queue_t                   *q;
    ngx_http_confluence_waiter_t  *w;

    rc = NGX_OK;

    while (link->released_n) {
        rc = ngx_http_confluence_link_release_tag(link,
                                       link->released[link->released_n - 1]);
        if (rc != NGX_OK) {
            break;
        }

        link->released_n--;
    }

    while (rc == NGX_OK && !ngx_queue_empty(&link->queue)) {
        q = ngx_queue_head(&link->queue);
        w = ngx_queue_data(q, ngx_http_confluence_waiter_t, queue);

        rc = ngx_http_confluence_link_say_one(link, w);
    }

    if (rc == NGX_ERROR
        || ngx_handle_write_event(link->connection->write, 0) != NGX_OK)
    {
        ngx_http_confluence_link_down(link);
    }
}


void
ngx_http_confluence_link_hold(ngx_http_confluence_waiter_t *w)
{
    w->hold = 1;
    w->ready = 0;

    ngx_http_confluence_link_say(w, NGX_HTTP_CONFLUENCE_SAY_HOLD);
}


void
ngx_http_confluence_link_read(ngx_http_confluence_waiter_t *w, uint64_t begin,
    uint64_t end)
{
    w->read = 1;
    w->begin = begin;
    w->end = end;

    ngx_http_confluence_link_say(w, NGX_HTTP_CONFLUENCE_SAY_READ);
}


void
ngx_http_confluence_link_call(ngx_http_confluence_waiter_t *w)
{
    w->call = 1;

    ngx_http_confluence_link_say(w, NGX_HTTP_CONFLUENCE_SAY_CALL);
}


static void
ngx_http_confluence_link_say(ngx_http_confluence_waiter_t *w, ngx_uint_t what)
{
    ngx_uint_t                   waits;
    ngx_http_confluence_link_t  *link;

    link = &ngx_http_confluence_link;

    if (w->failed || w->replied) {
        return;
    }

    if (!w->active) {
        do {
            link->tag++;
        } while (link->tag == 0 || ngx_http_confluence_link_find(link,
                                                                 link->tag));
        w->active = 1;
        w->node.key = link->tag;

        ngx_rbtree_insert(&link->waiters, &w->node);
    }

    /* when there is no engine, it is said to the next one */

    if (!link->up) {
        return;
    }

    w->seen = 1;
    waits = (link->released_n || !ngx_queue_empty(&link->queue));

    if (w->say == 0) {
        ngx_queue_insert_tail(&link->queue, &w->queue);
    }

    w->say |= what;

    /* the socket is full if something waits already */

    if (!waits) {
        ngx_http_confluence_link_flush(link);
    }
}


static ngx_int_t
ngx_http_confluence_link_say_one(ngx_http_confluence_link_t *link,
    ngx_http_confluence_waiter_t *w)
{
    ngx_int_t    rc;
    proto_msg_t  msg;

    while (w->say) {
        ngx_memzero(&msg, sizeof(proto_msg_t));

        msg.tag = (uint32_t) w->node.key;

        if (w->hash) {
            ngx_memcpy(msg.ih, w->hash->ih, 20);
        }

        if (w->say & NGX_HTTP_CONFLUENCE_SAY_HOLD) {
            msg.type = PROTO_HOLD;

        } else if (w->say & NGX_HTTP_CONFLUENCE_SAY_READ) {
            msg.type = PROTO_READ;
            msg.arg0 = w->begin;
            msg.arg1 = w->end;

        } else {
            msg.type = PROTO_CALL;
            msg.kind = (uint16_t) w->kind;
            msg.flags = (uint16_t) w->flags;
            msg.arg0 = w->fd_size;
        }

        rc = ngx_http_confluence_link_send(link, &msg, w);

        if (rc != NGX_OK) {
            return rc;
        }

        w->said = 1;

        /* the lowest bit is the one that was said */

        w->say &= w->say - 1;
    }

    ngx_queue_remove(&w->queue);

    return NGX_OK;
}


void
ngx_http_confluence_link_release(ngx_http_confluence_waiter_t *w)
{
    uint32_t                     tag;
    ngx_int_t                    rc;
    ngx_http_confluence_link_t  *link;

    if (!w->active) {
        return;
    }

    link = &ngx_http_confluence_link;

    w->active = 0;

    /* the deletion clears the key */

    tag = (uint32_t) w->node.key;
    ngx_rbtree_delete(&link->waiters, &w->node);

    if (w->say) {
        w->say = 0;
        ngx_queue_remove(&w->queue);
    }

    if (!link->up || !w->said || w->failed || w->replied) {
        return;
    }

    rc = NGX_AGAIN;

    if (link->released_n == 0) {
        rc = ngx_http_confluence_link_release_tag(link, tag);
    }

    if (rc == NGX_AGAIN && link->released_n < NGX_HTTP_CONFLUENCE_RELEASED) {
        link->released[link->released_n++] = tag;

        if (ngx_handle_write_event(link->connection->write, 0) == NGX_OK) {
            return;
        }

        rc = NGX_ERROR;
    }

    /* end of file releases all tags; those in use are said again */

    if (rc != NGX_OK) {
        ngx_http_confluence_link_down(link);
    }
}


static ngx_int_t
ngx_http_confluence_link_release_tag(ngx_http_confluence_link_t *link,
    uint32_t tag)
{
    proto_msg_t  msg;

    ngx_memzero(&msg, sizeof(proto_msg_t));

    msg.type = PROTO_RELEASE;
    msg.tag = tag;

    return ngx_http_confluence_link_send(link, &msg, NULL);
}


/*
 * Sends one packet: HOLD and CALL take what they tell of the torrent, and the
 * descriptor, from the waiter.
 */

static ngx_int_t
ngx_http_confluence_link_send(ngx_http_confluence_link_t *link,
    proto_msg_t *msg, ngx_http_confluence_waiter_t *w)
{
    int               fd;
    ssize_t           n;
    ngx_err_t         err;
    proto_hold_t      hold;
    struct iovec      iov[3];
    struct msghdr     mh;
    ngx_connection_t *c;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(sizeof(int))];
    } cmsg;

    c = link->connection;

    ngx_memzero(&mh, sizeof(struct msghdr));

    iov[0].iov_base = msg;
    iov[0].iov_len = sizeof(proto_msg_t);

    mh.msg_iov = iov;
    mh.msg_iovlen = 1;

    if (w && w->hash && msg->type != PROTO_READ) {
        ngx_memzero(&hold, sizeof(proto_hold_t));

        hold.has_v2 = w->hash->has_v2;
        ngx_memcpy(hold.v2, w->hash->v2, sizeof(hold.v2));

        iov[1].iov_base = &hold;
        iov[1].iov_len = sizeof(proto_hold_t);
        iov[2].iov_base = w->magnet.data;
        iov[2].iov_len = w->magnet.len;

        mh.msg_iovlen = 3;
        msg->body_len = (uint32_t) (sizeof(proto_hold_t) + w->magnet.len);
    }

    if (msg->type == PROTO_CALL && w->fd != NGX_INVALID_FILE) {
        ngx_memzero(&cmsg, sizeof(cmsg));

        cmsg.cm.cmsg_len = CMSG_LEN(sizeof(int));
        cmsg.cm.cmsg_level = SOL_SOCKET;
        cmsg.cm.cmsg_type = SCM_RIGHTS;

        fd = w->fd;
        ngx_memcpy(CMSG_DATA(&cmsg.cm), &fd, sizeof(int));

        mh.msg_control = &cmsg;
        mh.msg_controllen = sizeof(cmsg);
    }

    do {
        n = sendmsg(c->fd, &mh, MSG_DONTWAIT|MSG_NOSIGNAL);
        err = (n == -1) ? ngx_socket_errno : 0;
    } while (err == NGX_EINTR);

    if (n >= 0) {
        return NGX_OK;
    }

    if (err == NGX_EAGAIN || err == ENOBUFS || err == NGX_ENOMEM) {
        c->write->ready = 0;
        return NGX_AGAIN;
    }

    if (err != NGX_EPIPE && err != NGX_ECONNRESET) {
        ngx_log_error(NGX_LOG_ERR, c->log, err,
                      "sendmsg() to the confluence engine failed");
    }

    return NGX_ERROR;
}


static ngx_http_confluence_waiter_t *
ngx_http_confluence_link_find(ngx_http_confluence_link_t *link, uint32_t tag)
{
    ngx_rbtree_node_t  *node;

    node = link->waiters.root;

    while (node != &link->sentinel) {

        if (tag == node->key) {
            return (ngx_http_confluence_waiter_t *) node;
        }

        node = (tag < node->key) ? node->left : node->right;
    }

    return NULL;
}
