
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_confluence_piece_watch.h"


/* a piece as it was seen: its state, and above that of its generation */
#define NGX_HTTP_CONFLUENCE_SEEN_SHIFT  8
#define NGX_HTTP_CONFLUENCE_SEEN_STATE  0xff


struct ngx_http_confluence_watch_s {
    ngx_queue_t                     queue;
    ngx_queue_t                     watchers;
    ngx_http_confluence_torrent_t  *torrent;
    uint16_t                       *seen;       /* of each piece */
    uint32_t                        piece_n;
    unsigned                        lost:1;     /* changes were not heard */
};


static ngx_http_confluence_watch_t *ngx_http_confluence_watch_find(
    ngx_http_confluence_store_t *store, u_char *ih);
static ngx_http_confluence_watch_t *ngx_http_confluence_watch_create(
    ngx_http_confluence_torrent_t *torrent, ngx_log_t *log);
static void ngx_http_confluence_watch_free(ngx_http_confluence_watch_t *watch);
static void ngx_http_confluence_watch_compare(
    ngx_http_confluence_watch_t *watch);
static void ngx_http_confluence_watch_tell(ngx_http_confluence_watch_t *watch,
    uint32_t piece);
static void ngx_http_confluence_watch_post(ngx_http_confluence_watch_t *watch);
static uint16_t ngx_http_confluence_watch_look(
    ngx_http_confluence_watch_t *watch, uint32_t piece);


ngx_int_t
ngx_http_confluence_watch_enter(ngx_http_confluence_watcher_t *watcher,
    ngx_http_confluence_torrent_t *torrent, ngx_log_t *log)
{
    ngx_http_confluence_watch_t  *watch;

    if (pieces_init(&watcher->changed, torrent->map.header->piece_n) != 0) {
        ngx_log_error(NGX_LOG_CRIT, log, 0,
                      "no memory to watch %uD pieces",
                      torrent->map.header->piece_n);

        ngx_http_confluence_store_leave(torrent);
        return NGX_ERROR;
    }

    watch = ngx_http_confluence_watch_find(torrent->store, torrent->ih);

    if (watch) {
        ngx_http_confluence_store_leave(torrent);

    } else {
        watch = ngx_http_confluence_watch_create(torrent, log);

        if (watch == NULL) {
            pieces_free(&watcher->changed);
            return NGX_ERROR;
        }
    }

    watcher->watch = watch;
    ngx_queue_insert_tail(&watch->watchers, &watcher->queue);

    return NGX_OK;
}


static ngx_http_confluence_watch_t *
ngx_http_confluence_watch_find(ngx_http_confluence_store_t *store,
    u_char *ih)
{
    ngx_queue_t                  *q;
    ngx_http_confluence_watch_t  *watch;

    for (q = ngx_queue_head(&store->watches);
         q != ngx_queue_sentinel(&store->watches);
         q = ngx_queue_next(q))
    {
        watch = ngx_queue_data(q, ngx_http_confluence_watch_t, queue);

        if (ngx_memcmp(watch->torrent->ih, ih, 20) == 0) {
            return watch;
        }
    }

    return NULL;
}


static ngx_http_confluence_watch_t *
ngx_http_confluence_watch_create(ngx_http_confluence_torrent_t *torrent,
    ngx_log_t *log)
{
    uint32_t                      i;
    ngx_http_confluence_watch_t  *watch;

    watch = ngx_calloc(sizeof(ngx_http_confluence_watch_t), log);
    if (watch == NULL) {
        ngx_http_confluence_store_leave(torrent);
        return NULL;
    }

    ngx_queue_init(&watch->watchers);

    watch->torrent = torrent;
    watch->piece_n = torrent->map.header->piece_n;

    ngx_queue_insert_tail(&torrent->store->watches, &watch->queue);

    watch->seen = ngx_alloc(((size_t) watch->piece_n + 1) * sizeof(uint16_t),
                            log);
    if (watch->seen == NULL) {
        ngx_http_confluence_watch_free(watch);
        return NULL;
    }

    for (i = 0; i < watch->piece_n; i++) {
        watch->seen[i] = ngx_http_confluence_watch_look(watch, i);
    }

    return watch;
}


void
ngx_http_confluence_watch_leave(ngx_http_confluence_watcher_t *watcher)
{
    ngx_http_confluence_watch_t  *watch;

    watch = watcher->watch;

    if (watch == NULL) {
        return;
    }

    watcher->watch = NULL;
    ngx_queue_remove(&watcher->queue);
    pieces_free(&watcher->changed);

    if (ngx_queue_empty(&watch->watchers)) {
        ngx_http_confluence_watch_free(watch);
    }
}


static void
ngx_http_confluence_watch_free(ngx_http_confluence_watch_t *watch)
{
    ngx_queue_remove(&watch->queue);
    ngx_http_confluence_store_leave(watch->torrent);

    if (watch->seen) {
        ngx_free(watch->seen);
    }

    ngx_free(watch);
}


void
ngx_http_confluence_watches_lost(ngx_http_confluence_store_t *store)
{
    ngx_queue_t                  *q;
    ngx_http_confluence_watch_t  *watch;

    for (q = ngx_queue_head(&store->watches);
         q != ngx_queue_sentinel(&store->watches);
         q = ngx_queue_next(q))
    {
        watch = ngx_queue_data(q, ngx_http_confluence_watch_t, queue);
        watch->lost = 1;
    }
}


void
ngx_http_confluence_watch_ready(ngx_http_confluence_watcher_t *watcher,
    ngx_log_t *log)
{
    ngx_http_confluence_watch_t    *watch;
    ngx_http_confluence_torrent_t  *torrent;

    watch = watcher->watch;

    if (!watch->lost && map_usable(&watch->torrent->map)) {
        return;
    }

    /* the engine may have made another map */

    if (ngx_http_confluence_store_torrent(watch->torrent->store,
                                          watch->torrent->ih, &torrent, log)
        != NGX_OK)
    {
        return;
    }

    if (torrent->map.header->piece_n != watch->piece_n) {
        ngx_http_confluence_store_leave(torrent);
        return;
    }

    ngx_http_confluence_store_leave(watch->torrent);

    watch->torrent = torrent;
    watch->lost = 0;

    ngx_http_confluence_watch_compare(watch);
}


static void
ngx_http_confluence_watch_compare(ngx_http_confluence_watch_t *watch)
{
    uint16_t  old, new;
    uint32_t  i;

    for (i = 0; i < watch->piece_n; i++) {
        old = watch->seen[i];
        new = ngx_http_confluence_watch_look(watch, i);

        if (old == new) {
            continue;
        }

        watch->seen[i] = new;

        /* the eviction of nothing is no change */

        if (((old ^ new) & NGX_HTTP_CONFLUENCE_SEEN_STATE)
            || (old & MAP_COMPLETE))
        {
            ngx_http_confluence_watch_tell(watch, i);
        }
    }

    ngx_http_confluence_watch_post(watch);
}


void
ngx_http_confluence_watches_changed(ngx_http_confluence_store_t *store,
    u_char *ih, u_char *body, ngx_uint_t n)
{
    uint32_t                      piece;
    ngx_uint_t                    i;
    ngx_http_confluence_watch_t  *watch;

    watch = ngx_http_confluence_watch_find(store, ih);

    if (watch == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_memcpy(&piece, body + i * sizeof(uint32_t), sizeof(uint32_t));

        if (piece < watch->piece_n) {
            watch->seen[piece] = ngx_http_confluence_watch_look(watch, piece);
            ngx_http_confluence_watch_tell(watch, piece);
        }
    }

    ngx_http_confluence_watch_post(watch);
}


static void
ngx_http_confluence_watch_tell(ngx_http_confluence_watch_t *watch,
    uint32_t piece)
{
    ngx_queue_t                    *q;
    ngx_http_confluence_watcher_t  *watcher;

    for (q = ngx_queue_head(&watch->watchers);
         q != ngx_queue_sentinel(&watch->watchers);
         q = ngx_queue_next(q))
    {
        watcher = ngx_queue_data(q, ngx_http_confluence_watcher_t, queue);

        pieces_add(&watcher->changed, piece);
    }
}


static void
ngx_http_confluence_watch_post(ngx_http_confluence_watch_t *watch)
{
    ngx_queue_t                    *q;
    ngx_http_confluence_watcher_t  *watcher;

    for (q = ngx_queue_head(&watch->watchers);
         q != ngx_queue_sentinel(&watch->watchers);
         q = ngx_queue_next(q))
    {
        watcher = ngx_queue_data(q, ngx_http_confluence_watcher_t, queue);

        if (!pieces_empty(&watcher->changed)) {
            ngx_post_event(watcher->event, &ngx_posted_events);
        }
    }
}


static uint16_t
ngx_http_confluence_watch_look(ngx_http_confluence_watch_t *watch,
    uint32_t piece)
{
    map_t     *map;
    uint32_t   generation;

    map = &watch->torrent->map;

    generation = __atomic_load_n(
                 &map->segments[piece / map->header->pieces_per_segment]
                      .generation,
                 __ATOMIC_ACQUIRE);

    return (uint16_t) ((generation << NGX_HTTP_CONFLUENCE_SEEN_SHIFT)
                       | map_state_key(map_state(map, piece)));
}
