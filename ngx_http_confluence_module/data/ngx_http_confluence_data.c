
/*
 * /data: bytes of a torrent.
 *
 *      wait_metadata                the map is opened, or awaited
 *       |
 *       v
 *      (header chain) ---> 304, 404, 412, 416, HEAD: answered
 *       |
 *       v
 *      wait_first                   the header is held, the first byte missing
 *       |
 *       v
 *      send_body <---> (waiting)    complete pieces are handed out; at a hole
 *                                   READ was said, WAKE is awaited
 *
 * What is in the map counts; what the engine says is a reason to look there.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


static ngx_int_t ngx_http_confluence_data_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_data_metadata(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_data_file(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_torrent_t *torrent);
static ngx_int_t ngx_http_confluence_data_validator(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_data_header(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_data_first(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_data_headed(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_confluence_data_reopen(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static off_t ngx_http_confluence_data_ready(ngx_http_confluence_data_t *d,
    off_t from, off_t to);


ngx_int_t
ngx_http_confluence_data_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ctx->data = ngx_pcalloc(r->pool, sizeof(ngx_http_confluence_data_t));
    if (ctx->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->data->read_pos = -1;

    return ngx_http_confluence_start(r, ctx, ngx_http_confluence_data_run);
}


static ngx_int_t
ngx_http_confluence_data_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t  rc;

    do {
        ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "confluence data st:%ui p:%O w:%ui",
                       (ngx_uint_t) ctx->data->state, ctx->data->pos,
                       (ngx_uint_t) ctx->waiting);

        switch (ctx->data->state) {

        case ngx_http_confluence_wait_metadata:
            rc = ngx_http_confluence_data_metadata(r, ctx);
            break;

        case ngx_http_confluence_wait_first:
            rc = ngx_http_confluence_data_first(r, ctx);
            break;

        default: /* ngx_http_confluence_send_body */
            return ngx_http_confluence_body_run(r, ctx);
        }

    } while (rc == NGX_DECLINED);

    return rc;
}


/*
 * States return NGX_DECLINED for the next one to be run, NGX_AGAIN while
 * waiting, and otherwise what the request is finalized with.
 */

static ngx_int_t
ngx_http_confluence_data_metadata(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                       rc;
    ngx_http_confluence_torrent_t  *torrent;

    /* a client that has the entity need not wait for its metadata */

    if (!ctx->waiter.hold && ngx_http_confluence_known(r, ctx)) {

        rc = ngx_http_confluence_store_torrent(ctx->cache->store,
                                               ctx->hash.ih, &torrent,
                                               r->connection->log);
        if (rc == NGX_OK) {
            return ngx_http_confluence_data_file(r, ctx, torrent);
        }

        rc = ngx_http_confluence_data_validator(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    rc = ngx_http_confluence_metadata(r, ctx, &torrent);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_confluence_data_file(r, ctx, torrent);
}


/* Takes over the reference to the torrent. */

static ngx_int_t
ngx_http_confluence_data_file(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_torrent_t *torrent)
{
    int64_t                      n;
    ngx_http_confluence_data_t  *d;

    d = ctx->data;
    d->torrent = torrent;
    d->file = MAP_WHOLE;

    if (ctx->has_path) {
        n = map_find(&torrent->map, ctx->path.data, ctx->path.len);

        if (n < 0) {
            return ngx_http_confluence_error(r, NGX_HTTP_NOT_FOUND,
                                             "file not found");
        }

        d->file = (uint32_t) n;
    }

    d->length = (off_t) map_length(&torrent->map, d->file);

    d->all.start = 0;
    d->all.end = d->length;
    d->ranges = &d->all;
    d->ranges_n = 1;

    return ngx_http_confluence_data_header(r, ctx);
}


/*
 * The client has the entity already: nothing but a 304 can come of it, which
 * nginx's filter makes.
 */

static ngx_int_t
ngx_http_confluence_data_validator(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_confluence_data_t  *d;

    d = ctx->data;
    d->validator = 1;
    ctx->prepared = 1;

    if (ngx_http_confluence_data_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (!d->held) {
        return (rc == NGX_AGAIN) ? NGX_OK : rc;
    }

    /* the value looked like ours and was something else */

    d->validator = 0;
    d->limited = 0;
    d->held = 0;

    ngx_http_confluence_reset_header(r, ctx);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_confluence_data_header(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_confluence_data_t  *d;

    d = ctx->data;
    ctx->prepared = 1;

    if (ngx_http_confluence_data_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (d->held) {
        d->pos = d->ranges[0].start;
        d->state = ngx_http_confluence_wait_first;

        return NGX_DECLINED;
    }

    if (rc == NGX_HTTP_RANGE_NOT_SATISFIABLE) {
        return ngx_http_confluence_error(r, rc,
                                         d->invalid ? "invalid range"
                                         : "invalid range: failed to overlap");
    }

    return ngx_http_confluence_data_headed(r, ctx, rc);
}


static ngx_int_t
ngx_http_confluence_data_first(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_confluence_data_t  *d;

    d = ctx->data;

    if (ngx_http_confluence_data_ready(d, d->pos, d->pos + 1) == 0) {
        return ngx_http_confluence_data_wait(r, ctx);
    }

    ngx_http_confluence_wait_over(ctx);

    d->held = 0;

    rc = ngx_http_confluence_range_resume(r);

    return ngx_http_confluence_data_headed(r, ctx, rc);
}


/* The header is on its way; on to the body if there is one. */

static ngx_int_t
ngx_http_confluence_data_headed(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_confluence_data_t  *d;

    d = ctx->data;

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return (rc == NGX_AGAIN) ? NGX_OK : rc;
    }

    ngx_http_confluence_count_first(r, d);

    if (d->length == 0) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);

        return (rc == NGX_AGAIN) ? NGX_OK : rc;
    }

    /* the data of a torrent in files goes with it: it is to stay until then */

    if (map_layout(&d->torrent->map) == MAP_FILES && !ctx->waiter.hold) {
        ngx_http_confluence_waiter_hold(&ctx->waiter);
    }

    d->pos = d->ranges[0].start;
    d->state = ngx_http_confluence_send_body;

    return NGX_DECLINED;
}


ngx_uint_t
ngx_http_confluence_data_cached(ngx_http_confluence_ctx_t *ctx)
{
    off_t                        n, total, ready, first;
    ngx_uint_t                   i;
    ngx_http_confluence_data_t  *d;

    d = ctx->data;

    total = 0;
    ready = 0;
    first = 0;

    for (i = 0; i < d->ranges_n; i++) {
        n = ngx_http_confluence_data_ready(d, d->ranges[i].start,
                                           d->ranges[i].end);
        if (i == 0) {
            first = n;
        }

        total += d->ranges[i].end - d->ranges[i].start;
        ready += n;
    }

    d->cached = ready;
    d->complete = d->ranges[0].start + first;

    if (ready == total) {
        d->cache = ngx_http_confluence_hit;

    } else if (first) {
        d->cache = ngx_http_confluence_partial;

    } else {
        d->cache = ngx_http_confluence_miss;
    }

    return first || total == 0;
}


/*
 * A reader that finds everything complete says nothing.  One that does not
 * tells where it is when it begins, and again each time it has gone on by a
 * piece or an eighth of its window, so that the engine moves the window along.
 */

void
ngx_http_confluence_data_ahead(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_uint_t blocked)
{
    off_t                            end, want, step;
    map_t                           *map;
    uint64_t                         begin, last, run;
    ngx_http_confluence_data_t      *d;
    ngx_http_confluence_loc_conf_t  *lcf;

    d = ctx->data;
    map = &d->torrent->map;
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    end = d->ranges[d->range].end;

    if (d->pos >= end) {
        return;
    }

    want = ngx_min(d->pos + (off_t) lcf->readahead, end);

    if (d->complete < d->pos) {
        d->complete = d->pos;
    }

    if (d->complete < want) {
        d->complete += ngx_http_confluence_data_ready(d, d->complete, want);
    }

    if (d->complete >= end
        || (d->read_pos == -1 && d->complete >= want))
    {
        return;
    }

    step = 1;

    if (!blocked) {
        step = ngx_max((off_t) map->header->piece_length,
                       (off_t) lcf->readahead / 8);
    }

    if (d->read_pos != -1 && d->pos >= d->read_pos
        && d->pos - d->read_pos < step)
    {
        return;
    }

    if (!ctx->waiter.hold) {
        ngx_http_confluence_waiter_hold(&ctx->waiter);
    }

    begin = map_translate(map, d->file, d->pos, &run);
    last = map_translate(map, d->file, want - 1, &run);

    d->read_pos = d->pos;

    ngx_http_confluence_waiter_read(&ctx->waiter, begin, last + 1);
}


ngx_int_t
ngx_http_confluence_data_wait(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                        rc;
    ngx_http_confluence_data_t      *d;
    ngx_http_confluence_loc_conf_t  *lcf;

    d = ctx->data;

    if (ctx->waiter.failed || ctx->timedout) {
        return ngx_http_confluence_wait_failed(r, ctx, "data");
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    if (!map_usable(&d->torrent->map)) {
        rc = ngx_http_confluence_data_reopen(r, ctx);

        if (rc == NGX_AGAIN) {
            return ngx_http_confluence_wait(r, ctx, lcf->wait_timeout);
        }

        return rc;
    }

    /* complete when last seen, and evicted since */

    if (d->complete > d->pos) {
        d->complete = d->pos;
    }

    ngx_http_confluence_data_ahead(r, ctx, 1);

    return ngx_http_confluence_wait(r, ctx, lcf->wait_timeout);
}


/*
 * The map was replaced.  Returns NGX_DECLINED if the new one is there and has
 * the same file, NGX_AGAIN if there is none yet, or what the request is
 * finalized with.
 */

static ngx_int_t
ngx_http_confluence_data_reopen(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    int64_t                         n;
    ngx_int_t                       rc;
    ngx_http_confluence_data_t     *d;
    ngx_http_confluence_torrent_t  *torrent;

    d = ctx->data;

    rc = ngx_http_confluence_store_torrent(ctx->cache->store, ctx->hash.ih,
                                           &torrent, r->connection->log);
    if (rc == NGX_DECLINED) {

        if (!ctx->waiter.hold || ctx->waiter.ready) {
            ngx_http_confluence_waiter_hold(&ctx->waiter);
        }

        return NGX_AGAIN;
    }

    if (rc == NGX_ERROR) {
        return ngx_http_confluence_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                         "torrent cannot be opened");
    }

    n = MAP_WHOLE;

    if (ctx->has_path) {
        n = map_find(&torrent->map, ctx->path.data, ctx->path.len);
    }

    if (n < 0
        || (off_t) map_length(&torrent->map, (uint32_t) n) != d->length)
    {
        ngx_http_confluence_store_leave(torrent);

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "torrent has changed while it was being sent");

        return ngx_http_confluence_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                         "torrent has changed");
    }

    ngx_http_confluence_store_leave(d->torrent);

    d->torrent = torrent;
    d->file = (uint32_t) n;
    d->complete = d->pos;
    d->read_pos = -1;
    d->missing = NULL;

    return NGX_DECLINED;
}


/* Bytes of complete pieces from an offset of the file on. */

static off_t
ngx_http_confluence_data_ready(ngx_http_confluence_data_t *d, off_t from,
    off_t to)
{
    off_t     pos;
    uint64_t  offset, run, ready;

    for (pos = from; pos < to; pos += ready) {

        offset = map_translate(&d->torrent->map, d->file, pos, &run);

        if (run > (uint64_t) (to - pos)) {
            run = to - pos;
        }

        ready = map_ready(&d->torrent->map, offset, run);

        if (ready < run) {
            pos += ready;
            break;
        }
    }

    return pos - from;
}
