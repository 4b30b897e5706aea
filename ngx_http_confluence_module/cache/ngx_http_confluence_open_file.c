
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_confluence_open_torrent.h"


#define NGX_HTTP_CONFLUENCE_MAX_SEGMENTS  1024


typedef struct {
    ngx_log_t   *log;

    ngx_queue_t  idle;          /* least recently used first */
    ngx_uint_t   n;             /* of open descriptors */
    ngx_uint_t   max;
} ngx_http_confluence_segments_t;


static ngx_int_t ngx_http_confluence_segment_open(
    ngx_http_confluence_torrent_t *torrent, map_extent_t *extent,
    ngx_http_confluence_segment_t *segment, ngx_uint_t direct,
    ngx_log_t *log);
static ngx_fd_t ngx_http_confluence_segment_open_file(
    ngx_http_confluence_torrent_t *torrent, map_extent_t *extent,
    u_char *name);
static ngx_fd_t ngx_http_confluence_segment_open_once(
    ngx_http_confluence_torrent_t *torrent, map_extent_t *extent,
    u_char *name);
static ngx_http_confluence_segment_t *ngx_http_confluence_segment_find(
    ngx_http_confluence_torrent_t *torrent, uint32_t number);
static void ngx_http_confluence_segment_drop(
    ngx_http_confluence_segment_t *segment);
static void ngx_http_confluence_segment_close(
    ngx_http_confluence_segment_t *segment);
static ngx_uint_t ngx_http_confluence_segment_stale(
    ngx_http_confluence_segment_t *segment);


static ngx_http_confluence_segments_t  ngx_http_confluence_segments;


void
ngx_http_confluence_segments_init(ngx_log_t *log)
{
    struct rlimit                    rlmt;
    ngx_http_confluence_segments_t  *segments;

    segments = &ngx_http_confluence_segments;

    ngx_memzero(segments, sizeof(ngx_http_confluence_segments_t));

    segments->log = log;

    ngx_queue_init(&segments->idle);

    /* connections need descriptors more than idle segments do */

    segments->max = NGX_HTTP_CONFLUENCE_MAX_SEGMENTS;

    if (getrlimit(RLIMIT_NOFILE, &rlmt) == 0
        && rlmt.rlim_cur != RLIM_INFINITY
        && rlmt.rlim_cur / 4 < segments->max)
    {
        segments->max = rlmt.rlim_cur / 4;
    }
}


ngx_int_t
ngx_http_confluence_segment(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, ngx_uint_t direct,
    ngx_http_confluence_segment_t **segment, ngx_log_t *log)
{
    ngx_int_t                        rc;
    ngx_http_confluence_segment_t   *s;
    ngx_http_confluence_segments_t  *segments;

    segments = &ngx_http_confluence_segments;

    s = direct ? NULL : ngx_http_confluence_segment_find(torrent,
                                                         extent->file);

    if (s && s->generation != extent->generation) {
        ngx_http_confluence_segment_drop(s);
        s = NULL;
    }

    if (s) {
        if (s->refs++ == 0) {
            ngx_queue_remove(&s->queue);
        }

        *segment = s;
        return NGX_OK;
    }

    while (segments->n >= segments->max && !ngx_queue_empty(&segments->idle)) {
        ngx_http_confluence_segment_drop(
                   ngx_queue_data(ngx_queue_head(&segments->idle),
                                  ngx_http_confluence_segment_t, queue));
    }

    s = ngx_calloc(sizeof(ngx_http_confluence_segment_t), log);
    if (s == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_confluence_segment_open(torrent, extent, s, direct, log);

    if (rc != NGX_OK) {
        ngx_free(s);
        return rc;
    }

    s->node.key = extent->file;
    s->segment = extent->segment;
    s->generation = extent->generation;
    s->torrent = torrent;
    s->refs = 1;

    torrent->refs++;
    segments->n++;

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
ngx_http_confluence_segment_open(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, ngx_http_confluence_segment_t *segment,
    ngx_uint_t direct, ngx_log_t *log)
{
    u_char           *p, name[NGX_MAX_PATH + MAP_SEGMENT_NAME];
    ngx_int_t         rc;
    ngx_str_t        *path;
    ngx_err_t         err;
    ngx_file_info_t   fi;

    path = &torrent->store->path;

    p = ngx_cpymem(name, path->data, path->len);
    *p++ = '/';

    segment->name.data = segment->name_data;

    if (map_layout(&torrent->map) == MAP_FILES) {
        tree_root((char *) segment->name_data, torrent->map.header->ih);
        segment->name.len = ngx_strlen(segment->name_data);

    } else {
        segment->name.len = map_segment_name(torrent->map.header->ih,
                                             extent->file, extent->generation,
                                             (char *) segment->name_data,
                                             MAP_SEGMENT_NAME);
    }

    ngx_memcpy(p, segment->name.data, segment->name.len + 1);

    segment->fd = ngx_http_confluence_segment_open_file(torrent, extent, name);

    if (segment->fd == NGX_INVALID_FILE) {
        err = ngx_errno;

        if (err == NGX_ENOENT
            && (!map_usable(&torrent->map)
                || !map_still(&torrent->map, extent)))
        {
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_CRIT, log, err,
                      ngx_open_file_n " \"%s\" failed", name);

        return (err == NGX_EMFILE || err == NGX_ENFILE) ? NGX_ERROR
                                                        : NGX_ABORT;
    }

    /*
     * A file of this name may belong to the map that replaced a retired one,
     * and then not be complete; not so if the map is still in use now.
     */

    rc = NGX_OK;

    if (!map_usable(&torrent->map) || !map_still(&torrent->map, extent)) {
        rc = NGX_DECLINED;

    } else if (ngx_fd_info(segment->fd, &fi) == NGX_FILE_ERROR
               || (uint64_t) ngx_file_size(&fi)
                  != map_file_size(&torrent->map, extent->file))
    {
        ngx_log_error(NGX_LOG_CRIT, log, 0, "\"%s\" has another length", name);
        rc = NGX_ABORT;
    }

    if (rc != NGX_OK) {
        if (ngx_close_file(segment->fd) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                          ngx_close_file_n " \"%s\" failed", name);
        }

        return rc;
    }

    /* not fatal, as for any file that nginx serves */

    if (direct && ngx_directio_on(segment->fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_WARN, log, ngx_errno,
                      ngx_directio_on_n " \"%s\" failed", name);
    }

    return NGX_OK;
}


static ngx_fd_t
ngx_http_confluence_segment_open_file(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, u_char *name)
{
    ngx_fd_t  fd;

    fd = ngx_http_confluence_segment_open_once(torrent, extent, name);

    if (fd == NGX_INVALID_FILE
        && ngx_http_confluence_segments_spare(ngx_errno))
    {
        fd = ngx_http_confluence_segment_open_once(torrent, extent, name);
    }

    return fd;
}


ngx_uint_t
ngx_http_confluence_segments_spare(ngx_err_t err)
{
    ngx_uint_t                       i;
    ngx_http_confluence_segments_t  *segments;

    segments = &ngx_http_confluence_segments;

    if (err != NGX_EMFILE && err != NGX_ENFILE) {
        return 0;
    }

    for (i = 0; i < 8 && !ngx_queue_empty(&segments->idle); i++) {
        ngx_http_confluence_segment_drop(
                   ngx_queue_data(ngx_queue_head(&segments->idle),
                                  ngx_http_confluence_segment_t, queue));
    }

    return i;
}


static ngx_fd_t
ngx_http_confluence_segment_open_once(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, u_char *name)
{
    if (map_layout(&torrent->map) == MAP_FILES) {
        return tree_open(AT_FDCWD, (char *) name, &torrent->map, extent->file,
                         O_RDONLY);
    }

    return open((char *) name, O_RDONLY|O_NONBLOCK|O_CLOEXEC);
}


void
ngx_http_confluence_segment_release(ngx_http_confluence_segment_t *segment)
{
    if (--segment->refs) {
        return;
    }

    if (segment->stale) {
        ngx_http_confluence_segment_close(segment);
        return;
    }

    ngx_queue_insert_tail(&ngx_http_confluence_segments.idle,
                          &segment->queue);

    if (ngx_http_confluence_segment_stale(segment)) {
        ngx_http_confluence_segment_drop(segment);
    }
}


static ngx_http_confluence_segment_t *
ngx_http_confluence_segment_find(ngx_http_confluence_torrent_t *torrent,
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
ngx_http_confluence_segment_drop(ngx_http_confluence_segment_t *segment)
{
    ngx_rbtree_delete(&segment->torrent->segments, &segment->node);
    segment->stale = 1;

    if (segment->refs == 0) {
        ngx_queue_remove(&segment->queue);
        ngx_http_confluence_segment_close(segment);
    }
}


static void
ngx_http_confluence_segment_close(ngx_http_confluence_segment_t *segment)
{
    ngx_http_confluence_torrent_t  *torrent;

    torrent = segment->torrent;

    if (ngx_close_file(segment->fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, ngx_http_confluence_segments.log,
                      ngx_errno, ngx_close_file_n " \"%V\" failed",
                      &segment->name);
    }

    ngx_free(segment);
    ngx_http_confluence_segments.n--;

    ngx_http_confluence_store_leave(torrent);
}


void
ngx_http_confluence_segments_drop(ngx_http_confluence_torrent_t *torrent,
    ngx_uint_t stale)
{
    ngx_rbtree_node_t              *node, *next;
    ngx_http_confluence_segment_t  *segment;

    if (torrent->segments.root == torrent->segments.sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(torrent->segments.root,
                               torrent->segments.sentinel);
         node;
         node = next)
    {
        next = ngx_rbtree_next(&torrent->segments, node);
        segment = (ngx_http_confluence_segment_t *) node;

        if (!stale || ngx_http_confluence_segment_stale(segment)) {
            ngx_http_confluence_segment_drop(segment);
        }
    }
}


void
ngx_http_confluence_segment_evicted(ngx_http_confluence_torrent_t *torrent,
    uint32_t number)
{
    ngx_http_confluence_segment_t  *segment;

    if (map_layout(&torrent->map) == MAP_FILES) {
        ngx_http_confluence_segments_drop(torrent, 1);
        return;
    }

    segment = ngx_http_confluence_segment_find(torrent, number);

    if (segment && ngx_http_confluence_segment_stale(segment)) {
        ngx_http_confluence_segment_drop(segment);
    }
}


void
ngx_http_confluence_segments_sweep(ngx_http_confluence_store_t *store)
{
    ngx_queue_t                     *q, *next;
    ngx_http_confluence_segment_t   *segment;
    ngx_http_confluence_segments_t  *segments;

    segments = &ngx_http_confluence_segments;

    for (q = ngx_queue_head(&segments->idle);
         q != ngx_queue_sentinel(&segments->idle);
         q = next)
    {
        next = ngx_queue_next(q);
        segment = ngx_queue_data(q, ngx_http_confluence_segment_t, queue);

        if (segment->torrent->store == store
            && ngx_http_confluence_segment_stale(segment))
        {
            ngx_http_confluence_segment_drop(segment);
        }
    }
}


/* Its file is gone: the descriptor would keep the disk space. */

static ngx_uint_t
ngx_http_confluence_segment_stale(ngx_http_confluence_segment_t *segment)
{
    map_extent_t  extent;

    extent.segment = segment->segment;
    extent.generation = segment->generation;

    return !map_usable(&segment->torrent->map)
           || !map_still(&segment->torrent->map, &extent);
}
