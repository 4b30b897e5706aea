
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_confluence_open_torrent.h"


static ngx_err_t ngx_http_confluence_rows_read(
    ngx_http_confluence_torrent_t *torrent, uint64_t offset, ngx_str_t *text);


ngx_int_t
ngx_http_confluence_rows(ngx_http_confluence_torrent_t *torrent,
    map_extent_t *extent, uint64_t offset, ngx_str_t *text, ngx_log_t *log)
{
    ngx_err_t                     err;
    ngx_http_confluence_store_t  *store;

    store = torrent->store;

    err = ngx_http_confluence_rows_read(torrent, offset, text);

    if (err == NGX_ENOENT) {

        /* of a database that was replaced, maybe */

        ngx_http_confluence_rows_close(store);

        err = ngx_http_confluence_rows_read(torrent, offset, text);
    }

    /* what was copied is good if it is complete still */

    if (!map_usable(&torrent->map) || !map_still(&torrent->map, extent)) {
        return NGX_DECLINED;
    }

    if (err == 0) {
        return NGX_OK;
    }

    if (err == NGX_EAGAIN) {
        return NGX_AGAIN;
    }

    ngx_log_error(NGX_LOG_CRIT, log, err,
                  "reading \"%V/" ROWS_FILE "\" failed", &store->path);

    ngx_http_confluence_rows_close(store);

    return (err == NGX_ENOENT || err == EBADMSG) ? NGX_ABORT : NGX_ERROR;
}


static ngx_err_t
ngx_http_confluence_rows_read(ngx_http_confluence_torrent_t *torrent,
    uint64_t offset, ngx_str_t *text)
{
    ngx_err_t                     err;
    ngx_http_confluence_store_t  *store;

    store = torrent->store;

    if (store->rows == NULL) {
        err = rows_open(&store->rows, (char *) store->path.data);

        if (err != 0) {
            return err;
        }
    }

    return rows_read(store->rows, &torrent->map, offset, text->data,
                     text->len, &text->len);
}


void
ngx_http_confluence_rows_close(ngx_http_confluence_store_t *store)
{
    rows_close(store->rows);
    store->rows = NULL;
}
