
/*
 * /events: a WebSocket on which a client is told of each piece whose state has
 * changed, {"PieceChanged":N}.
 *
 *      wait_metadata ---> (101) ---> open <---> CHANGED, Ping, time
 *                                     |
 *                                     v
 *                                   closing
 *
 * The request holds its torrent for as long as it lives.  What the client has
 * not been told of yet is a set of pieces: however slow it is, it hears of
 * each of them, and of several changes of one at least of the last.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"
#include "ngx_http_confluence_piece_watch.h"
#include "ngx_http_confluence_websocket.h"


typedef struct {
    ngx_http_confluence_ws_t       ws;
    ngx_http_confluence_watcher_t  watcher;
} ngx_http_confluence_events_t;


static ngx_int_t ngx_http_confluence_events_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_events_open(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_events_t *e);
static size_t ngx_http_confluence_events_next(void *data, u_char *buf,
    size_t len);
static void ngx_http_confluence_events_cleanup(void *data);


ngx_int_t
ngx_http_confluence_events_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                        rc;
    ngx_http_confluence_events_t    *e;
    ngx_http_confluence_loc_conf_t  *lcf;

    rc = ngx_http_confluence_ws_check(r);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    e = ngx_pcalloc(r->pool, sizeof(ngx_http_confluence_events_t));
    if (e == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    e->ws.request = r;
    e->ws.next = ngx_http_confluence_events_next;
    e->ws.data = e;
    e->ws.ping_interval = lcf->ping_interval;

    e->watcher.event = &ctx->wake;

    ctx->ws = &e->ws;
    ctx->waiter.watch = 1;

    return ngx_http_confluence_start(r, ctx, ngx_http_confluence_events_run);
}


static ngx_int_t
ngx_http_confluence_events_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_confluence_waiter_t  *w;
    ngx_http_confluence_events_t  *e;

    w = &ctx->waiter;
    e = ctx->ws->data;

    if (e->watcher.watch == NULL) {
        rc = ngx_http_confluence_events_open(r, ctx, e);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (w->failed) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "watching a torrent failed: %ui, \"%V\"",
                      w->status, &w->body);

        w->failed = 0;
        w->replied = 1;

        ngx_http_confluence_ws_close(ctx->ws,
                                     NGX_HTTP_CONFLUENCE_WS_INTERNAL);

    } else if (w->ready) {
        ngx_http_confluence_watch_ready(&e->watcher, r->connection->log);
    }

    return ngx_http_confluence_ws_run(ctx->ws);
}


static ngx_int_t
ngx_http_confluence_events_open(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_events_t *e)
{
    ngx_int_t                       rc;
    ngx_http_cleanup_t             *cln;
    ngx_http_confluence_torrent_t  *torrent;

    rc = ngx_http_confluence_metadata(r, ctx, &torrent);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        ngx_http_confluence_store_leave(torrent);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_confluence_events_cleanup;
    cln->data = e;

    /* before the client is told that it is, or it would miss a change */

    if (ngx_http_confluence_watch_enter(&e->watcher, torrent,
                                        r->connection->log)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_confluence_ws_accept(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return (ngx_http_confluence_ws_open(&e->ws) == NGX_OK) ? NGX_DECLINED
                                                           : NGX_ERROR;
}


static size_t
ngx_http_confluence_events_next(void *data, u_char *buf, size_t len)
{
    ngx_http_confluence_events_t *e = data;

    uint32_t  piece;

    if (pieces_take(&e->watcher.changed, &piece, 1) == 0) {
        return 0;
    }

    return ngx_snprintf(buf, len, "{\"PieceChanged\":%uD}", piece) - buf;
}


static void
ngx_http_confluence_events_cleanup(void *data)
{
    ngx_http_confluence_events_t *e = data;

    ngx_http_confluence_watch_leave(&e->watcher);
}
