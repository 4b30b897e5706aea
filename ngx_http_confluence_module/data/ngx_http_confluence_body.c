
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_extent.h"
#include "ngx_http_confluence_module.h"


/*
 * Buffers handed to the filters at once: enough for an extent to leave in one
 * go with what surrounds it; what is sent need not wait for what follows.  All
 * of them are of one file of the payload, most often a segment: a slow client
 * keeps the space of what it holds when that is evicted, and the limit of the
 * cache does not know of it.  Of a database it is one, in memory.
 */
#define NGX_HTTP_CONFLUENCE_BUFS   4

/* zeros that lie nowhere are sent from memory */
#define NGX_HTTP_CONFLUENCE_ZEROS  16384

/* what is busy, or about to be evicted, is looked at again after so long, ms */
#define NGX_HTTP_CONFLUENCE_BUSY   10


typedef struct {
    ngx_buf_t                       buf;
    ngx_file_t                      file;
    ngx_http_confluence_segment_t  *segment;    /* NULL: free, or in memory */
} ngx_http_confluence_buf_t;


static ngx_uint_t ngx_http_confluence_body_pending(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d);
static ngx_int_t ngx_http_confluence_body_wait(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_body_retry(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_body_fill(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_chain_t **out);
static void ngx_http_confluence_body_next(ngx_http_confluence_data_t *d);
static ngx_int_t ngx_http_confluence_body_extent(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, int64_t *held, ngx_chain_t **out);
static ngx_int_t ngx_http_confluence_body_row(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, int64_t *held, ngx_chain_t **out);
static ngx_int_t ngx_http_confluence_body_text(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_str_t *text, ngx_chain_t **out);
static ngx_chain_t *ngx_http_confluence_body_buf(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d);
static void ngx_http_confluence_body_release(ngx_chain_t *cl);


static u_char  ngx_http_confluence_zeros[NGX_HTTP_CONFLUENCE_ZEROS];


ngx_int_t
ngx_http_confluence_body_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_chain_t                 *out;
    ngx_event_t                 *wev;
    ngx_connection_t            *c;
    ngx_http_confluence_data_t  *d;

    d = ctx->data;
    c = r->connection;
    wev = c->write;

    /* nobody takes the body of a background subrequest */

    if (r->background) {
        return NGX_OK;
    }

    for ( ;; ) {

        /* another subrequest has its turn, this one is posted after it */

        if (r != c->data && !r->subrequest_in_memory) {
            return NGX_AGAIN;
        }

        if (wev->delayed || r->aio) {
            return ngx_http_confluence_wait_client(r);
        }

        out = NULL;

        if (!ngx_http_confluence_body_pending(r, d)) {

            if (d->last) {
                return NGX_OK;
            }

            rc = ngx_http_confluence_body_fill(r, ctx, &out);

            if (rc == NGX_AGAIN) {
                return ngx_http_confluence_body_retry(r, ctx);
            }

            if (rc != NGX_OK) {
                ngx_http_confluence_body_release(out);
                return rc;
            }

            if (out == NULL) {
                rc = ngx_http_confluence_body_wait(r, ctx);

                if (rc != NGX_DECLINED) {
                    return rc;
                }

                continue;
            }
        }

        rc = ngx_http_output_filter(r, out);

        ngx_chain_update_chains(r->pool, &d->free, &d->busy, &out,
                                (ngx_buf_tag_t) &ngx_http_confluence_module);

        ngx_http_confluence_body_release(d->free);
        ngx_http_confluence_count_sent(d);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        /* of a torrent in files, the engine is to keep what is read */

        if (d->last && map_layout(&d->torrent->map) != MAP_FILES) {
            return NGX_OK;
        }

        if ((r == c->data || r->subrequest_in_memory)
            && ngx_http_confluence_body_pending(r, d))
        {
            return ngx_http_confluence_wait_client(r);
        }
    }
}


/* Something that was handed to the filters is not out yet. */

static ngx_uint_t
ngx_http_confluence_body_pending(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d)
{
    return d->busy || r->buffered || r->postponed
           || (r == r->main && r->connection->buffered);
}


static ngx_int_t
ngx_http_confluence_body_wait(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_event_t  *wev;

    wev = r->connection->write;

    /* the client is not to blame for the silence */

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    return ngx_http_confluence_data_wait(r, ctx);
}


/* It can be had, or not, in a moment, during which nothing else is awaited. */

static ngx_int_t
ngx_http_confluence_body_retry(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_event_t  *wev;

    wev = r->connection->write;

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    ngx_http_confluence_wait_over(ctx);

    ctx->data->retry = 1;

    return ngx_http_confluence_wait(r, ctx, NGX_HTTP_CONFLUENCE_BUSY);
}


/*
 * Makes buffers of what is complete at the position; none if nothing is.
 * Returns NGX_AGAIN if something is, and can be had in a moment.
 */

static ngx_int_t
ngx_http_confluence_body_fill(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_chain_t **out)
{
    int64_t                       held;
    ngx_int_t                     rc;
    ngx_buf_t                    *b;
    ngx_uint_t                    i;
    ngx_chain_t                 **ll;
    ngx_http_confluence_data_t   *d;
    ngx_http_confluence_range_t  *range;

    d = ctx->data;

    if (d->retry) {
        d->retry = 0;
        ngx_http_confluence_wait_over(ctx);
    }

    b = NULL;
    held = -1;
    ll = out;
    *ll = NULL;

    for (i = 0; i < NGX_HTTP_CONFLUENCE_BUFS; i++) {

        range = &d->ranges[d->range];

        if (range->header.len && !d->part) {
            d->part = 1;
            rc = ngx_http_confluence_body_text(r, d, &range->header, ll);

        } else if (d->pos < range->end) {
            rc = ngx_http_confluence_body_extent(r, d, &held, ll);

        } else {
            d->last = 1;
            rc = ngx_http_confluence_body_text(r, d, &d->trailer, ll);
        }

        if (rc == NGX_DECLINED || (rc == NGX_AGAIN && b)) {
            break;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        b = (*ll)->buf;
        ll = &(*ll)->next;

        if (d->pos == range->end) {
            ngx_http_confluence_body_next(d);
        }

        if (d->last) {
            break;
        }
    }

    if (b == NULL) {
        return NGX_OK;
    }

    ngx_http_confluence_wait_over(ctx);

    if (d->last) {
        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;
        return NGX_OK;
    }

    /* what is there is not to lie about while the rest is fetched */

    b->flush = 1;

    ngx_http_confluence_data_ahead(r, ctx, 0);

    return NGX_OK;
}


/* The range at hand is out: on to the next, or to the end. */

static void
ngx_http_confluence_body_next(ngx_http_confluence_data_t *d)
{
    if (d->range + 1 < d->ranges_n) {
        d->range++;
        d->part = 0;
        d->pos = d->ranges[d->range].start;
        d->complete = d->pos;

        if (d->read_pos != -1) {
            /* elsewhere: to be told at once */
            d->read_pos = NGX_MAX_OFF_T_VALUE;
        }

    } else if (d->trailer.len == 0) {
        d->last = 1;
    }
}


static ngx_int_t
ngx_http_confluence_body_extent(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, int64_t *held, ngx_chain_t **out)
{
    ngx_buf_t                      *b;
    ngx_int_t                       rc;
    ngx_str_t                       zeros;
    ngx_uint_t                      direct;
    ngx_chain_t                    *cl;
    map_extent_t                    extent;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_confluence_buf_t      *cb;
    ngx_http_confluence_segment_t  *segment;

    if (map_layout(&d->torrent->map) == MAP_SQLITE) {
        return ngx_http_confluence_body_row(r, d, held, out);
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    direct = (clcf->directio <= d->length);

    rc = ngx_http_confluence_extent(r, d, direct, *held, &extent, &segment);

    if (rc != NGX_OK) {
        return rc;
    }

    if (segment == NULL) {
        zeros.data = ngx_http_confluence_zeros;
        zeros.len = (size_t) ngx_min(extent.length,
                                     NGX_HTTP_CONFLUENCE_ZEROS);

        d->pos += (off_t) zeros.len;

        return ngx_http_confluence_body_text(r, d, &zeros, out);
    }

    cl = ngx_http_confluence_body_buf(r, d);
    if (cl == NULL) {
        ngx_http_confluence_segment_release(segment);
        return NGX_ERROR;
    }

    cb = (ngx_http_confluence_buf_t *) cl->buf;
    b = cl->buf;

    cb->segment = segment;
    cb->file.fd = segment->fd;
    cb->file.log = r->connection->log;
    cb->file.directio = direct;
    cb->file.name = segment->name;

    b->in_file = 1;
    b->file = &cb->file;
    b->file_pos = extent.offset;
    b->file_last = extent.offset + (off_t) extent.length;

    d->pos += (off_t) extent.length;
    d->handed += (off_t) extent.length;

    *held = extent.segment;
    *out = cl;

    return NGX_OK;
}


/* The same of a database, out of which bytes are copied: one row at a time. */

static ngx_int_t
ngx_http_confluence_body_row(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, int64_t *held, ngx_chain_t **out)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    /* there is one copy, and it is in use */

    if (*held != -1) {
        return NGX_DECLINED;
    }

    rc = ngx_http_confluence_extent_copy(r, d, &text);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_confluence_body_text(r, d, &text, out) != NGX_OK) {
        return NGX_ERROR;
    }

    (*out)->buf->memory = 0;
    (*out)->buf->temporary = 1;

    d->pos += (off_t) text.len;
    d->handed += (off_t) text.len;

    *held = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_body_text(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_str_t *text, ngx_chain_t **out)
{
    ngx_chain_t  *cl;

    cl = ngx_http_confluence_body_buf(r, d);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf->memory = 1;
    cl->buf->start = text->data;
    cl->buf->pos = text->data;
    cl->buf->last = text->data + text->len;
    cl->buf->end = cl->buf->last;

    *out = cl;

    return NGX_OK;
}


static ngx_chain_t *
ngx_http_confluence_body_buf(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d)
{
    ngx_chain_t                *cl;
    ngx_http_confluence_buf_t  *cb;

    cl = d->free;

    if (cl) {
        d->free = cl->next;

        /* the file's members for threads and aio are made once and kept */

        ngx_memzero(cl->buf, sizeof(ngx_buf_t));

    } else {
        cl = ngx_alloc_chain_link(r->pool);
        if (cl == NULL) {
            return NULL;
        }

        cb = ngx_pcalloc(r->pool, sizeof(ngx_http_confluence_buf_t));
        if (cb == NULL) {
            return NULL;
        }

        cl->buf = &cb->buf;
    }

    cl->next = NULL;
    cl->buf->tag = (ngx_buf_tag_t) &ngx_http_confluence_module;

    return cl;
}


static void
ngx_http_confluence_body_release(ngx_chain_t *cl)
{
    ngx_http_confluence_buf_t  *cb;

    for ( /* void */ ; cl; cl = cl->next) {
        cb = (ngx_http_confluence_buf_t *) cl->buf;

        if (cb->segment) {
            ngx_http_confluence_segment_release(cb->segment);
            cb->segment = NULL;
        }
    }
}


void
ngx_http_confluence_body_cleanup(ngx_http_confluence_data_t *d)
{
    ngx_http_confluence_count_sent(d);

    ngx_http_confluence_body_release(d->busy);
    ngx_http_confluence_body_release(d->free);
}
