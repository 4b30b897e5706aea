
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_confluence_store.h"


#define NGX_HTTP_CONFLUENCE_MAX_MAPS      512
#define NGX_HTTP_CONFLUENCE_MAX_SEGMENTS  1024
#define NGX_HTTP_CONFLUENCE_MAX_ALIASES   1024


typedef struct {
    ngx_str_node_t         sn;          /* by alias */
    ngx_queue_t            queue;       /* oldest first */
    u_char                 alias[20];
    u_char                 ih[20];
} ngx_http_confluence_alias_t;


typedef struct {
    ngx_str_t              path;
    ngx_log_t             *log;

    ngx_rbtree_t           torrents;
    ngx_rbtree_node_t      torrents_sentinel;
    ngx_queue_t            idle_torrents;
    ngx_uint_t             torrents_n;

    ngx_queue_t            idle_segments;
    ngx_uint_t             segments_n;
    ngx_uint_t             max_segments;

    ngx_rbtree_t           aliases;
    ngx_rbtree_node_t      aliases_sentinel;
    ngx_queue_t            aliases_queue;
    ngx_uint_t             aliases_n;
} ngx_http_confluence_store_t;


static ngx_http_confluence_torrent_t *ngx_http_confluence_store_lookup(
    u_char *ih);
static ngx_int_t ngx_http_confluence_store_open(u_char *ih,
    ngx_http_confluence_torrent_t **torrent, ngx_log_t *log);
static void ngx_http_confluence_store_detach(
    ngx_http_confluence_torrent_t *torrent);
static void ngx_http_confluence_store_free(
    ngx_http_confluence_torrent_t *torrent);
static ngx_int_t ngx_http_confluence_store_open_segment(
    ngx_http_confluence_torrent_t *torrent, map_extent_t *extent,
    ngx_http_confluence_segment_t *segment, ngx_uint_t direct,
    ngx_log_t *log);
static ngx_fd_t ngx_http_confluence_store_open_file(u_char *name);
static ngx_http_confluence_segment_t *ngx_http_confluence_store_find(
    ngx_http_confluence_torrent_t *torrent, uint32_t number);
static void ngx_http_confluence_store_drop(
    ngx_http_confluence_segment_t *segment);
static void ngx_http_confluence_store_close_segment(
    ngx_http_confluence_segment_t *segment);


static ngx_http_confluence_store_t  ngx_http_confluence_store;


ngx_int_t
ngx_http_confluence_store_init(ngx_cycle_t *cycle, ngx_str_t *path)
{
    struct rlimit                 rlmt;
    ngx_http_confluence_store_t  *store;

    store = &ngx_http_confluence_store;

    ngx_memzero(store, sizeof(ngx_http_confluence_store_t));

    store->path = *path;
    store->log = cycle->log;

    ngx_rbtree_init(&store->torrents, &store->torrents_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&store->aliases, &store->aliases_sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_queue_init(&store->idle_torrents);
    ngx_queue_init(&store->idle_segments);
    ngx_queue_init(&store->aliases_queue);

    /* connections need descriptors more than idle segments do */

    store->max_segments = NGX_HTTP_CONFLUENCE_MAX_SEGMENTS;

    if (getrlimit(RLIMIT_NOFILE, &rlmt) == 0
        && rlmt.rlim_cur != RLIM_INFINITY
        && rlmt.rlim_cur / 4 < store->max_segments)
    {
        store->max_segments = rlmt.rlim_cur / 4;
    }

    return NGX_OK;
}


void
ngx_http_confluence_store_close(void)
{
    ngx_queue_t                    *q;
    ngx_http_confluence_store_t    *store;
    ngx_http_confluence_segment_t  *segment;
    ngx_http_confluence_torrent_t  *torrent;

    store = &ngx_http_confluence_store;

    while (!ngx_queue_empty(&store->idle_segments)) {
        q = ngx_queue_head(&store->idle_segments);
        segment = ngx_queue_data(q, ngx_http_confluence_segment_t, queue);

        ngx_http_confluence_store_drop(segment);
    }

    while (!ngx_queue_empty(&store->idle_torrents)) {
        q = ngx_queue_head(&store->idle_torrents);
        torrent = ngx_queue_data(q, ngx_http_confluence_torrent_t, queue);

        ngx_http_confluence_store_detach(torrent);
    }
}


ngx_int_t
ngx_http_confluence_store_torrent(u_char *ih,
    ngx_http_confluence_torrent_t **torrent, ngx_log_t *log)
{
    uint32_t                        hash;
    ngx_str_t                       name;
    ngx_http_confluence_alias_t    *alias;
    ngx_http_confluence_torrent_t  *t;

    if (ngx_http_confluence_store.aliases_n) {
        hash = ngx_crc32_short(ih, 20);
        name.len = 20;
        name.data = ih;

        alias = (ngx_http_confluence_alias_t *)
                    ngx_str_rbtree_lookup(&ngx_http_confluence_store.aliases,
                                          &name, hash);
        if (alias) {
            ih = alias->ih;
        }
    }

    t = ngx_http_confluence_store_lookup(ih);

    if (t && !map_usable(&t->map)) {
        ngx_http_confluence_store_detach(t);
        t = NULL;
    }

    if (t == NULL) {
        return ngx_http_confluence_store_open(ih, torrent, log);
    }

    if (t->refs++ == 0) {
        ngx_queue_remove(&t->queue);
    }

    *torrent = t;

    return NGX_OK;
}


static ngx_http_confluence_torrent_t *
ngx_http_confluence_store_lookup(u_char *ih)
{
    uint32_t   hash;
    ngx_str_t  name;

    hash = ngx_crc32_short(ih, 20);
    name.len = 20;
    name.data = ih;

    return (ngx_http_confluence_torrent_t *)
               ngx_str_rbtree_lookup(&ngx_http_confluence_store.torrents,
                                     &name, hash);
}


static ngx_int_t
ngx_http_confluence_store_open(u_char *ih,
    ngx_http_confluence_torrent_t **torrent, ngx_log_t *log)
{
    u_char                          hex[41];
    ngx_err_t                       err;
    ngx_queue_t                    *q;
    ngx_http_confluence_store_t    *store;
    ngx_http_confluence_torrent_t  *t;

    store = &ngx_http_confluence_store;

    t = ngx_calloc(sizeof(ngx_http_confluence_torrent_t), log);
    if (t == NULL) {
        return NGX_ERROR;
    }

    err = map_open(&t->map, (char *) store->path.data, ih);

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
    ngx_queue_t  *q;

    if (--torrent->refs) {
        return;
    }

    if (torrent->stale) {
        ngx_http_confluence_store_free(torrent);
        return;
    }

    ngx_queue_insert_tail(&ngx_http_confluence_store.idle_torrents,
                          &torrent->queue);

    if (ngx_http_confluence_store.torrents_n > NGX_HTTP_CONFLUENCE_MAX_MAPS) {
        q = ngx_queue_head(&ngx_http_confluence_store.idle_torrents);

        ngx_http_confluence_store_detach(
                   ngx_queue_data(q, ngx_http_confluence_torrent_t, queue));
    }
}


/* Out of the table; freed now or when the last request and segment leave. */

static void
ngx_http_confluence_store_detach(ngx_http_confluence_torrent_t *torrent)
{
    ngx_rbtree_node_t              *node, *next;
    ngx_http_confluence_segment_t  *segment;

    if (torrent->refs == 0) {
        ngx_queue_remove(&torrent->queue);
    }

    ngx_rbtree_delete(&ngx_http_confluence_store.torrents, &torrent->sn.node);
    ngx_http_confluence_store.torrents_n--;
    torrent->stale = 1;

    /* held until the loop is over: dropping the last segment would free it */

    torrent->refs++;

    if (torrent->segments.root != torrent->segments.sentinel) {

        node = ngx_rbtree_min(torrent->segments.root,
                              torrent->segments.sentinel);

        while (node) {
            next = ngx_rbtree_next(&torrent->segments, node);
            segment = (ngx_http_confluence_segment_t *) node;

            ngx_http_confluence_store_drop(segment);

            node = next;
        }
    }

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
ngx_http_confluence_store_alias(u_char *alias, u_char *ih)
{
    ngx_queue_t                  *q;
    ngx_str_t                     name;
    ngx_http_confluence_alias_t  *a;
    ngx_http_confluence_store_t  *store;

    if (ngx_memcmp(alias, ih, 20) == 0) {
        return;
    }

    store = &ngx_http_confluence_store;

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


ngx_int_t
ngx_http_confluence_store_segment(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, ngx_uint_t direct,
    ngx_http_confluence_segment_t **segment, ngx_log_t *log)
{
    ngx_int_t                       rc;
    ngx_http_confluence_store_t    *store;
    ngx_http_confluence_segment_t  *s;

    store = &ngx_http_confluence_store;

    s = direct ? NULL : ngx_http_confluence_store_find(torrent,
                                                       extent->segment);

    if (s && s->generation != extent->generation) {
        ngx_http_confluence_store_drop(s);
        s = NULL;
    }

    if (s) {
        if (s->refs++ == 0) {
            ngx_queue_remove(&s->queue);
        }

        *segment = s;
        return NGX_OK;
    }

    while (store->segments_n >= store->max_segments
           && !ngx_queue_empty(&store->idle_segments))
    {
        ngx_http_confluence_store_drop(
                   ngx_queue_data(ngx_queue_head(&store->idle_segments),
                                  ngx_http_confluence_segment_t, queue));
    }

    s = ngx_calloc(sizeof(ngx_http_confluence_segment_t), log);
    if (s == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_confluence_store_open_segment(torrent, extent, s, direct,
                                                log);
    if (rc != NGX_OK) {
        ngx_free(s);
        return rc;
    }

    s->node.key = extent->segment;
    s->generation = extent->generation;
    s->torrent = torrent;
    s->refs = 1;

    torrent->refs++;
    store->segments_n++;

    /* a torrent that left the table keeps no idle descriptors either */

    if (direct || torrent->stale) {
        s->stale = 1;

    } else {
        ngx_rbtree_insert(&torrent->segments, &s->node);
    }

    *segment = s;

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_store_open_segment(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, ngx_http_confluence_segment_t *segment,
    ngx_uint_t direct, ngx_log_t *log)
{
    u_char     *p, name[NGX_MAX_PATH + MAP_SEGMENT_NAME];
    ngx_err_t   err;

    p = ngx_cpymem(name, ngx_http_confluence_store.path.data,
                   ngx_http_confluence_store.path.len);
    *p++ = '/';

    segment->name.data = segment->name_data;
    segment->name.len = map_segment_name(torrent->map.header->ih,
                                         extent->segment, extent->generation,
                                         (char *) segment->name_data,
                                         MAP_SEGMENT_NAME);

    ngx_memcpy(p, segment->name.data, segment->name.len + 1);

    segment->fd = ngx_http_confluence_store_open_file(name);

    if (segment->fd == NGX_INVALID_FILE) {
        err = ngx_errno;

        if (err == NGX_ENOENT && !map_still(&torrent->map, extent)) {
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_CRIT, log, err,
                      ngx_open_file_n " \"%s\" failed", name);
        return NGX_ERROR;
    }

    if (!map_still(&torrent->map, extent)) {
        if (ngx_close_file(segment->fd) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                          ngx_close_file_n " \"%s\" failed", name);
        }

        return NGX_DECLINED;
    }

    /* not fatal, as for any file that nginx serves */

    if (direct && ngx_directio_on(segment->fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_WARN, log, ngx_errno,
                      ngx_directio_on_n " \"%s\" failed", name);
    }

    return NGX_OK;
}


static ngx_fd_t
ngx_http_confluence_store_open_file(u_char *name)
{
    ngx_fd_t                      fd;
    ngx_err_t                     err;
    ngx_uint_t                    i;
    ngx_http_confluence_store_t  *store;

    store = &ngx_http_confluence_store;

    fd = open((char *) name, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd != NGX_INVALID_FILE
        || (ngx_errno != NGX_EMFILE && ngx_errno != NGX_ENFILE))
    {
        return fd;
    }

    err = ngx_errno;

    for (i = 0; i < 8 && !ngx_queue_empty(&store->idle_segments); i++) {
        ngx_http_confluence_store_drop(
                   ngx_queue_data(ngx_queue_head(&store->idle_segments),
                                  ngx_http_confluence_segment_t, queue));
    }

    if (i == 0) {
        ngx_set_errno(err);
        return NGX_INVALID_FILE;
    }

    return open((char *) name, O_RDONLY|O_NONBLOCK|O_CLOEXEC);
}


void
ngx_http_confluence_store_release(ngx_http_confluence_segment_t *segment)
{
    map_extent_t  extent;

    if (--segment->refs) {
        return;
    }

    if (segment->stale) {
        ngx_http_confluence_store_close_segment(segment);
        return;
    }

    ngx_queue_insert_tail(&ngx_http_confluence_store.idle_segments,
                          &segment->queue);

    extent.segment = (uint32_t) segment->node.key;
    extent.generation = segment->generation;

    if (!map_still(&segment->torrent->map, &extent)) {
        ngx_http_confluence_store_drop(segment);
    }
}


static ngx_http_confluence_segment_t *
ngx_http_confluence_store_find(ngx_http_confluence_torrent_t *torrent,
    uint32_t number)
{
    ngx_rbtree_node_t  *node, *sentinel;

    node = torrent->segments.root;
    sentinel = torrent->segments.sentinel;

    while (node != sentinel) {

        if (number == node->key) {
            return (ngx_http_confluence_segment_t *) node;
        }

        node = (number < node->key) ? node->left : node->right;
    }

    return NULL;
}


/* Out of the tree; closed now or when the last buffer is sent. */

static void
ngx_http_confluence_store_drop(ngx_http_confluence_segment_t *segment)
{
    ngx_rbtree_delete(&segment->torrent->segments, &segment->node);
    segment->stale = 1;

    if (segment->refs == 0) {
        ngx_queue_remove(&segment->queue);
        ngx_http_confluence_store_close_segment(segment);
    }
}


static void
ngx_http_confluence_store_close_segment(ngx_http_confluence_segment_t *segment)
{
    ngx_http_confluence_torrent_t  *torrent;

    torrent = segment->torrent;

    if (ngx_close_file(segment->fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, ngx_http_confluence_store.log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &segment->name);
    }

    ngx_free(segment);
    ngx_http_confluence_store.segments_n--;

    ngx_http_confluence_store_leave(torrent);
}


void
ngx_http_confluence_store_evicted(u_char *ih, uint32_t number)
{
    map_extent_t                    extent;
    ngx_http_confluence_torrent_t  *torrent;
    ngx_http_confluence_segment_t  *segment;

    torrent = ngx_http_confluence_store_lookup(ih);
    if (torrent == NULL) {
        return;
    }

    segment = ngx_http_confluence_store_find(torrent, number);
    if (segment == NULL) {
        return;
    }

    extent.segment = number;
    extent.generation = segment->generation;

    if (!map_still(&torrent->map, &extent)) {
        ngx_http_confluence_store_drop(segment);
    }
}


void
ngx_http_confluence_store_sweep(void)
{
    ngx_queue_t                    *q, *next;
    map_extent_t                    extent;
    ngx_http_confluence_store_t    *store;
    ngx_http_confluence_segment_t  *segment;
    ngx_http_confluence_torrent_t  *torrent;

    store = &ngx_http_confluence_store;

    for (q = ngx_queue_head(&store->idle_segments);
         q != ngx_queue_sentinel(&store->idle_segments);
         q = next)
    {
        next = ngx_queue_next(q);
        segment = ngx_queue_data(q, ngx_http_confluence_segment_t, queue);

        extent.segment = (uint32_t) segment->node.key;
        extent.generation = segment->generation;

        if (!map_usable(&segment->torrent->map)
            || !map_still(&segment->torrent->map, &extent))
        {
            ngx_http_confluence_store_drop(segment);
        }
    }

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
