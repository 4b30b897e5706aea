
/*
 * The nginx side: what one request of this module is made of, and what its
 * files offer each other.
 *
 *      module.c     directives, hooks
 *      conf.c       reading of directives
 *      conf_cache.c those that are about caches
 *      conf_net.c   those that are about the network
 *      route.c      URI -> route
 *      request.c    query and path -> torrent and file
 *      error.c      plain text errors
 *      header.c     response headers
 *      wait.c       waiting and waking
 *      metadata.c   torrent -> its map, which may have to be waited for
 *      data.c       /data: the state machine of a request for bytes
 *      body.c       /data: complete pieces -> buffers for the filters
 *      range.c      Range, If-Range; the header filter
 *      state.c      /fileState: states of a file's pieces
 *      events.c     /events: changes of pieces, on a WebSocket
 *      watch.c      who watches what, and what has changed
 *      handshake.c  a WebSocket: its opening
 *      websocket.c  a WebSocket: sending, time, its end
 *      frames.c     a WebSocket: its frames
 *      call.c       routes that the engine answers as a whole
 *      upload.c     /upload: a form that becomes a torrent
 *      form.c       the fields and files of the form
 *      stage.c      the files that are made of an upload
 *      store.c      what a worker keeps open between requests: maps
 *      segment.c    descriptors of segments
 *      waiter.c     what requests say to the engine, and hear
 *      link.c       the worker's end of the control socket
 *      packet.c     packets with descriptors
 *      count.c      what this worker counts
 *      engine.c     the engines' host
 *      channel.c    log lines from an engine's thread to the main thread
 *      variables.c  variables for the log
 *
 * Everything runs in a worker, but engine.c, which runs in the cache manager.
 *
 * Each cache (confluence_cache_path) has a store and a link in each worker, and
 * an engine in the cache manager; a request belongs to the cache of its
 * location:
 *
 *      request --> cache --> store: maps, segments ... cache directory
 *                    |                                    |
 *                    +-----> link: waiters ... socket ... engine
 */

#ifndef _NGX_HTTP_CONFLUENCE_MODULE_H_INCLUDED_
#define _NGX_HTTP_CONFLUENCE_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <engine/engine.h>
#include "ngx_http_confluence_control_link.h"
#include "ngx_http_confluence_open_torrent.h"
#include "ngx_http_confluence_control_request.h"


#define NGX_HTTP_CONFLUENCE_MAX_RANGES  256
#define NGX_HTTP_CONFLUENCE_READAHEAD   (48 * 1024 * 1024)

#define NGX_HTTP_CONFLUENCE_GRACE_UNSET  (ENGINE_OFF - 1)

/* what a route's requests name */
#define NGX_HTTP_CONFLUENCE_TORRENT     0x01    /* by ih or magnet */
#define NGX_HTTP_CONFLUENCE_FILE        0x02    /* by path, too */
#define NGX_HTTP_CONFLUENCE_SUBTREE     0x04    /* .../infohash/HEX/PATH */
#define NGX_HTTP_CONFLUENCE_ITEM        0x08    /* of the DHT, by target */

/* what is for the operator alone: only in a location that names it */
#define NGX_HTTP_CONFLUENCE_BOUND       0x10
#define NGX_HTTP_CONFLUENCE_PAGES       0x20    /* .../PAGE */


typedef struct ngx_http_confluence_ctx_s     ngx_http_confluence_ctx_t;
typedef struct ngx_http_confluence_states_s  ngx_http_confluence_states_t;
typedef struct ngx_http_confluence_upload_s  ngx_http_confluence_upload_t;
typedef struct ngx_http_confluence_ws_s      ngx_http_confluence_ws_t;
typedef struct ngx_http_confluence_host_s    ngx_http_confluence_host_t;


typedef struct {
    ngx_str_t                       name;       /* "data" */
    ngx_uint_t                      methods;    /* NGX_HTTP_GET|... */
    ngx_str_t                       allow;      /* the same as a header */
    ngx_uint_t                      flags;
    ngx_int_t                     (*handler)(ngx_http_request_t *r,
                                        ngx_http_confluence_ctx_t *ctx);
    ngx_uint_t                      kind;       /* proto_call_e */
    ngx_str_t                       type;       /* of a call's answer */
} ngx_http_confluence_route_t;


typedef struct {
    ngx_str_t                       text;       /* joined by commas */
    ngx_array_t                    *addrs;      /* ngx_addr_t; NULL: unset */
} ngx_http_confluence_listen_t;


/* A confluence_cache_path, or a name that asks for one. */
typedef struct {
    ngx_str_t                       name;       /* "": it has none */
    u_char                         *file;       /* where it was first named */
    ngx_uint_t                      line;

    ngx_path_t                     *path;       /* NULL: not seen yet */
    off_t                           max_size;   /* bytes, or ENGINE_OFF */
    engine_layout_e                 layout;
    ngx_http_confluence_listen_t    listen;
    size_t                          readahead;  /* of any location */
    engine_conf_t                  *engine;     /* made of the above */

    ngx_http_confluence_store_t    *store;      /* of a worker */
    ngx_http_confluence_link_t     *link;
    ngx_http_confluence_host_t     *host;       /* of the engine's process */
} ngx_http_confluence_cache_t;


typedef struct {
    ngx_array_t                     caches;     /* of pointers */
    ngx_http_confluence_cache_t    *cache;      /* if a location names none */

    ngx_http_confluence_listen_t    listen;
    ngx_str_t                       dht_bootstrap;
    ngx_array_t                    *implicit_trackers;  /* char * */
    ngx_str_t                       public_ip;
    ngx_str_t                       camouflage_data;    /* path */
    blocklist_range_t              *blocklist;
    size_t                          blocklist_n;

    size_t                          upload_rate;    /* bytes per s, 0: off */
    size_t                          download_rate;
    ngx_int_t                       max_connections;
    ngx_int_t                       max_torrents;

    size_t                          scrub_rate;     /* bytes per s, 0: off */
    ngx_msec_t                      scrub_interval;

    ngx_int_t                       torrent_grace;  /* ms, or ENGINE_OFF */

    ngx_flag_t                      dht;
    ngx_flag_t                      pex;
    ngx_flag_t                      lsd;
    ngx_flag_t                      private_networks;
    ngx_flag_t                      utp;
    ngx_flag_t                      tcp;
    ngx_flag_t                      upnp;
    ngx_flag_t                      trackers;
    ngx_flag_t                      override_trackers;
    ngx_flag_t                      seed;

    u_char                         *used_file;  /* first "confluence" */
    ngx_uint_t                      used_line;
} ngx_http_confluence_main_conf_t;


typedef struct {
    ngx_http_confluence_cache_t    *cache;
    ngx_http_confluence_route_t    *route;      /* NULL: by the URI */
    ngx_str_t                       base;       /* URI before "/data" */
    ngx_msec_t                      wait_timeout;
    ngx_msec_t                      ping_interval;  /* 0: no pings */
    size_t                          readahead;  /* bytes */
    ngx_flag_t                      etag;
    ngx_flag_t                      used;       /* "confluence" is here */
} ngx_http_confluence_loc_conf_t;


typedef enum {
    ngx_http_confluence_wait_metadata = 0,
    ngx_http_confluence_wait_first,
    ngx_http_confluence_send_body
} ngx_http_confluence_state_e;


typedef enum {
    ngx_http_confluence_unknown = 0,
    ngx_http_confluence_hit,
    ngx_http_confluence_partial,
    ngx_http_confluence_miss
} ngx_http_confluence_cache_e;


typedef struct {
    off_t                           start;      /* within the file */
    off_t                           end;        /* exclusive */
    ngx_str_t                       header;     /* of a part, or "" */
} ngx_http_confluence_range_t;


/* A request for bytes. */
typedef struct {
    ngx_http_confluence_state_e     state;
    ngx_http_confluence_cache_e     cache;

    ngx_http_confluence_torrent_t  *torrent;
    uint32_t                        file;       /* or MAP_WHOLE */
    off_t                           length;     /* of the file */

    ngx_http_confluence_range_t    *ranges;     /* n or one for all of it */
    ngx_http_confluence_range_t     all;
    ngx_uint_t                      ranges_n;
    ngx_uint_t                      range;      /* the one being sent */
    off_t                           pos;        /* handed out up to here */
    off_t                           complete;   /* known so when last seen */
    off_t                           read_pos;   /* of the last READ, or -1 */
    off_t                           cached;     /* bytes there at first */
    off_t                           handed;     /* to the filters, bytes */
    off_t                           counted;    /* of these, as sent */
    ngx_str_t                       trailer;    /* of multipart */

    ngx_chain_t                    *free;
    ngx_chain_t                    *busy;
    u_char                         *copy;       /* of a database's row */
    struct ngx_http_confluence_missing_s  *missing;     /* extent.c */

    unsigned                        limited:1;  /* ranges were decided */
    unsigned                        held:1;     /* by the header filter */
    unsigned                        validator:1;  /* only 304 may come of it */
    unsigned                        invalid:1;  /* malformed Range */
    unsigned                        part:1;     /* header of it was sent */
    unsigned                        last:1;     /* all was handed out */
    unsigned                        retry:1;    /* to be had in a moment */
} ngx_http_confluence_data_t;


/* From an engine's thread to the main thread. */
typedef struct {
    ngx_str_t                       name;       /* of the cache */
    ngx_connection_t               *connection; /* of the first; NULL: closed */
    ngx_socket_t                    fds[2];     /* main thread's, engine's */
    ngx_atomic_t                    lost;       /* lines */
} ngx_http_confluence_channel_t;


struct ngx_http_confluence_ctx_s {
    ngx_http_request_t             *request;
    ngx_http_confluence_cache_t    *cache;
    ngx_http_confluence_route_t    *route;
    ngx_http_confluence_data_t     *data;       /* NULL: another route */
    ngx_http_confluence_states_t   *states;     /* of /fileState */
    ngx_http_confluence_upload_t   *upload;     /* of /upload */
    ngx_http_confluence_ws_t       *ws;         /* of /events */

    magnet_hash_t                   hash;
    ngx_str_t                       magnet;
    ngx_str_t                       path;       /* display path */
    ngx_str_t                       filename;

    ngx_int_t                     (*run)(ngx_http_request_t *r,
                                        ngx_http_confluence_ctx_t *ctx);
    ngx_http_confluence_waiter_t    waiter;
    ngx_event_t                     wake;       /* by the link, and timer */
    ngx_msec_t                      waited;     /* ms */
    ngx_msec_t                      wait_start;
    ngx_msec_t                      wait_timeout;
    ngx_uint_t                      opens;      /* tries after READY */

    unsigned                        selected:1; /* hash is set */
    unsigned                        has_path:1;
    unsigned                        has_filename:1;
    unsigned                        nowait:1;
    unsigned                        json:1;
    unsigned                        waiting:1;
    unsigned                        timedout:1;
    unsigned                        prepared:1; /* header chain was tried */
};


/* conf.c: handlers of the directives that nginx has none for */

char *ngx_http_confluence_conf_route(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_confluence_conf_dht_bootstrap(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_confluence_conf_implicit_tracker(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_confluence_conf_public_ip(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_confluence_conf_camouflage_data(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_confluence_conf_blocklist(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_confluence_conf_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_confluence_conf_scrub(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_confluence_conf_torrent_grace(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

/* Appends a value to a list with commas, as the engine takes it. */
ngx_int_t ngx_http_confluence_conf_join(ngx_conf_t *cf, ngx_str_t *list,
    ngx_str_t *value);


/* conf_cache.c */

char *ngx_http_confluence_conf_cache_path(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_confluence_conf_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Completes the caches when the configuration was read, and checks them.
 * Returns NGX_ERROR (logged) if one is unknown, or two cannot be used together.
 */
ngx_int_t ngx_http_confluence_conf_caches(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf);


/* conf_net.c */

char *ngx_http_confluence_conf_listen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Adds [address:]port to what is listened on.  Returns NULL, or what is wrong
 * with the value, or NGX_CONF_ERROR (logged).
 */
char *ngx_http_confluence_conf_listen_add(ngx_conf_t *cf,
    ngx_http_confluence_listen_t *listen, ngx_str_t *value);

/* An address that two cannot both listen on, or NULL. */
ngx_str_t *ngx_http_confluence_conf_listen_clash(
    ngx_http_confluence_listen_t *one, ngx_http_confluence_listen_t *other);


/* route.c */

/* Finds a route by its name, "data", or returns NULL. */
ngx_http_confluence_route_t *ngx_http_confluence_route(ngx_str_t *name);

/* The content handler of every location with "confluence". */
ngx_int_t ngx_http_confluence_handler(ngx_http_request_t *r);


/* request.c */

/*
 * Reads the query into ctx, and the torrent and display path from the text
 * that follows "infohash/" in the URI if path is not NULL (escaped: not
 * decoded yet).
 *
 * Returns NGX_DECLINED if the request goes on, or what the handler returns
 * after a refusal.
 */
ngx_int_t ngx_http_confluence_select(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_str_t *path, ngx_uint_t escaped);


/* error.c */

/*
 * Answers with a line of plain text, or lets nginx do so if an error_page for
 * the status is configured.  fmt: the text as for ngx_sprintf(), LF is added.
 *
 * Returns what a handler returns and what a request is finalized with:
 * NGX_ERROR if the header was sent already.
 */
ngx_int_t ngx_http_confluence_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...);

/* The same for a text that is no format. */
ngx_int_t ngx_http_confluence_error_text(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *text);


/* header.c */

/*
 * Adds a response header; key is a constant, len bytes of value are kept.
 * Returns NULL if out of memory.
 */
ngx_table_elt_t *ngx_http_confluence_header(ngx_http_request_t *r,
    const char *key, u_char *value, size_t len);

/* Adds the headers of a 200 for the file that ctx->data names. */
ngx_int_t ngx_http_confluence_data_headers(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/* Adds Content-Disposition as ctx wants it, if at all. */
ngx_int_t ngx_http_confluence_disposition(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/*
 * Nonzero if If-None-Match names the entity: that can be told before anything
 * is known of the torrent.
 */
ngx_uint_t ngx_http_confluence_known(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/* Takes back a header that filters worked on: an error is sent instead. */
void ngx_http_confluence_reset_header(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);


/* wait.c */

/*
 * Runs a request for the first time: run is called now and at each wake-up,
 * until it returns something other than NGX_AGAIN, which finalizes the
 * request.
 *
 * Returns what the handler returns.
 */
ngx_int_t ngx_http_confluence_start(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx,
    ngx_int_t (*run)(ngx_http_request_t *r, ngx_http_confluence_ctx_t *ctx));

/*
 * Runs a request at a wake-up that is its own: its function is called, and the
 * request finalized unless that waits on.
 */
void ngx_http_confluence_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/*
 * Waits for the engine or the end of timeout (ms since the wait began; less
 * if there is no engine at all), and for the client's leaving.
 *
 * Returns NGX_AGAIN, or what to finalize the request with.
 */
ngx_int_t ngx_http_confluence_wait(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_msec_t timeout);

/* There was progress: the wait is over. */
void ngx_http_confluence_wait_over(ngx_http_confluence_ctx_t *ctx);

/*
 * Waits until the client has taken some of what was sent, send_timeout at
 * most.  Returns as ngx_http_confluence_wait().
 */
ngx_int_t ngx_http_confluence_wait_client(ngx_http_request_t *r);

/* Waits until others had their turn.  Returns NGX_AGAIN. */
ngx_int_t ngx_http_confluence_wait_turn(ngx_http_confluence_ctx_t *ctx);

/* Answers for a wait that took too long, or that the engine ended. */
ngx_int_t ngx_http_confluence_wait_failed(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, const char *what);


/* metadata.c */

/*
 * Opens the map of the request's torrent, asking the engine for it if there is
 * none; a waiter with watch set asks in any case.
 *
 * Returns NGX_DECLINED and a reference, given back by
 * ngx_http_confluence_store_leave(), if the request goes on; else as
 * ngx_http_confluence_wait(), to be called again at each wake-up.
 */
ngx_int_t ngx_http_confluence_metadata(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_http_confluence_torrent_t **torrent);


/* data.c */

ngx_int_t ngx_http_confluence_data_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/*
 * Looks at how much of what the request asks for is in the cache, for the log
 * and for Cache-Status.  Nonzero if the first byte is.
 */
ngx_uint_t ngx_http_confluence_data_cached(ngx_http_confluence_ctx_t *ctx);

/*
 * Tells the engine what is read next, if that is of use.  blocked: nothing is
 * there at the position.
 */
void ngx_http_confluence_data_ahead(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx, ngx_uint_t blocked);

/*
 * Nothing is there at the position: waits, or gives up.  Returns NGX_DECLINED
 * to look again, or as ngx_http_confluence_wait().
 */
ngx_int_t ngx_http_confluence_data_wait(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);


/* body.c */

/* Sends what is there; returns as the function of ..._start(). */
ngx_int_t ngx_http_confluence_body_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/* Gives back the segments of all buffers; when the pool is destroyed. */
void ngx_http_confluence_body_cleanup(ngx_http_confluence_data_t *d);


/* range.c */

/* Installs the header filter. */
void ngx_http_confluence_range_init(void);

/* Sends the header that the filter has held back. */
ngx_int_t ngx_http_confluence_range_resume(ngx_http_request_t *r);


/* state.c */

ngx_int_t ngx_http_confluence_state_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);


/* events.c */

ngx_int_t ngx_http_confluence_events_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);


/* call.c */

ngx_int_t ngx_http_confluence_call_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/* Asks unless that was done, waits, answers; see ..._start(). */
ngx_int_t ngx_http_confluence_call_run(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);


/* upload.c */

ngx_int_t ngx_http_confluence_upload_handler(ngx_http_request_t *r,
    ngx_http_confluence_ctx_t *ctx);

/* Closes what an upload has open, if there is one. */
void ngx_http_confluence_upload_close(ngx_http_confluence_ctx_t *ctx);


/* engine.c */

/* Describes the engine of a cache, when the configuration is complete. */
ngx_int_t ngx_http_confluence_engine_conf(ngx_conf_t *cf,
    ngx_http_confluence_main_conf_t *mcf, ngx_http_confluence_cache_t *cache);

/*
 * The cache manager's callback for the path of a cache, which is data: starts
 * its engine in this process.
 */
ngx_msec_t ngx_http_confluence_engine_manager(void *data);

/* In single process mode the engines run beside the only worker. */
void ngx_http_confluence_engine_single(ngx_http_confluence_cache_t *cache);
void ngx_http_confluence_engine_single_stop(void);

/*
 * In single process mode files are made as the user of workers: 0 changes to
 * it, and returns nonzero if 1 is to be called afterwards.
 */
ngx_uint_t ngx_http_confluence_engine_user(ngx_uint_t restore);


/* channel.c: from an engine's thread to the main thread of its host */

/* Opens the channel, if it is closed.  Main thread. */
ngx_int_t ngx_http_confluence_channel_open(
    ngx_http_confluence_channel_t *channel);
void ngx_http_confluence_channel_close(
    ngx_http_confluence_channel_t *channel);

/* Writes to nginx's log what has come so far.  Main thread. */
void ngx_http_confluence_channel_lines(
    ngx_http_confluence_channel_t *channel);

/* Callbacks of engine_conf_t, ctx is the channel.  Engine's thread, no wait. */
void ngx_http_confluence_channel_log(void *ctx, int level, const char *text,
    size_t len);
void ngx_http_confluence_channel_idle(void *ctx);


/* count.c */

/* Counts one of counters_e for the cache that the request is about. */
void ngx_http_confluence_count(ngx_http_confluence_ctx_t *ctx, ngx_uint_t n);

/* A request for bytes, and its first byte being sent. */
void ngx_http_confluence_count_request(ngx_http_confluence_data_t *d);
void ngx_http_confluence_count_first(ngx_http_request_t *r,
    ngx_http_confluence_data_t *d);

/* Bytes that left since the last call. */
void ngx_http_confluence_count_sent(ngx_http_confluence_data_t *d);


/* variables.c */

ngx_int_t ngx_http_confluence_add_variables(ngx_conf_t *cf);


extern ngx_module_t  ngx_http_confluence_module;


#endif /* _NGX_HTTP_CONFLUENCE_MODULE_H_INCLUDED_ */
