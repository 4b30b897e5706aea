
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/file.h>
#include "ngx_http_confluence_module.h"
#include "ngx_http_confluence_upload_files.h"


#define NGX_HTTP_CONFLUENCE_STAGE_BUFFER  (256 * 1024)
#define NGX_HTTP_CONFLUENCE_STAGE_LIST    (16 * 1024)
#define NGX_HTTP_CONFLUENCE_STAGE_TRIES   10


static ngx_int_t ngx_http_confluence_stage_folder(
    ngx_http_confluence_stage_t *st, u_char *name);
static ngx_int_t ngx_http_confluence_stage_parent(u_char *name);
static ngx_int_t ngx_http_confluence_stage_flush(
    ngx_http_confluence_stage_t *st, uint64_t room);
static ngx_int_t ngx_http_confluence_stage_segment(
    ngx_http_confluence_stage_t *st, uint32_t segment);
static ngx_int_t ngx_http_confluence_stage_list(
    ngx_http_confluence_stage_t *st, void *p, size_t len);
static ngx_int_t ngx_http_confluence_stage_list_flush(
    ngx_http_confluence_stage_t *st);
static ngx_int_t ngx_http_confluence_stage_write(
    ngx_http_confluence_stage_t *st, ngx_fd_t fd, u_char *p, size_t len,
    off_t offset);
static ngx_int_t ngx_http_confluence_stage_failed(
    ngx_http_confluence_stage_t *st, ngx_err_t err, const char *what);


ngx_int_t
ngx_http_confluence_stage_open(ngx_http_confluence_stage_t *st,
    ngx_str_t *path, ngx_pool_t *pool, ngx_log_t *log)
{
    u_char             *name;
    ngx_int_t           rc;
    ngx_uint_t          i, changed;
    static ngx_uint_t   number;

    ngx_memzero(st, sizeof(ngx_http_confluence_stage_t));

    st->log = log;
    st->pool = pool;
    st->folder = NGX_INVALID_FILE;
    st->list = NGX_INVALID_FILE;
    st->fd = NGX_INVALID_FILE;

    ngx_memcpy(st->manifest.magic, MANIFEST_MAGIC,
               sizeof(st->manifest.magic));

    st->buf = ngx_create_temp_buf(pool, NGX_HTTP_CONFLUENCE_STAGE_BUFFER);
    st->list_buf = ngx_create_temp_buf(pool, NGX_HTTP_CONFLUENCE_STAGE_LIST);

    name = ngx_pnalloc(pool, path->len + sizeof("/" MANIFEST_FOLDER "/")
                             + sizeof(st->manifest.folder));

    if (st->buf == NULL || st->list_buf == NULL || name == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    changed = ngx_http_confluence_engine_user(0);

    rc = NGX_AGAIN;

    for (i = 0; rc == NGX_AGAIN && i < NGX_HTTP_CONFLUENCE_STAGE_TRIES; i++) {

        *ngx_sprintf((u_char *) st->manifest.folder, "%P.%ui", ngx_pid,
                     number++)
            = '\0';
        *ngx_sprintf(name, "%V/" MANIFEST_FOLDER "/%s", path,
                     st->manifest.folder)
            = '\0';

        rc = ngx_http_confluence_stage_folder(st, name);
    }

    if (rc == NGX_OK) {
        st->list = openat(st->folder, MANIFEST_NAME,
                          O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600);
        st->list_size = sizeof(manifest_t);

        if (st->list == NGX_INVALID_FILE) {
            rc = ngx_http_confluence_stage_failed(st, ngx_errno,
                                                  "openat() of a manifest");
        }
    }

    if (changed) {
        (void) ngx_http_confluence_engine_user(1);
    }

    return (rc == NGX_AGAIN) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
}


/* Returns NGX_AGAIN if that name cannot be had. */

static ngx_int_t
ngx_http_confluence_stage_folder(ngx_http_confluence_stage_t *st,
    u_char *name)
{
    struct stat  sb;

    if (mkdir((char *) name, 0700) == -1) {

        if (ngx_errno == NGX_EEXIST) {
            return NGX_AGAIN;       /* of a process that had our pid */
        }

        if (ngx_errno == NGX_ENOENT
            && ngx_http_confluence_stage_parent(name) == NGX_OK)
        {
            return NGX_AGAIN;
        }

        return ngx_http_confluence_stage_failed(st, ngx_errno,
                                                "mkdir() for an upload");
    }

    st->folder = open((char *) name, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (st->folder == NGX_INVALID_FILE) {
        return NGX_AGAIN;
    }

    /* between the making and the lock it was nobody's */

    if (flock(st->folder, LOCK_EX|LOCK_NB) == 0
        && fstat(st->folder, &sb) == 0
        && sb.st_nlink != 0)
    {
        return NGX_OK;
    }

    (void) ngx_close_file(st->folder);
    st->folder = NGX_INVALID_FILE;

    return NGX_AGAIN;
}


/* The engine makes the folder of uploads, but may just have begun. */

static ngx_int_t
ngx_http_confluence_stage_parent(u_char *name)
{
    int      rc;
    u_char  *slash;

    slash = (u_char *) strrchr((char *) name, '/');

    *slash = '\0';
    rc = mkdir((char *) name, 0700);
    *slash = '/';

    return (rc == 0 || ngx_errno == NGX_EEXIST) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_confluence_stage_data(ngx_http_confluence_stage_t *st,
    const u_char **p, const u_char *last, uint64_t room)
{
    size_t      n;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    b = st->buf;

    while (*p < last) {

        if (b->last == b->end) {
            rc = ngx_http_confluence_stage_flush(st, room);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        n = ngx_min(last - *p, b->end - b->last);

        b->last = ngx_cpymem(b->last, *p, n);
        *p += n;
        st->length += n;
    }

    return NGX_OK;
}


uint64_t
ngx_http_confluence_stage_need(ngx_http_confluence_stage_t *st)
{
    return st->written + (st->buf->last - st->buf->pos);
}


static ngx_int_t
ngx_http_confluence_stage_flush(ngx_http_confluence_stage_t *st,
    uint64_t room)
{
    size_t      n;
    off_t       pos;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    b = st->buf;

    if (ngx_http_confluence_stage_need(st) > room) {
        return NGX_AGAIN;
    }

    while (b->pos < b->last) {

        rc = ngx_http_confluence_stage_segment(st, (uint32_t)
                                           (st->written / MANIFEST_SEGMENT));
        if (rc != NGX_OK) {
            return rc;
        }

        pos = st->written % MANIFEST_SEGMENT;
        n = ngx_min(b->last - b->pos, MANIFEST_SEGMENT - pos);

        rc = ngx_http_confluence_stage_write(st, st->fd, b->pos, n, pos);

        if (rc != NGX_OK) {
            return rc;
        }

        b->pos += n;
        st->written += n;
    }

    b->pos = b->start;
    b->last = b->start;

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_stage_segment(ngx_http_confluence_stage_t *st,
    uint32_t segment)
{
    u_char      name[NGX_INT32_LEN + 1];
    ngx_uint_t  changed;

    if (st->fd != NGX_INVALID_FILE) {

        if (st->segment == segment) {
            return NGX_OK;
        }

        (void) ngx_close_file(st->fd);
    }

    *ngx_sprintf(name, "%uD", segment) = '\0';

    changed = ngx_http_confluence_engine_user(0);

    st->segment = segment;
    st->fd = openat(st->folder, (char *) name,
                    O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (changed) {
        (void) ngx_http_confluence_engine_user(1);
    }

    if (st->fd == NGX_INVALID_FILE) {
        return ngx_http_confluence_stage_failed(st, ngx_errno,
                                                "openat() for an upload");
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_confluence_stage_file(ngx_http_confluence_stage_t *st)
{
    ngx_int_t        rc;
    manifest_file_t  f;

    st->paths += st->path_len;

    if (st->manifest.file_n == MANIFEST_FILES_MAX
        || st->paths > MANIFEST_PATHS_MAX)
    {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    ngx_memzero(&f, sizeof(manifest_file_t));

    f.length = st->length;
    f.path_len = (uint32_t) st->path_len;

    rc = ngx_http_confluence_stage_list(st, &f, sizeof(manifest_file_t));

    if (rc == NGX_OK) {
        rc = ngx_http_confluence_stage_list(st, st->path, st->path_len);
    }

    st->manifest.file_n++;
    st->manifest.total += st->length;
    st->length = 0;

    return rc;
}


ngx_int_t
ngx_http_confluence_stage_end(ngx_http_confluence_stage_t *st,
    ngx_str_t *name, ngx_uint_t strip, uint64_t room)
{
    ngx_int_t  rc;

    rc = ngx_http_confluence_stage_flush(st, room);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_confluence_stage_list_flush(st);

    if (rc != NGX_OK) {
        return rc;
    }

    st->manifest.name_off = st->list_size;
    st->manifest.name_len = (uint32_t) name->len;
    st->manifest.strip = strip;

    rc = ngx_http_confluence_stage_list(st, name->data, name->len);

    if (rc == NGX_OK) {
        rc = ngx_http_confluence_stage_list_flush(st);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_confluence_stage_write(st, st->list,
                                             (u_char *) &st->manifest,
                                             sizeof(manifest_t), 0);
    }

    return rc;
}


static ngx_int_t
ngx_http_confluence_stage_list(ngx_http_confluence_stage_t *st, void *data,
    size_t len)
{
    size_t      n;
    u_char     *p;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    b = st->list_buf;
    p = data;

    while (len) {

        if (b->last == b->end) {
            rc = ngx_http_confluence_stage_list_flush(st);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        n = ngx_min(len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, p, n);
        p += n;
        len -= n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_stage_list_flush(ngx_http_confluence_stage_t *st)
{
    ngx_int_t   rc;
    ngx_buf_t  *b;

    b = st->list_buf;

    rc = ngx_http_confluence_stage_write(st, st->list, b->pos,
                                         b->last - b->pos, st->list_size);

    st->list_size += b->last - b->pos;
    b->last = b->pos;

    return rc;
}


static ngx_int_t
ngx_http_confluence_stage_write(ngx_http_confluence_stage_t *st, ngx_fd_t fd,
    u_char *p, size_t len, off_t offset)
{
    ssize_t  n;

    while (len) {
        n = pwrite(fd, p, len, offset);

        if (n == -1) {

            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            return ngx_http_confluence_stage_failed(st, ngx_errno,
                                                    "pwrite() of an upload");
        }

        p += n;
        len -= n;
        offset += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_stage_failed(ngx_http_confluence_stage_t *st,
    ngx_err_t err, const char *what)
{
    ngx_log_error(NGX_LOG_CRIT, st->log, err, "%s in \"%s\" failed", what,
                  st->manifest.folder);

    return (err == NGX_ENOSPC || err == EDQUOT)
           ? NGX_HTTP_INSUFFICIENT_STORAGE : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


void
ngx_http_confluence_stage_close(ngx_http_confluence_stage_t *st)
{
    if (st->fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(st->fd);
        st->fd = NGX_INVALID_FILE;
    }

    if (st->list != NGX_INVALID_FILE) {
        (void) ngx_close_file(st->list);
        st->list = NGX_INVALID_FILE;
    }

    /* the lock goes with it */

    if (st->folder != NGX_INVALID_FILE) {
        (void) ngx_close_file(st->folder);
        st->folder = NGX_INVALID_FILE;
    }
}
