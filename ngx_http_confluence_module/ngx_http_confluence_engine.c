
/*
 * The engine's host.
 *
 * nginx's cache manager process calls the manager of our path; the first call
 * that gets the directory's lock starts the engine, which has its own thread.
 * The main thread keeps to life cycle: it takes over log lines (channel.c), and
 * lets the engine run on while workers that exit gracefully still need it.
 *
 * The cache manager ends with exit() and without any hook of nginx's, hence
 * the atexit() handler.  In single process mode there is no cache manager; the
 * engine starts in init_process and stops in exit_process there.
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


typedef struct {
    engine_conf_t      conf;
    engine_t          *engine;
    ngx_pid_t          pid;             /* of the process that has it */

    ngx_msec_t         next;            /* when to try again */
    ngx_event_t        timer;
    ngx_err_t          err;             /* the last one logged */

    unsigned           failed:1;        /* next counts */
    unsigned           atexit:1;
} ngx_http_confluence_host_t;


static char *ngx_http_confluence_engine_string(ngx_conf_t *cf, ngx_str_t *str);
static ngx_msec_t ngx_http_confluence_engine_start(void);
static void ngx_http_confluence_engine_exit(void);
static void ngx_http_confluence_engine_drain(void);
static void ngx_http_confluence_engine_tick_handler(ngx_event_t *ev);
static void ngx_http_confluence_engine_stop(void);
static void ngx_http_confluence_engine_retry_handler(ngx_event_t *ev);


static ngx_http_confluence_host_t  ngx_http_confluence_host;


ngx_int_t
ngx_http_confluence_engine_conf(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf)
{
    engine_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(engine_conf_t));
    if (conf == NULL) {
        return NGX_ERROR;
    }

    conf->path = (char *) mcf->path->name.data;
    conf->max_size = mcf->max_size;

    conf->listen = ngx_http_confluence_engine_string(cf, &mcf->listen);
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

    conf->torrent_grace = mcf->torrent_grace;
    conf->readahead = mcf->readahead;

    conf->dht = mcf->dht;
    conf->pex = mcf->pex;
    conf->lsd = mcf->lsd;
    conf->utp = mcf->utp;
    conf->tcp = mcf->tcp;
    conf->upnp = mcf->upnp;
    conf->trackers = mcf->trackers;
    conf->override_trackers = mcf->override_trackers;
    conf->seed = mcf->seed;

    conf->log = ngx_http_confluence_channel_log;
    conf->idle = ngx_http_confluence_channel_idle;

    mcf->engine = conf;

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

    ngx_memcpy(p, str->data, str->len);
    p[str->len] = '\0';

    return (char *) p;
}


ngx_msec_t
ngx_http_confluence_engine_manager(void *data)
{
    ngx_http_confluence_main_conf_t *mcf = data;

    ngx_msec_int_t               left;
    ngx_http_confluence_host_t  *host;

    host = &ngx_http_confluence_host;

    if (host->engine) {
        return NGX_HTTP_CONFLUENCE_IDLE_DELAY;
    }

    /* other paths of the process may have it called more often than asked */

    left = (ngx_msec_int_t) (host->next - ngx_current_msec);

    if (host->failed && left > 0) {
        return left;
    }

    host->conf = *mcf->engine;

    if (!host->atexit) {

        if (atexit(ngx_http_confluence_engine_exit) != 0) {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                          "atexit() failed");
            return NGX_HTTP_CONFLUENCE_ERROR_DELAY;
        }

        host->atexit = 1;
    }

    return ngx_http_confluence_engine_start();
}


/* Returns the time to the next try, if there is need of one. */

static ngx_msec_t
ngx_http_confluence_engine_start(void)
{
    char                         text[NGX_MAX_ERROR_STR];
    ngx_err_t                    err;
    ngx_msec_t                   delay;
    ngx_http_confluence_host_t  *host;

    host = &ngx_http_confluence_host;

    delay = NGX_HTTP_CONFLUENCE_ERROR_DELAY;

    if (ngx_http_confluence_channel_open() == NGX_OK) {
        text[0] = '\0';

        err = engine_start(&host->engine, &host->conf, text, sizeof(text));

        if (err == 0) {
            host->failed = 0;
            host->err = 0;
            host->pid = ngx_pid;

            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                          "confluence engine started in \"%s\"",
                          host->conf.path);

            return NGX_HTTP_CONFLUENCE_IDLE_DELAY;
        }

        host->engine = NULL;

        ngx_http_confluence_channel_lines();

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
    host->next = ngx_current_msec + delay;

    return delay;
}


/*
 * Runs in exit() of the cache manager, after nginx has quit the event loop
 * with everything of it still intact.
 */

static void
ngx_http_confluence_engine_exit(void)
{
    if (ngx_http_confluence_host.engine == NULL
        || ngx_http_confluence_host.pid != ngx_pid)
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
    ngx_event_t                  tick;
    ngx_http_confluence_host_t  *host;

    host = &ngx_http_confluence_host;

    /* should the engine's word be lost with a full socket */

    ngx_memzero(&tick, sizeof(ngx_event_t));
    tick.handler = ngx_http_confluence_engine_tick_handler;
    tick.data = ngx_cycle->connections;
    tick.log = ngx_cycle->log;

    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                  "confluence engine waits for its workers");

    while (engine_busy(host->engine) && !ngx_terminate) {

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


static void
ngx_http_confluence_engine_stop(void)
{
    ngx_http_confluence_host_t  *host;

    host = &ngx_http_confluence_host;

    engine_stop(host->engine);
    host->engine = NULL;

    ngx_time_update();
    ngx_http_confluence_channel_lines();
    ngx_http_confluence_channel_close();

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "confluence engine stopped");
}


static void
ngx_http_confluence_engine_tick_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_CORE, ev->log, 0, "confluence engine tick");
}


void
ngx_http_confluence_engine_single(ngx_cycle_t *cycle,
    ngx_http_confluence_main_conf_t *mcf)
{
    ngx_http_confluence_host_t  *host;

    host = &ngx_http_confluence_host;

    host->conf = *mcf->engine;

    host->timer.handler = ngx_http_confluence_engine_retry_handler;
    host->timer.data = host;
    host->timer.log = cycle->log;
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

    delay = ngx_http_confluence_engine_start();

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

    host = &ngx_http_confluence_host;

    if (host->timer.timer_set) {
        ngx_del_timer(&host->timer);
    }

    if (host->engine) {
        changed = ngx_http_confluence_engine_user(0);

        ngx_http_confluence_engine_stop();

        if (changed) {
            (void) ngx_http_confluence_engine_user(1);
        }
    }

    ngx_http_confluence_channel_close();
}
