
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


static ngx_uint_t ngx_http_confluence_has_error_page(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_int_t ngx_http_confluence_error_headers(ngx_http_request_t *r,
    ngx_uint_t status, ngx_uint_t error_page);


ngx_int_t
ngx_http_confluence_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...)
{
    u_char     *p, buf[NGX_MAX_ERROR_STR];
    va_list     args;
    ngx_str_t   text;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_MAX_ERROR_STR, fmt, args);
    va_end(args);

    text.data = buf;
    text.len = p - buf;

    return ngx_http_confluence_error_text(r, status, &text);
}


ngx_int_t
ngx_http_confluence_error_text(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *text)
{
    u_char       *p;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_uint_t    error_page;
    ngx_chain_t   out;

    if (r->header_sent) {
        return NGX_ERROR;
    }

    error_page = ngx_http_confluence_has_error_page(r, status);

    if (ngx_http_confluence_error_headers(r, status, error_page) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (error_page) {
        return status;
    }

    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    b = ngx_create_temp_buf(r->pool, text->len + 1);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = b->pos;

    if (text->len) {
        p = ngx_cpymem(p, text->data, text->len);
    }

    if (p == b->pos || p[-1] != LF) {
        *p++ = LF;
    }

    b->last = p;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    r->headers_out.status = status;

    if (status >= NGX_HTTP_BAD_REQUEST) {
        r->err_status = status;
    }

    r->headers_out.content_length_n = b->last - b->pos;
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    ngx_str_set(&r->headers_out.content_type, "text/plain");
    ngx_str_set(&r->headers_out.charset, "utf-8");

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return (rc == NGX_AGAIN) ? NGX_OK : rc;
    }

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_output_filter(r, &out);

    return (rc == NGX_AGAIN) ? NGX_OK : rc;
}


/* The same rules as nginx's own, to know whether it would find one. */

static ngx_uint_t
ngx_http_confluence_has_error_page(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *page;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->error_page || clcf->error_pages == NULL || r->uri_changes == 0) {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (page[i].status == (ngx_int_t) status) {
            return 1;
        }
    }

    return 0;
}


/*
 * Headers that an error shares with what was asked for; an error_page is a
 * document of its own and has those alone that the status needs.
 */

static ngx_int_t
ngx_http_confluence_error_headers(ngx_http_request_t *r, ngx_uint_t status,
    ngx_uint_t error_page)
{
    u_char                     *p;
    ngx_table_elt_t            *h;
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    if (ctx && ctx->prepared) {
        ngx_http_confluence_reset_header(r, ctx);
    }

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE
        && ngx_http_confluence_header(r, "Retry-After", (u_char *) "1", 1)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (ctx && ctx->data && status == NGX_HTTP_RANGE_NOT_SATISFIABLE) {

        p = ngx_pnalloc(r->pool, sizeof("bytes */") - 1 + NGX_OFF_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        h = ngx_http_confluence_header(r, "Content-Range", p,
                             ngx_sprintf(p, "bytes */%O", ctx->data->length)
                             - p);
        if (h == NULL) {
            return NGX_ERROR;
        }

        r->headers_out.content_range = h;
    }

    if (error_page) {
        return NGX_OK;
    }

    if (ctx && ctx->data) {
        ctx->data->limited = 1;

        if (ngx_http_confluence_disposition(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_confluence_header(r, "X-Content-Type-Options",
                                   (u_char *) "nosniff", 7)
        == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
