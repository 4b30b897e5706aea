
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


static void ngx_http_confluence_conf_base(ngx_conf_t *cf,
    ngx_http_confluence_loc_conf_t *lcf);


char *
ngx_http_confluence_conf_route(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_loc_conf_t *lcf = conf;

    ngx_str_t                        *value;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_confluence_main_conf_t  *mcf;

    if (lcf->used != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    lcf->used = 1;
    value = cf->args->elts;

    if (cf->args->nelts == 2) {
        lcf->route = ngx_http_confluence_route(&value[1]);

        if (lcf->route == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown confluence route \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    ngx_http_confluence_conf_base(cf, lcf);

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_confluence_module);

    if (mcf->used_file == NULL) {
        mcf->used_file = cf->conf_file->file.name.data;
        mcf->used_line = cf->conf_file->line;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_confluence_handler;

    return NGX_CONF_OK;
}


/*
 * What precedes a route in the URI: nothing in "location /", "location /data"
 * and "location ~ ...", "/bt" in "location /bt/" and "location /bt/data"; in a
 * location that is bound to a route, its name.
 */

static void
ngx_http_confluence_conf_base(ngx_conf_t *cf,
    ngx_http_confluence_loc_conf_t *lcf)
{
    u_char                    *p;
    ngx_str_t                  name, last;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    name = clcf->name;

    if (clcf->named
#if (NGX_PCRE)
        || clcf->regex
#endif
       )
    {
        name.len = 0;
    }

    if (name.len && name.data[name.len - 1] == '/') {
        name.len--;
    }

    lcf->base = name;

    if (lcf->route) {
        return;
    }

    while (name.len) {

        for (p = name.data + name.len; *--p != '/'; ) {
            if (p == name.data) {
                return;
            }
        }

        last.data = p + 1;
        last.len = name.data + name.len - last.data;
        name.len = p - name.data;

        if (ngx_http_confluence_route(&last)) {
            lcf->base = name;
            return;
        }
    }
}


char *
ngx_http_confluence_conf_cache_path(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_str_t           *value, size;
    ngx_path_t          *path;
    struct sockaddr_un  *sun;

    if (mcf->path) {
        return "is duplicate";
    }

    value = cf->args->elts;

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    path->name = value[1];

    if (path->name.len > 1 && path->name.data[path->name.len - 1] == '/') {
        path->name.len--;
        path->name.data[path->name.len] = '\0';
    }

    if (ngx_conf_full_name(cf->cycle, &path->name, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (path->name.len + sizeof("/" PROTO_SOCKET) > sizeof(sun->sun_path)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "path \"%V\" is too long for a socket in it, "
                           "at most %uz bytes are possible", &path->name,
                           sizeof(sun->sun_path) - sizeof("/" PROTO_SOCKET));
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "max_size=", 9) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        size.data = value[2].data + 9;
        size.len = value[2].len - 9;

        if (size.len == 3 && ngx_strncmp(size.data, "off", 3) == 0) {
            mcf->max_size = ENGINE_OFF;

        } else {
            mcf->max_size = ngx_parse_offset(&size);

            if (mcf->max_size <= 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid max_size value \"%V\"", &value[2]);
                return NGX_CONF_ERROR;
            }
        }
    }

    path->manager = ngx_http_confluence_engine_manager;
    path->data = mcf;
    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    mcf->path = path;

    if (ngx_add_path(cf, &mcf->path) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_confluence_conf_listen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_url_t          u;
    ngx_str_t         *value;
    ngx_uint_t         i;
    static ngx_str_t   none = ngx_string("");
    static ngx_str_t   any4 = ngx_string("0.0.0.0:");
    static ngx_str_t   any6 = ngx_string("[::]:");

    if (mcf->listen.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        ngx_memzero(&u, sizeof(ngx_url_t));

        u.url = value[i];
        u.listen = 1;
        u.no_resolve = 1;

        if (ngx_parse_url(cf->pool, &u) != NGX_OK
            || u.family == AF_UNIX
            || u.naddrs == 0
            || u.no_port
            || u.last_port)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s in \"%V\" of the \"%V\" directive",
                               u.err ? u.err : "no address and port",
                               &value[i], &cmd->name);
            return NGX_CONF_ERROR;
        }

        if (u.host.len == 0 || u.host.data[0] == '*') {

            /* a port alone: both families */

            if (ngx_http_confluence_conf_join(cf, &mcf->listen, &any4,
                                              &u.port_text)
                != NGX_OK
                || ngx_http_confluence_conf_join(cf, &mcf->listen, &any6,
                                                 &u.port_text)
                   != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_http_confluence_conf_join(cf, &mcf->listen, &none, &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_confluence_conf_dht_bootstrap(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_url_t          u;
    ngx_str_t         *value;
    ngx_uint_t         i;
    static ngx_str_t   none = ngx_string("");

    if (mcf->dht_bootstrap.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_set(&mcf->dht_bootstrap, "");
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        ngx_memzero(&u, sizeof(ngx_url_t));

        u.url = value[i];
        u.no_resolve = 1;

        if (ngx_parse_url(cf->pool, &u) != NGX_OK
            || u.family == AF_UNIX
            || u.no_port
            || ngx_strlchr(value[i].data, value[i].data + value[i].len, ','))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s in \"%V\" of the \"%V\" directive",
                               u.err ? u.err : "no host and port",
                               &value[i], &cmd->name);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_confluence_conf_join(cf, &mcf->dht_bootstrap, &none,
                                          &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_confluence_conf_implicit_tracker(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    char              **url;
    ngx_str_t          *value;
    ngx_uint_t          i, k;
    static const char  *schemes[] = { "http://", "https://", "udp://" };

    if (mcf->implicit_trackers) {
        return "is duplicate";
    }

    value = cf->args->elts;

    mcf->implicit_trackers = ngx_array_create(cf->pool, cf->args->nelts,
                                              sizeof(char *));
    if (mcf->implicit_trackers == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        for (k = 0; k < 3; k++) {
            if (value[i].len > ngx_strlen(schemes[k])
                && ngx_strncasecmp(value[i].data, (u_char *) schemes[k],
                                   ngx_strlen(schemes[k]))
                   == 0)
            {
                break;
            }
        }

        if (k == 3) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid tracker URL \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        url = ngx_array_push(mcf->implicit_trackers);
        if (url == NULL) {
            return NGX_CONF_ERROR;
        }

        *url = (char *) value[i].data;
    }

    url = ngx_array_push(mcf->implicit_trackers);
    if (url == NULL) {
        return NGX_CONF_ERROR;
    }

    *url = NULL;

    return NGX_CONF_OK;
}


char *
ngx_http_confluence_conf_torrent_grace(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_str_t  *value;

    if (mcf->torrent_grace != NGX_HTTP_CONFLUENCE_GRACE_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        mcf->torrent_grace = ENGINE_OFF;
        return NGX_CONF_OK;
    }

    mcf->torrent_grace = ngx_parse_time(&value[1], 0);

    if (mcf->torrent_grace == NGX_ERROR) {
        return "invalid value";
    }

    return NGX_CONF_OK;
}


/* Appends a value to a list with commas, as the engine takes it. */

ngx_int_t
ngx_http_confluence_conf_join(ngx_conf_t *cf, ngx_str_t *list,
    ngx_str_t *prefix, ngx_str_t *value)
{
    u_char  *p, *data;

    data = ngx_pnalloc(cf->pool, list->len + 1 + prefix->len + value->len + 1);
    if (data == NULL) {
        return NGX_ERROR;
    }

    p = data;

    if (list->len) {
        p = ngx_cpymem(p, list->data, list->len);
        *p++ = ',';
    }

    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, value->data, value->len);
    *p = '\0';

    list->data = data;
    list->len = p - data;

    return NGX_OK;
}
