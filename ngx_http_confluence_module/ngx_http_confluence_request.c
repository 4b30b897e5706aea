
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


/* a magnet must fit into the body of a message */
#define NGX_HTTP_CONFLUENCE_MAX_MAGNET                                        \
    (PROTO_BODY_MAX - sizeof(proto_hold_t))

/* BEP 44 */
#define NGX_HTTP_CONFLUENCE_MAX_SALT  64


typedef struct {
    ngx_str_t    name;
    ngx_str_t    value;             /* as it stands in the query */
    ngx_uint_t   present;
} ngx_http_confluence_arg_t;


enum {
    ngx_http_confluence_arg_ih = 0,
    ngx_http_confluence_arg_magnet,
    ngx_http_confluence_arg_path,
    ngx_http_confluence_arg_filename,
    ngx_http_confluence_arg_nowait,
    ngx_http_confluence_arg_target,
    ngx_http_confluence_arg_salt,
    ngx_http_confluence_arg_n
};


/*
 * A refusal has been answered when it returns, and what it returns may well be
 * NGX_OK; NGX_DECLINED says that there was none and the request goes on.
 */

static ngx_int_t ngx_http_confluence_args(ngx_http_request_t *r,
    ngx_http_confluence_arg_t *args);
static ngx_int_t ngx_http_confluence_select_path(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_str_t *path, ngx_uint_t escaped);
static ngx_int_t ngx_http_confluence_select_args(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_arg_t *args);
static ngx_int_t ngx_http_confluence_select_ih(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_str_t *text);
static ngx_int_t ngx_http_confluence_select_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_arg_t *args);
static ngx_int_t ngx_http_confluence_select_item(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_arg_t *args);
static ngx_int_t ngx_http_confluence_value(ngx_http_request_t *r,
    ngx_http_confluence_arg_t *arg, ngx_str_t *dst);
static ngx_int_t ngx_http_confluence_unescape(ngx_pool_t *pool,
    ngx_str_t *dst, u_char *p, u_char *last, ngx_uint_t plus);
static ngx_uint_t ngx_http_confluence_is_true(ngx_str_t *value);


#define NGX_HTTP_CONFLUENCE_SELECT  "error determining requested infohash: "


ngx_int_t
ngx_http_confluence_select(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_str_t *path, ngx_uint_t escaped)
{
    ngx_int_t                  rc;
    ngx_http_confluence_arg_t  args[ngx_http_confluence_arg_n];

    if (!(ctx->route->flags
          & (NGX_HTTP_CONFLUENCE_TORRENT|NGX_HTTP_CONFLUENCE_ITEM)))
    {
        return NGX_DECLINED;
    }

    rc = ngx_http_confluence_args(r, args);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->route->flags & NGX_HTTP_CONFLUENCE_ITEM) {
        return ngx_http_confluence_select_item(r, ctx, args);
    }

    ctx->nowait = args[ngx_http_confluence_arg_nowait].present
                  && ngx_http_confluence_is_true(
                                 &args[ngx_http_confluence_arg_nowait].value);

    if (r->method == NGX_HTTP_POST) {
        return ngx_http_confluence_select_body(r, ctx, args);
    }

    rc = path ? ngx_http_confluence_select_path(r, ctx, path, escaped)
              : ngx_http_confluence_select_args(r, ctx, args);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx->selected = 1;
    ctx->waiter.hash = &ctx->hash;
    ctx->waiter.magnet = ctx->magnet;

    if (!(ctx->route->flags & NGX_HTTP_CONFLUENCE_FILE)) {
        return NGX_DECLINED;
    }

    if (args[ngx_http_confluence_arg_filename].present) {
        ctx->has_filename = 1;

        rc = ngx_http_confluence_value(r,
                   &args[ngx_http_confluence_arg_filename], &ctx->filename);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (path == NULL && args[ngx_http_confluence_arg_path].present) {
        ctx->has_path = 1;

        return ngx_http_confluence_value(r,
                           &args[ngx_http_confluence_arg_path], &ctx->path);
    }

    return NGX_DECLINED;
}


/* The first value of each argument counts; a malformed name is passed over. */

static ngx_int_t
ngx_http_confluence_args(ngx_http_request_t *r,
    ngx_http_confluence_arg_t *args)
{
    u_char            *p, *last, *end, *eq;
    ngx_int_t          rc;
    ngx_str_t          name;
    ngx_uint_t         i;
    static ngx_str_t   names[] = {
        ngx_string("ih"),
        ngx_string("magnet"),
        ngx_string("path"),
        ngx_string("filename"),
        ngx_string("nowait"),
        ngx_string("target"),
        ngx_string("salt")
    };

    for (i = 0; i < ngx_http_confluence_arg_n; i++) {
        args[i].name = names[i];
        args[i].present = 0;
        ngx_str_null(&args[i].value);
    }

    p = r->args.data;
    last = p + r->args.len;

    for ( /* void */ ; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        end = end ? end : last;

        eq = ngx_strlchr(p, end, '=');
        eq = eq ? eq : end;

        rc = ngx_http_confluence_unescape(r->pool, &name, p, eq, 1);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        for (i = 0; rc == NGX_OK && i < ngx_http_confluence_arg_n; i++) {

            if (args[i].present
                || args[i].name.len != name.len
                || ngx_strncmp(args[i].name.data, name.data, name.len) != 0)
            {
                continue;
            }

            args[i].present = 1;
            args[i].value.data = (eq < end) ? eq + 1 : end;
            args[i].value.len = end - args[i].value.data;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_select_path(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_str_t *path, ngx_uint_t escaped)
{
    u_char     *p, *last;
    ngx_int_t   rc;
    ngx_str_t   ih;

    last = path->data + path->len;
    p = ngx_strlchr(path->data, last, '/');
    p = p ? p : last;

    ih.data = path->data;
    ih.len = p - path->data;

    if (escaped) {
        rc = ngx_http_confluence_unescape(r->pool, &ih, path->data, p, 0);

        if (rc != NGX_OK) {
            return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR
                                     : NGX_HTTP_BAD_REQUEST;
        }
    }

    rc = ngx_http_confluence_select_ih(r, ctx, &ih);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (p < last) {
        p++;
    }

    if (p == last) {
        return NGX_DECLINED;
    }

    ctx->has_path = 1;
    ctx->path.data = p;
    ctx->path.len = last - p;

    if (!escaped) {
        return NGX_DECLINED;
    }

    rc = ngx_http_confluence_unescape(r->pool, &ctx->path, p, last, 0);

    if (rc == NGX_DECLINED) {
        return NGX_HTTP_BAD_REQUEST;
    }

    return (rc == NGX_OK) ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_confluence_select_args(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_arg_t *args)
{
    char        err[MAGNET_ERROR_LEN];
    ngx_int_t   rc;
    ngx_str_t   ih;

    if (args[ngx_http_confluence_arg_magnet].value.len) {

        rc = ngx_http_confluence_value(r,
                      &args[ngx_http_confluence_arg_magnet], &ctx->magnet);
        if (rc != NGX_DECLINED) {
            return rc;
        }

        if (ctx->magnet.len > NGX_HTTP_CONFLUENCE_MAX_MAGNET) {
            return ngx_http_confluence_error(r, NGX_HTTP_REQUEST_URI_TOO_LARGE,
                                             NGX_HTTP_CONFLUENCE_SELECT
                                             "magnet is too long");
        }

        if (magnet_parse(&ctx->hash, ctx->magnet.data, ctx->magnet.len, err)
            != 0)
        {
            return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                             NGX_HTTP_CONFLUENCE_SELECT "%s",
                                             err);
        }

        return NGX_DECLINED;
    }

    if (args[ngx_http_confluence_arg_ih].value.len) {

        rc = ngx_http_confluence_value(r, &args[ngx_http_confluence_arg_ih],
                                       &ih);
        if (rc != NGX_DECLINED) {
            return rc;
        }

        return ngx_http_confluence_select_ih(r, ctx, &ih);
    }

    return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                     NGX_HTTP_CONFLUENCE_SELECT
                                     "expected nonempty query parameter "
                                     "\"magnet\" or \"ih\"");
}


static ngx_int_t
ngx_http_confluence_select_ih(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_str_t *text)
{
    char  err[MAGNET_ERROR_LEN];

    if (magnet_parse_ih(&ctx->hash, text->data, text->len, err) == 0) {
        return NGX_DECLINED;
    }

    return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                     NGX_HTTP_CONFLUENCE_SELECT "%s", err);
}


/*
 * A posted metainfo names its torrent itself; the query is of use only if it
 * does not, and what is wrong with it matters to nobody otherwise.
 */

static ngx_int_t
ngx_http_confluence_select_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_arg_t *args)
{
    char        err[MAGNET_ERROR_LEN];
    ngx_int_t   rc;
    ngx_str_t   text, *value;
    ngx_uint_t  magnet;

    value = &args[ngx_http_confluence_arg_magnet].value;
    magnet = (value->len != 0);

    if (!magnet) {
        value = &args[ngx_http_confluence_arg_ih].value;
    }

    if (value->len == 0) {
        return NGX_DECLINED;
    }

    rc = ngx_http_confluence_unescape(r->pool, &text, value->data,
                                      value->data + value->len, 1);
    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK || text.len > NGX_HTTP_CONFLUENCE_MAX_MAGNET) {
        return NGX_DECLINED;
    }

    if ((magnet ? magnet_parse(&ctx->hash, text.data, text.len, err)
                : magnet_parse_ih(&ctx->hash, text.data, text.len, err))
        != 0)
    {
        return NGX_DECLINED;
    }

    if (magnet) {
        ctx->magnet = text;
        ctx->waiter.magnet = text;
    }

    ctx->selected = 1;
    ctx->waiter.hash = &ctx->hash;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_confluence_select_item(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_arg_t *args)
{
    char        err[MAGNET_ERROR_LEN];
    ngx_int_t   rc;
    ngx_str_t   target, salt;

    rc = ngx_http_confluence_value(r, &args[ngx_http_confluence_arg_target],
                                   &target);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_confluence_value(r, &args[ngx_http_confluence_arg_salt],
                                   &salt);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (magnet_parse_target(ctx->hash.ih, target.data, target.len, err)
        != 0)
    {
        return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST, "%s", err);
    }

    if (salt.len > NGX_HTTP_CONFLUENCE_MAX_SALT) {
        return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                         "salt has bad length");
    }

    ctx->waiter.hash = &ctx->hash;
    ctx->waiter.magnet = salt;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_confluence_value(ngx_http_request_t *r,
    ngx_http_confluence_arg_t *arg, ngx_str_t *dst)
{
    ngx_int_t  rc;

    rc = ngx_http_confluence_unescape(r->pool, dst, arg->value.data,
                                      arg->value.data + arg->value.len, 1);
    if (rc == NGX_OK) {
        return NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                     "invalid escape in query parameter "
                                     "\"%V\"", &arg->name);
}


/* Returns NGX_DECLINED for a malformed escape. */

static ngx_int_t
ngx_http_confluence_unescape(ngx_pool_t *pool, ngx_str_t *dst, u_char *p,
    u_char *last, ngx_uint_t plus)
{
    u_char     *d;
    ngx_int_t   n;

    d = ngx_pnalloc(pool, last - p + 1);
    if (d == NULL) {
        return NGX_ERROR;
    }

    dst->data = d;

    while (p < last) {

        if (*p == '+' && plus) {
            *d++ = ' ';
            p++;
            continue;
        }

        if (*p != '%') {
            *d++ = *p++;
            continue;
        }

        if (last - p < 3) {
            return NGX_DECLINED;
        }

        n = ngx_hextoi(p + 1, 2);
        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        *d++ = (u_char) n;
        p += 3;
    }

    dst->len = d - dst->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_confluence_is_true(ngx_str_t *value)
{
    ngx_uint_t         i;
    static ngx_str_t   words[] = {
        ngx_string("1"),
        ngx_string("t"),
        ngx_string("T"),
        ngx_string("true"),
        ngx_string("True"),
        ngx_string("TRUE")
    };

    for (i = 0; i < sizeof(words) / sizeof(ngx_str_t); i++) {
        if (words[i].len == value->len
            && ngx_strncmp(words[i].data, value->data, value->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
