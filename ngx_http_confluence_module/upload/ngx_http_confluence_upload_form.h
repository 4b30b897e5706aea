
/*
 * The form that is posted to /upload: its fields, and its files, which are
 * staged as they come.
 *
 *      name                    of the torrent, the first counts
 *      files                   any number; the file name is the path
 *      strip-top-directory     whatever its value
 *
 * In any order; other fields are passed over.
 */

#ifndef _NGX_HTTP_CONFLUENCE_FORM_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_FORM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <engine/parse/multipart.h>
#include "ngx_http_confluence_upload_files.h"


/* What the data of a part is. */
typedef enum {
    ngx_http_confluence_part_ignored = 0,
    ngx_http_confluence_part_name,
    ngx_http_confluence_part_file
} ngx_http_confluence_part_e;


typedef struct {
    multipart_t                   multipart;
    ngx_http_confluence_stage_t   stage;

    ngx_http_confluence_part_e    part;
    ngx_uint_t                    parts;
    const u_char                 *data;         /* of the part, what is left */
    const u_char                 *data_last;

    u_char                        name[MULTIPART_TEXT_MAX];
    size_t                        name_len;

    /* of a refusal */
    ngx_uint_t                    status;
    ngx_str_t                     text;
    u_char                        buf[256];

    unsigned                      named:1;
    unsigned                      strip:1;
} ngx_http_confluence_form_t;


/*
 * Reads the Content-Type.  Returns NGX_OK, or NGX_DECLINED with status and text
 * set, as all below.
 */
ngx_int_t ngx_http_confluence_form_init(ngx_http_confluence_form_t *f,
    ngx_str_t *type);

/*
 * Takes a part of the body; room: bytes that the files may take on disk.
 * Returns NGX_AGAIN if that is not enough: *pos is behind what was taken, but
 * up to there the bytes must stay until form_rest() returns NGX_OK.
 */
ngx_int_t ngx_http_confluence_form_parse(ngx_http_confluence_form_t *f,
    u_char **pos, u_char *last, uint64_t room);

/* Takes what is left of that. */
ngx_int_t ngx_http_confluence_form_rest(ngx_http_confluence_form_t *f,
    uint64_t room);

/* The body has ended: completes the manifest, or NGX_AGAIN for lack of room. */
ngx_int_t ngx_http_confluence_form_end(ngx_http_confluence_form_t *f,
    uint64_t room);

/* Refuses with what staging has returned; NGX_OK and NGX_AGAIN pass. */
ngx_int_t ngx_http_confluence_form_staged(ngx_http_confluence_form_t *f,
    ngx_int_t rc);


#endif /* _NGX_HTTP_CONFLUENCE_FORM_H_INCLUDED_ */
