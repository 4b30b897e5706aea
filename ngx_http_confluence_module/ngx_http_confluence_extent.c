
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_extent.h"


/* tries to get at an extent that is evicted meanwhile */
#define NGX_HTTP_CONFLUENCE_TRIES  8


static uint64_t ngx_http_confluence_extent_lookup(
    ngx_http_confluence_data_t *d, map_extent_t *extent, uint64_t *offset);
static void ngx_http_confluence_extent_missing(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, uint64_t offset);


ngx_int_t
ngx_http_confluence_extent(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_uint_t direct, int64_t held,
    map_extent_t *extent, ngx_http_confluence_segment_t **segment)
{
    uint64_t    offset;
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CONFLUENCE_TRIES; i++) {

        if (ngx_http_confluence_extent_lookup(d, extent, &offset) == 0) {
            return NGX_DECLINED;
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
            ngx_http_confluence_extent_missing(r, d, offset);
            return NGX_ERROR;
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

    if (ngx_http_confluence_extent_lookup(d, &extent, &offset) == 0) {
        return NGX_DECLINED;
    }

    text->data = d->copy;
    text->len = (size_t) ngx_min(extent.length, MAP_BLOCK);

    rc = ngx_http_confluence_rows(d->torrent, &extent, offset, text,
                                  r->connection->log);

    if (rc == NGX_ABORT) {
        ngx_http_confluence_extent_missing(r, d, offset);
        return NGX_ERROR;
    }

    /* evicted meanwhile: looked up again in a moment, too */

    return (rc == NGX_DECLINED) ? NGX_AGAIN : rc;
}


/* What is complete at the position; 0 if nothing is. */

static uint64_t
ngx_http_confluence_extent_lookup(ngx_http_confluence_data_t *d,
    map_extent_t *extent, uint64_t *offset)
{
    off_t     end;
    uint64_t  run;

    if (!map_usable(&d->torrent->map)) {
        return 0;
    }

    end = d->ranges[d->range].end;

    *offset = map_translate(&d->torrent->map, d->file, d->pos, &run);

    if (run > (uint64_t) (end - d->pos)) {
        run = end - d->pos;
    }

    return map_extent(&d->torrent->map, *offset, run, (uint32_t) ngx_time(),
                      extent);
}


/* The engine is to look at it: it is fetched again, but not for this one. */

static void
ngx_http_confluence_extent_missing(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, uint64_t offset)
{
    map_header_t               *h;
    ngx_http_confluence_ctx_t  *ctx;

    h = d->torrent->map.header;
    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    ngx_http_confluence_link_missing(ctx->cache->link, h->ih,
                                     offset / h->piece_length);
}
