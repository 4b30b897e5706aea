
/*
 * /upload: a form with files becomes a torrent.
 *
 * The body is parsed as it comes and written once, to where the engine takes
 * it from; neither is it kept in memory, nor in nginx's own temporary file.
 * Room for it is asked of the engine before it is written, and as long as there
 * is none the client is not read from.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_upload_form.h"
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_UPLOAD_TURN  64         /* buffers at a time */
#define NGX_HTTP_CONFLUENCE_UPLOAD_READ  16384      /* bytes, of a file */


typedef enum {
    ngx_http_confluence_upload_receive = 0,
    ngx_http_confluence_upload_end,
    ngx_http_confluence_upload_answer
} ngx_http_confluence_upload_state_e;


struct ngx_http_confluence_upload_s {
    ngx_http_confluence_upload_state_e  state;
    ngx_http_confluence_form_t          form;
    ngx_chain_t                        *in;         /* to be parsed */
    u_char                             *buffer;     /* of what is in a file */
    unsigned                            opened:1;
};


static void ngx_http_confluence_upload_body_handler(ngx_http_request_t *r);
static void ngx_http_confluence_upload_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_confluence_upload_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_upload_step(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_upload_open(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_upload_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_upload_chain(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_upload_file(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_buf_t *b);
static ngx_int_t ngx_http_confluence_upload_end_form(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_upload_wait(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);


ngx_int_t
ngx_http_confluence_upload_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_str_t                      type;
    ngx_http_confluence_upload_t  *u;

    u = ngx_pcalloc(r->pool, sizeof(ngx_http_confluence_upload_t));
    if (u == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_null(&type);

    if (r->headers_in.content_type) {
        type = r->headers_in.content_type->value;
    }

    if (ngx_http_confluence_form_init(&u->form, &type) != NGX_OK) {
        return ngx_http_confluence_error_text(r, u->form.status,
                                              &u->form.text);
    }

    ctx->upload = u;
    ctx->waiter.kind = ctx->route->kind;

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r,
                                     ngx_http_confluence_upload_body_handler);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/* The first bytes of the body are there, or all of it. */

static void
ngx_http_confluence_upload_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    rc = ngx_http_confluence_start(r, ctx, ngx_http_confluence_upload_run);

    /* NGX_DONE gives back what reading the body has counted */

    ngx_http_finalize_request(r, rc);
}


static void
ngx_http_confluence_upload_read_handler(ngx_http_request_t *r)
{
    ngx_http_confluence_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_confluence_module);

    ngx_post_event(&ctx->wake, &ngx_posted_events);
}


static ngx_int_t
ngx_http_confluence_upload_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_uint_t                     level;
    ngx_http_confluence_upload_t  *u;
    ngx_http_confluence_waiter_t  *w;

    u = ctx->upload;
    w = &ctx->waiter;

    if (w->failed || (ctx->timedout && !w->replied)) {
        return ngx_http_confluence_wait_failed(r, ctx, "the torrent engine");
    }

    while (u->state != ngx_http_confluence_upload_answer) {
        rc = ngx_http_confluence_upload_step(r, ctx);

        if (rc == NGX_DECLINED) {
            ngx_http_confluence_wait_over(ctx);

            level = (u->form.status < 500) ? NGX_LOG_INFO : NGX_LOG_ERR;

            ngx_log_error(level, r->connection->log, 0,
                          "upload refused: %ui, \"%V\"", u->form.status,
                          &u->form.text);

            return ngx_http_confluence_error_text(r, u->form.status,
                                                  &u->form.text);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        u->state++;
    }

    if (!w->replied) {

        /* a wake-up without an answer: there is progress */

        ngx_http_confluence_wait_over(ctx);
    }

    return ngx_http_confluence_call_run(r, ctx);
}


/*
 * Returns NGX_OK if what the state is about is done, NGX_DECLINED if the form
 * is refused, or as ..._run().
 */

static ngx_int_t
ngx_http_confluence_upload_step(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_confluence_upload_t  *u;

    u = ctx->upload;

    if (!u->opened) {
        rc = ngx_http_confluence_upload_open(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return (u->state == ngx_http_confluence_upload_receive)
           ? ngx_http_confluence_upload_body(r, ctx)
           : ngx_http_confluence_upload_end_form(r, ctx);
}


static ngx_int_t
ngx_http_confluence_upload_open(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    off_t                          length;
    ngx_int_t                      rc;
    ngx_http_confluence_upload_t  *u;

    u = ctx->upload;

    if (r->request_body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* from here on there is something to close */

    u->opened = 1;

    rc = ngx_http_confluence_stage_open(&u->form.stage,
                                        &ctx->cache->store->path, r->pool,
                                        r->connection->log);
    if (rc != NGX_OK) {
        return ngx_http_confluence_form_staged(&u->form, rc);
    }

    u->in = r->request_body->bufs;
    r->request_body->bufs = NULL;

    /* what cannot fit is refused before it has come */

    length = r->headers_in.content_length_n;

    ngx_http_confluence_waiter_stage(&ctx->waiter, 0,
                                     (length >= 0) ? (uint64_t) length
                                                   : UINT64_MAX);
    return NGX_OK;
}


void
ngx_http_confluence_upload_close(ngx_http_confluence_ctx_t *ctx)
{
    if (ctx->upload && ctx->upload->opened) {
        ngx_http_confluence_stage_close(&ctx->upload->form.stage);
    }
}


/* Takes what has come.  Returns NGX_OK if that is all of the body. */

static ngx_int_t
ngx_http_confluence_upload_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_http_confluence_upload_t  *u;

    u = ctx->upload;

    for (i = 0; i < NGX_HTTP_CONFLUENCE_UPLOAD_TURN; i++) {

        rc = ngx_http_confluence_upload_chain(r, ctx);

        if (rc == NGX_AGAIN) {
            return ngx_http_confluence_upload_wait(r, ctx);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        ngx_http_confluence_wait_over(ctx);

        if (!r->reading_body) {
            return NGX_OK;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            return rc;
        }

        u->in = r->request_body->bufs;
        r->request_body->bufs = NULL;

        if (u->in == NULL && rc == NGX_AGAIN) {
            r->read_event_handler = ngx_http_confluence_upload_read_handler;
            return NGX_AGAIN;
        }
    }

    r->read_event_handler = ngx_http_confluence_upload_read_handler;

    return ngx_http_confluence_wait_turn(ctx);
}


/* Parses the buffers at hand.  Returns NGX_AGAIN if there is no room. */

static ngx_int_t
ngx_http_confluence_upload_chain(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_buf_t                     *b;
    ngx_chain_t                   *cl;
    ngx_http_confluence_upload_t  *u;

    u = ctx->upload;

    rc = ngx_http_confluence_form_rest(&u->form, ctx->waiter.staged);

    if (rc != NGX_OK) {
        return rc;
    }

    while (u->in) {
        cl = u->in;
        b = cl->buf;

        if (b->in_file && !ngx_buf_in_memory(b)) {
            rc = ngx_http_confluence_upload_file(r, ctx, b);

        } else {
            rc = ngx_http_confluence_form_parse(&u->form, &b->pos, b->last,
                                                ctx->waiter.staged);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        u->in = cl->next;
        ngx_free_chain(r->pool, cl);
    }

    return NGX_OK;
}


/* A body that has come before it was asked for may be in a file. */

static ngx_int_t
ngx_http_confluence_upload_file(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_buf_t *b)
{
    u_char                        *p;
    size_t                         size;
    ssize_t                        n;
    ngx_int_t                      rc;
    ngx_http_confluence_upload_t  *u;

    u = ctx->upload;

    if (u->buffer == NULL) {
        u->buffer = ngx_pnalloc(r->pool, NGX_HTTP_CONFLUENCE_UPLOAD_READ);
        if (u->buffer == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    while (b->file_pos < b->file_last) {
        size = (size_t) ngx_min(b->file_last - b->file_pos,
                                NGX_HTTP_CONFLUENCE_UPLOAD_READ);

        n = ngx_read_file(b->file, u->buffer, size, b->file_pos);

        if (n <= 0) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        p = u->buffer;
        rc = ngx_http_confluence_form_parse(&u->form, &p, p + n,
                                            ctx->waiter.staged);

        b->file_pos += p - u->buffer;

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* All of the body has come: the engine makes a torrent of it. */

static ngx_int_t
ngx_http_confluence_upload_end_form(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_confluence_upload_t  *u;
    ngx_http_confluence_waiter_t  *w;

    u = ctx->upload;
    w = &ctx->waiter;

    /* the answer to the last question has to be there, too */

    if (w->staging) {
        return ngx_http_confluence_upload_wait(r, ctx);
    }

    rc = ngx_http_confluence_form_end(&u->form, w->staged);

    if (rc == NGX_AGAIN) {
        return ngx_http_confluence_upload_wait(r, ctx);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_confluence_wait_over(ctx);

    w->fd = u->form.stage.list;
    w->fd_size = u->form.stage.list_size;

    ngx_http_confluence_waiter_call(w);

    return NGX_OK;
}


/* There is no room until the engine says so. */

static ngx_int_t
ngx_http_confluence_upload_wait(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    off_t                            length;
    uint64_t                         need, most;
    ngx_connection_t                *c;
    ngx_http_confluence_loc_conf_t  *lcf;

    c = r->connection;
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_confluence_module);

    need = ngx_http_confluence_stage_need(&ctx->upload->form.stage);
    length = r->headers_in.content_length_n;

    most = (length >= 0) ? ngx_max(need, (uint64_t) length) : UINT64_MAX;

    /* one question at a time: a refusal ends the request for the engine */

    if (!ctx->waiter.staging) {
        ngx_http_confluence_waiter_stage(&ctx->waiter, need, most);
    }

    /* the client may be slow now through no fault of its own */

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    return ngx_http_confluence_wait(r, ctx, lcf->wait_timeout);
}
