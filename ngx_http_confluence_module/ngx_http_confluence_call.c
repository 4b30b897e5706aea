
/*
 * Routes whose answer the engine makes as a whole: one CALL, one REPLY.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/mman.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_HEALTH_TIMEOUT  2000    /* ms */

/* the engine, which has what was found, ends it first */
#define NGX_HTTP_CONFLUENCE_ITEM_MARGIN     2000    /* ms */


static void ngx_http_confluence_call_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_confluence_call_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_call_memfd(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_call_write(ngx_fd_t fd, ngx_buf_t *b);
static ngx_int_t ngx_http_confluence_call_send(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_uint_t ngx_http_confluence_call_is_text(ngx_str_t *body);
static ngx_buf_t *ngx_http_confluence_call_buf(ngx_http_request_t *r,
    ngx_http_confluence_waiter_t *w);
static ngx_uint_t ngx_http_confluence_call_wants_json(ngx_http_request_t *r);


ngx_int_t
ngx_http_confluence_call_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_confluence_waiter_t  *w;

    w = &ctx->waiter;
    w->kind = ctx->route->kind;

    if (r->method == NGX_HTTP_POST) {
        w->kind = PROTO_CALL_METAINFO_POST;

        r->request_body_file_log_level = 0;

        rc = ngx_http_read_client_request_body(r,
                                      ngx_http_confluence_call_body_handler);

        return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
    }

    if (ctx->nowait) {
        w->flags |= PROTO_NOWAIT;
    }

    if ((w->kind == PROTO_CALL_METAINFO || w->kind == PROTO_CALL_STATUS)
        && ngx_http_confluence_call_wants_json(r))
    {
        w->flags |= PROTO_JSON;
        ctx->json = 1;
    }

    return ngx_http_confluence_start(r, ctx, ngx_http_confluence_call_run);
}


static void
ngx_http_confluence_call_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    rc = ngx_http_confluence_call_body(r, ctx);

    if (rc == NGX_OK) {
        rc = ngx_http_confluence_start(r, ctx, ngx_http_confluence_call_run);
    }

    /* NGX_DONE gives back what reading the body has counted */

    ngx_http_finalize_request(r, rc);
}


/* The engine gets the body as a file, whatever its size. */

static ngx_int_t
ngx_http_confluence_call_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_buf_t                     *b;
    ngx_chain_t                   *cl;
    ngx_http_confluence_waiter_t  *w;

    w = &ctx->waiter;

    if (r->request_body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cl = r->request_body->bufs;

    if (cl && cl->next == NULL && cl->buf->in_file
        && cl->buf->file_pos == 0)
    {
        b = cl->buf;
        w->fd = b->file->fd;
        w->fd_size = b->file_last;

        return NGX_OK;
    }

    return ngx_http_confluence_call_memfd(r, ctx);
}


static ngx_int_t
ngx_http_confluence_call_memfd(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_fd_t                       fd;
    ngx_chain_t                   *cl;
    ngx_pool_cleanup_t            *cln;
    ngx_pool_cleanup_file_t       *clnf;
    ngx_http_confluence_waiter_t  *w;

    w = &ctx->waiter;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_pool_cleanup_file_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    fd = memfd_create("confluence-metainfo", MFD_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, ngx_errno,
                      "memfd_create() failed");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_pool_cleanup_file;
    clnf = cln->data;

    clnf->fd = fd;
    clnf->name = (u_char *) "confluence-metainfo";
    clnf->log = r->connection->log;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        if (cl->buf->in_file
            || ngx_http_confluence_call_write(fd, cl->buf) != NGX_OK)
        {
            ngx_log_error(NGX_LOG_CRIT, r->connection->log, ngx_errno,
                          "storing the request body failed");
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        w->fd_size += cl->buf->last - cl->buf->pos;
    }

    (void) lseek(fd, 0, SEEK_SET);

    w->fd = fd;

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_call_write(ngx_fd_t fd, ngx_buf_t *b)
{
    u_char   *p;
    ssize_t   n;

    for (p = b->pos; p < b->last; p += n) {
        n = write(fd, p, b->last - p);

        if (n == -1) {
            if (ngx_errno == NGX_EINTR) {
                n = 0;
                continue;
            }

            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_confluence_call_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_msec_t                       timeout;
    ngx_http_confluence_waiter_t    *w;
    ngx_http_confluence_loc_conf_t  *lcf;

    w = &ctx->waiter;
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    if (!w->active) {

        if (w->kind == PROTO_CALL_ITEM) {
            w->fd_size = lcf->wait_timeout;
        }

        ngx_http_confluence_waiter_call(w);
    }

    if (w->replied) {
        ngx_http_confluence_wait_over(ctx);

        if (w->status == NGX_HTTP_OK) {
            return ngx_http_confluence_call_send(r, ctx);
        }

        if (w->status != NGX_HTTP_ACCEPTED) {
            w->failed = 1;

        } else {
            return ngx_http_confluence_error_text(r, w->status, &w->body);
        }
    }

    if (w->kind == PROTO_CALL_HEALTH && ctx->timedout) {
        ngx_http_confluence_wait_over(ctx);

        return ngx_http_confluence_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         "torrent engine is not available");
    }

    if (w->failed || ctx->timedout) {
        return ngx_http_confluence_wait_failed(r, ctx,
                                (ctx->route->flags
                                 & NGX_HTTP_CONFLUENCE_TORRENT)
                                ? "metadata" : "the torrent engine");
    }

    switch (w->kind) {

    case PROTO_CALL_HEALTH:
        timeout = NGX_HTTP_CONFLUENCE_HEALTH_TIMEOUT;
        break;

    case PROTO_CALL_ITEM:
        timeout = lcf->wait_timeout + NGX_HTTP_CONFLUENCE_ITEM_MARGIN;
        break;

    default:
        timeout = lcf->wait_timeout;
        break;
    }

    return ngx_http_confluence_wait(r, ctx, timeout);
}


static ngx_int_t
ngx_http_confluence_call_send(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_str_t                     *type;
    ngx_buf_t                     *b;
    ngx_chain_t                    out;
    ngx_http_confluence_waiter_t  *w;
    static ngx_str_t               json = ngx_string("application/json");
    static ngx_str_t               text = ngx_string("text/plain");
    static ngx_str_t               bytes =
                                       ngx_string("application/octet-stream");

    w = &ctx->waiter;
    b = NULL;

    type = &ctx->route->type;

    if (ctx->json) {
        type = &json;

    } else if (w->kind == PROTO_CALL_METAINFO_POST) {
        type = &text;

    } else if (w->kind == PROTO_CALL_ITEM) {
        type = ngx_http_confluence_call_is_text(&w->body) ? &text : &bytes;

        /* anybody may have written it */

        if (ngx_http_confluence_header(r, "X-Content-Type-Options",
                                       (u_char *) "nosniff", 7)
            == NULL)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (type->len && type->data[0] == 't') {
        ngx_str_set(&r->headers_out.charset, "utf-8");
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_length_n = 0;

    if (w->body.len || w->reply_fd != NGX_INVALID_FILE) {
        b = ngx_http_confluence_call_buf(r, w);
        if (b == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        r->headers_out.content_length_n = ngx_buf_size(b);
    }

    ctx->prepared = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return (rc == NGX_AGAIN) ? NGX_OK : rc;
    }

    if (b == NULL) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);

        return (rc == NGX_AGAIN) ? NGX_OK : rc;
    }

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_output_filter(r, &out);

    return (rc == NGX_AGAIN) ? NGX_OK : rc;
}


/* What browsers take for text, too: nothing in it that is in no text. */

static ngx_uint_t
ngx_http_confluence_call_is_text(ngx_str_t *body)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < body->len; i++) {
        c = body->data[i];

        if (c < 0x20 && (c < '\t' || c > '\r' || c == 0x0b) && c != 0x1b) {
            return 0;
        }
    }

    return 1;
}


/* The descriptor passes from the waiter to the request's pool. */

static ngx_buf_t *
ngx_http_confluence_call_buf(ngx_http_request_t *r,
    ngx_http_confluence_waiter_t *w)
{
    ngx_buf_t                *b;
    ngx_pool_cleanup_t       *cln;
    ngx_pool_cleanup_file_t  *clnf;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NULL;
    }

    if (w->reply_fd == NGX_INVALID_FILE) {
        b->memory = 1;
        b->pos = w->body.data;
        b->last = w->body.data + w->body.len;

        return b;
    }

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));
    if (b->file == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_pool_cleanup_file_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_pool_cleanup_file;
    clnf = cln->data;

    clnf->fd = w->reply_fd;
    clnf->name = (u_char *) "confluence-answer";
    clnf->log = r->connection->log;

    ngx_str_set(&b->file->name, "confluence-answer");
    b->file->fd = w->reply_fd;
    b->file->log = r->connection->log;

    b->in_file = 1;
    b->file_last = w->reply_size;

    w->reply_fd = NGX_INVALID_FILE;

    return b;
}


/* The first Accept is exactly this, as in confluence. */

static ngx_uint_t
ngx_http_confluence_call_wants_json(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == sizeof("Accept") - 1
            && ngx_strncasecmp(h[i].key.data, (u_char *) "Accept",
                               sizeof("Accept") - 1)
               == 0)
        {
            return h[i].value.len == sizeof("application/json") - 1
                   && ngx_strncmp(h[i].value.data, "application/json",
                                  h[i].value.len)
                      == 0;
        }
    }
}
