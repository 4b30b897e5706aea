
/*
 * Directives about caches: where they are, and which one a location uses.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_MAX_SIZE   ((off_t) 10 * 1024 * 1024 * 1024)


/* A parameter of confluence_cache_path. */
typedef struct {
    ngx_str_t                     name;         /* with "=" */

    /* returns NULL, or what is wrong with the value, or NGX_CONF_ERROR */
    char                       *(*set)(ngx_conf_t *cf,
                                    ngx_http_confluence_cache_t *cache,
                                    ngx_str_t *value);
} ngx_http_confluence_param_t;


/* What makes a directory that one: of one that is absent, its parent. */
typedef struct {
    dev_t                         dev;
    ino_t                         ino;
    ngx_str_t                     last;         /* below that, or "" */
} ngx_http_confluence_place_t;


static char *ngx_http_confluence_conf_param(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *param);
static char *ngx_http_confluence_conf_name(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value);
static char *ngx_http_confluence_conf_max_size(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value);
static char *ngx_http_confluence_conf_layout(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value);
static char *ngx_http_confluence_conf_cache_listen(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value);
static ngx_path_t *ngx_http_confluence_conf_path(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf, ngx_str_t *name);
static ngx_http_confluence_cache_t *ngx_http_confluence_conf_find(
    ngx_conf_t *cf, ngx_http_confluence_main_conf_t *mcf, ngx_str_t *name);
static ngx_uint_t ngx_http_confluence_conf_same(ngx_str_t *one,
    ngx_str_t *other);
static ngx_uint_t ngx_http_confluence_conf_inside(ngx_str_t *inner,
    ngx_str_t *outer);
static ngx_int_t ngx_http_confluence_conf_place(ngx_str_t *path,
    ngx_http_confluence_place_t *place);


static ngx_http_confluence_param_t  ngx_http_confluence_params[] = {

    { ngx_string("name="), ngx_http_confluence_conf_name },

    { ngx_string("max_size="), ngx_http_confluence_conf_max_size },

    { ngx_string("layout="), ngx_http_confluence_conf_layout },

    { ngx_string("listen="), ngx_http_confluence_conf_cache_listen },

    { ngx_null_string, NULL }
};


char *
ngx_http_confluence_conf_cache_path(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    char                         *rv;
    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_http_confluence_cache_t   params, *cache;

    ngx_memzero(&params, sizeof(ngx_http_confluence_cache_t));

    params.max_size = NGX_HTTP_CONFLUENCE_MAX_SIZE;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_confluence_conf_param(cf, &params, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    cache = ngx_http_confluence_conf_find(cf, mcf, &params.name);
    if (cache == NULL) {
        return NGX_CONF_ERROR;
    }

    if (cache->path && cache->name.len == 0) {
        return "is duplicate, one of them needs a \"name=\"";
    }

    if (cache->path) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate cache \"%V\"",
                           &cache->name);
        return NGX_CONF_ERROR;
    }

    params.path = ngx_http_confluence_conf_path(cf, mcf, &value[1]);
    if (params.path == NULL) {
        return NGX_CONF_ERROR;
    }

    params.file = cf->conf_file->file.name.data;
    params.line = cf->conf_file->line;

    /* some location may point to it already */

    *cache = params;
    cache->path->data = cache;

    if (ngx_add_path(cf, &cache->path) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (mcf->cache == NULL) {
        mcf->cache = cache;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_confluence_conf_param(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *param)
{
    char                         *rv;
    ngx_str_t                     value;
    ngx_http_confluence_param_t  *p;

    for (p = ngx_http_confluence_params; p->name.len; p++) {

        if (param->len < p->name.len
            || ngx_strncmp(param->data, p->name.data, p->name.len) != 0)
        {
            continue;
        }

        value.data = param->data + p->name.len;
        value.len = param->len - p->name.len;

        rv = p->set(cf, cache, &value);

        if (rv == NULL || rv == NGX_CONF_ERROR) {
            return rv;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in parameter \"%V\"",
                           rv, param);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       param);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_confluence_conf_name(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value)
{
    if (value->len == 0) {
        return "invalid value";
    }

    cache->name = *value;

    return NULL;
}


static char *
ngx_http_confluence_conf_max_size(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value)
{
    if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        cache->max_size = ENGINE_OFF;
        return NULL;
    }

    cache->max_size = ngx_parse_offset(value);

    return (cache->max_size > 0) ? NULL : "invalid value";
}


static char *
ngx_http_confluence_conf_layout(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value)
{
    if (value->len == 8 && ngx_strncmp(value->data, "segments", 8) == 0) {
        cache->layout = ENGINE_SEGMENTS;
        return NULL;
    }

    if (value->len == 5 && ngx_strncmp(value->data, "files", 5) == 0) {
        cache->layout = ENGINE_FILES;
        return NULL;
    }

    if (value->len == 6 && ngx_strncmp(value->data, "sqlite", 6) == 0) {
        cache->layout = ENGINE_SQLITE;
        return NULL;
    }

    return "invalid value";
}


static char *
ngx_http_confluence_conf_cache_listen(ngx_conf_t *cf,
    ngx_http_confluence_cache_t *cache, ngx_str_t *value)
{
    return ngx_http_confluence_conf_listen_add(cf, &cache->listen, value);
}


static ngx_path_t *
ngx_http_confluence_conf_path(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf, ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_str_t                     *other;
    ngx_path_t                    *path;
    struct sockaddr_un            *sun;
    ngx_http_confluence_cache_t  **caches;

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NULL;
    }

    path->name = *name;

    if (path->name.len > 1 && path->name.data[path->name.len - 1] == '/') {
        path->name.len--;
        path->name.data[path->name.len] = '\0';
    }

    if (ngx_conf_full_name(cf->cycle, &path->name, 0) != NGX_OK) {
        return NULL;
    }

    if (path->name.len + sizeof("/" PROTO_SOCKET) > sizeof(sun->sun_path)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "path \"%V\" is too long for a socket in it, "
                           "at most %uz bytes are possible", &path->name,
                           sizeof(sun->sun_path) - sizeof("/" PROTO_SOCKET));
        return NULL;
    }

    caches = mcf->caches.elts;

    for (i = 0; i < mcf->caches.nelts; i++) {

        if (caches[i]->path == NULL) {
            continue;
        }

        other = &caches[i]->path->name;

        if (ngx_http_confluence_conf_same(other, &path->name)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is the same directory as \"%V\"",
                               &path->name, other);
            return NULL;
        }

        if (ngx_http_confluence_conf_inside(other, &path->name)
            || ngx_http_confluence_conf_inside(&path->name, other))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" and \"%V\" lie one in the other",
                               &path->name, other);
            return NULL;
        }
    }

    path->manager = ngx_http_confluence_engine_manager;
    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    return path;
}


char *
ngx_http_confluence_conf_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_confluence_loc_conf_t *lcf = conf;

    ngx_str_t                        *value;
    ngx_http_confluence_main_conf_t  *mcf;

    if (lcf->cache != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "invalid value";
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_confluence_module);

    lcf->cache = ngx_http_confluence_conf_find(cf, mcf, &value[1]);

    return lcf->cache ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* The cache of a name, which may get its path later. */

static ngx_http_confluence_cache_t *
ngx_http_confluence_conf_find(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf, ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_confluence_cache_t   *cache, **caches;

    caches = mcf->caches.elts;

    for (i = 0; i < mcf->caches.nelts; i++) {

        if (caches[i]->name.len == name->len
            && ngx_strncmp(caches[i]->name.data, name->data, name->len) == 0)
        {
            return caches[i];
        }
    }

    cache = ngx_pcalloc(cf->pool, sizeof(ngx_http_confluence_cache_t));
    if (cache == NULL) {
        return NULL;
    }

    cache->name = *name;
    cache->file = cf->conf_file->file.name.data;
    cache->line = cf->conf_file->line;

    caches = ngx_array_push(&mcf->caches);
    if (caches == NULL) {
        return NULL;
    }

    *caches = cache;

    return cache;
}


ngx_int_t
ngx_http_confluence_conf_caches(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf)
{
    ngx_str_t                    *addr;
    ngx_uint_t                    i, k;
    ngx_http_confluence_cache_t  *cache, **caches;

    caches = mcf->caches.elts;

    for (i = 0; i < mcf->caches.nelts; i++) {
        cache = caches[i];

        if (cache->path == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown confluence cache \"%V\" in %s:%ui",
                          &cache->name, cache->file, cache->line);
            return NGX_ERROR;
        }

        if (cache->listen.addrs == NULL) {
            cache->listen = mcf->listen;
        }

        for (k = 0; k < i; k++) {
            addr = ngx_http_confluence_conf_listen_clash(&caches[k]->listen,
                                                         &cache->listen);
            if (addr) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "caches \"%V\" and \"%V\" would both listen on "
                              "%V, use \"listen=\" in %s:%ui",
                              &caches[k]->path->name, &cache->path->name, addr,
                              cache->file, cache->line);
                return NGX_ERROR;
            }
        }

        if (cache->readahead == 0) {
            /* no location uses it; workers of before a reload may */
            cache->readahead = NGX_HTTP_CONFLUENCE_READAHEAD;
        }

        if (ngx_http_confluence_engine_conf(cf, mcf, cache) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* By whatever names, links and mounts. */

static ngx_uint_t
ngx_http_confluence_conf_same(ngx_str_t *one, ngx_str_t *other)
{
    ngx_http_confluence_place_t  a, b;

    if (ngx_http_confluence_conf_place(one, &a) != NGX_OK
        || ngx_http_confluence_conf_place(other, &b) != NGX_OK)
    {
        return 0;
    }

    return a.dev == b.dev
           && a.ino == b.ino
           && a.last.len == b.last.len
           && (a.last.len == 0
               || ngx_strncmp(a.last.data, b.last.data, a.last.len) == 0);
}


/* The same; of directories that are not there yet by their names. */

static ngx_uint_t
ngx_http_confluence_conf_inside(ngx_str_t *inner, ngx_str_t *outer)
{
    dev_t                         dev;
    ino_t                         ino;
    u_char                       *p, name[NGX_MAX_PATH];
    ngx_file_info_t               fi;
    ngx_http_confluence_place_t   a, b;

    if (inner->len > outer->len
        && inner->data[outer->len] == '/'
        && ngx_strncmp(inner->data, outer->data, outer->len) == 0)
    {
        return 1;
    }

    if (ngx_http_confluence_conf_place(inner, &a) != NGX_OK
        || ngx_http_confluence_conf_place(outer, &b) != NGX_OK
        || b.last.len)
    {
        return 0;
    }

    dev = 0;
    ino = 0;

    p = ngx_cpymem(name, inner->data, inner->len - a.last.len);

    if (a.last.len) {
        *p++ = '.';
    }

    /* up to the root, which is its own parent */

    do {
        *p = '\0';

        if (ngx_file_info(name, &fi) == NGX_FILE_ERROR) {
            return 0;
        }

        if (fi.st_dev == b.dev && fi.st_ino == b.ino) {
            return 1;
        }

        if (fi.st_dev == dev && fi.st_ino == ino) {
            return 0;
        }

        dev = fi.st_dev;
        ino = fi.st_ino;

        p = ngx_cpymem(p, "/..", sizeof("/..") - 1);

    } while (p < name + sizeof(name) - sizeof("/.."));

    return 0;
}


static ngx_int_t
ngx_http_confluence_conf_place(ngx_str_t *path,
    ngx_http_confluence_place_t *place)
{
    u_char           *p, parent[NGX_MAX_PATH];
    ngx_file_info_t   fi;

    ngx_str_null(&place->last);

    if (ngx_file_info(path->data, &fi) == NGX_FILE_ERROR) {

        /* the path is absolute, and short enough for a socket in it */

        for (p = path->data + path->len; p[-1] != '/'; p--) { /* void */ }

        ngx_cpystrn(parent, path->data, p - path->data + 1);

        place->last.data = p;
        place->last.len = path->data + path->len - p;

        if (ngx_file_info(parent, &fi) == NGX_FILE_ERROR) {
            return NGX_DECLINED;
        }
    }

    place->dev = fi.st_dev;
    place->ino = fi.st_ino;

    return NGX_OK;
}
