
/*
 * The engine's host.
 *
 * nginx's cache manager process calls the manager of each cache's path; the
 * first call that gets the directory's lock starts an engine there, which has
 * its own thread.  The main thread keeps to life cycle: it takes over log lines
 * (channel.c), and lets the engines run on while workers that exit gracefully
 * still need them.  Engines know nothing of each other: one may wait for its
 * predecessor while another runs, or run on after another has left.
 *
 * The cache manager ends with exit() and without any hook of nginx's, hence
 * the atexit() handler.  In single process mode there is no cache manager; the
 * engines start in init_process and stop in exit_process there.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include <sys/fsuid.h>
#include <engine/engine.h>
#include "ngx_http_confluence_module.h"


#define NGX_HTTP_CONFLUENCE_LOCK_DELAY   20         /* ms */
#define NGX_HTTP_CONFLUENCE_DEATH_DELAY  250        /* ms */
#define NGX_HTTP_CONFLUENCE_ERROR_DELAY  3000       /* ms */
#define NGX_HTTP_CONFLUENCE_IDLE_DELAY   3600000    /* ms */
#define NGX_HTTP_CONFLUENCE_DRAIN_DELAY  500        /* ms */


struct ngx_http_confluence_host_s {
    ngx_http_confluence_host_t     *next;
    ngx_http_confluence_channel_t   channel;
    engine_conf_t                   conf;
    engine_t                       *engine;
    ngx_pid_t                       pid;    /* of the process that has it */

    ngx_msec_t                      again;  /* when to try again */
    ngx_event_t                     timer;
    ngx_err_t                       err;    /* the last one logged */

    unsigned                        failed:1;   /* again counts */
    unsigned                        quit:1;     /* it was asked to */
};


static char *ngx_http_confluence_engine_string(ngx_conf_t *cf, ngx_str_t *str);
static ngx_http_confluence_host_t *ngx_http_confluence_engine_host(
    ngx_http_confluence_cache_t *cache);
static ngx_msec_t ngx_http_confluence_engine_start(
    ngx_http_confluence_host_t *host);
static void ngx_http_confluence_engine_exit(void);
static void ngx_http_confluence_engine_drain(void);
static ngx_uint_t ngx_http_confluence_engine_busy(void);
static void ngx_http_confluence_engine_tick_handler(ngx_event_t *ev);
static void ngx_http_confluence_engine_quit(ngx_http_confluence_host_t *host);
static void ngx_http_confluence_engine_stop(void);
static void ngx_http_confluence_engine_retry_handler(ngx_event_t *ev);


/* of this process */
static ngx_http_confluence_host_t  *ngx_http_confluence_hosts;


ngx_int_t
ngx_http_confluence_engine_conf(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf, ngx_http_confluence_cache_t *cache)
{
    engine_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(engine_conf_t));
    if (conf == NULL) {
        return NGX_ERROR;
    }

    conf->path = (char *) cache->path->name.data;
    conf->layout = cache->layout;
    conf->max_size = cache->max_size;
    conf->engines = mcf->caches.nelts;
    conf->readahead = cache->readahead;

    conf->listen = ngx_http_confluence_engine_string(cf, &cache->listen.text);
    conf->dht_bootstrap = ngx_http_confluence_engine_string(cf,
                                                         &mcf->dht_bootstrap);
    conf->public_ip = ngx_http_confluence_engine_string(cf, &mcf->public_ip);

    conf->camouflage = ngx_http_confluence_engine_string(cf,
                                                       &mcf->camouflage_data);

    if (conf->listen == NULL || conf->dht_bootstrap == NULL
        || conf->public_ip == NULL || conf->camouflage == NULL)
    {
        return NGX_ERROR;
    }

    if (mcf->implicit_trackers) {
        conf->implicit_trackers = mcf->implicit_trackers->elts;
    }

    conf->blocklist = mcf->blocklist;
    conf->blocklist_n = mcf->blocklist_n;
    conf->upload_rate = mcf->upload_rate;
    conf->download_rate = mcf->download_rate;
    conf->max_connections = mcf->max_connections;
    conf->max_torrents = mcf->max_torrents;

    conf->scrub_rate = mcf->scrub_rate;
    conf->scrub_interval = mcf->scrub_interval;

    conf->torrent_grace = mcf->torrent_grace;

    conf->dht = mcf->dht;
    conf->pex = mcf->pex;
    conf->lsd = mcf->lsd;
    conf->private_networks = mcf->private_networks;
    conf->utp = mcf->utp;
    conf->tcp = mcf->tcp;
    conf->upnp = mcf->upnp;
    conf->trackers = mcf->trackers;
    conf->override_trackers = mcf->override_trackers;
    conf->seed = mcf->seed;

    conf->log = ngx_http_confluence_channel_log;
    conf->idle = ngx_http_confluence_channel_idle;

    cache->engine = conf;

    return NGX_OK;
}


static char *
ngx_http_confluence_engine_string(ngx_conf_t *cf, ngx_str_t *str)
{
    u_char  *p;

    p = ngx_pnalloc(cf->pool, str->len + 1);
    if (p == NULL) {
        return NULL;
    }

    (void) ngx_cpystrn(p, str->data, str->len + 1);

    return (char *) p;
}


ngx_msec_t
ngx_http_confluence_engine_manager(void *data)
{
    ngx_http_confluence_cache_t *cache = data;

    ngx_msec_int_t               left;
    ngx_http_confluence_host_t  *host;

    if (ngx_http_confluence_hosts == NULL
        && atexit(ngx_http_confluence_engine_exit) != 0)
    {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0, "atexit() failed");
        return NGX_HTTP_CONFLUENCE_ERROR_DELAY;
    }

    host = ngx_http_confluence_engine_host(cache);
    if (host == NULL) {
        return NGX_HTTP_CONFLUENCE_ERROR_DELAY;
    }

    if (host->engine) {
        return NGX_HTTP_CONFLUENCE_IDLE_DELAY;
    }

    /* other paths of the process may have it called more often than asked */

    left = (ngx_msec_int_t) (host->again - ngx_current_msec);

    if (host->failed && left > 0) {
        return left;
    }

    return ngx_http_confluence_engine_start(host);
}


/* The host of a cache's engine in this process. */

static ngx_http_confluence_host_t *
ngx_http_confluence_engine_host(ngx_http_confluence_cache_t *cache)
{
    ngx_http_confluence_host_t  *host;

    if (cache->host) {
        return cache->host;
    }

    host = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_confluence_host_t));
    if (host == NULL) {
        return NULL;
    }

    host->pid = ngx_pid;
    host->channel.name = cache->name;

    host->conf = *cache->engine;
    host->conf.ctx = &host->channel;

    host->next = ngx_http_confluence_hosts;
    ngx_http_confluence_hosts = host;

    cache->host = host;

    return host;
}


/* Returns the time to the next try, if there is need of one. */

static ngx_msec_t
ngx_http_confluence_engine_start(ngx_http_confluence_host_t *host)
{
    char        text[NGX_MAX_ERROR_STR];
    ngx_err_t   err;
    ngx_msec_t  delay;

    delay = NGX_HTTP_CONFLUENCE_ERROR_DELAY;

    if (ngx_http_confluence_channel_open(&host->channel) == NGX_OK) {
        text[0] = '\0';

        err = engine_start(&host->engine, &host->conf, text, sizeof(text));

        if (err == 0) {
            host->failed = 0;
            host->err = 0;

            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                          "confluence engine started in \"%s\"",
                          host->conf.path);

            return NGX_HTTP_CONFLUENCE_IDLE_DELAY;
        }

        host->engine = NULL;

        ngx_http_confluence_channel_lines(&host->channel);

        if (err == NGX_EAGAIN) {
            delay = NGX_HTTP_CONFLUENCE_LOCK_DELAY;

            if (host->err != err) {
                ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                              "waiting for another confluence engine to "
                              "leave \"%s\"", host->conf.path);
            }

        } else if (err == NGX_EBUSY) {
            delay = NGX_HTTP_CONFLUENCE_DEATH_DELAY;

            if (host->err != err) {
                ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                              "confluence engine waits before it starts in "
                              "\"%s\": %s", host->conf.path, text);
            }

        } else {
            ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, err,
                          "confluence engine failed to start in \"%s\": %s, "
                          "next try in %ui s", host->conf.path, text,
                          (ngx_uint_t) (delay / 1000));
        }

        host->err = err;
    }

    host->failed = 1;
    host->again = ngx_current_msec + delay;

    return delay;
}


/*
 * Runs in exit() of the cache manager, after nginx has quit the event loop
 * with everything of it still intact.
 */

static void
ngx_http_confluence_engine_exit(void)
{
    if (ngx_http_confluence_hosts == NULL
        || ngx_http_confluence_hosts->pid != ngx_pid)
    {
        return;
    }

    /* on a fast shutdown the workers do not wait for anything either */

    if (ngx_quit && !ngx_terminate) {
        ngx_http_confluence_engine_drain();
    }

    ngx_http_confluence_engine_stop();
}


/*
 * nginx asks the cache manager to leave together with the workers, which still
 * have requests to finish.
 */

static void
ngx_http_confluence_engine_drain(void)
{
    ngx_event_t  tick;

    if (!ngx_http_confluence_engine_busy()) {
        return;
    }

    /* should an engine's word be lost with a full socket */

    ngx_memzero(&tick, sizeof(ngx_event_t));
    tick.handler = ngx_http_confluence_engine_tick_handler;
    tick.data = ngx_cycle->connections;
    tick.log = ngx_cycle->log;

    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                  "confluence engine waits for its workers");

    while (ngx_http_confluence_engine_busy() && !ngx_terminate) {

        if (!tick.timer_set) {
            ngx_add_timer(&tick, NGX_HTTP_CONFLUENCE_DRAIN_DELAY);
        }

        ngx_process_events_and_timers((ngx_cycle_t *) ngx_cycle);

        if (ngx_reopen) {
            ngx_reopen = 0;
            ngx_reopen_files((ngx_cycle_t *) ngx_cycle, -1);
        }
    }

    if (tick.timer_set) {
        ngx_del_timer(&tick);
    }
}


/*
 * An engine that is not needed any more quits at once, whatever the others do:
 * another process may wait for its directory.
 */

static ngx_uint_t
ngx_http_confluence_engine_busy(void)
{
    ngx_uint_t                   busy;
    ngx_http_confluence_host_t  *host;

    busy = 0;

    for (host = ngx_http_confluence_hosts; host; host = host->next) {

        if (host->engine == NULL || host->quit) {
            continue;
        }

        if (engine_busy(host->engine)) {
            busy = 1;

        } else {
            ngx_http_confluence_engine_quit(host);
        }
    }

    return busy;
}


static void
ngx_http_confluence_engine_tick_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_CORE, ev->log, 0, "confluence engine tick");
}


static void
ngx_http_confluence_engine_quit(ngx_http_confluence_host_t *host)
{
    if (host->engine && !host->quit) {
        host->quit = 1;
        engine_quit(host->engine);
    }
}


/* All of them take the time of the slowest. */

static void
ngx_http_confluence_engine_stop(void)
{
    ngx_http_confluence_host_t  *host;

    for (host = ngx_http_confluence_hosts; host; host = host->next) {
        ngx_http_confluence_engine_quit(host);
    }

    for (host = ngx_http_confluence_hosts; host; host = host->next) {

        if (host->engine) {
            engine_stop(host->engine);
            host->engine = NULL;

            ngx_time_update();
            ngx_http_confluence_channel_lines(&host->channel);

            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                          "confluence engine in \"%s\" stopped",
                          host->conf.path);
        }

        ngx_http_confluence_channel_close(&host->channel);
    }
}


void
ngx_http_confluence_engine_single(ngx_http_confluence_cache_t *cache)
{
    ngx_http_confluence_host_t  *host;

    host = ngx_http_confluence_engine_host(cache);
    if (host == NULL) {
        return;
    }

    host->timer.handler = ngx_http_confluence_engine_retry_handler;
    host->timer.data = host;
    host->timer.log = ngx_cycle->log;
    host->timer.cancelable = 1;

    ngx_http_confluence_engine_retry_handler(&host->timer);
}


static void
ngx_http_confluence_engine_retry_handler(ngx_event_t *ev)
{
    ngx_uint_t                   changed;
    ngx_msec_t                   delay;
    ngx_http_confluence_host_t  *host;

    host = ev->data;

    changed = ngx_http_confluence_engine_user(0);

    delay = ngx_http_confluence_engine_start(host);

    if (changed) {
        (void) ngx_http_confluence_engine_user(1);
    }

    if (host->engine == NULL) {
        ngx_add_timer(ev, delay);
    }
}


/*
 * A single process stays root, and what it leaves in the directory must be of
 * use to workers later.  The threads that the engine starts inherit this.
 */

ngx_uint_t
ngx_http_confluence_engine_user(ngx_uint_t restore)
{
    ngx_core_conf_t  *ccf;

    if (restore) {
        (void) setfsuid(geteuid());
        (void) setfsgid(getegid());
        return 0;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    if (geteuid() != 0 || ccf->user == (ngx_uid_t) NGX_CONF_UNSET_UINT) {
        return 0;
    }

    (void) setfsgid(ccf->group);
    (void) setfsuid(ccf->user);

    return 1;
}


void
ngx_http_confluence_engine_single_stop(void)
{
    ngx_uint_t                   changed;
    ngx_http_confluence_host_t  *host;

    for (host = ngx_http_confluence_hosts; host; host = host->next) {

        if (host->timer.timer_set) {
            ngx_del_timer(&host->timer);
        }
    }

    changed = ngx_http_confluence_engine_user(0);

    ngx_http_confluence_engine_stop();

    if (changed) {
        (void) ngx_http_confluence_engine_user(1);
    }
}
