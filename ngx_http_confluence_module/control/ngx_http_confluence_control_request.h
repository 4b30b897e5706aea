
/*
 * What a request says to the engine, and hears from it.
 *
 * A request that wants something from the engine is a waiter.  What it has to
 * say is kept in it, not in a queue of messages: a message that does not fit
 * into the socket, or that was sent to an engine that died, is made again from
 * the waiter's fields.  What comes back is stored in the waiter, and its event
 * is posted; no handler of a request runs in here.
 *
 * Everything runs in a worker (or in the single process) and never blocks.
 */

#ifndef _NGX_HTTP_CONFLUENCE_WAITER_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_WAITER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <engine/shared/proto.h>
#include <engine/parse/magnet.h>


/* what a waiter has still to say */
#define NGX_HTTP_CONFLUENCE_SAY_HOLD  0x01
#define NGX_HTTP_CONFLUENCE_SAY_READ  0x02
#define NGX_HTTP_CONFLUENCE_SAY_STAGE 0x04
#define NGX_HTTP_CONFLUENCE_SAY_CALL  0x08

#define NGX_HTTP_CONFLUENCE_RELEASED  1024


typedef struct ngx_http_confluence_link_s  ngx_http_confluence_link_t;


/* The waiters of a link. */
typedef struct {
    ngx_rbtree_t          tree;         /* by tag */
    ngx_rbtree_node_t     sentinel;
    ngx_queue_t           queue;        /* those that have something to say */
    uint32_t              tag;

    /* RELEASE of waiters that are gone, when the socket was full */
    uint32_t              released[NGX_HTTP_CONFLUENCE_RELEASED];
    ngx_uint_t            released_n;
} ngx_http_confluence_waiters_t;


typedef struct {
    ngx_rbtree_node_t            node;       /* key: tag */
    ngx_queue_t                  queue;      /* while say is not 0 */

    /* set by the request before the waiter is used */
    ngx_http_confluence_link_t  *link;       /* to the engine that is asked */
    ngx_event_t                 *event;      /* posted when something came */
    ngx_pool_t                  *pool;       /* for what came */
    magnet_hash_t               *hash;       /* NULL: no torrent */
    ngx_str_t                    magnet;     /* or an item's salt, or "" */

    uint64_t                     begin;      /* of READ, piece space */
    uint64_t                     end;

    unsigned                     watch:1;    /* of HOLD: tell CHANGED */
    unsigned                     nowait:1;   /* of HOLD: 202 at once */

    uint64_t                     need;       /* of STAGE, bytes */
    uint64_t                     most;
    uint64_t                     staged;     /* of STAGED */

    ngx_uint_t                   kind;       /* of CALL */
    ngx_uint_t                   flags;
    ngx_fd_t                     fd;         /* passed with CALL, or invalid */
    off_t                        fd_size;

    /* what came */
    ngx_uint_t                   status;     /* of FAIL and REPLY */
    ngx_str_t                    body;
    ngx_fd_t                     reply_fd;   /* the request's, or invalid */
    off_t                        reply_size;
    u_char                       ih[20];     /* of READY */

    unsigned                     say:4;
    unsigned                     active:1;   /* has a tag */
    unsigned                     hold:1;     /* wants HOLD after a reconnect */
    unsigned                     read:1;
    unsigned                     stage:1;
    unsigned                     staging:1;  /* STAGED has not come */
    unsigned                     call:1;
    unsigned                     said:1;     /* the engine may know the tag */
    unsigned                     seen:1;     /* an engine was there meanwhile */
    unsigned                     ready:1;
    unsigned                     failed:1;
    unsigned                     replied:1;
} ngx_http_confluence_waiter_t;


/*
 * Asks the engine to load the waiter's torrent and to hold it.  READY sets
 * ready and ih, FAIL sets failed, status and body.
 */
void ngx_http_confluence_waiter_hold(ngx_http_confluence_waiter_t *w);

/* Tells which bytes are read next, [begin, end) of the piece space. */
void ngx_http_confluence_waiter_read(ngx_http_confluence_waiter_t *w,
    uint64_t begin, uint64_t end);

/*
 * Asks for room for an upload: for need bytes of it, of at most most that may
 * come.  STAGED sets staged to the bytes that have room, and clears staging;
 * FAIL says that there is none.
 */
void ngx_http_confluence_waiter_stage(ngx_http_confluence_waiter_t *w,
    uint64_t need, uint64_t most);

/*
 * Asks a question: kind and flags as in proto.h.  REPLY sets replied, status
 * and either body or reply_fd and reply_size.
 */
void ngx_http_confluence_waiter_call(ngx_http_confluence_waiter_t *w);

/*
 * The waiter is gone: nothing is stored or posted any more, its memory may be
 * freed.  Safe to call twice, and for one that was never used.
 */
void ngx_http_confluence_waiter_release(ngx_http_confluence_waiter_t *w);


/* For the link. */

void ngx_http_confluence_waiters_init(ngx_http_confluence_waiters_t *ws);

/* The connection is up: all waiters say again what they want. */
void ngx_http_confluence_waiters_resume(ngx_http_confluence_link_t *link);

/* The connection is gone, and with it all that was not said. */
void ngx_http_confluence_waiters_lost(ngx_http_confluence_waiters_t *ws);

/*
 * Says what there is to say until the socket is full.  Returns NGX_OK, also
 * then, or NGX_ERROR if the connection is broken.
 */
ngx_int_t ngx_http_confluence_waiters_flush(ngx_http_confluence_link_t *link);

/*
 * READY, FAIL, REPLY or WAKE came, with body_len bytes of body.  A descriptor
 * that the waiter takes is replaced by an invalid one.
 */
void ngx_http_confluence_waiters_answer(ngx_http_confluence_waiters_t *ws,
    proto_msg_t *msg, u_char *body, ngx_fd_t *fd);


#endif /* _NGX_HTTP_CONFLUENCE_WAITER_H_INCLUDED_ */
