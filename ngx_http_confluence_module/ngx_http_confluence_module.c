
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_PORT   "42069"
#define NGX_HTTP_CONFLUENCE_GRACE  60000   /* ms */
#define NGX_HTTP_CONFLUENCE_SCRUB  (7 * 86400000)   /* ms */

#define NGX_HTTP_CONFLUENCE_ROUTERS                                           \
    "dht.libtorrent.org:25401,router.bittorrent.com:6881,"                    \
    "router.utorrent.com:6881,dht.transmissionbt.com:6881"


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


static ngx_conf_num_bounds_t  ngx_http_confluence_connections = {
    ngx_conf_check_num_bounds, 2, 65535
};


static ngx_conf_num_bounds_t  ngx_http_confluence_torrents = {
    ngx_conf_check_num_bounds, 1, 1000000
};


static ngx_command_t  ngx_http_confluence_commands[] = {

    { ngx_string("confluence"),
      NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_confluence_conf_route,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_confluence_conf_cache,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_wait_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_confluence_loc_conf_t, wait_timeout),
      NULL },

    { ngx_string("confluence_ping_interval"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_confluence_loc_conf_t, ping_interval),
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
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_conf_cache_path,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_listen"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_conf_listen,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_dht_bootstrap"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_conf_dht_bootstrap,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_implicit_tracker"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_conf_implicit_tracker,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_torrent_grace"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_confluence_conf_torrent_grace,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_public_ip"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_confluence_conf_public_ip,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_blocklist"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_confluence_conf_blocklist,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_camouflage_data"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_confluence_conf_camouflage_data,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("confluence_upload_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_confluence_conf_rate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, upload_rate),
      NULL },

    { ngx_string("confluence_download_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_confluence_conf_rate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, download_rate),
      NULL },

    { ngx_string("confluence_scrub"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_confluence_conf_scrub,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, scrub_rate),
      NULL },

    { ngx_string("confluence_max_connections"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, max_connections),
      &ngx_http_confluence_connections },

    { ngx_string("confluence_max_torrents"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, max_torrents),
      &ngx_http_confluence_torrents },

    { ngx_string("confluence_upnp"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, upnp),
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

    { ngx_string("confluence_private_networks"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_confluence_main_conf_t, private_networks),
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
     *     mcf->cache = NULL;
     *     mcf->listen = { { 0, NULL }, NULL };
     *     mcf->dht_bootstrap = { 0, NULL };
     *     mcf->implicit_trackers = NULL;
     *     mcf->public_ip = { 0, NULL };
     *     mcf->camouflage_data = { 0, NULL };
     *     mcf->blocklist = NULL;
     *     mcf->blocklist_n = 0;
     *     mcf->used_file = NULL;
     */

    if (ngx_array_init(&mcf->caches, cf->pool, 4,
                       sizeof(ngx_http_confluence_cache_t *))
        != NGX_OK)
    {
        return NULL;
    }

    mcf->torrent_grace = NGX_HTTP_CONFLUENCE_GRACE_UNSET;

    mcf->upload_rate = NGX_CONF_UNSET_SIZE;
    mcf->download_rate = NGX_CONF_UNSET_SIZE;
    mcf->scrub_rate = NGX_CONF_UNSET_SIZE;
    mcf->scrub_interval = NGX_CONF_UNSET_MSEC;
    mcf->max_connections = NGX_CONF_UNSET;
    mcf->max_torrents = NGX_CONF_UNSET;

    mcf->dht = NGX_CONF_UNSET;
    mcf->pex = NGX_CONF_UNSET;
    mcf->lsd = NGX_CONF_UNSET;
    mcf->private_networks = NGX_CONF_UNSET;
    mcf->utp = NGX_CONF_UNSET;
    mcf->tcp = NGX_CONF_UNSET;
    mcf->upnp = NGX_CONF_UNSET;
    mcf->trackers = NGX_CONF_UNSET;
    mcf->override_trackers = NGX_CONF_UNSET;
    mcf->seed = NGX_CONF_UNSET;

    return mcf;
}


static char *
ngx_http_confluence_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_confluence_main_conf_t *mcf = conf;

    static ngx_str_t  port = ngx_string(NGX_HTTP_CONFLUENCE_PORT);

    ngx_conf_init_size_value(mcf->upload_rate, 0);
    ngx_conf_init_size_value(mcf->download_rate, 0);
    ngx_conf_init_size_value(mcf->scrub_rate, 0);
    ngx_conf_init_msec_value(mcf->scrub_interval, NGX_HTTP_CONFLUENCE_SCRUB);
    ngx_conf_init_value(mcf->max_connections, 500);
    ngx_conf_init_value(mcf->max_torrents, 10000);

    ngx_conf_init_value(mcf->dht, 1);
    ngx_conf_init_value(mcf->pex, 1);
    ngx_conf_init_value(mcf->lsd, 0);
    ngx_conf_init_value(mcf->private_networks, 0);
    ngx_conf_init_value(mcf->utp, 1);
    ngx_conf_init_value(mcf->tcp, 1);
    ngx_conf_init_value(mcf->upnp, 0);
    ngx_conf_init_value(mcf->trackers, 1);
    ngx_conf_init_value(mcf->override_trackers, 0);
    ngx_conf_init_value(mcf->seed, 0);

    if (mcf->lsd && !mcf->private_networks) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"confluence_lsd\" finds peers in private networks "
                           "only: it needs \"confluence_private_networks on\"");
        return NGX_CONF_ERROR;
    }

    if (mcf->torrent_grace == NGX_HTTP_CONFLUENCE_GRACE_UNSET) {
        mcf->torrent_grace = NGX_HTTP_CONFLUENCE_GRACE;
    }

    if (mcf->listen.addrs == NULL
        && ngx_http_confluence_conf_listen_add(cf, &mcf->listen, &port)
           != NULL)
    {
        return NGX_CONF_ERROR;
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

    lcf->cache = NGX_CONF_UNSET_PTR;
    lcf->used = NGX_CONF_UNSET;
    lcf->wait_timeout = NGX_CONF_UNSET_MSEC;
    lcf->ping_interval = NGX_CONF_UNSET_MSEC;
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

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_confluence_module);

    ngx_conf_merge_ptr_value(conf->cache, prev->cache, mcf->cache);
    ngx_conf_merge_msec_value(conf->wait_timeout, prev->wait_timeout, 60000);
    ngx_conf_merge_msec_value(conf->ping_interval, prev->ping_interval, 30000);
    ngx_conf_merge_size_value(conf->readahead, prev->readahead,
                              NGX_HTTP_CONFLUENCE_READAHEAD);
    ngx_conf_merge_value(conf->etag, prev->etag, 1);

    /* the engine serves all locations of its cache */

    if (conf->used == 1 && conf->cache) {
        conf->cache->readahead = ngx_max(conf->cache->readahead,
                                         conf->readahead);
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_confluence_init(ngx_conf_t *cf)
{
    ngx_http_confluence_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_confluence_module);

    if (mcf->cache == NULL && mcf->used_file) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"confluence\" requires \"confluence_cache_path\" "
                      "in %s:%ui", mcf->used_file, mcf->used_line);

        return NGX_ERROR;
    }

    if (mcf->caches.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_confluence_range_init();

    return ngx_http_confluence_conf_caches(cf, mcf);
}


static ngx_int_t
ngx_http_confluence_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_confluence_cache_t     **caches;
    ngx_http_confluence_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_confluence_module);

    if (mcf == NULL) {
        return NGX_OK;
    }

    ngx_http_confluence_segments_init(cycle->log);

    caches = mcf->caches.elts;

    for (i = 0; i < mcf->caches.nelts; i++) {

        if (ngx_process == NGX_PROCESS_SINGLE) {
            ngx_http_confluence_engine_single(caches[i]);
        }

        caches[i]->store = ngx_http_confluence_store_create(cycle,
                                                    &caches[i]->path->name);
        if (caches[i]->store == NULL) {
            return NGX_ERROR;
        }

        caches[i]->link = ngx_http_confluence_link_create(cycle,
                                                          caches[i]->store);
        if (caches[i]->link == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_confluence_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_confluence_cache_t     **caches;
    ngx_http_confluence_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_confluence_module);

    if (mcf == NULL) {
        return;
    }

    caches = mcf->caches.elts;

    for (i = 0; i < mcf->caches.nelts; i++) {

        if (caches[i]->link) {
            ngx_http_confluence_link_close(caches[i]->link);
        }
    }

    if (ngx_process == NGX_PROCESS_SINGLE) {
        ngx_http_confluence_engine_single_stop();
    }
}
