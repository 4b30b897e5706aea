
/*
 * Where a request for bytes gets at what is complete: a run of a file, or a
 * copy of a database's row.  What is not there, though the map says so, the
 * engine is told, which evicts it: it is awaited then like anything else.
 */

#ifndef _NGX_HTTP_CONFLUENCE_EXTENT_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_EXTENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


/*
 * Finds what is complete at the position of a request, and takes a reference to
 * the file in which it lies; there is none if it is zeros.
 *
 * direct: as ngx_http_confluence_segment()
 * held: the segment of which it must be, -1 if any will do
 * Returns NGX_OK; NGX_DECLINED if nothing is complete, or if it is of another
 * segment; NGX_AGAIN if that can be told in some milliseconds; NGX_ERROR
 * (logged).
 */
ngx_int_t ngx_http_confluence_extent(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_uint_t direct, int64_t held,
    map_extent_t *extent, ngx_http_confluence_segment_t **segment);

/*
 * Copies what is complete at the position, of one row of a database, to the
 * request's own copy, which nobody uses any more.
 *
 * text: set to what was copied
 * Returns as ngx_http_confluence_extent().
 */
ngx_int_t ngx_http_confluence_extent_copy(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d, ngx_str_t *text);


#endif /* _NGX_HTTP_CONFLUENCE_EXTENT_H_INCLUDED_ */
