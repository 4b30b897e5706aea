
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_upload_form.h"


#define NGX_HTTP_CONFLUENCE_FORM_PARTS  (2 * MANIFEST_FILES_MAX)


static ngx_int_t ngx_http_confluence_form_part(ngx_http_confluence_form_t *f);
static ngx_int_t ngx_http_confluence_form_part_end(
    ngx_http_confluence_form_t *f);
static ngx_int_t ngx_http_confluence_form_path(ngx_http_confluence_form_t *f);
static ngx_int_t ngx_http_confluence_form_name(ngx_http_confluence_form_t *f);
static ngx_uint_t ngx_http_confluence_form_is(multipart_t *m,
    const char *name);
static ngx_int_t ngx_http_confluence_form_refuse(
    ngx_http_confluence_form_t *f, ngx_uint_t status, const char *text);


ngx_int_t
ngx_http_confluence_form_init(ngx_http_confluence_form_t *f, ngx_str_t *type)
{
    switch (multipart_init(&f->multipart, type->data, type->len)) {

    case 0:
        return NGX_OK;

    case -1:
        return ngx_http_confluence_form_refuse(f,
                                               NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                               "request Content-Type isn't "
                                               "multipart/form-data");

    default:
        return ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                               f->multipart.error);
    }
}


ngx_int_t
ngx_http_confluence_form_parse(ngx_http_confluence_form_t *f, u_char **pos,
    u_char *last, uint64_t room)
{
    ngx_int_t           rc;
    const uint8_t      *p;
    multipart_event_e   event;

    for ( ;; ) {

        /* of the event before */

        rc = ngx_http_confluence_form_rest(f, room);

        if (rc != NGX_OK) {
            return rc;
        }

        p = *pos;
        event = multipart_next(&f->multipart, &p, last);
        *pos = (u_char *) p;

        switch (event) {

        case MULTIPART_MORE:
            return NGX_OK;

        case MULTIPART_PART:
            rc = ngx_http_confluence_form_part_end(f);

            if (rc == NGX_OK) {
                rc = ngx_http_confluence_form_part(f);
            }

            break;

        case MULTIPART_DATA:
            f->data = f->multipart.data;
            f->data_last = f->multipart.data + f->multipart.data_len;
            break;

        case MULTIPART_END:
            rc = ngx_http_confluence_form_part_end(f);
            break;

        default: /* MULTIPART_ERROR */
            rc = ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                                 f->multipart.error);
            break;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


ngx_int_t
ngx_http_confluence_form_rest(ngx_http_confluence_form_t *f, uint64_t room)
{
    ngx_int_t  rc;

    if (f->data == f->data_last) {
        return NGX_OK;
    }

    switch (f->part) {

    case ngx_http_confluence_part_file:
        rc = ngx_http_confluence_stage_data(&f->stage, &f->data, f->data_last,
                                            room);
        return ngx_http_confluence_form_staged(f, rc);

    case ngx_http_confluence_part_name:
        rc = ngx_http_confluence_form_name(f);
        break;

    default:
        rc = NGX_OK;
        break;
    }

    f->data = f->data_last;

    return rc;
}


static ngx_int_t
ngx_http_confluence_form_name(ngx_http_confluence_form_t *f)
{
    size_t  n;

    n = f->data_last - f->data;

    if (n > sizeof(f->name) - f->name_len) {
        return ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                               "name is too long");
    }

    if (ngx_strlchr((u_char *) f->data, (u_char *) f->data_last, '\0')) {
        return ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                               "zero byte in name");
    }

    ngx_memcpy(f->name + f->name_len, f->data, n);
    f->name_len += n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_form_part(ngx_http_confluence_form_t *f)
{
    multipart_t  *m;

    m = &f->multipart;

    f->part = ngx_http_confluence_part_ignored;

    if (++f->parts > NGX_HTTP_CONFLUENCE_FORM_PARTS) {
        return ngx_http_confluence_form_refuse(f,
                                             NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                             "too many parts");
    }

    if (m->filename_len) {

        if (!ngx_http_confluence_form_is(m, "files")) {
            return NGX_OK;
        }

        f->part = ngx_http_confluence_part_file;

        return ngx_http_confluence_form_path(f);
    }

    if (ngx_http_confluence_form_is(m, "name")) {

        if (!f->named) {
            f->named = 1;
            f->part = ngx_http_confluence_part_name;
        }

    } else if (ngx_http_confluence_form_is(m, "strip-top-directory")) {
        f->strip = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_form_path(ngx_http_confluence_form_t *f)
{
    u_char  *p, *s, *path, *last;

    path = f->multipart.filename;
    last = path + f->multipart.filename_len;

    if (ngx_strlchr(path, last, '\0')) {
        return ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                            "zero byte in the path of a file");
    }

    for (p = path; p <= last; p = s + 1) {
        s = ngx_strlchr(p, last, '/');
        s = s ? s : last;

        if (s == p
            || (s - p == 1 && p[0] == '.')
            || (s - p == 2 && p[0] == '.' && p[1] == '.'))
        {
            return ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                                   "empty, \".\" or \"..\" "
                                                   "component in the path of "
                                                   "a file");
        }
    }

    f->stage.path_len = last - path;
    ngx_memcpy(f->stage.path, path, last - path);

    return NGX_OK;
}


static ngx_int_t
ngx_http_confluence_form_part_end(ngx_http_confluence_form_t *f)
{
    ngx_int_t  rc;

    if (f->part != ngx_http_confluence_part_file) {
        return NGX_OK;
    }

    f->part = ngx_http_confluence_part_ignored;

    rc = ngx_http_confluence_stage_file(&f->stage);

    return ngx_http_confluence_form_staged(f, rc);
}


ngx_int_t
ngx_http_confluence_form_end(ngx_http_confluence_form_t *f, uint64_t room)
{
    ngx_int_t  rc;
    ngx_str_t  name;

    if (!multipart_ended(&f->multipart)) {
        return ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                               "multipart: NextPart: EOF");
    }

    if (!f->named) {
        return ngx_http_confluence_form_refuse(f, NGX_HTTP_BAD_REQUEST,
                                               "missing name");
    }

    name.data = f->name;
    name.len = f->name_len;

    rc = ngx_http_confluence_stage_end(&f->stage, &name, f->strip, room);

    return ngx_http_confluence_form_staged(f, rc);
}


ngx_int_t
ngx_http_confluence_form_staged(ngx_http_confluence_form_t *f, ngx_int_t rc)
{
    switch (rc) {

    case NGX_OK:
    case NGX_AGAIN:
        return rc;

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return ngx_http_confluence_form_refuse(f, rc, "too many files");

    case NGX_HTTP_INSUFFICIENT_STORAGE:
        return ngx_http_confluence_form_refuse(f, rc, "no room on the disk");

    default:
        return ngx_http_confluence_form_refuse(f,
                                               NGX_HTTP_INTERNAL_SERVER_ERROR,
                                               "data cannot be stored");
    }
}


static ngx_uint_t
ngx_http_confluence_form_is(multipart_t *m, const char *name)
{
    return ngx_strlen(name) == m->name_len
           && ngx_strncmp(m->name, name, m->name_len) == 0;
}


static ngx_int_t
ngx_http_confluence_form_refuse(ngx_http_confluence_form_t *f,
    ngx_uint_t status, const char *text)
{
    f->status = status;
    f->text.data = f->buf;
    f->text.len = ngx_snprintf(f->buf, sizeof(f->buf),
                               "parsing multipart form: %s", text)
                  - f->buf;

    return NGX_DECLINED;
}
