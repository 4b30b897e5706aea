
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_confluence_control_packet.h"


static ngx_fd_t ngx_http_confluence_packet_passed(struct msghdr *msg);


ssize_t
ngx_http_confluence_packet_recv(ngx_connection_t *c, u_char *buf,
    ngx_fd_t *fd)
{
    ssize_t        n;
    ngx_err_t      err;
    struct iovec   iov;
    struct msghdr  msg;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(4 * sizeof(int))];
    } cmsg;

    *fd = NGX_INVALID_FILE;

    for ( ;; ) {
        ngx_memzero(&msg, sizeof(struct msghdr));

        iov.iov_base = buf;
        iov.iov_len = PROTO_PACKET_MAX;

        msg.msg_iov = &iov;
        msg.msg_iovlen = 1;
        msg.msg_control = &cmsg;
        msg.msg_controllen = sizeof(cmsg);

        n = recvmsg(c->fd, &msg, MSG_DONTWAIT|MSG_CMSG_CLOEXEC);

        if (n >= 0) {
            break;
        }

        err = ngx_socket_errno;

        if (err == NGX_EAGAIN) {
            return NGX_AGAIN;
        }

        if (err == NGX_EINTR) {
            continue;
        }

        if (err != NGX_ECONNRESET) {
            ngx_log_error(NGX_LOG_ERR, c->log, err,
                          "recvmsg() from the confluence engine failed");
        }

        return NGX_ERROR;
    }

    *fd = ngx_http_confluence_packet_passed(&msg);

    if (msg.msg_flags & MSG_TRUNC) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "oversized message from the confluence engine");

        if (*fd != NGX_INVALID_FILE) {
            (void) ngx_close_file(*fd);
            *fd = NGX_INVALID_FILE;
        }

        return NGX_ERROR;
    }

    return n;
}


static ngx_fd_t
ngx_http_confluence_packet_passed(struct msghdr *msg)
{
    int              passed[4];
    ngx_fd_t         fd;
    ngx_uint_t       i, n;
    struct cmsghdr  *cm;

    fd = NGX_INVALID_FILE;

    for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {

        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        n = ngx_min(n, 4);

        ngx_memcpy(passed, CMSG_DATA(cm), n * sizeof(int));

        for (i = 0; i < n; i++) {

            if (fd == NGX_INVALID_FILE) {
                fd = passed[i];
                continue;
            }

            (void) ngx_close_file(passed[i]);
        }
    }

    return fd;
}


ngx_int_t
ngx_http_confluence_packet_send(ngx_connection_t *c, struct iovec *iov,
    ngx_uint_t n, ngx_fd_t fd)
{
    ssize_t         rc;
    ngx_err_t       err;
    ngx_uint_t      i;
    proto_msg_t    *msg;
    struct msghdr   mh;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(sizeof(int))];
    } cmsg;

    msg = iov[0].iov_base;
    msg->body_len = 0;

    for (i = 1; i < n; i++) {
        msg->body_len += (uint32_t) iov[i].iov_len;
    }

    ngx_memzero(&mh, sizeof(struct msghdr));

    mh.msg_iov = iov;
    mh.msg_iovlen = n;

    if (fd != NGX_INVALID_FILE) {
        ngx_memzero(&cmsg, sizeof(cmsg));

        cmsg.cm.cmsg_len = CMSG_LEN(sizeof(int));
        cmsg.cm.cmsg_level = SOL_SOCKET;
        cmsg.cm.cmsg_type = SCM_RIGHTS;

        ngx_memcpy(CMSG_DATA(&cmsg.cm), &fd, sizeof(int));

        mh.msg_control = &cmsg;
        mh.msg_controllen = sizeof(cmsg);
    }

    do {
        rc = sendmsg(c->fd, &mh, MSG_DONTWAIT|MSG_NOSIGNAL);
        err = (rc == -1) ? ngx_socket_errno : 0;
    } while (err == NGX_EINTR);

    if (rc >= 0) {
        return NGX_OK;
    }

    if (err == NGX_EAGAIN || err == ENOBUFS || err == NGX_ENOMEM) {
        c->write->ready = 0;
        return NGX_AGAIN;
    }

    if (err != NGX_EPIPE && err != NGX_ECONNRESET) {
        ngx_log_error(NGX_LOG_ERR, c->log, err,
                      "sendmsg() to the confluence engine failed");
    }

    return NGX_ERROR;
}
