
/*
 * The worker's end of the control socket (engine/proto.h): one connection per
 * worker, made again whenever it breaks.
 *
 * Everything runs in a worker (or in the single process) and never blocks.
 */

#ifndef _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/*
 * Starts to connect to <path>/engine.sock, and goes on until the process ends.
 */
ngx_int_t ngx_http_confluence_link_init(ngx_cycle_t *cycle, ngx_str_t *path);

/* Closes the connection for good; nginx counts open sockets at exit. */
void ngx_http_confluence_link_close(void);

/* The connection, or NULL while there is no engine to talk to. */
ngx_connection_t *ngx_http_confluence_link_connection(void);

/* The connection is broken: closes it and connects again later. */
void ngx_http_confluence_link_failed(void);


#endif /* _NGX_HTTP_CONFLUENCE_LINK_H_INCLUDED_ */
