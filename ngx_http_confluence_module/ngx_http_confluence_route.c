
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_PREFIX  "/infohash"


static ngx_http_confluence_route_t *ngx_http_confluence_find(
    ngx_http_confluence_route_t *routes, ngx_str_t *name);
static ngx_int_t ngx_http_confluence_dispatch(ngx_http_request_t *r,
    ngx_http_confluence_route_t **route, ngx_str_t *rest);
static ngx_int_t ngx_http_confluence_not_allowed(ngx_http_request_t *r,
    ngx_http_confluence_route_t *route);
static ngx_int_t ngx_http_confluence_options(ngx_http_request_t *r,
    ngx_http_confluence_route_t *route);
static ngx_int_t ngx_http_confluence_path(ngx_http_request_t *r,
    ngx_str_t *rest, ngx_str_t *path, ngx_uint_t *escaped);
static ngx_int_t ngx_http_confluence_raw_path(ngx_http_request_t *r,
    size_t prefix, ngx_str_t *path);
static ngx_uint_t ngx_http_confluence_unclean(u_char *p, u_char *last);
static ngx_int_t ngx_http_confluence_clean(ngx_http_request_t *r,
    ngx_str_t *uri);
static ngx_int_t ngx_http_confluence_redirect(ngx_http_request_t *r,
    u_char *uri, size_t len);


#define ngx_http_confluence_get   (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS)


static ngx_http_confluence_route_t  ngx_http_confluence_routes[] = {

    { ngx_string("data"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      NGX_HTTP_CONFLUENCE_TORRENT|NGX_HTTP_CONFLUENCE_FILE
      |NGX_HTTP_CONFLUENCE_SUBTREE,
      ngx_http_confluence_data_handler,
      0,
      ngx_null_string },

    { ngx_string("fileState"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      NGX_HTTP_CONFLUENCE_TORRENT|NGX_HTTP_CONFLUENCE_FILE,
      ngx_http_confluence_state_handler,
      0,
      ngx_null_string },

    { ngx_string("events"),
      NGX_HTTP_GET|NGX_HTTP_OPTIONS,
      ngx_string("GET, OPTIONS"),
      NGX_HTTP_CONFLUENCE_TORRENT,
      ngx_http_confluence_events_handler,
      0,
      ngx_null_string },

    { ngx_string("info"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      NGX_HTTP_CONFLUENCE_TORRENT,
      ngx_http_confluence_call_handler,
      PROTO_CALL_INFO,
      ngx_string("application/octet-stream") },

    { ngx_string("metainfo"),
      ngx_http_confluence_get|NGX_HTTP_POST,
      ngx_string("GET, HEAD, POST, OPTIONS"),
      NGX_HTTP_CONFLUENCE_TORRENT,
      ngx_http_confluence_call_handler,
      PROTO_CALL_METAINFO,
      ngx_string("application/x-bittorrent") },

    { ngx_string("upload"),
      NGX_HTTP_POST|NGX_HTTP_OPTIONS,
      ngx_string("POST, OPTIONS"),
      0,
      ngx_http_confluence_upload_handler,
      PROTO_CALL_UPLOAD,
      ngx_string("application/x-bittorrent") },

    { ngx_string("bep44"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      NGX_HTTP_CONFLUENCE_ITEM,
      ngx_http_confluence_call_handler,
      PROTO_CALL_ITEM,
      ngx_null_string },

    { ngx_string("status"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      0,
      ngx_http_confluence_call_handler,
      PROTO_CALL_STATUS,
      ngx_string("text/plain") },

    { ngx_string("health"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      0,
      ngx_http_confluence_call_handler,
      PROTO_CALL_HEALTH,
      ngx_null_string },

    { ngx_string("metrics"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      NGX_HTTP_CONFLUENCE_BOUND,
      ngx_http_confluence_call_handler,
      PROTO_CALL_METRICS,
      ngx_string("text/plain; version=0.0.4") },

    { ngx_string("debug"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      NGX_HTTP_CONFLUENCE_BOUND|NGX_HTTP_CONFLUENCE_PAGES,
      ngx_http_confluence_call_handler,
      PROTO_CALL_DEBUG,
      ngx_string("text/plain") },

    { ngx_null_string, 0, ngx_null_string, 0, NULL, 0, ngx_null_string }
};


static ngx_http_confluence_route_t  ngx_http_confluence_pages[] = {

    { ngx_string("dht"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      0,
      ngx_http_confluence_call_handler,
      PROTO_CALL_DEBUG_DHT,
      ngx_string("text/plain") },

    { ngx_string("filecache/status"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      0,
      ngx_http_confluence_call_handler,
      PROTO_CALL_DEBUG_CACHE,
      ngx_string("text/plain") },

    { ngx_string("filecache/lru"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      0,
      ngx_http_confluence_call_handler,
      PROTO_CALL_DEBUG_LRU,
      ngx_string("text/plain") },

    { ngx_string("peers"),
      ngx_http_confluence_get,
      ngx_string("GET, HEAD, OPTIONS"),
      0,
      ngx_http_confluence_call_handler,
      PROTO_CALL_DEBUG_PEERS,
      ngx_string("text/plain") },

    { ngx_null_string, 0, ngx_null_string, 0, NULL, 0, ngx_null_string }
};


ngx_http_confluence_route_t *
ngx_http_confluence_route(ngx_str_t *name)
{
    return ngx_http_confluence_find(ngx_http_confluence_routes, name);
}


static ngx_http_confluence_route_t *
ngx_http_confluence_find(ngx_http_confluence_route_t *routes, ngx_str_t *name)
{
    ngx_http_confluence_route_t  *route;

    for (route = routes; route->name.len; route++) {
        if (route->name.len == name->len
            && ngx_strncmp(route->name.data, name->data, name->len) == 0)
        {
            return route;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_confluence_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_str_t                        rest, path, *p;
    ngx_uint_t                       escaped;
    ngx_http_confluence_ctx_t       *ctx;
    ngx_http_confluence_route_t     *route;
    ngx_http_confluence_loc_conf_t  *lcf;

    rc = ngx_http_confluence_dispatch(r, &route, &rest);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (!(r->method & route->methods)) {
        return ngx_http_confluence_not_allowed(r, route);
    }

    if (r->method != NGX_HTTP_POST) {
        rc = ngx_http_discard_request_body(r);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_confluence_options(r, route);
    }

    p = NULL;
    escaped = 0;

    if (rest.len) {
        rc = ngx_http_confluence_path(r, &rest, &path, &escaped);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        p = &path;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_confluence_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    ctx->request = r;
    ctx->cache = lcf->cache;
    ctx->route = route;
    ctx->waiter.link = ctx->cache->link;
    ctx->waiter.fd = NGX_INVALID_FILE;
    ctx->waiter.reply_fd = NGX_INVALID_FILE;

    ngx_http_set_ctx(r, ctx, ngx_http_confluence_module);

    rc = ngx_http_confluence_select(r, ctx, p, escaped);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return route->handler(r, ctx);
}


/*
 * The route of a request, and in rest the URI from "/infohash" on if it has
 * that form (it points into r->uri).  Returns NGX_DECLINED, or what the
 * handler returns if there is none.
 */

static ngx_int_t
ngx_http_confluence_dispatch(ngx_http_request_t *r,
    ngx_http_confluence_route_t **route, ngx_str_t *rest)
{
    u_char                          *p, *last;
    size_t                           len;
    ngx_str_t                        name;
    ngx_uint_t                       bound;
    ngx_http_confluence_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    ngx_str_null(rest);

    last = r->uri.data + r->uri.len;
    p = r->uri.data;
    bound = (lcf->route != NULL);
    *route = lcf->route;

    if (r->uri.len >= lcf->base.len
        && ngx_strncmp(r->uri.data, lcf->base.data, lcf->base.len) == 0)
    {
        p += lcf->base.len;

    } else if (bound) {
        p = last;

    } else {
        goto not_found;
    }

    if (!bound) {
        if (p == last || *p != '/') {
            goto not_found;
        }

        name.data = p + 1;
        p = ngx_strlchr(p + 1, last, '/');
        p = p ? p : last;
        name.len = p - name.data;

        *route = ngx_http_confluence_route(&name);

        if (*route == NULL || ((*route)->flags & NGX_HTTP_CONFLUENCE_BOUND)) {
            goto not_found;
        }

    } else if (((*route)->flags & NGX_HTTP_CONFLUENCE_PAGES) && last - p > 1) {
        name.data = p + 1;
        name.len = last - name.data;

        *route = ngx_http_confluence_find(ngx_http_confluence_pages, &name);

        if (*route == NULL) {
            goto not_found;
        }

        return NGX_DECLINED;
    }

    len = sizeof(NGX_HTTP_CONFLUENCE_PREFIX) - 1;

    if (((*route)->flags & NGX_HTTP_CONFLUENCE_SUBTREE)
        && (size_t) (last - p) >= len
        && ngx_strncmp(p, NGX_HTTP_CONFLUENCE_PREFIX, len) == 0
        && (p + len == last || p[len] == '/'))
    {
        rest->data = p;
        rest->len = last - p;
        return NGX_DECLINED;
    }

    /* a location that is bound to a route answers to any name below it */

    if (bound || p == last) {
        return NGX_DECLINED;
    }

not_found:

    return ngx_http_confluence_error(r, NGX_HTTP_NOT_FOUND,
                                     "404 page not found");
}


static ngx_int_t
ngx_http_confluence_not_allowed(ngx_http_request_t *r,
    ngx_http_confluence_route_t *route)
{
    if (ngx_http_confluence_header(r, "Allow", route->allow.data,
                                   route->allow.len)
        == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_confluence_error(r, NGX_HTTP_NOT_ALLOWED,
                                     "method not allowed");
}


static ngx_int_t
ngx_http_confluence_options(ngx_http_request_t *r,
    ngx_http_confluence_route_t *route)
{
    ngx_int_t  rc;

    if (ngx_http_confluence_header(r, "Allow", route->allow.data,
                                   route->allow.len)
        == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_NO_CONTENT;
    r->header_only = 1;

    rc = ngx_http_send_header(r);

    return (rc == NGX_AGAIN) ? NGX_OK : rc;
}


/*
 * What follows "infohash/", not decoded if possible: nginx merges slashes and
 * resolves dots after decoding, and display paths may contain both.
 */

static ngx_int_t
ngx_http_confluence_path(ngx_http_request_t *r, ngx_str_t *rest,
    ngx_str_t *path, ngx_uint_t *escaped)
{
    u_char     *p, *last;
    size_t      len, prefix;
    ngx_str_t   uri;

    len = sizeof(NGX_HTTP_CONFLUENCE_PREFIX) - 1;

    if (r == r->main && r->valid_unparsed_uri) {
        uri = r->unparsed_uri;

        last = uri.data + uri.len;

        for (p = uri.data; p < last; p++) {
            if (*p == '?' || *p == '#') {
                break;
            }
        }

        uri.len = p - uri.data;

        if (rest->len == len || ngx_http_confluence_unclean(uri.data, p)) {
            return ngx_http_confluence_clean(r, &uri);
        }

        prefix = rest->data + len + 1 - r->uri.data;
        *path = uri;

        if (ngx_http_confluence_raw_path(r, prefix, path) == NGX_OK) {
            *escaped = 1;
            return NGX_DECLINED;
        }
    }

    if (rest->len > len) {
        len++;
    }

    path->data = rest->data + len;
    path->len = rest->len - len;

    return NGX_DECLINED;
}


/* Skips as much of the text as decodes to the first bytes of r->uri. */

static ngx_int_t
ngx_http_confluence_raw_path(ngx_http_request_t *r, size_t prefix,
    ngx_str_t *path)
{
    u_char     *p, *last, c;
    size_t      i;
    ngx_int_t   n;

    p = path->data;
    last = p + path->len;

    for (i = 0; i < prefix; i++) {

        if (p == last) {
            return NGX_DECLINED;
        }

        c = *p++;

        if (c == '%') {
            if (last - p < 2) {
                return NGX_DECLINED;
            }

            n = ngx_hextoi(p, 2);
            if (n == NGX_ERROR) {
                return NGX_DECLINED;
            }

            c = (u_char) n;
            p += 2;
        }

        if (c != r->uri.data[i]) {
            return NGX_DECLINED;
        }
    }

    path->data = p;
    path->len = last - p;

    return NGX_OK;
}


/* "//", "/./", "/../" and the like, as they stand in the text. */

static ngx_uint_t
ngx_http_confluence_unclean(u_char *p, u_char *last)
{
    u_char  *s;

    while (p < last) {

        if (*p++ != '/') {
            continue;
        }

        for (s = p; s < last && *s != '/'; s++) { /* void */ }

        if ((s == p && s < last)
            || (s - p == 1 && p[0] == '.')
            || (s - p == 2 && p[0] == '.' && p[1] == '.'))
        {
            return 1;
        }

        p = s;
    }

    return 0;
}


/* Redirects to the clean form: no empty or dot segments. */

static ngx_int_t
ngx_http_confluence_clean(ngx_http_request_t *r, ngx_str_t *uri)
{
    u_char  *p, *s, *last, *dst, *d;

    dst = ngx_pnalloc(r->pool, uri->len + 2 + r->args.len + 1);
    if (dst == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    d = dst;
    p = uri->data;
    last = p + uri->len;

    while (p < last) {

        if (*p == '/') {
            p++;
        }

        for (s = p; s < last && *s != '/'; s++) { /* void */ }

        if (s - p == 2 && p[0] == '.' && p[1] == '.') {

            while (d > dst && *--d != '/') { /* void */ }

        } else if (s != p && !(s - p == 1 && p[0] == '.')) {
            *d++ = '/';
            d = ngx_cpymem(d, p, s - p);
        }

        p = s;
    }

    /* the only clean URI that comes here is the one without the last slash */

    if (d == dst || last[-1] == '/'
        || !ngx_http_confluence_unclean(uri->data, last))
    {
        *d++ = '/';
    }

    if (r->args.len) {
        *d++ = '?';
        d = ngx_cpymem(d, r->args.data, r->args.len);
    }

    return ngx_http_confluence_redirect(r, dst, d - dst);
}


static ngx_int_t
ngx_http_confluence_redirect(ngx_http_request_t *r, u_char *uri, size_t len)
{
    ngx_http_clear_location(r);

    r->headers_out.location = ngx_http_confluence_header(r, "Location", uri,
                                                         len);
    if (r->headers_out.location == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_MOVED_PERMANENTLY;
}
