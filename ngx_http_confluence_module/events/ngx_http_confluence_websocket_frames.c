
/*
 * Frames of a WebSocket: what uses wslay.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_websocket.h"


/* what is read until others have their turn */
#define NGX_HTTP_CONFLUENCE_WS_BUDGET   65536

/* a message of a client, which nobody reads */
#define NGX_HTTP_CONFLUENCE_WS_MESSAGE  65536


static ssize_t ngx_http_confluence_ws_recv_callback(uint8_t *buf, size_t len,
    int flags, void *data);
static void ngx_http_confluence_ws_frame(ngx_http_confluence_ws_t *ws,
    struct wslay_frame_iocb *f);
static ngx_uint_t ngx_http_confluence_ws_begin(ngx_http_confluence_ws_t *ws,
    struct wslay_frame_iocb *f);
static void ngx_http_confluence_ws_end(ngx_http_confluence_ws_t *ws,
    struct wslay_frame_iocb *f);
static ngx_uint_t ngx_http_confluence_ws_code(ngx_http_confluence_ws_t *ws);
static void ngx_http_confluence_ws_fail(ngx_http_confluence_ws_t *ws,
    ngx_uint_t code);
static ssize_t ngx_http_confluence_ws_put_callback(const uint8_t *data,
    size_t len, int flags, void *user_data);


static struct wslay_frame_callbacks  ngx_http_confluence_ws_callbacks = {
    ngx_http_confluence_ws_put_callback,
    ngx_http_confluence_ws_recv_callback,
    NULL                                   /* a server does not mask */
};


ngx_int_t
ngx_http_confluence_ws_init(ngx_http_confluence_ws_t *ws)
{
    return (wslay_frame_context_init(&ws->frames,
                                     &ngx_http_confluence_ws_callbacks, ws)
            == 0)
           ? NGX_OK : NGX_ERROR;
}


void
ngx_http_confluence_ws_recv(ngx_http_confluence_ws_t *ws)
{
    ssize_t                  n;
    struct wslay_frame_iocb  frame;

    ws->budget = NGX_HTTP_CONFLUENCE_WS_BUDGET;
    ws->more = 0;

    while (!ws->failed && !ws->close_received) {

        ngx_memzero(&frame, sizeof(struct wslay_frame_iocb));

        n = wslay_frame_recv(ws->frames, &frame);

        if (n == WSLAY_ERR_WANT_READ) {
            break;
        }

        if (n < 0) {
            ngx_http_confluence_ws_fail(ws, NGX_HTTP_CONFLUENCE_WS_PROTOCOL);
            break;
        }

        ngx_http_confluence_ws_frame(ws, &frame);
    }
}


static ssize_t
ngx_http_confluence_ws_recv_callback(uint8_t *buf, size_t len, int flags,
    void *data)
{
    ngx_http_confluence_ws_t *ws = data;

    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = ws->request->header_in;
    c = ws->request->connection;

    /* what came with the handshake */

    if (b->pos < b->last) {
        n = ngx_min((ssize_t) len, b->last - b->pos);
        ngx_memcpy(buf, b->pos, n);
        b->pos += n;

        return n;
    }

    if (ws->budget == 0) {
        ws->more = 1;
        return -1;
    }

    n = c->recv(c, buf, len);

    if (n == NGX_AGAIN) {
        return -1;
    }

    if (n <= 0) {
        ws->eof = 1;
        return -1;
    }

    ws->heard = 1;
    ws->budget -= ngx_min(ws->budget, (size_t) n);

    return n;
}


/* A part of a frame's payload; the first one says what the frame is. */

static void
ngx_http_confluence_ws_frame(ngx_http_confluence_ws_t *ws,
    struct wslay_frame_iocb *f)
{
    ngx_uint_t  code;

    if (ws->left == 0) {
        code = ngx_http_confluence_ws_begin(ws, f);

        if (code) {
            ngx_http_confluence_ws_fail(ws, code);
            return;
        }
    }

    if (wslay_is_ctrl_frame(f->opcode)) {
        ngx_memcpy(ws->control + ws->control_len, f->data, f->data_length);
        ws->control_len += f->data_length;
    }

    ws->left -= f->data_length;

    if (ws->left == 0) {
        ngx_http_confluence_ws_end(ws, f);
    }
}


/* Returns the code to close with, or 0. */

static ngx_uint_t
ngx_http_confluence_ws_begin(ngx_http_confluence_ws_t *ws,
    struct wslay_frame_iocb *f)
{
    if (!f->mask || f->rsv) {
        return NGX_HTTP_CONFLUENCE_WS_PROTOCOL;
    }

    ws->left = f->payload_length;

    switch (f->opcode) {

    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        /* wslay has seen to it that it is whole and not too long */
        ws->control_len = 0;
        return 0;

    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
        if (ws->fragmented) {
            return NGX_HTTP_CONFLUENCE_WS_PROTOCOL;
        }

        ws->length = 0;
        break;

    case WSLAY_CONTINUATION_FRAME:
        if (!ws->fragmented) {
            return NGX_HTTP_CONFLUENCE_WS_PROTOCOL;
        }

        break;

    default:
        return NGX_HTTP_CONFLUENCE_WS_PROTOCOL;
    }

    ws->fragmented = !f->fin;

    if (f->payload_length > NGX_HTTP_CONFLUENCE_WS_MESSAGE - ws->length) {
        return NGX_HTTP_CONFLUENCE_WS_TOO_BIG;
    }

    ws->length += f->payload_length;

    return 0;
}


static void
ngx_http_confluence_ws_end(ngx_http_confluence_ws_t *ws,
    struct wslay_frame_iocb *f)
{
    ngx_uint_t  code;

    if (f->opcode == WSLAY_PING) {
        ws->pong_due = 1;
        ws->pong_len = ws->control_len;
        ngx_memcpy(ws->pong, ws->control, ws->control_len);
        return;
    }

    if (f->opcode != WSLAY_CONNECTION_CLOSE) {
        return;
    }

    code = ngx_http_confluence_ws_code(ws);

    if (code == 0) {
        ngx_http_confluence_ws_fail(ws, NGX_HTTP_CONFLUENCE_WS_PROTOCOL);
        return;
    }

    ws->close_received = 1;

    ngx_http_confluence_ws_close(ws, code);
}


/* The code to answer a Close with, 0 if that is malformed. */

static ngx_uint_t
ngx_http_confluence_ws_code(ngx_http_confluence_ws_t *ws)
{
    ngx_uint_t  code;

    if (ws->control_len == 0) {
        return NGX_HTTP_CONFLUENCE_WS_NORMAL;
    }

    if (ws->control_len == 1) {
        return 0;
    }

    code = ws->control[0] * 256 + ws->control[1];

    /* 1004 to 1006 and 1015 are never sent (RFC 6455, 7.4) */

    if ((code >= 1000 && code <= 1003)
        || (code >= 1007 && code <= 1014)
        || (code >= 3000 && code <= 4999))
    {
        return code;
    }

    return 0;
}


static void
ngx_http_confluence_ws_fail(ngx_http_confluence_ws_t *ws, ngx_uint_t code)
{
    ngx_log_error(NGX_LOG_INFO, ws->request->connection->log, 0,
                  "websocket client violates the protocol: %ui", code);

    ws->failed = 1;

    ngx_http_confluence_ws_close(ws, code);
}


void
ngx_http_confluence_ws_put(ngx_http_confluence_ws_t *ws, ngx_uint_t opcode,
    u_char *data, size_t len)
{
    struct wslay_frame_iocb  frame;

    ngx_memzero(&frame, sizeof(struct wslay_frame_iocb));

    frame.fin = 1;
    frame.opcode = (uint8_t) opcode;
    frame.payload_length = len;
    frame.data = data;
    frame.data_length = len;

    (void) wslay_frame_send(ws->frames, &frame);
}


static ssize_t
ngx_http_confluence_ws_put_callback(const uint8_t *data, size_t len, int flags,
    void *user_data)
{
    ngx_http_confluence_ws_t *ws = user_data;

    ws->out.last = ngx_cpymem(ws->out.last, data, len);

    return len;
}
