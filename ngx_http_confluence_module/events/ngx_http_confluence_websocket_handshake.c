
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_sha1.h>
#include "ngx_http_confluence_module.h"
#include "ngx_http_confluence_websocket.h"


#define NGX_HTTP_CONFLUENCE_WS_GUID  "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


static ngx_int_t ngx_http_confluence_ws_version(ngx_http_request_t *r);
static ngx_int_t ngx_http_confluence_ws_protocol(ngx_http_request_t *r);
static ngx_int_t ngx_http_confluence_ws_sign(ngx_http_request_t *r,
    ngx_str_t *key);
static ngx_str_t *ngx_http_confluence_ws_header(ngx_http_request_t *r,
    const char *name, ngx_uint_t *n);
static ngx_uint_t ngx_http_confluence_ws_has(ngx_http_request_t *r,
    const char *name, const char *token);
static ngx_uint_t ngx_http_confluence_ws_list_has(ngx_str_t *list,
    const char *token);
static ngx_uint_t ngx_http_confluence_ws_is_token(ngx_str_t *s);


ngx_int_t
ngx_http_confluence_ws_check(ngx_http_request_t *r)
{
    ngx_str_t   *value;
    ngx_uint_t   n;

    /* Upgrade of HTTP/1.0 is to be ignored, HTTP/2 has none (RFC 9110, 7.8) */

    if (r->http_version != NGX_HTTP_VERSION_11 || r != r->main) {
        return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                         "not websocket protocol, which needs "
                                         "HTTP/1.1");
    }

    if (!ngx_http_confluence_ws_has(r, "Upgrade", "websocket")
        || !ngx_http_confluence_ws_has(r, "Connection", "upgrade"))
    {
        return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                         "not websocket protocol");
    }

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                         "websocket handshake with a body");
    }

    value = ngx_http_confluence_ws_header(r, "Sec-WebSocket-Key", &n);

    if (value == NULL || value->len == 0) {
        return ngx_http_confluence_error(r, NGX_HTTP_BAD_REQUEST,
                                         "mismatch challenge/response");
    }

    value = ngx_http_confluence_ws_header(r, "Sec-WebSocket-Version", &n);

    if (value == NULL
        || value->len != 2
        || ngx_strncmp(value->data, "13", 2) != 0)
    {
        return ngx_http_confluence_ws_version(r);
    }

    return NGX_DECLINED;
}


/* 426 has to say what to upgrade to (RFC 9110, 15.5.22; RFC 6455, 4.4). */

static ngx_int_t
ngx_http_confluence_ws_version(ngx_http_request_t *r)
{
    if (ngx_http_confluence_header(r, "Sec-WebSocket-Version",
                                   (u_char *) "13", 2)
        == NULL
        || ngx_http_confluence_header(r, "Upgrade", (u_char *) "websocket", 9)
           == NULL
        || ngx_http_confluence_header(r, "Connection", (u_char *) "upgrade", 7)
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_set(&r->headers_out.status_line, "426 Upgrade Required");
    r->keepalive = 0;

    return ngx_http_confluence_error(r, 426,
                                     "missing or bad WebSocket Version");
}


ngx_int_t
ngx_http_confluence_ws_accept(ngx_http_request_t *r)
{
    ngx_int_t   rc;
    ngx_str_t  *key;
    ngx_uint_t  n;

    key = ngx_http_confluence_ws_header(r, "Sec-WebSocket-Key", &n);

    if (key == NULL
        || ngx_http_confluence_header(r, "Upgrade", (u_char *) "websocket", 9)
           == NULL
        || ngx_http_confluence_ws_sign(r, key) != NGX_OK
        || ngx_http_confluence_ws_protocol(r) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* nginx adds Connection for this status */

    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;
    ngx_str_set(&r->headers_out.status_line, "101 Switching Protocols");
    r->keepalive = 0;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    rc = ngx_http_send_special(r, NGX_HTTP_FLUSH);

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_confluence_ws_sign(ngx_http_request_t *r, ngx_str_t *key)
{
    u_char       hash[20];
    ngx_str_t    sum, text;
    ngx_sha1_t   sha1;

    sum.data = hash;
    sum.len = sizeof(hash);

    text.data = ngx_pnalloc(r->pool, ngx_base64_encoded_length(sum.len));
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, key->data, key->len);
    ngx_sha1_update(&sha1, NGX_HTTP_CONFLUENCE_WS_GUID,
                    sizeof(NGX_HTTP_CONFLUENCE_WS_GUID) - 1);
    ngx_sha1_final(hash, &sha1);

    ngx_encode_base64(&text, &sum);

    return ngx_http_confluence_header(r, "Sec-WebSocket-Accept", text.data,
                                      text.len)
           ? NGX_OK : NGX_ERROR;
}


/* The only one that is offered is as good as any; of several none is chosen. */

static ngx_int_t
ngx_http_confluence_ws_protocol(ngx_http_request_t *r)
{
    ngx_str_t   *value;
    ngx_uint_t   n;

    value = ngx_http_confluence_ws_header(r, "Sec-WebSocket-Protocol", &n);

    if (value == NULL || n != 1 || !ngx_http_confluence_ws_is_token(value)) {
        return NGX_OK;
    }

    return ngx_http_confluence_header(r, "Sec-WebSocket-Protocol",
                                      value->data, value->len)
           ? NGX_OK : NGX_ERROR;
}


/* The value of the first header of that name, and how many there are. */

static ngx_str_t *
ngx_http_confluence_ws_header(ngx_http_request_t *r, const char *name,
    ngx_uint_t *n)
{
    size_t            len;
    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    *n = 0;
    value = NULL;
    len = ngx_strlen(name);

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == len
                && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0
                && (*n)++ == 0)
            {
                value = &h[i].value;
            }
        }
    }

    return value;
}


/* Whether any header of that name has the token in its list. */

static ngx_uint_t
ngx_http_confluence_ws_has(ngx_http_request_t *r, const char *name,
    const char *token)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == len
                && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0
                && ngx_http_confluence_ws_list_has(&h[i].value, token))
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_confluence_ws_list_has(ngx_str_t *list, const char *token)
{
    u_char  *p, *s, *end, *last;
    size_t   len;

    len = ngx_strlen(token);
    last = list->data + list->len;

    for (p = list->data; p < last; p = s + 1) {
        s = ngx_strlchr(p, last, ',');
        s = s ? s : last;
        end = s;

        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }

        while (end > p && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }

        if ((size_t) (end - p) == len
            && ngx_strncasecmp(p, (u_char *) token, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* A token of HTTP (RFC 9110, 5.6.2). */

static ngx_uint_t
ngx_http_confluence_ws_is_token(ngx_str_t *s)
{
    u_char  *p;

    for (p = s->data; p < s->data + s->len; p++) {

        if (*p <= 0x20 || *p >= 0x7f
            || ngx_strchr("\"(),/:;<=>?@[\\]{}", *p))
        {
            return 0;
        }
    }

    return s->len != 0;
}
