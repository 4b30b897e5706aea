
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


/*
 * What a worker adds to the counters of all processes (engine/counters.h).
 * Counting is an atomic addition.
 */


static ngx_uint_t ngx_http_confluence_count_cache(
    ngx_http_confluence_data_t *d);


void
ngx_http_confluence_count(ngx_http_confluence_ctx_t *ctx, ngx_uint_t n)
{
    counters_add(&ctx->cache->store->counters, n, 1);
}


void
ngx_http_confluence_count_request(ngx_http_confluence_data_t *d)
{
    counters_add(&d->torrent->store->counters,
                 COUNTERS_REQUESTS + ngx_http_confluence_count_cache(d), 1);
}


void
ngx_http_confluence_count_first(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d)
{
    ngx_uint_t       cache;
    ngx_time_t      *tp;
    counters_t      *counters;
    ngx_msec_int_t   ms;

    /* of the event loop: as exact as the times in the access log */

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));
    ms = ngx_max(ms, 0);

    cache = ngx_http_confluence_count_cache(d);
    counters = &d->torrent->store->counters;

    counters_add_time(counters, COUNTERS_FIRST_BYTE + cache * COUNTERS_TIMES,
                      ms);

    if (ms) {
        counters_add(counters, COUNTERS_FIRST_BYTE_MS + cache, ms);
    }
}


/*
 * What the filters still have is not sent: bytes are counted as they take
 * them.
 */

void
ngx_http_confluence_count_sent(ngx_http_confluence_data_t *d)
{
    off_t         sent;
    ngx_chain_t  *cl;

    sent = d->handed;

    for (cl = d->busy; cl; cl = cl->next) {
        if (cl->buf->in_file) {
            sent -= cl->buf->file_last - cl->buf->file_pos;

        } else if (cl->buf->temporary) {
            sent -= cl->buf->last - cl->buf->pos;
        }
    }

    if (sent > d->counted) {
        counters_add(&d->torrent->store->counters, COUNTERS_CLIENT_BYTES,
                     sent - d->counted);
        d->counted = sent;
    }
}


static ngx_uint_t
ngx_http_confluence_count_cache(ngx_http_confluence_data_t *d)
{
    switch (d->cache) {

    case ngx_http_confluence_hit:
        return COUNTERS_HIT;

    case ngx_http_confluence_partial:
        return COUNTERS_PARTIAL;

    default: /* ngx_http_confluence_miss */
        return COUNTERS_MISS;
    }
}
