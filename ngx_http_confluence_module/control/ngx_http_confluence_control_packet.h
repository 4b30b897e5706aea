
/*
 * Packets of the control socket (engine/proto.h), with the descriptors that
 * come and go with them.
 */

#ifndef _NGX_HTTP_CONFLUENCE_PACKET_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_PACKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <engine/shared/proto.h>


/*
 * Receives one packet of up to PROTO_PACKET_MAX bytes, and into fd the
 * descriptor that came with it, the caller's to close, or an invalid one.
 *
 * Returns its size, 0 at the end of file, NGX_AGAIN, NGX_ERROR (logged).
 */
ssize_t ngx_http_confluence_packet_recv(ngx_connection_t *c, u_char *buf,
    ngx_fd_t *fd);

/*
 * Sends a message and its body, n parts of which the first is the message
 * itself; body_len is set.  fd, unless invalid, is passed along and stays the
 * caller's.
 *
 * Returns NGX_OK, NGX_AGAIN if the socket is full, NGX_ERROR (logged).
 */
ngx_int_t ngx_http_confluence_packet_send(ngx_connection_t *c,
    struct iovec *iov, ngx_uint_t n, ngx_fd_t fd);


#endif /* _NGX_HTTP_CONFLUENCE_PACKET_H_INCLUDED_ */
