
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
ngx_http_confluence_conf_dht_bootstrap(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_url_t    u;
    ngx_str_t   *value;
    ngx_uint_t   i;

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

        if (ngx_http_confluence_conf_join(cf, &mcf->dht_bootstrap, &value[i])
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


ngx_int_t
ngx_http_confluence_conf_join(ngx_conf_t *cf, ngx_str_t *list,
    ngx_str_t *value)
{
    u_char  *p;

    p = ngx_pnalloc(cf->pool, list->len + 1 + value->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    list->len = ngx_sprintf(p, "%V%s%V%Z", list, list->len ? "," : "", value)
                - p - 1;
    list->data = p;

    return NGX_OK;
}


/* The rate, or off, and how often a round begins. */

char *
ngx_http_confluence_conf_scrub(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    char       *rv;
    ngx_int_t   interval;
    ngx_str_t  *value, time;

    rv = ngx_http_confluence_conf_rate(cf, cmd, conf);

    if (rv != NGX_CONF_OK || cf->args->nelts == 2) {
        return rv;
    }

    value = cf->args->elts;

    if (mcf->scrub_rate == 0
        || ngx_strncmp(value[2].data, "interval=", 9) != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    time.data = value[2].data + 9;
    time.len = value[2].len - 9;

    interval = ngx_parse_time(&time, 0);

    if (interval == NGX_ERROR || interval == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid interval value \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    mcf->scrub_interval = (ngx_msec_t) interval;

    return NGX_CONF_OK;
}
