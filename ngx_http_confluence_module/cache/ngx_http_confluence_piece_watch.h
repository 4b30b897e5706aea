
/*
 * Who in this worker watches which torrent of a store, and what has changed for
 * them.
 *
 *      CHANGED ih pieces ---> watch (one of a torrent) ---> watcher: a set of
 *                               seen: states of the           pieces, and an
 *                               map, as last told             event
 *
 * The engine tells changes to a worker once, however many of its clients watch
 * the torrent.  When the connection breaks, changes go unheard: as soon as the
 * next engine says READY, the map is compared with what was seen last.  Of a
 * piece the generation of its segment is seen, too: one that was evicted and
 * fetched again meanwhile has changed, although its state has not.
 *
 * A watcher costs piece_n / 8 bytes, a watch 2 bytes per piece.
 */

#ifndef _NGX_HTTP_CONFLUENCE_WATCH_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_WATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <engine/shared/piece_set.h>
#include "ngx_http_confluence_open_torrent.h"


typedef struct ngx_http_confluence_watch_s  ngx_http_confluence_watch_t;


typedef struct {
    ngx_queue_t                   queue;
    ngx_http_confluence_watch_t  *watch;    /* NULL: it does not */
    pieces_t                      changed;  /* the client is to be told */
    ngx_event_t                  *event;    /* posted when there are any */
} ngx_http_confluence_watcher_t;


/*
 * The watcher, with its event set, is told of changes from now on.  READY of
 * a waiter with watch set has come for the torrent.  Takes over the caller's
 * reference to the torrent, whatever it returns.
 *
 * Returns NGX_OK, or NGX_ERROR if out of memory.
 */
ngx_int_t ngx_http_confluence_watch_enter(
    ngx_http_confluence_watcher_t *watcher,
    ngx_http_confluence_torrent_t *torrent, ngx_log_t *log);

/* Harmless for one that never entered. */
void ngx_http_confluence_watch_leave(ngx_http_confluence_watcher_t *watcher);

/*
 * READY came for a waiter of the watcher's torrent: if it is the first since
 * the connection broke, finds out what has changed.
 */
void ngx_http_confluence_watch_ready(ngx_http_confluence_watcher_t *watcher,
    ngx_log_t *log);


/* For the link of the store's cache. */

/* CHANGED came: body has n piece numbers. */
void ngx_http_confluence_watches_changed(ngx_http_confluence_store_t *store,
    u_char *ih, u_char *body, ngx_uint_t n);

/* The connection is broken. */
void ngx_http_confluence_watches_lost(ngx_http_confluence_store_t *store);


#endif /* _NGX_HTTP_CONFLUENCE_WATCH_H_INCLUDED_ */
