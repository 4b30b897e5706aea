
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_confluence_open_torrent.h"


#define NGX_HTTP_CONFLUENCE_MAX_MAPS     512
#define NGX_HTTP_CONFLUENCE_MAX_ALIASES  1024


typedef struct {
    ngx_str_node_t         sn;          /* by alias */
    ngx_queue_t            queue;       /* oldest first */
    u_char                 alias[20];
    u_char                 ih[20];
} ngx_http_confluence_alias_t;


static ngx_http_confluence_torrent_t *ngx_http_confluence_store_lookup(
    ngx_http_confluence_store_t *store, u_char *ih);
static ngx_int_t ngx_http_confluence_store_open(
    ngx_http_confluence_store_t *store, u_char *ih,
    ngx_http_confluence_torrent_t **torrent, ngx_log_t *log);
static void ngx_http_confluence_store_detach(
    ngx_http_confluence_torrent_t *torrent);
static void ngx_http_confluence_store_free(
    ngx_http_confluence_torrent_t *torrent);


ngx_http_confluence_store_t *
ngx_http_confluence_store_create(ngx_cycle_t *cycle, ngx_str_t *path)
{
    ngx_http_confluence_store_t  *store;

    store = ngx_pcalloc(cycle->pool, sizeof(ngx_http_confluence_store_t));
    if (store == NULL) {
        return NULL;
    }

    store->path = *path;
    store->log = cycle->log;

    ngx_rbtree_init(&store->torrents, &store->torrents_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&store->aliases, &store->aliases_sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_queue_init(&store->idle_torrents);
    ngx_queue_init(&store->aliases_queue);
    ngx_queue_init(&store->watches);

    counters_init(&store->counters);

    return store;
}


void
ngx_http_confluence_store_count(ngx_http_confluence_store_t *store)
{
    ngx_err_t  err;

    err = counters_open(&store->counters, (char *) store->path.data,
                        ngx_worker);

    /* the engine has told if it could not make the file */

    if (err != 0 && err != NGX_ENOENT) {
        ngx_log_error(NGX_LOG_WARN, store->log, err,
                      "counters in \"%V\" cannot be opened", &store->path);
    }
}


ngx_int_t
ngx_http_confluence_store_torrent(ngx_http_confluence_store_t *store,
    u_char *ih, ngx_http_confluence_torrent_t **torrent, ngx_log_t *log)
{
    uint32_t                        hash;
    ngx_str_t                       name;
    ngx_http_confluence_alias_t    *alias;
    ngx_http_confluence_torrent_t  *t;

    if (store->aliases_n) {
        hash = ngx_crc32_short(ih, 20);
        name.len = 20;
        name.data = ih;

        alias = (ngx_http_confluence_alias_t *)
                    ngx_str_rbtree_lookup(&store->aliases, &name, hash);
        if (alias) {
            ih = alias->ih;
        }
    }

    t = ngx_http_confluence_store_lookup(store, ih);

    if (t && !map_usable(&t->map)) {
        ngx_http_confluence_store_detach(t);
        t = NULL;
    }

    if (t == NULL) {
        return ngx_http_confluence_store_open(store, ih, torrent, log);
    }

    if (t->refs++ == 0) {
        ngx_queue_remove(&t->queue);
    }

    *torrent = t;

    return NGX_OK;
}


static ngx_http_confluence_torrent_t *
ngx_http_confluence_store_lookup(ngx_http_confluence_store_t *store,
    u_char *ih)
{
    uint32_t   hash;
    ngx_str_t  name;

    hash = ngx_crc32_short(ih, 20);
    name.len = 20;
    name.data = ih;

    return (ngx_http_confluence_torrent_t *)
               ngx_str_rbtree_lookup(&store->torrents, &name, hash);
}


static ngx_int_t
ngx_http_confluence_store_open(ngx_http_confluence_store_t *store,
    u_char *ih, ngx_http_confluence_torrent_t **torrent, ngx_log_t *log)
{
    u_char                          hex[41];
    ngx_err_t                       err;
    ngx_queue_t                    *q;
    ngx_http_confluence_torrent_t  *t;

    t = ngx_calloc(sizeof(ngx_http_confluence_torrent_t), log);
    if (t == NULL) {
        return NGX_ERROR;
    }

    err = map_open(&t->map, (char *) store->path.data, ih);

    if (ngx_http_confluence_segments_spare(err)) {
        err = map_open(&t->map, (char *) store->path.data, ih);
    }

    if (err) {
        ngx_free(t);

        if (err == NGX_ENOENT || err == EBADMSG) {
            return NGX_DECLINED;
        }

        map_hex((char *) hex, ih, 20);
        ngx_log_error(NGX_LOG_CRIT, log, err,
                      "opening map of torrent \"%s\" failed", hex);
        return NGX_ERROR;
    }

    ngx_memcpy(t->ih, ih, 20);
    t->sn.node.key = ngx_crc32_short(ih, 20);
    t->sn.str.len = 20;
    t->sn.str.data = t->ih;
    t->store = store;
    t->refs = 1;

    ngx_rbtree_init(&t->segments, &t->sentinel, ngx_rbtree_insert_value);
    ngx_rbtree_insert(&store->torrents, &t->sn.node);
    store->torrents_n++;

    if (store->torrents_n > NGX_HTTP_CONFLUENCE_MAX_MAPS
        && !ngx_queue_empty(&store->idle_torrents))
    {
        q = ngx_queue_head(&store->idle_torrents);

        ngx_http_confluence_store_detach(
                   ngx_queue_data(q, ngx_http_confluence_torrent_t, queue));
    }

    *torrent = t;

    return NGX_OK;
}


void
ngx_http_confluence_store_leave(ngx_http_confluence_torrent_t *torrent)
{
    ngx_queue_t                  *q;
    ngx_http_confluence_store_t  *store;

    if (--torrent->refs) {
        return;
    }

    if (torrent->stale) {
        ngx_http_confluence_store_free(torrent);
        return;
    }

    store = torrent->store;

    ngx_queue_insert_tail(&store->idle_torrents, &torrent->queue);

    if (store->torrents_n > NGX_HTTP_CONFLUENCE_MAX_MAPS) {
        q = ngx_queue_head(&store->idle_torrents);

        ngx_http_confluence_store_detach(
                   ngx_queue_data(q, ngx_http_confluence_torrent_t, queue));
    }
}


/* Out of the table; freed now or when the last request and segment leave. */

static void
ngx_http_confluence_store_detach(ngx_http_confluence_torrent_t *torrent)
{
    if (torrent->refs == 0) {
        ngx_queue_remove(&torrent->queue);
    }

    ngx_rbtree_delete(&torrent->store->torrents, &torrent->sn.node);
    torrent->store->torrents_n--;
    torrent->stale = 1;

    /* held meanwhile: dropping the last segment would free it */

    torrent->refs++;

    ngx_http_confluence_segments_drop(torrent, 0);

    if (--torrent->refs == 0) {
        ngx_http_confluence_store_free(torrent);
    }
}


static void
ngx_http_confluence_store_free(ngx_http_confluence_torrent_t *torrent)
{
    map_close(&torrent->map);
    ngx_free(torrent);
}


void
ngx_http_confluence_store_alias(ngx_http_confluence_store_t *store,
    u_char *alias, u_char *ih)
{
    ngx_queue_t                  *q;
    ngx_str_t                     name;
    ngx_http_confluence_alias_t  *a;

    if (ngx_memcmp(alias, ih, 20) == 0) {
        return;
    }

    name.len = 20;
    name.data = alias;

    a = (ngx_http_confluence_alias_t *)
            ngx_str_rbtree_lookup(&store->aliases, &name,
                                  ngx_crc32_short(alias, 20));
    if (a) {
        ngx_memcpy(a->ih, ih, 20);
        return;
    }

    if (store->aliases_n >= NGX_HTTP_CONFLUENCE_MAX_ALIASES) {
        q = ngx_queue_head(&store->aliases_queue);
        a = ngx_queue_data(q, ngx_http_confluence_alias_t, queue);

        ngx_queue_remove(&a->queue);
        ngx_rbtree_delete(&store->aliases, &a->sn.node);
        store->aliases_n--;

    } else {
        a = ngx_alloc(sizeof(ngx_http_confluence_alias_t), store->log);
        if (a == NULL) {
            return;
        }
    }

    ngx_memcpy(a->alias, alias, 20);
    ngx_memcpy(a->ih, ih, 20);

    a->sn.node.key = ngx_crc32_short(alias, 20);
    a->sn.str.len = 20;
    a->sn.str.data = a->alias;

    ngx_rbtree_insert(&store->aliases, &a->sn.node);
    ngx_queue_insert_tail(&store->aliases_queue, &a->queue);
    store->aliases_n++;
}


void
ngx_http_confluence_store_evicted(ngx_http_confluence_store_t *store,
    u_char *ih, uint32_t number)
{
    ngx_http_confluence_torrent_t  *torrent;

    torrent = ngx_http_confluence_store_lookup(store, ih);

    if (torrent) {

        /* held meanwhile: the last descriptor may be closed */

        if (!map_usable(&torrent->map)) {
            ngx_http_confluence_store_detach(torrent);
            return;
        }

        if (torrent->refs++ == 0) {
            ngx_queue_remove(&torrent->queue);
        }

        ngx_http_confluence_segment_evicted(torrent, number);
        ngx_http_confluence_store_leave(torrent);
    }
}


void
ngx_http_confluence_store_sweep(ngx_http_confluence_store_t *store)
{
    ngx_queue_t                    *q, *next;
    ngx_http_confluence_torrent_t  *torrent;

    ngx_http_confluence_segments_sweep(store);
    ngx_http_confluence_rows_close(store);

    for (q = ngx_queue_head(&store->idle_torrents);
         q != ngx_queue_sentinel(&store->idle_torrents);
         q = next)
    {
        next = ngx_queue_next(q);
        torrent = ngx_queue_data(q, ngx_http_confluence_torrent_t, queue);

        if (!map_usable(&torrent->map)) {
            ngx_http_confluence_store_detach(torrent);
        }
    }
}
