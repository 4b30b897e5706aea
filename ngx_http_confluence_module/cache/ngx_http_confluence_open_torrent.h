
/*
 * What a worker keeps open between requests: maps of torrents and descriptors
 * of segment files, so that a request for bytes that are there needs neither a
 * message nor an open().
 *
 *      torrent (by infohash) ---> segment (by number) ---> descriptor
 *         ^  refs: requests          ^  refs: buffers handed out
 *
 * Rules:
 *  1. Both are counted.  One that nobody uses stays open in a queue, least
 *     recently used first, up to a limit; a used one is never closed.
 *  2. A descriptor belongs to one generation of a segment.  A newer generation
 *     makes it stale: it is closed when its last user leaves.
 *  3. A retired map is stale in the same way; the next request opens the new
 *     one.
 *
 * Of a torrent in a database there are no descriptors: bytes are copied, row by
 * row, by a reader of which there is one for all torrents of the cache.
 *
 * One store per cache and worker process; nothing here is shared, nothing
 * blocks but open(), mmap(), read() and close() of local files.  The limit on
 * idle descriptors is one for all stores, since that on descriptors is.
 */

#ifndef _NGX_HTTP_CONFLUENCE_STORE_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <engine/shared/counters.h>
#include <engine/shared/map.h>
#include <engine/shared/piece_db.h>
#include <engine/shared/file_tree.h>


typedef struct {
    ngx_str_t                    path;      /* terminated, of the directory */
    ngx_log_t                   *log;

    ngx_rbtree_t                 torrents;
    ngx_rbtree_node_t            torrents_sentinel;
    ngx_queue_t                  idle_torrents;
    ngx_uint_t                   torrents_n;

    ngx_rbtree_t                 aliases;
    ngx_rbtree_node_t            aliases_sentinel;
    ngx_queue_t                  aliases_queue;
    ngx_uint_t                   aliases_n;

    rows_t                      *rows;      /* NULL: not open */

    ngx_queue_t                  watches;   /* watch.c */
    counters_t                   counters;  /* count.c */
} ngx_http_confluence_store_t;


typedef struct {
    ngx_str_node_t                sn;       /* by ih */
    u_char                        ih[20];
    map_t                         map;
    ngx_http_confluence_store_t  *store;

    ngx_rbtree_t                  segments; /* by number */
    ngx_rbtree_node_t             sentinel;

    ngx_queue_t                   queue;    /* while refs is 0 */
    ngx_uint_t                    refs;     /* requests and open segments */
    unsigned                      stale:1;
} ngx_http_confluence_torrent_t;


typedef struct {
    ngx_rbtree_node_t               node;       /* key: number of the file */
    ngx_queue_t                     queue;      /* while refs is 0 */
    ngx_http_confluence_torrent_t  *torrent;
    ngx_uint_t                      refs;
    ngx_fd_t                        fd;
    uint32_t                        segment;    /* number */
    uint32_t                        generation;
    unsigned                        stale:1;    /* not in the tree */
    ngx_str_t                       name;       /* below the directory */
    u_char                          name_data[MAP_SEGMENT_NAME];
} ngx_http_confluence_segment_t;


/* store.c */

/*
 * Makes the store of this process for a cache directory (a terminated absolute
 * path, kept).  Returns NULL if out of memory.
 */
ngx_http_confluence_store_t *ngx_http_confluence_store_create(
    ngx_cycle_t *cycle, ngx_str_t *path);

/*
 * Opens the file of counters: the engine, to which the worker is connected
 * now, has made it.  What was counted before is added to it.
 */
void ngx_http_confluence_store_count(ngx_http_confluence_store_t *store);

/*
 * Finds or opens the map of a torrent by any of its infohashes and takes a
 * reference, given back by ngx_http_confluence_store_leave().
 *
 * Returns NGX_OK, NGX_DECLINED if there is no usable map, NGX_ERROR (logged).
 */
ngx_int_t ngx_http_confluence_store_torrent(
    ngx_http_confluence_store_t *store, u_char *ih,
    ngx_http_confluence_torrent_t **torrent, ngx_log_t *log);
void ngx_http_confluence_store_leave(ngx_http_confluence_torrent_t *torrent);

/*
 * Remembers that a torrent asked for as alias has the name ih (20 bytes each).
 * Forgotten when memory is short: the engine is asked again then.
 */
void ngx_http_confluence_store_alias(ngx_http_confluence_store_t *store,
    u_char *alias, u_char *ih);

/* The engine evicted a segment: its descriptor would hold disk space. */
void ngx_http_confluence_store_evicted(ngx_http_confluence_store_t *store,
    u_char *ih, uint32_t number);

/*
 * Looks at everything for which such a hint may have been lost; after the
 * link to the engine was broken.
 */
void ngx_http_confluence_store_sweep(ngx_http_confluence_store_t *store);


/* rows.c */

/*
 * Copies bytes of an extent of a torrent in a database, from its begin on.
 *
 * offset: of the extent, in the piece space
 * text: data is room for len bytes; len is set to how many were copied
 * Returns NGX_OK; NGX_DECLINED if the segment was evicted since the extent was
 * looked up, look again; NGX_AGAIN if the database is busy, try again in some
 * milliseconds; NGX_ABORT (logged) if the row is not there, or not what was
 * written; NGX_ERROR (logged).
 */
ngx_int_t ngx_http_confluence_rows(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, uint64_t offset, ngx_str_t *text, ngx_log_t *log);

/* Closes the reader: there may be another database soon. */
void ngx_http_confluence_rows_close(ngx_http_confluence_store_t *store);


/* segment.c */

/*
 * Gives the open file of an extent and takes a reference, given back by
 * ngx_http_confluence_segment_release().
 *
 * direct: a descriptor of the caller's own, with direct I/O switched on
 * Returns NGX_OK; NGX_DECLINED if the segment was evicted since the extent was
 * looked up, look again; NGX_ABORT (logged) if its file is not there, or not
 * what was written; NGX_ERROR (logged).
 */
ngx_int_t ngx_http_confluence_segment(
    ngx_http_confluence_torrent_t *torrent, map_extent_t *extent,
    ngx_uint_t direct, ngx_http_confluence_segment_t **segment,
    ngx_log_t *log);
void ngx_http_confluence_segment_release(
    ngx_http_confluence_segment_t *segment);

/* Prepares this process. */
void ngx_http_confluence_segments_init(ngx_log_t *log);

/*
 * For store.c: closes some descriptors that nobody uses if err, of an open(),
 * says that there are too many.  Returns whether there are fewer now.
 */
ngx_uint_t ngx_http_confluence_segments_spare(ngx_err_t err);

/* For store.c: the same as its functions of these names. */
void ngx_http_confluence_segments_sweep(ngx_http_confluence_store_t *store);
void ngx_http_confluence_segment_evicted(
    ngx_http_confluence_torrent_t *torrent, uint32_t number);

/*
 * Closes all of a torrent that are not in use, the others as they get free;
 * stale: only those that were evicted.
 */
void ngx_http_confluence_segments_drop(
    ngx_http_confluence_torrent_t *torrent, ngx_uint_t stale);


#endif /* _NGX_HTTP_CONFLUENCE_STORE_H_INCLUDED_ */
