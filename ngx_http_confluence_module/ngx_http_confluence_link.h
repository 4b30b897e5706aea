
/*
 * The worker's end of the control socket (engine/proto.h): one connection per
 * worker, made again whenever it breaks.
 *
 * A request that wants something from the engine is a waiter.  What a waiter
 * has to say is kept in it, not in a queue of messages: a message that does not
 * fit into the socket, or that was sent to an engine that died, is made again
 * from the waiter's fields.  What comes back is stored in the waiter, and its
 * event is posted; no handler of a request runs inside the link.
 *
 * Everything here runs in a worker (or in the single process) and never blocks.
 */

#ifndef _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <engine/proto.h>
#include <engine/magnet.h>


/* what a waiter has still to say */
#define NGX_HTTP_CONFLUENCE_SAY_HOLD  0x01
#define NGX_HTTP_CONFLUENCE_SAY_READ  0x02
#define NGX_HTTP_CONFLUENCE_SAY_CALL  0x04


typedef struct {
    ngx_rbtree_node_t     node;         /* key: tag */
    ngx_queue_t           queue;        /* while say is not 0 */

    /* set by the request before the waiter is used */
    ngx_event_t          *event;        /* posted when something came */
    ngx_pool_t           *pool;         /* for the text or body that came */
    magnet_hash_t        *hash;         /* NULL: no torrent */
    ngx_str_t             magnet;       /* "" if none */

    uint64_t              begin;        /* of READ, piece space */
    uint64_t              end;

    ngx_uint_t            kind;         /* of CALL */
    ngx_uint_t            flags;
    ngx_fd_t              fd;           /* passed with CALL, or invalid */
    off_t                 fd_size;

    /* what came */
    ngx_uint_t            status;       /* of FAIL and REPLY */
    ngx_str_t             body;
    ngx_fd_t              reply_fd;     /* the request's to close, or invalid */
    off_t                 reply_size;
    u_char                ih[20];       /* of READY */

    unsigned              say:3;
    unsigned              active:1;     /* has a tag */
    unsigned              hold:1;       /* wants HOLD after a reconnect */
    unsigned              read:1;
    unsigned              call:1;
    unsigned              said:1;       /* the engine may know the tag */
    unsigned              seen:1;       /* an engine was there meanwhile */
    unsigned              ready:1;
    unsigned              failed:1;
    unsigned              replied:1;
} ngx_http_confluence_waiter_t;


/*
 * Starts to connect to <path>/engine.sock, and goes on until the process ends.
 */
ngx_int_t ngx_http_confluence_link_init(ngx_cycle_t *cycle, ngx_str_t *path);

/* Closes the connection for good; nginx counts open sockets at exit. */
void ngx_http_confluence_link_close(void);

/*
 * Asks the engine to load the waiter's torrent and to hold it.  READY sets
 * ready and ih, FAIL sets failed, status and body.
 */
void ngx_http_confluence_link_hold(ngx_http_confluence_waiter_t *w);

/* Tells which bytes are read next, [begin, end) of the piece space. */
void ngx_http_confluence_link_read(ngx_http_confluence_waiter_t *w,
    uint64_t begin, uint64_t end);

/*
 * Asks a question: kind and flags as in proto.h.  REPLY sets replied, status
 * and either body or reply_fd and reply_size.
 */
void ngx_http_confluence_link_call(ngx_http_confluence_waiter_t *w);

/*
 * The waiter is gone: nothing is stored or posted any more, its memory may be
 * freed.  Safe to call twice, and for one that was never used.
 */
void ngx_http_confluence_link_release(ngx_http_confluence_waiter_t *w);


#endif /* _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_ */
