
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_extent.h"


/* tries to get at an extent that is evicted meanwhile */
#define NGX_HTTP_CONFLUENCE_TRIES    8

/* an engine evicts what is missing in so many ms, or thinks that it is there */
#define NGX_HTTP_CONFLUENCE_MISSING  5000


/* What the engine was told to be missing. */
struct ngx_http_confluence_missing_s {
    ngx_msec_t                      when;
    map_extent_t                    extent;
};


static ngx_int_t ngx_http_confluence_extent_find(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, map_extent_t *extent, uint64_t *offset);
static ngx_int_t ngx_http_confluence_extent_missing(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, map_extent_t *extent, uint64_t offset);


ngx_int_t
ngx_http_confluence_extent(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_uint_t direct, int64_t held,
    map_extent_t *extent, ngx_http_confluence_segment_t **segment)
{
    uint64_t    offset;
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CONFLUENCE_TRIES; i++) {

        rc = ngx_http_confluence_extent_find(r, d, extent, &offset);

        if (rc != NGX_OK) {
            return rc;
        }

        if (extent->file == MAP_NOWHERE) {
            *segment = NULL;
            return NGX_OK;
        }

        if (held != -1 && held != extent->segment) {
            return NGX_DECLINED;
        }

        rc = ngx_http_confluence_segment(d->torrent, extent, direct, segment,
                                         r->connection->log);

        if (rc == NGX_ABORT) {
            return ngx_http_confluence_extent_missing(r, d, extent, offset);
        }

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "segment %uD is evicted again and again", extent->segment);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_confluence_extent_copy(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_str_t *text)
{
    uint64_t      offset;
    ngx_int_t     rc;
    map_extent_t  extent;

    if (d->copy == NULL) {
        d->copy = ngx_palloc(r->pool, MAP_BLOCK);
        if (d->copy == NULL) {
            return NGX_ERROR;
        }
    }

    rc = ngx_http_confluence_extent_find(r, d, &extent, &offset);

    if (rc != NGX_OK) {
        return rc;
    }

    text->data = d->copy;
    text->len = (size_t) ngx_min(extent.length, MAP_BLOCK);

    rc = ngx_http_confluence_rows(d->torrent, &extent, offset, text,
                                  r->connection->log);

    if (rc == NGX_ABORT) {
        return ngx_http_confluence_extent_missing(r, d, &extent, offset);
    }

    /* evicted meanwhile: looked up again in a moment, too */

    return (rc == NGX_DECLINED) ? NGX_AGAIN : rc;
}


/* What is complete at the position; not before a missing one is evicted. */

static ngx_int_t
ngx_http_confluence_extent_find(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, map_extent_t *extent, uint64_t *offset)
{
    off_t                       end;
    uint64_t                    run;
    ngx_msec_t                  elapsed;
    ngx_http_confluence_ctx_t  *ctx;

    if (!map_usable(&d->torrent->map)) {
        return NGX_DECLINED;
    }

    end = d->ranges[d->range].end;

    *offset = map_translate(&d->torrent->map, d->file, d->pos, &run);

    if (run > (uint64_t) (end - d->pos)) {
        run = end - d->pos;
    }

    if (map_extent(&d->torrent->map, *offset, run, (uint32_t) ngx_time(),
                   extent)
        == 0)
    {
        return NGX_DECLINED;
    }

    if (d->missing == NULL
        || d->missing->extent.segment != extent->segment
        || d->missing->extent.generation != extent->generation)
    {
        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (ngx_http_confluence_link_connection(ctx->cache->link) == NULL) {
        /* the next engine finds out by itself */
        d->missing->when = ngx_current_msec;
    }

    elapsed = ngx_current_msec - d->missing->when;

    return (elapsed < NGX_HTTP_CONFLUENCE_MISSING) ? NGX_AGAIN : NGX_ERROR;
}


/* The engine is to look at it. */

static ngx_int_t
ngx_http_confluence_extent_missing(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, map_extent_t *extent, uint64_t offset)
{
    map_header_t               *h;
    ngx_http_confluence_ctx_t  *ctx;

    if (d->missing == NULL) {
        d->missing = ngx_palloc(r->pool,
                               sizeof(struct ngx_http_confluence_missing_s));
        if (d->missing == NULL) {
            return NGX_ERROR;
        }
    }

    d->missing->when = ngx_current_msec;
    d->missing->extent = *extent;

    h = d->torrent->map.header;
    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    ngx_http_confluence_link_missing(ctx->cache->link, h->ih,
                                     offset / h->piece_length);

    return NGX_AGAIN;
}
