
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_sha1.h>
#include "ngx_http_confluence_module.h"


static ngx_int_t ngx_http_confluence_content_type(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_validators(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_cache_control(ngx_http_request_t *r);
static u_char *ngx_http_confluence_etag(ngx_http_confluence_ctx_t *ctx,
    u_char *p);
static u_char *ngx_http_confluence_quote(u_char *dst, ngx_str_t *text);
static u_char *ngx_http_confluence_quote_byte(u_char *dst, u_char ch);
static ngx_uint_t ngx_http_confluence_printable(uint32_t ch);


/* bytes of the digest, and characters of these with quotes around them */
#define NGX_HTTP_CONFLUENCE_ETAG_DIGEST  12
#define NGX_HTTP_CONFLUENCE_ETAG_LEN     (1 + 16 + 1)

/* "\U0010ffff" for a byte is more than any takes */
#define NGX_HTTP_CONFLUENCE_QUOTED    10


ngx_table_elt_t *
ngx_http_confluence_header(ngx_http_request_t *r, const char *key,
    u_char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(key);
    h->key.data = (u_char *) key;
    h->value.len = len;
    h->value.data = value;
    h->lowcase_key = NULL;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return h;
}


ngx_int_t
ngx_http_confluence_data_headers(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = ctx->data->length;
    r->allow_ranges = 1;

    if (ngx_http_confluence_content_type(r, ctx) != NGX_OK
        || ngx_http_confluence_disposition(r, ctx) != NGX_OK
        || ngx_http_confluence_validators(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* By the extension of the name, without a look at the bytes. */

static ngx_int_t
ngx_http_confluence_content_type(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    u_char                      *p;
    map_t                       *map;
    ngx_str_t                    name;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_confluence_data_t  *d;

    d = ctx->data;

    if (d->torrent == NULL) {
        return NGX_OK;
    }

    map = &d->torrent->map;
    name = ctx->path;

    if (!ctx->has_path) {
        name.data = map->strings + map->header->name_off;
        name.len = map->header->name_len;
    }

    ngx_str_null(&r->exten);

    for (p = name.data + name.len; p > name.data && p[-1] != '/'; p--) {

        if (p[-1] == '.') {
            r->exten.data = p;
            r->exten.len = name.data + name.len - p;
            break;
        }
    }

    if (ngx_http_set_content_type(r) != NGX_OK) {
        return NGX_ERROR;
    }

    /*
     * nginx's built-in default_type: a browser would show any unknown file
     * as text.
     */

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->headers_out.content_type.data == clcf->default_type.data
        && clcf->default_type.len == sizeof("text/plain") - 1
        && ngx_strncmp(clcf->default_type.data, "text/plain",
                       clcf->default_type.len)
           == 0
        && !(r->exten.len == 3
             && ngx_strncasecmp(r->exten.data, (u_char *) "txt", 3) == 0))
    {
        ngx_str_set(&r->headers_out.content_type,
                    "application/octet-stream");
        r->headers_out.content_type_len = r->headers_out.content_type.len;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_validators(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    u_char                          *p;
    int64_t                          date;
    ngx_table_elt_t                 *h;
    ngx_http_confluence_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    date = ctx->data->torrent ? ctx->data->torrent->map.header->creation_date
                              : 0;

    if (lcf->etag && date > 0 && date <= (int64_t) ngx_time()) {
        r->headers_out.last_modified_time = (time_t) date;

    } else {
        r->headers_out.last_modified_time = -1;

        /* to be ignored without a date (RFC 9110, 13.1.4), nginx says 412 */

        r->headers_in.if_unmodified_since = NULL;
    }

    if (!lcf->etag) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_HTTP_CONFLUENCE_ETAG_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h = ngx_http_confluence_header(r, "ETag", p,
                                   ngx_http_confluence_etag(ctx, p) - p);
    if (h == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.etag = h;

    return ngx_http_confluence_cache_control(r);
}


static ngx_int_t
ngx_http_confluence_cache_control(ngx_http_request_t *r)
{
    ngx_table_elt_t   *h;
    static ngx_str_t   value =
                          ngx_string("public, max-age=31536000, immutable");

#if (nginx_version >= 1023000)

    h = ngx_http_confluence_header(r, "Cache-Control", value.data, value.len);
    if (h == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.cache_control = h;

#else

    ngx_table_elt_t  **hp;

    if (r->headers_out.cache_control.elts == NULL
        && ngx_array_init(&r->headers_out.cache_control, r->pool, 1,
                          sizeof(ngx_table_elt_t *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    hp = ngx_array_push(&r->headers_out.cache_control);
    if (hp == NULL) {
        return NGX_ERROR;
    }

    h = ngx_http_confluence_header(r, "Cache-Control", value.data, value.len);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *hp = h;

#endif

    return NGX_OK;
}


/*
 * The bytes behind an infohash and a path never change, so these two say all.
 * They are taken as the client asked for them: nothing need be known of the
 * torrent then.  A digest of both rather than both: header bytes are what a
 * client spends its time with when ranges come out of the cache.
 */

static u_char *
ngx_http_confluence_etag(ngx_http_confluence_ctx_t *ctx, u_char *p)
{
    u_char      digest[20];
    ngx_str_t   src, dst;
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, ctx->hash.ih, 20);

    if (ctx->has_path) {
        ngx_sha1_update(&sha1, "/", 1);
        ngx_sha1_update(&sha1, ctx->path.data, ctx->path.len);
    }

    ngx_sha1_final(digest, &sha1);

    src.data = digest;
    src.len = NGX_HTTP_CONFLUENCE_ETAG_DIGEST;

    *p = '"';
    dst.data = p + 1;
    ngx_encode_base64url(&dst, &src);
    p = dst.data + dst.len;
    *p++ = '"';

    return p;
}


ngx_uint_t
ngx_http_confluence_known(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    u_char                           etag[NGX_HTTP_CONFLUENCE_ETAG_LEN + 1];
    u_char                          *p;
    ngx_table_elt_t                 *h;
    ngx_http_confluence_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);
    h = r->headers_in.if_none_match;

    if (!lcf->etag
        || h == NULL
        || r != r->main
        || r->disable_not_modified
        || r->headers_in.if_match
        || r->headers_in.if_unmodified_since
        || r->headers_in.if_modified_since)
    {
        return 0;
    }

    p = ngx_http_confluence_etag(ctx, etag);
    *p = '\0';

    return ngx_strnstr(h->value.data, (char *) etag, h->value.len) != NULL;
}


ngx_int_t
ngx_http_confluence_disposition(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    u_char     *p, *value;
    ngx_str_t  *name;

    if (!ctx->has_filename && !ctx->has_path) {
        return NGX_OK;
    }

    name = ctx->has_filename ? &ctx->filename : &ctx->path;

    value = ngx_pnalloc(r->pool, sizeof("filename=\"\"") - 1
                                 + name->len * NGX_HTTP_CONFLUENCE_QUOTED);
    if (value == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(value, "filename=\"", sizeof("filename=\"") - 1);
    p = ngx_http_confluence_quote(p, name);
    *p++ = '"';

    if (ngx_http_confluence_header(r, "Content-Disposition", value, p - value)
        == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Quoting as in Go, which clients of confluence know: nothing that could end
 * the string or the header comes out unescaped.
 */

static u_char *
ngx_http_confluence_quote(u_char *dst, ngx_str_t *text)
{
    u_char    *p, *last, *next;
    uint32_t   ch;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p < 0x80) {
            dst = ngx_http_confluence_quote_byte(dst, *p++);
            continue;
        }

        next = p;
        ch = ngx_utf8_decode(&next, last - p);

        if (ch > 0x10ffff || (ch >= 0xd800 && ch <= 0xdfff)) {
            dst = ngx_sprintf(dst, "\\x%02xi", (ngx_int_t) *p++);
            continue;
        }

        if (ngx_http_confluence_printable(ch)) {
            dst = ngx_cpymem(dst, p, next - p);

        } else if (ch < 0x10000) {
            dst = ngx_sprintf(dst, "\\u%04xD", ch);

        } else {
            dst = ngx_sprintf(dst, "\\U%08xD", ch);
        }

        p = next;
    }

    return dst;
}


static u_char *
ngx_http_confluence_quote_byte(u_char *dst, u_char ch)
{
    static const u_char  escapes[] = "abtnvfr";     /* from 7 on */

    if (ch == '"' || ch == '\\') {
        *dst++ = '\\';
        *dst++ = ch;

    } else if (ch >= 7 && ch <= 13) {
        *dst++ = '\\';
        *dst++ = escapes[ch - 7];

    } else if (ch < 0x20 || ch == 0x7f) {
        dst = ngx_sprintf(dst, "\\x%02xi", (ngx_int_t) ch);

    } else {
        *dst++ = ch;
    }

    return dst;
}


/* Invisible: controls, spaces, format and private characters. */

static ngx_uint_t
ngx_http_confluence_printable(uint32_t ch)
{
    ngx_uint_t              i;
    static const uint32_t   hidden[][2] = {
        { 0x0080, 0x00a0 }, { 0x00ad, 0x00ad }, { 0x0600, 0x0605 },
        { 0x061c, 0x061c }, { 0x06dd, 0x06dd }, { 0x1680, 0x1680 },
        { 0x180e, 0x180e }, { 0x2000, 0x200f }, { 0x2028, 0x202f },
        { 0x205f, 0x206f }, { 0x3000, 0x3000 }, { 0xe000, 0xf8ff },
        { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb }, { 0xfffe, 0xffff },
        { 0x1fffe, 0x1ffff }, { 0xe0000, 0xe00ff }, { 0xf0000, 0x10ffff }
    };

    for (i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (ch >= hidden[i][0] && ch <= hidden[i][1]) {
            return 0;
        }
    }

    return 1;
}


void
ngx_http_confluence_reset_header(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_http_clean_header(r);

    /* filters took the header for that of another body */

    ngx_memzero(r->ctx, sizeof(void *) * ngx_http_max_module);

    ngx_http_set_ctx(r, ctx, ngx_http_confluence_module);

    ctx->prepared = 0;
}
