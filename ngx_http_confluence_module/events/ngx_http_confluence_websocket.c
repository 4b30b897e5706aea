
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_websocket.h"


/* how many times is sent until others have their turn */
#define NGX_HTTP_CONFLUENCE_WS_ROUND    16

/* for the other's Close, ms; a worker that exits does not wait for long */
#define NGX_HTTP_CONFLUENCE_WS_LINGER   5000
#define NGX_HTTP_CONFLUENCE_WS_EXIT     1000

/* of a frame with a length of 125 at most */
#define NGX_HTTP_CONFLUENCE_WS_HEADER   2


static void ngx_http_confluence_ws_cleanup(void *data);
static void ngx_http_confluence_ws_read_handler(ngx_event_t *rev);
static void ngx_http_confluence_ws_timer_handler(ngx_event_t *ev);
static void ngx_http_confluence_ws_timeout(ngx_http_confluence_ws_t *ws);
static ngx_int_t ngx_http_confluence_ws_header_sent(
    ngx_http_confluence_ws_t *ws);
static ngx_int_t ngx_http_confluence_ws_send(ngx_http_confluence_ws_t *ws);
static void ngx_http_confluence_ws_fill(ngx_http_confluence_ws_t *ws);
static ngx_int_t ngx_http_confluence_ws_arm(ngx_http_confluence_ws_t *ws);


ngx_int_t
ngx_http_confluence_ws_open(ngx_http_confluence_ws_t *ws)
{
    u_char                    *p;
    ngx_connection_t          *c;
    ngx_http_cleanup_t        *cln;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = ws->request;
    c = r->connection;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    p = ngx_palloc(r->pool, NGX_HTTP_CONFLUENCE_WS_OUT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ws->out.start = p;
    ws->out.pos = p;
    ws->out.last = p;
    ws->out.end = p + NGX_HTTP_CONFLUENCE_WS_OUT;

    if (ngx_http_confluence_ws_init(ws) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_confluence_ws_cleanup;
    cln->data = ws;

    ws->timer.handler = ngx_http_confluence_ws_timer_handler;
    ws->timer.data = ws;
    ws->timer.log = c->log;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->tcp_nodelay && ngx_tcp_nodelay(c) != NGX_OK) {
        return NGX_ERROR;
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    c->read->handler = ngx_http_confluence_ws_read_handler;
    c->idle = 1;

    if (ws->ping_interval) {
        ngx_add_timer(&ws->timer, ws->ping_interval);
    }

    if (ngx_exiting) {
        ngx_http_confluence_ws_close(ws, NGX_HTTP_CONFLUENCE_WS_AWAY);
    }

    return NGX_OK;
}


static void
ngx_http_confluence_ws_cleanup(void *data)
{
    ngx_http_confluence_ws_t *ws = data;

    if (ws->timer.timer_set) {
        ngx_del_timer(&ws->timer);
    }

    if (ws->timer.posted) {
        ngx_delete_posted_event(&ws->timer);
    }

    ws->request->connection->idle = 0;

    wslay_frame_context_free(ws->frames);
    ws->frames = NULL;
}


void
ngx_http_confluence_ws_close(ngx_http_confluence_ws_t *ws, ngx_uint_t code)
{
    if (ws->closing) {
        return;
    }

    ws->closing = 1;
    ws->code = code;

    ngx_add_timer(&ws->timer, ngx_exiting ? NGX_HTTP_CONFLUENCE_WS_EXIT
                                          : NGX_HTTP_CONFLUENCE_WS_LINGER);
}


/* In place of nginx's, which terminates the request if the worker exits. */

static void
ngx_http_confluence_ws_read_handler(ngx_event_t *rev)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_confluence_ws_t   *ws;
    ngx_http_confluence_ctx_t  *ctx;

    c = rev->data;
    r = c->data;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);
    ws = ctx->ws;

    ngx_http_set_log_request(c->log, r);

    if (c->close) {
        c->close = 0;
        c->idle = 0;

        /* with an error it is worker_shutdown_timeout */

        if (c->error) {
            ws->expired = 1;
        }

        ngx_http_confluence_ws_close(ws, NGX_HTTP_CONFLUENCE_WS_AWAY);

        /* it may have been sent before, and be waited for */

        ngx_add_timer(&ws->timer, NGX_HTTP_CONFLUENCE_WS_EXIT);
    }

    ngx_http_confluence_run(r, ctx);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_confluence_ws_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_confluence_ws_t   *ws;
    ngx_http_confluence_ctx_t  *ctx;

    ws = ev->data;
    r = ws->request;
    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    ngx_http_set_log_request(c->log, r);

    if (ev->timedout) {
        ev->timedout = 0;
        ngx_http_confluence_ws_timeout(ws);
    }

    ngx_http_confluence_run(r, ctx);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_confluence_ws_timeout(ngx_http_confluence_ws_t *ws)
{
    if (ws->closing) {
        ws->expired = 1;
        return;
    }

    if (ws->pinged && !ws->heard) {
        ngx_log_error(NGX_LOG_INFO, ws->request->connection->log, 0,
                      "websocket client does not answer pings");

        ngx_http_confluence_ws_close(ws, NGX_HTTP_CONFLUENCE_WS_POLICY);
        return;
    }

    ws->heard = 0;
    ws->pinged = 1;
    ws->ping_due = 1;

    ngx_add_timer(&ws->timer, ws->ping_interval);
}


ngx_int_t
ngx_http_confluence_ws_run(ngx_http_confluence_ws_t *ws)
{
    ngx_int_t  rc;

    rc = ngx_http_confluence_ws_header_sent(ws);

    if (rc == NGX_OK) {
        ngx_http_confluence_ws_recv(ws);
        rc = ngx_http_confluence_ws_send(ws);
    }

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        return rc;
    }

    if (ws->close_sent
        && ws->out.pos == ws->out.last
        && (ws->close_received || ws->failed))
    {
        /* what the client goes on to send must not undo our Close */

        ws->request->lingering_close = ws->failed;

        return NGX_OK;
    }

    if (ws->eof) {
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    if (ws->expired) {
        return NGX_ERROR;
    }

    return ngx_http_confluence_ws_arm(ws);
}


/* Nothing may overtake the end of the header. */

static ngx_int_t
ngx_http_confluence_ws_header_sent(ngx_http_confluence_ws_t *ws)
{
    ngx_http_request_t  *r;

    r = ws->request;

    if (!r->buffered && !r->connection->buffered) {
        return NGX_OK;
    }

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        return NGX_ERROR;
    }

    ws->blocked = (r->buffered || r->connection->buffered);

    return ws->blocked ? NGX_AGAIN : NGX_OK;
}


static ngx_int_t
ngx_http_confluence_ws_send(ngx_http_confluence_ws_t *ws)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    b = &ws->out;
    c = ws->request->connection;

    for (i = 0; i < NGX_HTTP_CONFLUENCE_WS_ROUND; i++) {

        ngx_http_confluence_ws_fill(ws);

        if (b->pos == b->last) {
            ws->blocked = 0;
            return NGX_OK;
        }

        if (!c->write->ready) {
            ws->blocked = 1;
            return NGX_OK;
        }

        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_ERROR) {
            return NGX_HTTP_CLIENT_CLOSED_REQUEST;
        }

        if (n == NGX_AGAIN || n == 0) {
            ws->blocked = 1;
            return NGX_OK;
        }

        b->pos += n;

        /* a slow client that takes something is there */

        if (ws->blocked) {
            ws->heard = 1;

            if (c->write->timer_set) {
                ngx_del_timer(c->write);
            }
        }

        if (b->pos == b->last) {
            b->pos = b->start;
            b->last = b->start;
        }
    }

    ws->more = 1;

    return NGX_OK;
}


/* Frames, as many as there is room for. */

static void
ngx_http_confluence_ws_fill(ngx_http_confluence_ws_t *ws)
{
    u_char  buf[NGX_HTTP_CONFLUENCE_WS_CONTROL];
    size_t  len;

    while (!ws->close_sent
           && ws->out.end - ws->out.last >= NGX_HTTP_CONFLUENCE_WS_HEADER
                                            + NGX_HTTP_CONFLUENCE_WS_CONTROL)
    {
        if (ws->pong_due) {
            ngx_http_confluence_ws_put(ws, WSLAY_PONG, ws->pong,
                                       ws->pong_len);
            ws->pong_due = 0;

        } else if (ws->closing) {
            buf[0] = (u_char) (ws->code >> 8);
            buf[1] = (u_char) ws->code;

            ngx_http_confluence_ws_put(ws, WSLAY_CONNECTION_CLOSE, buf, 2);
            ws->close_sent = 1;

        } else if (ws->ping_due) {
            ngx_http_confluence_ws_put(ws, WSLAY_PING, NULL, 0);
            ws->ping_due = 0;

        } else {
            len = ws->next(ws->data, buf, NGX_HTTP_CONFLUENCE_WS_CONTROL);

            if (len == 0) {
                return;
            }

            ngx_http_confluence_ws_put(ws, WSLAY_TEXT_FRAME, buf, len);
        }
    }
}


static ngx_int_t
ngx_http_confluence_ws_arm(ngx_http_confluence_ws_t *ws)
{
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_core_loc_conf_t  *clcf;

    c = ws->request->connection;
    wev = c->write;

    if (ws->more) {
        ngx_post_event(&ws->timer, &ngx_posted_next_events);
    }

    if (ws->blocked) {
        clcf = ngx_http_get_module_loc_conf(ws->request,
                                            ngx_http_core_module);

        if (!wev->timer_set) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

    } else if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}
