
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_confluence_control_link.h"
#include "ngx_http_confluence_control_packet.h"
#include "ngx_http_confluence_piece_watch.h"


#define NGX_HTTP_CONFLUENCE_RETRY_MIN    20      /* ms */
#define NGX_HTTP_CONFLUENCE_RETRY_MAX    100
#define NGX_HTTP_CONFLUENCE_RETRY_OTHER  1000    /* of another version */
#define NGX_HTTP_CONFLUENCE_OUTAGE       1000    /* when it is worth a line */


static void ngx_http_confluence_link_connect(ngx_http_confluence_link_t *link);
static void ngx_http_confluence_link_timer_handler(ngx_event_t *ev);
static void ngx_http_confluence_link_retry(ngx_http_confluence_link_t *link);
static void ngx_http_confluence_link_read_handler(ngx_event_t *rev);
static void ngx_http_confluence_link_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_http_confluence_link_message(
    ngx_http_confluence_link_t *link, proto_msg_t *msg, u_char *body,
    ngx_fd_t *fd);
static void ngx_http_confluence_link_welcome(ngx_http_confluence_link_t *link,
    proto_msg_t *msg);


ngx_http_confluence_link_t *
ngx_http_confluence_link_create(ngx_cycle_t *cycle,
    ngx_http_confluence_store_t *store)
{
    u_char                      *p;
    ngx_http_confluence_link_t  *link;

    link = ngx_pcalloc(cycle->pool, sizeof(ngx_http_confluence_link_t));
    if (link == NULL) {
        return NULL;
    }

    link->log = cycle->log;
    link->store = store;
    link->delay = NGX_HTTP_CONFLUENCE_RETRY_MIN;
    link->down = ngx_current_msec;

    /* the length was checked when the configuration was read */

    link->sockaddr.sun_family = AF_UNIX;
    p = ngx_cpymem(link->sockaddr.sun_path, store->path.data, store->path.len);
    ngx_memcpy(p, "/" PROTO_SOCKET, sizeof("/" PROTO_SOCKET));

    link->buffer = ngx_palloc(cycle->pool, PROTO_PACKET_MAX);
    if (link->buffer == NULL) {
        return NULL;
    }

    ngx_http_confluence_waiters_init(&link->waiters);

    link->timer.handler = ngx_http_confluence_link_timer_handler;
    link->timer.data = link;
    link->timer.log = cycle->log;
    link->timer.cancelable = 1;

    ngx_http_confluence_link_connect(link);

    return link;
}


void
ngx_http_confluence_link_close(ngx_http_confluence_link_t *link)
{
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
    proto_msg_t        msg;
    ngx_socket_t       s;
    struct iovec       iov;
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
        ngx_log_debug1(NGX_LOG_DEBUG_CORE, link->log, ngx_socket_errno,
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

    iov.iov_base = &msg;
    iov.iov_len = sizeof(proto_msg_t);

    if (ngx_handle_read_event(c->read, 0) != NGX_OK
        || ngx_http_confluence_packet_send(c, &iov, 1, NGX_INVALID_FILE)
           != NGX_OK)
    {
        ngx_http_confluence_link_failed(link);
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


void
ngx_http_confluence_link_failed(ngx_http_confluence_link_t *link)
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
                      "connection to the confluence engine on \"%s\" is lost",
                      link->sockaddr.sun_path);
    }

    ngx_http_confluence_waiters_lost(&link->waiters);
    ngx_http_confluence_watches_lost(link->store);

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
        ngx_http_confluence_link_close(link);
        return;
    }

    msg = (proto_msg_t *) link->buffer;

    for ( ;; ) {
        n = ngx_http_confluence_packet_recv(c, link->buffer, &fd);

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
            ngx_http_confluence_link_failed(link);
        }

        if (link->connection != c) {
            return;
        }
    }

    rev->ready = 0;

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_confluence_link_failed(link);
    }
}


/* Takes the descriptor if the message is one that carries it. */

static ngx_int_t
ngx_http_confluence_link_message(ngx_http_confluence_link_t *link,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd)
{
    ngx_uint_t  level;

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
        ngx_http_confluence_store_evicted(link->store, msg->ih,
                                          (uint32_t) msg->arg0);
        return NGX_OK;

    case PROTO_CHANGED:
        ngx_http_confluence_watches_changed(link->store, msg->ih, body,
                                            msg->body_len / sizeof(uint32_t));
        return NGX_OK;

    case PROTO_WAKE:
    case PROTO_READY:
    case PROTO_STAGED:
    case PROTO_FAIL:
    case PROTO_REPLY:
        ngx_http_confluence_waiters_answer(&link->waiters, msg, body, fd);
        return NGX_OK;

    default:
        ngx_log_error(NGX_LOG_ERR, link->log, 0,
                      "unknown message %ui from the confluence engine",
                      (ngx_uint_t) msg->type);
        return NGX_ERROR;
    }
}


static void
ngx_http_confluence_link_welcome(ngx_http_confluence_link_t *link,
    proto_msg_t *msg)
{
    if (link->up) {
        return;
    }

    link->up = 1;
    link->delay = NGX_HTTP_CONFLUENCE_RETRY_MIN;

    if (link->warned) {
        link->warned = 0;
        ngx_log_error(NGX_LOG_NOTICE, link->log, 0,
                      "connected to the confluence engine on \"%s\"",
                      link->sockaddr.sun_path);
    }

    ngx_http_confluence_store_count(link->store);

    /* hints of the time between are lost */

    ngx_http_confluence_store_sweep(link->store);

    ngx_http_confluence_waiters_resume(link);
}


static void
ngx_http_confluence_link_write_handler(ngx_event_t *wev)
{
    ngx_int_t                    rc;
    ngx_connection_t            *c;
    ngx_http_confluence_link_t  *link;

    c = wev->data;
    link = c->data;

    rc = link->up ? ngx_http_confluence_waiters_flush(link)
                  : ngx_handle_write_event(wev, 0);

    if (rc != NGX_OK) {
        ngx_http_confluence_link_failed(link);
    }
}


ngx_connection_t *
ngx_http_confluence_link_connection(ngx_http_confluence_link_t *link)
{
    return link->up ? link->connection : NULL;
}


void
ngx_http_confluence_link_missing(ngx_http_confluence_link_t *link, u_char *ih,
    uint64_t piece)
{
    proto_msg_t        msg;
    struct iovec       iov;
    ngx_connection_t  *c;

    c = ngx_http_confluence_link_connection(link);

    if (c == NULL) {
        return;
    }

    ngx_memzero(&msg, sizeof(proto_msg_t));

    msg.type = PROTO_MISSING;
    msg.arg0 = piece;
    ngx_memcpy(msg.ih, ih, 20);

    iov.iov_base = &msg;
    iov.iov_len = sizeof(proto_msg_t);

    if (ngx_http_confluence_packet_send(c, &iov, 1, NGX_INVALID_FILE)
        == NGX_ERROR)
    {
        ngx_http_confluence_link_failed(link);
    }
}
