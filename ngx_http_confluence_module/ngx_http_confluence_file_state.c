
/*
 * /fileState: the states of a file's pieces, as they are in the map.
 *
 * A buffer is filled when the one before has left, whatever the number of
 * pieces: what a client is told of a piece is as young as that buffer.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_STATE_BUF     32768

/* an element, and what is around all of them */
#define NGX_HTTP_CONFLUENCE_STATE_MAX     256

/* buffers for a quick client until others have their turn */
#define NGX_HTTP_CONFLUENCE_STATE_ROUND   16


struct ngx_http_confluence_states_s {
    ngx_http_confluence_link_t     *link;
    ngx_http_confluence_torrent_t  *torrent;

    uint64_t                        begin;  /* of the file, piece space */
    uint64_t                        end;
    uint32_t                        piece;  /* the next one */
    uint32_t                        last;   /* exclusive */

    ngx_buf_t                       buf;

    unsigned                        headed:1;
    unsigned                        busy:1;     /* buf is the filters' */
    unsigned                        opened:1;   /* "[" was written */
    unsigned                        done:1;     /* all was written */
};


static ngx_int_t ngx_http_confluence_state_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_state_file(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static ngx_int_t ngx_http_confluence_state_header(ngx_http_request_t *r,
    ngx_http_confluence_states_t *s);
static ngx_int_t ngx_http_confluence_state_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);
static void ngx_http_confluence_state_fill(ngx_http_confluence_states_t *s);
static u_char *ngx_http_confluence_state_piece(
    ngx_http_confluence_states_t *s, u_char *p);
static void ngx_http_confluence_state_cleanup(void *data);


ngx_int_t
ngx_http_confluence_state_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_pool_cleanup_t            *cln;
    ngx_http_confluence_states_t  *s;

    s = ngx_pcalloc(r->pool, sizeof(ngx_http_confluence_states_t));
    if (s == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_confluence_state_cleanup;
    cln->data = s;

    s->link = ctx->cache->link;
    ctx->states = s;

    return ngx_http_confluence_start(r, ctx, ngx_http_confluence_state_run);
}


static ngx_int_t
ngx_http_confluence_state_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_confluence_states_t  *s;

    s = ctx->states;

    if (!s->headed) {
        rc = ngx_http_confluence_metadata(r, ctx, &s->torrent);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        rc = ngx_http_confluence_state_file(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        s->headed = 1;

        rc = ngx_http_confluence_state_header(r, s);

        if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
            return (rc == NGX_AGAIN) ? NGX_OK : rc;
        }
    }

    return ngx_http_confluence_state_body(r, ctx);
}


static ngx_int_t
ngx_http_confluence_state_file(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    map_t                         *map;
    int64_t                        n;
    uint32_t                       length;
    ngx_http_confluence_states_t  *s;

    s = ctx->states;
    map = &s->torrent->map;

    n = map_find(map, ctx->path.data, ctx->path.len);

    if (n < 0) {
        return ngx_http_confluence_error(r, NGX_HTTP_NOT_FOUND,
                                         "file not found");
    }

    s->begin = map->files[n].offset;
    s->end = s->begin + map->files[n].length;

    if (s->end > s->begin) {
        length = map->header->piece_length;
        s->piece = (uint32_t) (s->begin / length);
        s->last = (uint32_t) ((s->end - 1) / length) + 1;
    }

    return NGX_DECLINED;
}


/* What fits into one buffer has a length. */

static ngx_int_t
ngx_http_confluence_state_header(ngx_http_request_t *r,
    ngx_http_confluence_states_t *s)
{
    s->buf.start = ngx_palloc(r->pool, NGX_HTTP_CONFLUENCE_STATE_BUF);
    if (s->buf.start == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s->buf.end = s->buf.start + NGX_HTTP_CONFLUENCE_STATE_BUF;
    s->buf.tag = (ngx_buf_tag_t) &ngx_http_confluence_module;
    s->buf.temporary = 1;

    ngx_http_confluence_state_fill(s);

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_type_len = sizeof("application/json") - 1;
    ngx_str_set(&r->headers_out.content_type, "application/json");

    if (s->done) {
        r->headers_out.content_length_n = s->buf.last - s->buf.pos;
    }

    return ngx_http_send_header(r);
}


static ngx_int_t
ngx_http_confluence_state_body(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_chain_t                   *out, link;
    ngx_connection_t              *c;
    ngx_http_confluence_states_t  *s;

    s = ctx->states;
    c = r->connection;

    if (r->background) {
        return NGX_OK;
    }

    for (i = 0; i < NGX_HTTP_CONFLUENCE_STATE_ROUND; i++) {

        /* another subrequest has its turn, this one is posted after it */

        if (r != c->data && !r->subrequest_in_memory) {
            return NGX_AGAIN;
        }

        if (c->write->delayed) {
            return ngx_http_confluence_wait_client(r);
        }

        out = NULL;

        if (!s->busy) {

            if (ngx_buf_size(&s->buf) == 0) {
                ngx_http_confluence_state_fill(s);
            }

            s->buf.flush = !s->done;
            s->buf.last_buf = (s->done && r == r->main) ? 1 : 0;
            s->buf.last_in_chain = s->done;

            link.buf = &s->buf;
            link.next = NULL;
            out = &link;
        }

        rc = ngx_http_output_filter(r, out);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        s->busy = (ngx_buf_size(&s->buf) != 0);

        if (s->done) {
            return NGX_OK;
        }

        if ((r == c->data || r->subrequest_in_memory)
            && (s->busy || r->buffered || r->postponed
                || (r == r->main && c->buffered)))
        {
            return ngx_http_confluence_wait_client(r);
        }
    }

    return ngx_http_confluence_wait_turn(ctx);
}


static void
ngx_http_confluence_state_fill(ngx_http_confluence_states_t *s)
{
    u_char  *p;

    p = s->buf.start;

    if (!s->opened) {
        *p++ = '[';
    }

    while (s->piece < s->last
           && s->buf.end - p > NGX_HTTP_CONFLUENCE_STATE_MAX)
    {
        if (s->opened) {
            *p++ = ',';
        }

        s->opened = 1;

        p = ngx_http_confluence_state_piece(s, p);
        s->piece++;
    }

    if (s->piece == s->last) {
        *p++ = ']';
        *p++ = LF;
        s->done = 1;
    }

    s->buf.pos = s->buf.start;
    s->buf.last = p;
}


#define ngx_http_confluence_bool(x)  ((x) ? "true" : "false")


static u_char *
ngx_http_confluence_state_piece(ngx_http_confluence_states_t *s, u_char *p)
{
    map_t       *map;
    uint8_t      state, check;
    uint64_t     begin, end;
    ngx_uint_t   priority;

    map = &s->torrent->map;

    begin = (uint64_t) s->piece * map->header->piece_length;
    end = begin + map->header->piece_length;

    begin = ngx_max(begin, s->begin);
    end = ngx_min(end, s->end);

    state = map_state(map, s->piece);

    /* what an engine that died has left of its work is not true any more */

    if (ngx_http_confluence_link_connection(s->link) == NULL) {
        state &= MAP_COMPLETE;
    }

    check = state & MAP_CHECK;
    priority = (state & MAP_PRIORITY) >> MAP_PRIORITY_SHIFT;

    if (state & MAP_COMPLETE) {
        check = 0;
    }

    if (check || (state & MAP_COMPLETE)) {
        priority = 0;
    }

    return ngx_sprintf(p, "{\"Bytes\":%uL,\"Priority\":%ui,\"Complete\":%s,"
                       "\"Ok\":true,\"Err\":null,\"Checking\":%s,"
                       "\"Hashing\":%s,\"QueuedForHash\":%s,\"Marking\":%s,"
                       "\"Partial\":%s,\"MissingPieceLayerHash\":false}",
                       end - begin, priority,
                       ngx_http_confluence_bool(state & MAP_COMPLETE),
                       ngx_http_confluence_bool(check == MAP_HASHING
                                                || check == MAP_QUEUED),
                       ngx_http_confluence_bool(check == MAP_HASHING),
                       ngx_http_confluence_bool(check == MAP_QUEUED),
                       ngx_http_confluence_bool(check == MAP_MARKING),
                       ngx_http_confluence_bool((state & MAP_PARTIAL)
                                                && !check
                                                && !(state & MAP_COMPLETE)));
}


static void
ngx_http_confluence_state_cleanup(void *data)
{
    ngx_http_confluence_states_t *s = data;

    if (s->torrent) {
        ngx_http_confluence_store_leave(s->torrent);
        s->torrent = NULL;
    }
}
