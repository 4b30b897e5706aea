
/*
 * The worker's end of the control socket (engine/proto.h): one connection per
 * worker and cache, made again whenever it breaks.
 *
 * Everything runs in a worker (or in the single process) and never blocks.
 */

#ifndef _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_confluence_open_torrent.h"
#include "ngx_http_confluence_control_request.h"


struct ngx_http_confluence_link_s {
    ngx_log_t                      *log;
    ngx_connection_t               *connection;
    struct sockaddr_un              sockaddr;
    ngx_http_confluence_store_t    *store;      /* of the same cache */
    ngx_http_confluence_waiters_t   waiters;

    ngx_event_t                     timer;
    ngx_msec_t                      delay;
    ngx_msec_t                      down;       /* since when */

    unsigned                        up:1;       /* WELCOME was seen */
    unsigned                        warned:1;
    unsigned                        closed:1;

    u_char                         *buffer;     /* PROTO_PACKET_MAX */
};


/*
 * Starts to connect to engine.sock in the store's directory, and goes on until
 * ngx_http_confluence_link_close().  Returns NULL if out of memory.
 */
ngx_http_confluence_link_t *ngx_http_confluence_link_create(ngx_cycle_t *cycle,
    ngx_http_confluence_store_t *store);

/* Closes the connection for good; nginx counts open sockets at exit. */
void ngx_http_confluence_link_close(ngx_http_confluence_link_t *link);

/* The connection, or NULL while there is no engine to talk to. */
ngx_connection_t *ngx_http_confluence_link_connection(
    ngx_http_confluence_link_t *link);

/*
 * Tells the engine that what a complete piece lies in cannot be opened.  A
 * hint, which may be lost.
 */
void ngx_http_confluence_link_missing(ngx_http_confluence_link_t *link,
    u_char *ih, uint64_t piece);

/* The connection is broken: closes it and connects again later. */
void ngx_http_confluence_link_failed(ngx_http_confluence_link_t *link);


#endif /* _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_ */
