
/*
 * Ranges of /data, as a header filter.
 *
 * nginx's own range filter wants the body in one buffer for more than one
 * range, and cuts a single one out of a body that is handed to it from the
 * start.  Bytes that nobody asked for must not be fetched, so the range is
 * decided here and the handler sends nothing else.  Being a filter, this one
 * runs after those that answer conditional requests or change the body.
 *
 * It also holds the header back while the first byte of the body is missing:
 * until that is there, the answer may still become an error.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


typedef struct {
    off_t    start;
    off_t    end;               /* exclusive */
} ngx_http_confluence_span_t;


static ngx_int_t ngx_http_confluence_range_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_confluence_range_apply(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_uint_t ngx_http_confluence_if_range(ngx_http_request_t *r);
static ngx_int_t ngx_http_confluence_range_parse(ngx_str_t *value,
    ngx_uint_t max, off_t length, ngx_http_confluence_span_t *spans,
    ngx_uint_t *n);
static u_char *ngx_http_confluence_range_number(u_char *p, u_char *last,
    off_t *number);
static ngx_int_t ngx_http_confluence_range_single(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_http_confluence_span_t *span);
static ngx_int_t ngx_http_confluence_range_multipart(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_http_confluence_span_t *spans,
    ngx_uint_t n);
static ngx_int_t ngx_http_confluence_cache_status(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


void
ngx_http_confluence_range_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_confluence_range_filter;
}


ngx_int_t
ngx_http_confluence_range_resume(ngx_http_request_t *r)
{
    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_confluence_range_filter(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_uint_t                   cached;
    ngx_http_confluence_ctx_t   *ctx;
    ngx_http_confluence_data_t  *d;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (ctx == NULL || ctx->data == NULL || ctx->data->limited) {
        return ngx_http_next_header_filter(r);
    }

    d = ctx->data;
    d->limited = 1;

    if (r->headers_out.status == NGX_HTTP_NOT_MODIFIED) {
        return ngx_http_next_header_filter(r);
    }

    if (d->validator) {
        d->held = 1;
        return NGX_AGAIN;
    }

    rc = ngx_http_confluence_range_apply(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    cached = ngx_http_confluence_data_cached(ctx);

    if (ngx_http_confluence_cache_status(r, d) != NGX_OK) {
        return NGX_ERROR;
    }

    if (r->method == NGX_HTTP_HEAD || r->header_only) {
        return ngx_http_next_header_filter(r);
    }

    ngx_http_confluence_count_request(d);

    if (cached) {
        return ngx_http_next_header_filter(r);
    }

    d->held = 1;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_confluence_range_apply(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_uint_t                   n, max;
    ngx_table_elt_t             *h;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_confluence_data_t  *d;
    ngx_http_confluence_span_t   spans[NGX_HTTP_CONFLUENCE_MAX_RANGES];

    d = ctx->data;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->http_version < NGX_HTTP_VERSION_10
        || r->headers_out.status != NGX_HTTP_OK
        || r != r->main
        || r->headers_out.content_length_n != d->length
        || !r->allow_ranges
        || clcf->max_ranges == 0)
    {
        return NGX_OK;
    }

    /* nginx's own filter has nothing to do then */

    r->allow_ranges = 0;

    h = ngx_http_confluence_header(r, "Accept-Ranges", (u_char *) "bytes", 5);
    if (h == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.accept_ranges = h;

    if (r->headers_in.range == NULL
        || d->length == 0
        || (r->headers_in.if_range && !ngx_http_confluence_if_range(r)))
    {
        return NGX_OK;
    }

    max = ngx_min(clcf->max_ranges, NGX_HTTP_CONFLUENCE_MAX_RANGES);

    rc = ngx_http_confluence_range_parse(&r->headers_in.range->value, max,
                                         d->length, spans, &n);
    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        d->invalid = (rc == NGX_ERROR);
        return NGX_HTTP_RANGE_NOT_SATISFIABLE;
    }

    if (n == 1) {
        return ngx_http_confluence_range_single(r, d, spans);
    }

    return ngx_http_confluence_range_multipart(r, d, spans, n);
}


/* A date or a strong validator that is still that of the entity. */

static ngx_uint_t
ngx_http_confluence_if_range(ngx_http_request_t *r)
{
    ngx_str_t  *value, *etag;

    value = &r->headers_in.if_range->value;

    if (value->len >= 2 && value->data[value->len - 1] == '"') {

        if (r->headers_out.etag == NULL) {
            return 0;
        }

        etag = &r->headers_out.etag->value;

        return etag->len == value->len
               && ngx_strncmp(etag->data, value->data, etag->len) == 0;
    }

    return r->headers_out.last_modified_time != (time_t) -1
           && ngx_parse_http_time(value->data, value->len)
              == r->headers_out.last_modified_time;
}


/*
 * Returns NGX_OK and n spans in the client's order; NGX_DECLINED if the header
 * is to be ignored; NGX_ERROR if it is malformed; NGX_ABORT if no range
 * overlaps.
 */

static ngx_int_t
ngx_http_confluence_range_parse(ngx_str_t *value, ngx_uint_t max, off_t length,
    ngx_http_confluence_span_t *spans, ngx_uint_t *n)
{
    off_t        start, end, sum;
    u_char      *p, *last, *s;
    ngx_uint_t   suffix, dropped;

    p = value->data;
    last = p + value->len;

    if (value->len < 6 || ngx_strncasecmp(p, (u_char *) "bytes=", 6) != 0) {
        return NGX_DECLINED;
    }

    p += 6;
    sum = 0;
    dropped = 0;
    *n = 0;

    for ( ;; ) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        if (p == last) {
            break;
        }

        s = ngx_http_confluence_range_number(p, last, &start);
        suffix = (s == p);

        if (s == last || *s != '-') {
            return NGX_ERROR;
        }

        p = s + 1;
        s = ngx_http_confluence_range_number(p, last, &end);

        if (s == p) {
            if (suffix) {
                return NGX_ERROR;
            }

            end = length - 1;

        } else if (suffix) {
            start = (end < length) ? length - end : 0;
            end = length - 1;

        } else if (end < start) {
            return NGX_ERROR;
        }

        p = s;

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if (p < last && *p != ',') {
            return NGX_ERROR;
        }

        if (start >= length) {
            dropped = 1;
            continue;
        }

        if (*n == max) {
            return NGX_DECLINED;
        }

        spans[*n].start = start;
        spans[*n].end = ngx_min(end, length - 1) + 1;
        sum += spans[*n].end - start;
        (*n)++;

        /* more than the whole is no use to anybody but an attacker */

        if (sum > length) {
            return NGX_DECLINED;
        }
    }

    if (*n == 0) {
        return dropped ? NGX_ABORT : NGX_DECLINED;
    }

    return NGX_OK;
}


/* A number too large for off_t lies beyond any end all the same. */

static u_char *
ngx_http_confluence_range_number(u_char *p, u_char *last, off_t *number)
{
    off_t  n, cutoff;

    n = 0;
    cutoff = NGX_MAX_OFF_T_VALUE / 10 - 1;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {
        n = (n > cutoff) ? NGX_MAX_OFF_T_VALUE - 1 : n * 10 + (*p - '0');
    }

    *number = n;

    return p;
}


static ngx_int_t
ngx_http_confluence_range_single(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_http_confluence_span_t *span)
{
    u_char           *p;
    ngx_table_elt_t  *h;

    p = ngx_pnalloc(r->pool, sizeof("bytes -/") - 1 + 3 * NGX_OFF_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h = ngx_http_confluence_header(r, "Content-Range", p,
                                   ngx_sprintf(p, "bytes %O-%O/%O",
                                               span->start, span->end - 1,
                                               d->length)
                                   - p);
    if (h == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.content_range = h;
    r->headers_out.status = NGX_HTTP_PARTIAL_CONTENT;
    r->headers_out.status_line.len = 0;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = span->end - span->start;

    d->all.start = span->start;
    d->all.end = span->end;

    return NGX_OK;
}


/*
 *      --boundary CRLF
 *      Content-Range: bytes 0-1/100 CRLF
 *      Content-Type: video/mp4 CRLF
 *      CRLF
 *      (bytes)
 *      CRLF --boundary ...
 *      CRLF --boundary-- CRLF
 */

static ngx_int_t
ngx_http_confluence_range_multipart(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_http_confluence_span_t *spans,
    ngx_uint_t n)
{
    u_char                       *p;
    size_t                        len;
    off_t                         length;
    ngx_str_t                     type, charset;
    ngx_uint_t                    i;
    ngx_atomic_uint_t             boundary;
    ngx_http_confluence_range_t  *range;

    range = ngx_pcalloc(r->pool, n * sizeof(ngx_http_confluence_range_t));
    if (range == NULL) {
        return NGX_ERROR;
    }

    boundary = ngx_next_temp_number(0);
    type = r->headers_out.content_type;
    ngx_str_null(&charset);

    if (type.len == r->headers_out.content_type_len) {
        charset = r->headers_out.charset;
    }

    len = sizeof(CRLF "--" CRLF "Content-Range: bytes -/" CRLF
                 "Content-Type: ; charset=" CRLF CRLF) - 1
          + NGX_ATOMIC_T_LEN + 3 * NGX_OFF_T_LEN + type.len + charset.len;

    length = 0;

    for (i = 0; i < n; i++) {
        p = ngx_pnalloc(r->pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        range[i].start = spans[i].start;
        range[i].end = spans[i].end;
        range[i].header.data = p;

        p = ngx_sprintf(p, "%s--%0muA" CRLF
                        "Content-Range: bytes %O-%O/%O" CRLF,
                        i ? CRLF : "", boundary,
                        spans[i].start, spans[i].end - 1, d->length);

        if (type.len) {
            p = ngx_sprintf(p, "Content-Type: %V%s%V" CRLF, &type,
                            charset.len ? "; charset=" : "", &charset);
        }

        *p++ = CR;
        *p++ = LF;

        range[i].header.len = p - range[i].header.data;
        length += range[i].header.len + (spans[i].end - spans[i].start);
    }

    len = sizeof(CRLF "----" CRLF) - 1 + NGX_ATOMIC_T_LEN;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    d->trailer.data = p;
    d->trailer.len = ngx_sprintf(p, CRLF "--%0muA--" CRLF, boundary) - p;

    len = sizeof("multipart/byteranges; boundary=") - 1 + NGX_ATOMIC_T_LEN;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.content_type.data = p;
    r->headers_out.content_type.len =
                        ngx_sprintf(p, "multipart/byteranges; boundary=%0muA",
                                    boundary)
                        - p;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    r->headers_out.status = NGX_HTTP_PARTIAL_CONTENT;
    r->headers_out.status_line.len = 0;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = length + d->trailer.len;

    d->ranges = range;
    d->ranges_n = n;

    return NGX_OK;
}


/* RFC 9211 */

static ngx_int_t
ngx_http_confluence_cache_status(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d)
{
    ngx_str_t          *value;
    static ngx_str_t    values[] = {
        ngx_string("confluence; hit"),
        ngx_string("confluence; fwd=partial"),
        ngx_string("confluence; fwd=miss")
    };

    switch (d->cache) {

    case ngx_http_confluence_hit:
        value = &values[0];
        break;

    case ngx_http_confluence_partial:
        value = &values[1];
        break;

    default:
        value = &values[2];
    }

    if (ngx_http_confluence_header(r, "Cache-Status", value->data, value->len)
        == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
