
/*
 * Log lines of the engine, which logs on its own thread while nginx's log
 * belongs to the main one.
 *
 *      engine's thread                      main thread
 *      log(), idle()  --- socket pair ---> read handler: nginx's log
 *
 * The engine never waits for the main thread: what does not fit is counted.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_LINE  2048


/* level 0 says that the engine has nobody left to serve */
typedef struct {
    int                level;
    u_char             text[NGX_HTTP_CONFLUENCE_LINE];
} ngx_http_confluence_line_t;


static void ngx_http_confluence_channel_send(
    ngx_http_confluence_channel_t *channel, ngx_http_confluence_line_t *line,
    size_t len);
static void ngx_http_confluence_channel_read_handler(ngx_event_t *rev);


ngx_int_t
ngx_http_confluence_channel_open(ngx_http_confluence_channel_t *channel)
{
    ngx_connection_t  *c;

    if (channel->connection) {
        return NGX_OK;
    }

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0,
                   channel->fds)
        == -1)
    {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_errno,
                      "socketpair() failed");
        return NGX_ERROR;
    }

    c = NULL;

    if (ngx_cycle->free_connection_n) {
        c = ngx_get_connection(channel->fds[0], ngx_cycle->log);
    }

    if (c == NULL) {
        (void) close(channel->fds[0]);
        (void) close(channel->fds[1]);

        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "no connection is free for the confluence engine");
        return NGX_ERROR;
    }

    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_confluence_channel_read_handler;
    c->data = channel;

    channel->connection = c;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_confluence_channel_close(channel);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_confluence_channel_close(ngx_http_confluence_channel_t *channel)
{
    if (channel->connection) {
        ngx_close_connection(channel->connection);
        channel->connection = NULL;

        (void) close(channel->fds[1]);
    }
}


/* Runs on the engine's thread. */

void
ngx_http_confluence_channel_log(void *ctx, int level, const char *text,
    size_t len)
{
    ngx_http_confluence_line_t  line;

    len = ngx_min(len, NGX_HTTP_CONFLUENCE_LINE);

    line.level = level;
    ngx_memcpy(line.text, text, len);

    ngx_http_confluence_channel_send(ctx, &line, len);
}


/* Runs on the engine's thread. */

void
ngx_http_confluence_channel_idle(void *ctx)
{
    ngx_http_confluence_line_t  line;

    line.level = 0;

    ngx_http_confluence_channel_send(ctx, &line, 0);
}


/* Runs on the engine's thread, which must not wait for this one. */

static void
ngx_http_confluence_channel_send(ngx_http_confluence_channel_t *channel,
    ngx_http_confluence_line_t *line, size_t len)
{
    ssize_t  n;

    n = send(channel->fds[1], line,
             offsetof(ngx_http_confluence_line_t, text) + len,
             MSG_DONTWAIT|MSG_NOSIGNAL);

    if (n == -1) {
        (void) ngx_atomic_fetch_add(&channel->lost, 1);
    }
}


static void
ngx_http_confluence_channel_read_handler(ngx_event_t *rev)
{
    ngx_connection_t  *c;

    c = rev->data;

    ngx_http_confluence_channel_lines(c->data);

    rev->ready = 0;

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, c->log, 0,
                      "confluence engine's log is lost");
    }
}


void
ngx_http_confluence_channel_lines(ngx_http_confluence_channel_t *channel)
{
    ssize_t                      n;
    ngx_str_t                    text;
    ngx_atomic_uint_t            lost;
    ngx_http_confluence_line_t   line;

    for ( ;; ) {
        n = recv(channel->fds[0], &line, sizeof(line), MSG_DONTWAIT);

        if (n < (ssize_t) offsetof(ngx_http_confluence_line_t, text)) {
            break;
        }

        /* idle: its use is that the drain loop has woken up */

        if (line.level < NGX_LOG_ALERT || line.level > NGX_LOG_DEBUG) {
            continue;
        }

        text.data = line.text;
        text.len = n - offsetof(ngx_http_confluence_line_t, text);

        ngx_log_error((ngx_uint_t) line.level, ngx_cycle->log, 0,
                      "confluence engine%s%V%s: %V",
                      channel->name.len ? " \"" : "", &channel->name,
                      channel->name.len ? "\"" : "", &text);
    }

    lost = channel->lost;

    if (lost) {
        (void) ngx_atomic_fetch_add(&channel->lost, -lost);

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "%uA log lines of the confluence engine were lost",
                      lost);
    }
}
