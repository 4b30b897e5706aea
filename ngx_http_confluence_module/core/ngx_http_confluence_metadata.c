
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


/* READY was said so often and there was no map */
#define NGX_HTTP_CONFLUENCE_MAX_OPENS  3


static ngx_int_t ngx_http_confluence_metadata_open(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_torrent_t **torrent);


ngx_int_t
ngx_http_confluence_metadata(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_torrent_t **torrent)
{
    ngx_int_t                        rc;
    ngx_http_confluence_waiter_t    *w;
    ngx_http_confluence_loc_conf_t  *lcf;

    w = &ctx->waiter;

    /* who watches has to be known to the engine in any case */

    if (w->ready || (!w->hold && !w->watch)) {

        rc = ngx_http_confluence_metadata_open(r, ctx, torrent);

        if (rc == NGX_OK) {
            /* when the engine is asked again it is not for metadata */
            w->nowait = 0;
            return NGX_DECLINED;
        }

        if (rc == NGX_ERROR) {
            return ngx_http_confluence_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                             "torrent cannot be opened");
        }
    }

    if (!w->hold || w->ready) {
        w->nowait = ctx->nowait;
        ngx_http_confluence_waiter_hold(w);
    }

    if (w->failed || ctx->timedout) {
        return ngx_http_confluence_wait_failed(r, ctx, "metadata");
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    return ngx_http_confluence_wait(r, ctx, lcf->wait_timeout);
}


/* Returns NGX_OK, NGX_DECLINED if there is no map yet, NGX_ERROR. */

static ngx_int_t
ngx_http_confluence_metadata_open(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_torrent_t **torrent)
{
    ngx_int_t                      rc;
    ngx_http_confluence_waiter_t  *w;

    w = &ctx->waiter;

    if (w->ready) {
        ngx_http_confluence_wait_over(ctx);
        ngx_http_confluence_store_alias(ctx->cache->store, ctx->hash.ih, w->ih);
    }

    rc = ngx_http_confluence_store_torrent(ctx->cache->store, ctx->hash.ih,
                                           torrent, r->connection->log);

    if (rc == NGX_DECLINED
        && w->ready
        && ctx->opens++ == NGX_HTTP_CONFLUENCE_MAX_OPENS)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "torrent is ready but has no map");
        return NGX_ERROR;
    }

    return rc;
}
