
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_PORT       "42069"
#define NGX_HTTP_CONFLUENCE_MAX_SIZE   ((off_t) 10 * 1024 * 1024 * 1024)
#define NGX_HTTP_CONFLUENCE_GRACE      60000   /* ms */
#define NGX_HTTP_CONFLUENCE_READAHEAD  (48 * 1024 * 1024)

#define NGX_HTTP_CONFLUENCE_ROUTERS                                           \
    "dht.libtorrent.org:25401,router.bittorrent.com:6881,"                    \
    "router.utorrent.com:6881,dht.transmissionbt.com:6881"


#define NGX_HTTP_CONFLUENCE_GRACE_UNSET  (ENGINE_OFF - 1)


static char *ngx_http_confluence(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void ngx_http_confluence_base(ngx_conf_t *cf,
    ngx_http_confluence_loc_conf_t *lcf);
static char *ngx_http_confluence_cache_path(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_confluence_listen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_confluence_dht_bootstrap(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_confluence_implicit_tracker(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_confluence_torrent_grace(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_confluence_join(ngx_conf_t *cf, ngx_str_t *list,
    ngx_str_t *prefix, ngx_str_t *value);

static void *ngx_http_confluence_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_confluence_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_confluence_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_confluence_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_confluence_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_confluence_init_process(ngx_cycle_t *cycle);
static void ngx_http_confluence_exit_process(ngx_cycle_t *cycle);


static ngx_conf_num_bounds_t  ngx_http_confluence_readahead_bounds = {
    ngx_conf_check_num_bounds, 1, -1
};


static ngx_command_t  ngx_http_confluence_commands[] = {

    { ngx_string("confluence"),
      NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_confluence,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_wait_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_confluence_loc_conf_t, wait_timeout),
      NULL },

    { ngx_string("confluence_readahead"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_confluence_loc_conf_t, readahead),
      &ngx_http_confluence_readahead_bounds },

    { ngx_string("confluence_etag"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_confluence_loc_conf_t, etag),
      NULL },

    { ngx_string("confluence_cache_path"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_confluence_cache_path,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_listen"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_listen,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_dht_bootstrap"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_dht_bootstrap,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_implicit_tracker"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_implicit_tracker,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_torrent_grace"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_confluence_torrent_grace,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_dht"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, dht),
      NULL },

    { ngx_string("confluence_pex"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, pex),
      NULL },

    { ngx_string("confluence_lsd"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, lsd),
      NULL },

    { ngx_string("confluence_utp"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, utp),
      NULL },

    { ngx_string("confluence_tcp"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, tcp),
      NULL },

    { ngx_string("confluence_trackers"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, trackers),
      NULL },

    { ngx_string("confluence_override_trackers"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, override_trackers),
      NULL },

    { ngx_string("confluence_seed"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, seed),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_confluence_module_ctx = {
    ngx_http_confluence_add_variables,     /* preconfiguration */
    ngx_http_confluence_init,              /* postconfiguration */

    ngx_http_confluence_create_main_conf,  /* create main configuration */
    ngx_http_confluence_init_main_conf,    /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_confluence_create_loc_conf,   /* create location configuration */
    ngx_http_confluence_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_confluence_module = {
    NGX_MODULE_V1,
    &ngx_http_confluence_module_ctx,       /* module context */
    ngx_http_confluence_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_confluence_init_process,      /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_confluence_exit_process,      /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
ngx_http_confluence(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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

    ngx_http_confluence_base(cf, lcf);

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
ngx_http_confluence_base(ngx_conf_t *cf, ngx_http_confluence_loc_conf_t *lcf)
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


static char *
ngx_http_confluence_cache_path(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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


static char *
ngx_http_confluence_listen(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_url_t          u;
    ngx_str_t         *value;
    ngx_uint_t         i;
    static ngx_str_t   none = ngx_null_string;
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

            if (ngx_http_confluence_join(cf, &mcf->listen, &any4, &u.port_text)
                != NGX_OK
                || ngx_http_confluence_join(cf, &mcf->listen, &any6,
                                            &u.port_text)
                != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_http_confluence_join(cf, &mcf->listen, &none, &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_confluence_dht_bootstrap(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_url_t          u;
    ngx_str_t         *value;
    ngx_uint_t         i;
    static ngx_str_t   none = ngx_null_string;

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

        if (ngx_http_confluence_join(cf, &mcf->dht_bootstrap, &none, &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_confluence_implicit_tracker(ngx_conf_t *cf, ngx_command_t *cmd,
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


static char *
ngx_http_confluence_torrent_grace(ngx_conf_t *cf, ngx_command_t *cmd,
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

static ngx_int_t
ngx_http_confluence_join(ngx_conf_t *cf, ngx_str_t *list, ngx_str_t *prefix,
    ngx_str_t *value)
{
    u_char  *p, *data;

    data = ngx_pnalloc(cf->pool, list->len + 1 + prefix->len + value->len + 1);
    if (data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(data, list->data, list->len);

    if (list->len) {
        *p++ = ',';
    }

    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, value->data, value->len);
    *p = '\0';

    list->data = data;
    list->len = p - data;

    return NGX_OK;
}


static void *
ngx_http_confluence_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_confluence_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_confluence_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     mcf->path = NULL;
     *     mcf->listen = { 0, NULL };
     *     mcf->dht_bootstrap = { 0, NULL };
     *     mcf->implicit_trackers = NULL;
     *     mcf->readahead = 0;
     *     mcf->engine = NULL;
     *     mcf->used_file = NULL;
     */

    mcf->max_size = NGX_HTTP_CONFLUENCE_MAX_SIZE;
    mcf->torrent_grace = NGX_HTTP_CONFLUENCE_GRACE_UNSET;

    mcf->dht = NGX_CONF_UNSET;
    mcf->pex = NGX_CONF_UNSET;
    mcf->lsd = NGX_CONF_UNSET;
    mcf->utp = NGX_CONF_UNSET;
    mcf->tcp = NGX_CONF_UNSET;
    mcf->trackers = NGX_CONF_UNSET;
    mcf->override_trackers = NGX_CONF_UNSET;
    mcf->seed = NGX_CONF_UNSET;

    return mcf;
}


static char *
ngx_http_confluence_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    ngx_conf_init_value(mcf->dht, 1);
    ngx_conf_init_value(mcf->pex, 1);
    ngx_conf_init_value(mcf->lsd, 0);
    ngx_conf_init_value(mcf->utp, 1);
    ngx_conf_init_value(mcf->tcp, 1);
    ngx_conf_init_value(mcf->trackers, 1);
    ngx_conf_init_value(mcf->override_trackers, 0);
    ngx_conf_init_value(mcf->seed, 0);

    if (mcf->torrent_grace == NGX_HTTP_CONFLUENCE_GRACE_UNSET) {
        mcf->torrent_grace = NGX_HTTP_CONFLUENCE_GRACE;
    }

    if (mcf->listen.data == NULL) {
        ngx_str_set(&mcf->listen, "0.0.0.0:" NGX_HTTP_CONFLUENCE_PORT
                                  ",[::]:" NGX_HTTP_CONFLUENCE_PORT);
    }

    if (mcf->dht_bootstrap.data == NULL) {
        ngx_str_set(&mcf->dht_bootstrap, NGX_HTTP_CONFLUENCE_ROUTERS);
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_confluence_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_confluence_loc_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_confluence_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     lcf->route = NULL;
     *     lcf->base = { 0, NULL };
     */

    lcf->used = NGX_CONF_UNSET;
    lcf->wait_timeout = NGX_CONF_UNSET_MSEC;
    lcf->readahead = NGX_CONF_UNSET_SIZE;
    lcf->etag = NGX_CONF_UNSET;

    return lcf;
}


static char *
ngx_http_confluence_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_confluence_loc_conf_t *prev = parent;
    ngx_http_confluence_loc_conf_t *conf = child;

    ngx_http_confluence_main_conf_t  *mcf;

    /* for "if" blocks, which keep the handler of their location */

    if (conf->used == NGX_CONF_UNSET) {
        conf->used = prev->used;
        conf->route = prev->route;
        conf->base = prev->base;
    }

    ngx_conf_merge_msec_value(conf->wait_timeout, prev->wait_timeout, 60000);
    ngx_conf_merge_size_value(conf->readahead, prev->readahead,
                              NGX_HTTP_CONFLUENCE_READAHEAD);
    ngx_conf_merge_value(conf->etag, prev->etag, 1);

    /* the engine serves all locations */

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_confluence_module);

    mcf->readahead = ngx_max(mcf->readahead, conf->readahead);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_confluence_init(ngx_conf_t *cf)
{
    ngx_http_confluence_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_confluence_module);

    if (mcf->path == NULL) {

        if (mcf->used_file == NULL) {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"confluence\" requires \"confluence_cache_path\" "
                      "in %s:%ui", mcf->used_file, mcf->used_line);

        return NGX_ERROR;
    }

    ngx_http_confluence_range_init();

    return ngx_http_confluence_engine_conf(cf, mcf);
}


static ngx_int_t
ngx_http_confluence_init_process(ngx_cycle_t *cycle)
{
    ngx_http_confluence_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_confluence_module);

    if (mcf == NULL || mcf->path == NULL) {
        return NGX_OK;
    }

    if (ngx_process == NGX_PROCESS_SINGLE) {
        ngx_http_confluence_engine_single(cycle, mcf);
    }

    if (ngx_http_confluence_store_init(cycle, &mcf->path->name) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_confluence_link_init(cycle, &mcf->path->name);
}


static void
ngx_http_confluence_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_confluence_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_confluence_module);

    if (mcf == NULL || mcf->path == NULL) {
        return;
    }

    ngx_http_confluence_link_close();

    if (ngx_process == NGX_PROCESS_SINGLE) {
        ngx_http_confluence_engine_single_stop();
    }
}
