
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


/*
 * An engine comes back within a second or so after a reload, an upgrade or a
 * crash; without any for so long there is nothing to wait for.
 */
#define NGX_HTTP_CONFLUENCE_ENGINE_TIMEOUT  5000    /* ms */

/* a turn comes at once; the time does not matter */
#define NGX_HTTP_CONFLUENCE_TURN_TIMEOUT    60000   /* ms */


static void ngx_http_confluence_wake_handler(ngx_event_t *ev);
static void ngx_http_confluence_write_handler(ngx_http_request_t *r);
static void ngx_http_confluence_stop(ngx_http_confluence_ctx_t *ctx);
static void ngx_http_confluence_request_cleanup(void *data);
static void ngx_http_confluence_pool_cleanup(void *data);


ngx_int_t
ngx_http_confluence_start(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx,
    ngx_int_t (*run)(ngx_http_request_t *r, ngx_http_confluence_ctx_t *ctx))
{
    ngx_int_t            rc;
    ngx_http_cleanup_t  *cln;
    ngx_pool_cleanup_t  *pcln;

    /*
     * A terminated request must not be woken any more, but its buffers may
     * still be in use by a thread of the pool until its pool is destroyed.
     */

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pcln = ngx_pool_cleanup_add(r->pool, 0);
    if (pcln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_confluence_request_cleanup;
    cln->data = ctx;

    pcln->handler = ngx_http_confluence_pool_cleanup;
    pcln->data = ctx;

    ctx->run = run;

    ctx->wake.handler = ngx_http_confluence_wake_handler;
    ctx->wake.data = ctx;
    ctx->wake.log = r->connection->log;

    ctx->waiter.event = &ctx->wake;
    ctx->waiter.pool = r->pool;

    rc = run(r, ctx);

    if (rc != NGX_AGAIN) {
        ngx_http_confluence_stop(ctx);
        return rc;
    }

    r->write_event_handler = ngx_http_confluence_write_handler;
    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_confluence_wake_handler(ngx_event_t *ev)
{
    ngx_msec_int_t              left;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (!ctx->waiting && ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (ev->timedout) {
        ev->timedout = 0;

        left = (ngx_msec_int_t) (ctx->wait_start + ctx->wait_timeout
                                 - ngx_current_msec);

        if (ctx->waiter.seen && left > 0) {
            ngx_add_timer(ev, left);

        } else {
            ctx->timedout = 1;
        }
    }

    ngx_http_confluence_run(r, ctx);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_confluence_write_handler(ngx_http_request_t *r)
{
    ngx_connection_t           *c;
    ngx_http_confluence_ctx_t  *ctx;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (c->write->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;

        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    ngx_http_confluence_run(r, ctx);
}


void
ngx_http_confluence_run(ngx_http_request_t *r, ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ctx->run(r, ctx);

    if (rc == NGX_AGAIN) {
        return;
    }

    ngx_http_confluence_stop(ctx);
    ngx_http_finalize_request(r, rc);
}


ngx_int_t
ngx_http_confluence_wait(ngx_http_request_t *r, ngx_http_confluence_ctx_t *ctx,
    ngx_msec_t timeout)
{
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = r->connection;
    rev = c->read;

    if (!ctx->waiting) {
        ctx->waiting = 1;
        ctx->timedout = 0;
        ctx->wait_start = ngx_current_msec;
        ctx->wait_timeout = timeout;

        if (!ctx->waiter.seen) {
            timeout = ngx_min(timeout, NGX_HTTP_CONFLUENCE_ENGINE_TIMEOUT);
        }

        /*
         * Not cancelable: it is what keeps a worker that exits gracefully
         * from leaving while the request waits.
         */

        ngx_add_timer(&ctx->wake, timeout);
    }

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    if (c->error || rev->pending_eof || rev->eof || rev->error) {
        c->error = 1;

        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client closed connection while waiting for torrent");

        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

#if (NGX_HTTP_V2)

    if (r->stream) {
        return NGX_AGAIN;
    }

#endif

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_confluence_wait_client(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;
    clcf = ngx_http_get_module_loc_conf(r->main, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_confluence_wait_turn(ngx_http_confluence_ctx_t *ctx)
{
    /* a worker that exits gracefully does not look at what is posted */

    if (!ctx->wake.timer_set) {
        ngx_add_timer(&ctx->wake, NGX_HTTP_CONFLUENCE_TURN_TIMEOUT);
    }

    ngx_post_event(&ctx->wake, &ngx_posted_next_events);

    return NGX_AGAIN;
}


void
ngx_http_confluence_wait_over(ngx_http_confluence_ctx_t *ctx)
{
    if (!ctx->waiting) {
        return;
    }

    ctx->waiting = 0;
    ctx->timedout = 0;
    ctx->waited += ngx_current_msec - ctx->wait_start;

    if (ctx->wake.timer_set) {
        ngx_del_timer(&ctx->wake);
    }
}


ngx_int_t
ngx_http_confluence_wait_failed(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, const char *what)
{
    ngx_uint_t                     level;
    ngx_http_confluence_waiter_t  *w;

    w = &ctx->waiter;

    ngx_http_confluence_wait_over(ctx);

    if (w->failed && w->status == NGX_HTTP_ACCEPTED) {
        return ngx_http_confluence_error_text(r, w->status, &w->body);
    }

    if (w->failed) {
        ngx_http_confluence_count(ctx, COUNTERS_WAIT_REFUSED);

        level = (w->status < 500) ? NGX_LOG_INFO : NGX_LOG_ERR;

        ngx_log_error(level, r->connection->log, 0,
                      "waiting for %s failed: %ui, \"%V\"",
                      what, w->status, &w->body);

        if (w->status < NGX_HTTP_BAD_REQUEST || w->status > 599) {
            w->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_confluence_error_text(r, w->status, &w->body);
    }

    if (!w->seen) {
        ngx_http_confluence_count(ctx, COUNTERS_WAIT_ENGINE);

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "no confluence engine while waiting for %s", what);

        return ngx_http_confluence_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         "torrent engine is not available");
    }

    ngx_http_confluence_count(ctx, COUNTERS_WAIT_TIMEOUT);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, NGX_ETIMEDOUT,
                  "timed out while waiting for %s", what);

    return ngx_http_confluence_error(r, NGX_HTTP_GATEWAY_TIME_OUT,
                                     "timed out waiting for %s", what);
}


static void
ngx_http_confluence_stop(ngx_http_confluence_ctx_t *ctx)
{
    ngx_http_confluence_waiter_t  *w;

    w = &ctx->waiter;

    ngx_http_confluence_wait_over(ctx);

    /* before the engine hears of it, which then clears it away */

    ngx_http_confluence_upload_close(ctx);

    ngx_http_confluence_waiter_release(w);

    if (ctx->wake.posted) {
        ngx_delete_posted_event(&ctx->wake);
    }

    if (ctx->wake.timer_set) {
        ngx_del_timer(&ctx->wake);
    }

    if (w->reply_fd != NGX_INVALID_FILE) {
        if (ngx_close_file(w->reply_fd) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          ngx_close_file_n " of an answer failed");
        }

        w->reply_fd = NGX_INVALID_FILE;
    }
}


static void
ngx_http_confluence_request_cleanup(void *data)
{
    ngx_http_confluence_stop(data);
}


static void
ngx_http_confluence_pool_cleanup(void *data)
{
    ngx_http_confluence_ctx_t *ctx = data;

    ngx_http_confluence_data_t  *d;

    d = ctx->data;

    if (d == NULL) {
        return;
    }

    ngx_http_confluence_body_cleanup(d);

    if (d->torrent) {
        ngx_http_confluence_store_leave(d->torrent);
        d->torrent = NULL;
    }
}
