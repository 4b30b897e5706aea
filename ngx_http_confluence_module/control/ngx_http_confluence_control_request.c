
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_confluence_control_link.h"
#include "ngx_http_confluence_control_packet.h"
#include "ngx_http_confluence_control_request.h"


static void ngx_http_confluence_waiter_say(ngx_http_confluence_waiter_t *w,
    ngx_uint_t what);
static ngx_int_t ngx_http_confluence_waiter_said(
    ngx_http_confluence_waiter_t *w, ngx_connection_t *c);
static ngx_int_t ngx_http_confluence_waiter_send(
    ngx_http_confluence_waiter_t *w, ngx_connection_t *c);
static ngx_int_t ngx_http_confluence_waiter_send_release(uint32_t tag,
    ngx_connection_t *c);
static void ngx_http_confluence_waiter_answer(ngx_http_confluence_waiter_t *w,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd);
static void ngx_http_confluence_waiters_wake(
    ngx_http_confluence_waiters_t *ws);
static ngx_http_confluence_waiter_t *ngx_http_confluence_waiter_find(
    ngx_http_confluence_waiters_t *ws, uint32_t tag);


void
ngx_http_confluence_waiters_init(ngx_http_confluence_waiters_t *ws)
{
    ngx_memzero(ws, sizeof(ngx_http_confluence_waiters_t));

    ngx_rbtree_init(&ws->tree, &ws->sentinel, ngx_rbtree_insert_value);
    ngx_queue_init(&ws->queue);
}


void
ngx_http_confluence_waiter_hold(ngx_http_confluence_waiter_t *w)
{
    w->hold = 1;
    w->ready = 0;

    ngx_http_confluence_waiter_say(w, NGX_HTTP_CONFLUENCE_SAY_HOLD);
}


void
ngx_http_confluence_waiter_read(ngx_http_confluence_waiter_t *w, uint64_t begin,
    uint64_t end)
{
    w->read = 1;
    w->begin = begin;
    w->end = end;

    ngx_http_confluence_waiter_say(w, NGX_HTTP_CONFLUENCE_SAY_READ);
}


void
ngx_http_confluence_waiter_stage(ngx_http_confluence_waiter_t *w,
    uint64_t need, uint64_t most)
{
    w->stage = 1;
    w->staging = 1;
    w->need = need;
    w->most = most;

    ngx_http_confluence_waiter_say(w, NGX_HTTP_CONFLUENCE_SAY_STAGE);
}


void
ngx_http_confluence_waiter_call(ngx_http_confluence_waiter_t *w)
{
    w->call = 1;

    ngx_http_confluence_waiter_say(w, NGX_HTTP_CONFLUENCE_SAY_CALL);
}


static void
ngx_http_confluence_waiter_say(ngx_http_confluence_waiter_t *w,
    ngx_uint_t what)
{
    ngx_uint_t                      full;
    ngx_http_confluence_waiters_t  *ws;

    ws = &w->link->waiters;

    if (w->failed || w->replied) {
        return;
    }

    if (!w->active) {
        do {
            ws->tag++;
        } while (ws->tag == 0 || ngx_http_confluence_waiter_find(ws, ws->tag));

        w->active = 1;
        w->node.key = ws->tag;

        ngx_rbtree_insert(&ws->tree, &w->node);
    }

    /* when there is no engine, it is said to the next one */

    if (ngx_http_confluence_link_connection(w->link) == NULL) {
        return;
    }

    w->seen = 1;
    full = (ws->released_n || !ngx_queue_empty(&ws->queue));

    if (w->say == 0) {
        ngx_queue_insert_tail(&ws->queue, &w->queue);
    }

    w->say |= what;

    if (!full && ngx_http_confluence_waiters_flush(w->link) != NGX_OK) {
        ngx_http_confluence_link_failed(w->link);
    }
}


void
ngx_http_confluence_waiter_release(ngx_http_confluence_waiter_t *w)
{
    uint32_t                        tag;
    ngx_int_t                       rc;
    ngx_connection_t               *c;
    ngx_http_confluence_waiters_t  *ws;

    if (!w->active) {
        return;
    }

    ws = &w->link->waiters;

    /* the deletion clears the key */

    tag = (uint32_t) w->node.key;

    ngx_rbtree_delete(&ws->tree, &w->node);
    w->active = 0;

    if (w->say) {
        w->say = 0;
        ngx_queue_remove(&w->queue);
    }

    c = ngx_http_confluence_link_connection(w->link);

    if (c == NULL || !w->said || w->failed || w->replied) {
        return;
    }

    rc = NGX_AGAIN;

    if (ws->released_n == 0) {
        rc = ngx_http_confluence_waiter_send_release(tag, c);
    }

    if (rc == NGX_AGAIN && ws->released_n < NGX_HTTP_CONFLUENCE_RELEASED) {
        ws->released[ws->released_n++] = tag;

        rc = ngx_handle_write_event(c->write, 0);
    }

    /* end of file releases all tags; those in use are said again */

    if (rc != NGX_OK) {
        ngx_http_confluence_link_failed(w->link);
    }
}


ngx_int_t
ngx_http_confluence_waiters_flush(ngx_http_confluence_link_t *link)
{
    ngx_int_t                       rc;
    ngx_queue_t                    *q;
    ngx_connection_t               *c;
    ngx_http_confluence_waiters_t  *ws;

    c = link->connection;
    ws = &link->waiters;

    rc = NGX_OK;

    while (ws->released_n) {
        rc = ngx_http_confluence_waiter_send_release(
                                       ws->released[ws->released_n - 1], c);
        if (rc != NGX_OK) {
            break;
        }

        ws->released_n--;
    }

    while (rc == NGX_OK && !ngx_queue_empty(&ws->queue)) {
        q = ngx_queue_head(&ws->queue);

        rc = ngx_http_confluence_waiter_said(
                    ngx_queue_data(q, ngx_http_confluence_waiter_t, queue), c);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_handle_write_event(c->write, 0);
}


/* Says all that one waiter has to say. */

static ngx_int_t
ngx_http_confluence_waiter_said(ngx_http_confluence_waiter_t *w,
    ngx_connection_t *c)
{
    ngx_int_t  rc;

    while (w->say) {
        rc = ngx_http_confluence_waiter_send(w, c);

        if (rc != NGX_OK) {
            return rc;
        }

        w->said = 1;

        /* the lowest bit is the one that was said */

        w->say &= w->say - 1;
    }

    ngx_queue_remove(&w->queue);

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_waiter_send(ngx_http_confluence_waiter_t *w,
    ngx_connection_t *c)
{
    ngx_fd_t       fd;
    ngx_uint_t     n;
    proto_msg_t    msg;
    proto_hold_t   hold;
    struct iovec   iov[3];

    ngx_memzero(&msg, sizeof(proto_msg_t));
    ngx_memzero(&hold, sizeof(proto_hold_t));

    n = 3;
    fd = NGX_INVALID_FILE;

    msg.tag = (uint32_t) w->node.key;

    if (w->say & NGX_HTTP_CONFLUENCE_SAY_HOLD) {
        msg.type = PROTO_HOLD;
        msg.flags = (w->watch ? PROTO_WATCH : 0)
                    | (w->nowait ? PROTO_NOWAIT : 0);

    } else if (w->say & NGX_HTTP_CONFLUENCE_SAY_READ) {
        msg.type = PROTO_READ;
        msg.arg0 = w->begin;
        msg.arg1 = w->end;
        n = 1;

    } else if (w->say & NGX_HTTP_CONFLUENCE_SAY_STAGE) {
        msg.type = PROTO_STAGE;
        msg.arg0 = w->need;
        msg.arg1 = w->most;
        n = 1;

    } else {
        msg.type = PROTO_CALL;
        msg.kind = (uint16_t) w->kind;
        msg.flags = (uint16_t) w->flags;
        msg.arg0 = w->fd_size;
        fd = w->fd;
    }

    if (w->hash) {
        ngx_memcpy(msg.ih, w->hash->ih, 20);

        hold.has_v2 = w->hash->has_v2;
        ngx_memcpy(hold.v2, w->hash->v2, sizeof(hold.v2));

    } else {
        n = 1;
    }

    iov[0].iov_base = &msg;
    iov[0].iov_len = sizeof(proto_msg_t);
    iov[1].iov_base = &hold;
    iov[1].iov_len = sizeof(proto_hold_t);
    iov[2].iov_base = w->magnet.data;
    iov[2].iov_len = w->magnet.len;

    return ngx_http_confluence_packet_send(c, iov, n, fd);
}


static ngx_int_t
ngx_http_confluence_waiter_send_release(uint32_t tag, ngx_connection_t *c)
{
    proto_msg_t   msg;
    struct iovec  iov;

    ngx_memzero(&msg, sizeof(proto_msg_t));

    msg.type = PROTO_RELEASE;
    msg.tag = tag;

    iov.iov_base = &msg;
    iov.iov_len = sizeof(proto_msg_t);

    return ngx_http_confluence_packet_send(c, &iov, 1, NGX_INVALID_FILE);
}


void
ngx_http_confluence_waiters_resume(ngx_http_confluence_link_t *link)
{
    ngx_rbtree_node_t              *node;
    ngx_http_confluence_waiter_t   *w;
    ngx_http_confluence_waiters_t  *ws;

    ws = &link->waiters;

    if (ws->tree.root == &ws->sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(ws->tree.root, &ws->sentinel);
         node;
         node = ngx_rbtree_next(&ws->tree, node))
    {
        w = (ngx_http_confluence_waiter_t *) node;

        w->seen = 1;

        if (w->failed || w->replied) {
            continue;
        }

        /* what has room is used by now, another engine must know of it */

        w->need = ngx_max(w->need, w->staged);
        w->most = ngx_max(w->most, w->need);

        w->say = (w->hold ? NGX_HTTP_CONFLUENCE_SAY_HOLD : 0)
                 | (w->read ? NGX_HTTP_CONFLUENCE_SAY_READ : 0)
                 | (w->stage ? NGX_HTTP_CONFLUENCE_SAY_STAGE : 0)
                 | (w->call ? NGX_HTTP_CONFLUENCE_SAY_CALL : 0);

        if (w->say) {
            ngx_queue_insert_tail(&ws->queue, &w->queue);
        }
    }

    /* hints of the time between are lost */

    ngx_http_confluence_waiters_wake(ws);

    if (ngx_http_confluence_waiters_flush(link) != NGX_OK) {
        ngx_http_confluence_link_failed(link);
    }
}


void
ngx_http_confluence_waiters_lost(ngx_http_confluence_waiters_t *ws)
{
    ngx_rbtree_node_t             *node;
    ngx_http_confluence_waiter_t  *w;

    ws->released_n = 0;
    ngx_queue_init(&ws->queue);

    if (ws->tree.root == &ws->sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(ws->tree.root, &ws->sentinel);
         node;
         node = ngx_rbtree_next(&ws->tree, node))
    {
        w = (ngx_http_confluence_waiter_t *) node;

        w->say = 0;
        w->said = 0;

        /* the next engine has to say itself that it watches */

        if (w->watch) {
            w->ready = 0;
        }
    }
}


void
ngx_http_confluence_waiters_answer(ngx_http_confluence_waiters_t *ws,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd)
{
    ngx_http_confluence_waiter_t  *w;

    if (msg->type == PROTO_WAKE && msg->tag == 0) {
        ngx_http_confluence_waiters_wake(ws);
        return;
    }

    w = ngx_http_confluence_waiter_find(ws, msg->tag);

    if (w) {
        ngx_http_confluence_waiter_answer(w, msg, body, fd);
    }
}


static void
ngx_http_confluence_waiter_answer(ngx_http_confluence_waiter_t *w,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd)
{
    switch (msg->type) {

    case PROTO_READY:
        w->ready = 1;
        ngx_memcpy(w->ih, msg->ih, 20);
        break;

    case PROTO_FAIL:
    case PROTO_REPLY:

        if (w->failed || w->replied) {
            return;
        }

        w->status = msg->status;
        w->body.len = msg->body_len;

        if (w->body.len) {
            w->body.data = ngx_pnalloc(w->pool, w->body.len);
            if (w->body.data == NULL) {
                w->body.len = 0;
                w->status = 500;

            } else {
                ngx_memcpy(w->body.data, body, w->body.len);
            }
        }

        if (msg->type == PROTO_FAIL) {
            w->failed = 1;
            break;
        }

        w->replied = 1;

        if (msg->arg0) {
            w->reply_size = (off_t) msg->arg0;
            w->reply_fd = *fd;

            /* no descriptor came: this process has too many */

            if (*fd == NGX_INVALID_FILE) {
                w->status = 500;
            }

            *fd = NGX_INVALID_FILE;
        }

        break;

    case PROTO_STAGED:
        w->staging = 0;
        w->staged = msg->arg0;
        break;

    default: /* PROTO_WAKE */
        break;
    }

    ngx_post_event(w->event, &ngx_posted_events);
}


static void
ngx_http_confluence_waiters_wake(ngx_http_confluence_waiters_t *ws)
{
    ngx_rbtree_node_t             *node;
    ngx_http_confluence_waiter_t  *w;

    if (ws->tree.root == &ws->sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(ws->tree.root, &ws->sentinel);
         node;
         node = ngx_rbtree_next(&ws->tree, node))
    {
        w = (ngx_http_confluence_waiter_t *) node;

        ngx_post_event(w->event, &ngx_posted_events);
    }
}


static ngx_http_confluence_waiter_t *
ngx_http_confluence_waiter_find(ngx_http_confluence_waiters_t *ws,
    uint32_t tag)
{
    ngx_rbtree_node_t  *node;

    node = ws->tree.root;

    while (node != &ws->sentinel) {

        if (tag == node->key) {
            return (ngx_http_confluence_waiter_t *) node;
        }

        node = (tag < node->key) ? node->left : node->right;
    }

    return NULL;
}
