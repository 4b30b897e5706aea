
/*
 * The server's side of a WebSocket (RFC 6455) in place of a response: the
 * opening handshake, and frames, whose format is wslay's business.
 *
 *      messages ---> next() ---\
 *      pong, ping, Close -------+--> out: 4 KiB ---> c->send()
 *      c->recv() ---> wslay ---> control frames are answered, data frames
 *                                are read and forgotten
 *
 * What is to be sent is made when there is room for it, whatever piles up is
 * the caller's; of several pings the last one is answered (5.5.3).  A client
 * that is silent is pinged; if it stays so for as long again, or takes nothing
 * for send_timeout, the connection is closed.
 *
 *      open --- ws_close(), Close came, client's error ---> Close is sent
 *           --- the other's Close, or a timeout ----------> finished
 *
 * When the worker exits, nginx calls the read handler of idle connections, as
 * which these pass: the client is told 1001.
 */

#ifndef _NGX_HTTP_CONFLUENCE_WEBSOCKET_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_WEBSOCKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <wslay/wslay.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_WS_OUT      4096    /* bytes */
#define NGX_HTTP_CONFLUENCE_WS_CONTROL  125     /* of a payload, at most */

/* status codes of a Close */
#define NGX_HTTP_CONFLUENCE_WS_NORMAL    1000
#define NGX_HTTP_CONFLUENCE_WS_AWAY      1001
#define NGX_HTTP_CONFLUENCE_WS_PROTOCOL  1002
#define NGX_HTTP_CONFLUENCE_WS_POLICY    1008
#define NGX_HTTP_CONFLUENCE_WS_TOO_BIG   1009
#define NGX_HTTP_CONFLUENCE_WS_INTERNAL  1011


struct ngx_http_confluence_ws_s {
    ngx_http_request_t       *request;

    /*
     * Writes the payload of the next text message to buf, at most len bytes
     * (125 or more); returns its length, 0 if there is none.
     */
    size_t                  (*next)(void *data, u_char *buf, size_t len);
    void                     *data;

    ngx_event_t               timer;        /* to ping; of a Close */
    ngx_msec_t                ping_interval;

    wslay_frame_context_ptr   frames;
    ngx_buf_t                 out;

    /* the frame that is being read */
    uint64_t                  left;         /* bytes of its payload */
    uint64_t                  length;       /* of the message so far */
    size_t                    budget;       /* bytes until others' turn */
    size_t                    control_len;
    u_char                    control[NGX_HTTP_CONFLUENCE_WS_CONTROL];

    size_t                    pong_len;
    u_char                    pong[NGX_HTTP_CONFLUENCE_WS_CONTROL];

    unsigned                  code:13;      /* of Close */
    unsigned                  fragmented:1; /* a message has begun */
    unsigned                  pong_due:1;
    unsigned                  ping_due:1;
    unsigned                  pinged:1;
    unsigned                  heard:1;      /* since the last ping */
    unsigned                  blocked:1;    /* the client takes nothing */
    unsigned                  more:1;       /* to be read, in its turn */
    unsigned                  eof:1;
    unsigned                  closing:1;    /* Close is sent, or is to be */
    unsigned                  close_sent:1;
    unsigned                  close_received:1;
    unsigned                  failed:1;     /* nothing is read any more */
    unsigned                  expired:1;
};


/* handshake.c */

/*
 * Checks the opening handshake of a request.  Returns NGX_DECLINED if it is
 * one, or what the handler returns after a refusal.
 */
ngx_int_t ngx_http_confluence_ws_check(ngx_http_request_t *r);

/*
 * Answers it: 101.  Returns NGX_OK, or what to finalize the request with.
 */
ngx_int_t ngx_http_confluence_ws_accept(ngx_http_request_t *r);


/* websocket.c */

/*
 * Makes a WebSocket of the connection of a request that was answered with 101.
 * ws: that of the request's context, of its pool; request, next, data and
 * ping_interval (ms, 0: never) are set, the rest is zero.
 */
ngx_int_t ngx_http_confluence_ws_open(ngx_http_confluence_ws_t *ws);

/*
 * Reads and sends what can be.  To be called at each wake-up, and when there
 * are messages.
 *
 * Returns NGX_AGAIN, or what to finalize the request with.
 */
ngx_int_t ngx_http_confluence_ws_run(ngx_http_confluence_ws_t *ws);

/* Sends Close with that code, unless one was sent before. */
void ngx_http_confluence_ws_close(ngx_http_confluence_ws_t *ws,
    ngx_uint_t code);


/* frames.c, for websocket.c */

/* Makes ws->frames. */
ngx_int_t ngx_http_confluence_ws_init(ngx_http_confluence_ws_t *ws);

/*
 * Reads what has come: sets pong_due, close_received, eof, more.  A client that
 * does not keep to the protocol is sent the Close it deserves.
 */
void ngx_http_confluence_ws_recv(ngx_http_confluence_ws_t *ws);

/* Appends a frame to ws->out, where there is room for it. */
void ngx_http_confluence_ws_put(ngx_http_confluence_ws_t *ws,
    ngx_uint_t opcode, u_char *data, size_t len);


#endif /* _NGX_HTTP_CONFLUENCE_WEBSOCKET_H_INCLUDED_ */
