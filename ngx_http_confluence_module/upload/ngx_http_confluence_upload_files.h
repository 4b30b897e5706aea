
/*
 * The files that a worker makes of an upload, in the cache directory: the data
 * of all files of it one after another, in files of the size of a segment, and
 * the manifest (engine/manifest.h).
 *
 * Everything runs in a worker.  Writes go to the page cache, as nginx's own of
 * request bodies do.
 */

#ifndef _NGX_HTTP_CONFLUENCE_STAGE_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_STAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <engine/shared/upload_manifest.h>
#include <engine/parse/multipart.h>


typedef struct {
    ngx_log_t     *log;
    ngx_pool_t    *pool;

    manifest_t     manifest;
    ngx_fd_t       folder;          /* has the lock */
    ngx_fd_t       list;            /* the manifest's file */
    off_t          list_size;
    ngx_buf_t     *list_buf;
    size_t         paths;           /* bytes of all paths */

    ngx_fd_t       fd;              /* of the present segment */
    uint32_t       segment;
    ngx_buf_t     *buf;             /* data that was not written yet */
    uint64_t       written;         /* bytes of data */

    uint64_t       length;          /* of the present file */
    u_char         path[MULTIPART_TEXT_MAX];
    size_t         path_len;
} ngx_http_confluence_stage_t;


/*
 * Makes the folder below the cache directory and takes its lock.  Returns
 * NGX_OK, or an HTTP status as all below; what failed was logged then.
 */
ngx_int_t ngx_http_confluence_stage_open(ngx_http_confluence_stage_t *st,
    ngx_str_t *path, ngx_pool_t *pool, ngx_log_t *log);

/*
 * Adds data to the present file.  room: bytes that all data may take on disk;
 * if they are not enough NGX_AGAIN is returned, and *p is behind what was
 * taken.
 */
ngx_int_t ngx_http_confluence_stage_data(ngx_http_confluence_stage_t *st,
    const u_char **p, const u_char *last, uint64_t room);

/*
 * Ends the present file, whose path has been set.  Also returns
 * NGX_HTTP_REQUEST_ENTITY_TOO_LARGE: there are too many.
 */
ngx_int_t ngx_http_confluence_stage_file(ngx_http_confluence_stage_t *st);

/*
 * Writes what is left, or returns NGX_AGAIN for lack of room.  Then list is
 * the manifest, of list_size bytes.
 */
ngx_int_t ngx_http_confluence_stage_end(ngx_http_confluence_stage_t *st,
    ngx_str_t *name, ngx_uint_t strip, uint64_t room);

/* Bytes that there must be room for to go on. */
uint64_t ngx_http_confluence_stage_need(ngx_http_confluence_stage_t *st);

/*
 * Closes everything: what the engine has not taken is nobody's then, and it
 * removes that.  Safe to call twice.
 */
void ngx_http_confluence_stage_close(ngx_http_confluence_stage_t *st);


#endif /* _NGX_HTTP_CONFLUENCE_STAGE_H_INCLUDED_ */
