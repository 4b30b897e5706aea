
#include "engine/torrent/source.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/base/job.h"
#include "engine/torrent/torrent_add.h"
#include "engine/core/log.h"
#include "engine/torrent/source_transfer.h"


#define FETCH_RUNNING  16       /* at a time, others wait */
#define FETCH_SOURCES  8        /* of a torrent */
#define FETCH_AGAIN    60000    /* ms after the end of the last attempt */
#define FETCH_NAME     256


typedef enum {
    FETCH_QUEUED = 0,
    FETCH_ASKING,
    FETCH_OVER                      /* kept so that it is not asked again */
} fetch_e;


struct fetch_s {
    transfer_t             transfer;    /* first */
    fetches_t             *fetches;
    torrent_t             *torrent;     /* NULL: nobody wants it any more */
    LIST_ENTRY(fetch_s)    link;        /* the torrent's */
    TAILQ_ENTRY(fetch_s)   queue_link;
    fetch_e                state;
    int64_t                until;       /* ms: not asked again before that */
    char                  *url;
    char                   name[FETCH_NAME];    /* for the log */
};


struct fetches_s {
    jobs_t                 jobs;
    TAILQ_HEAD(, fetch_s)  queue;
    unsigned               running;
    int64_t                memory;      /* bytes of all buffers, atomic */
};


static fetch_t *fetch_find(torrent_t *torrent, const char *url);
static fetch_t *fetch_create(torrent_t *torrent, const char *url);
static int fetch_room(torrent_t *torrent);
static int fetch_name(fetch_t *f);
static void fetch_start(fetches_t *fetches);
static void fetch_fail(fetch_t *f, const char *why);
static void fetch_done(fetch_t *f);
static void fetch_over(fetch_t *f);
static void fetch_free(fetch_t *f);
static void fetch_drop(job_t *job);
static void fetch_init(void);


int
fetch_open(engine_t *engine)
{
    int         rc;
    fetches_t  *fetches;

    fetches = calloc(1, sizeof(fetches_t));

    if (fetches == NULL) {
        return ENOMEM;
    }

    rc = jobs_open(&fetches->jobs, FETCH_RUNNING, "engine-fetch");

    if (rc != 0) {
        free(fetches);
        return rc;
    }

    TAILQ_INIT(&fetches->queue);
    engine->fetches = fetches;

    return 0;
}


void
fetch_close(engine_t *engine)
{
    fetches_t  *fetches;

    fetches = engine->fetches;

    if (fetches == NULL) {
        return;
    }

    engine->fetches = NULL;

    jobs_close(&fetches->jobs, fetch_drop);
    free(fetches);
}


static void
fetch_drop(job_t *job)
{
    fetch_free((fetch_t *) job);
}


int
fetch_fd(const engine_t *engine)
{
    return engine->fetches->jobs.fd;
}


void
fetch_source(torrent_t *torrent, const char *url)
{
    fetch_t                *f;
    fetches_t              *fetches;
    shim_info_t             info;
    static pthread_once_t   once = PTHREAD_ONCE_INIT;

    if (torrent->store != NULL
        || (strncasecmp(url, "http://", 7) != 0
            && strncasecmp(url, "https://", 8) != 0))
    {
        return;
    }

    info.size = sizeof(info);

    if (shim_info(torrent->engine->shim, torrent->id, &info) == SHIM_OK) {
        return;             /* of the cached metainfo */
    }

    (void) pthread_once(&once, fetch_init);

    f = fetch_find(torrent, url);

    if (f == NULL) {
        f = fetch_create(torrent, url);

        if (f == NULL) {
            return;
        }

    } else if (f->state != FETCH_OVER || f->until > engine_now()) {
        return;
    }

    fetches = f->fetches;

    f->state = FETCH_QUEUED;
    TAILQ_INSERT_TAIL(&fetches->queue, f, queue_link);

    fetch_start(fetches);
}


static void
fetch_init(void)
{
    (void) curl_global_init(CURL_GLOBAL_DEFAULT);
}


static fetch_t *
fetch_find(torrent_t *torrent, const char *url)
{
    fetch_t  *f;

    LIST_FOREACH(f, &torrent->fetches, link) {
        if (strcmp(f->url, url) == 0) {
            return f;
        }
    }

    return NULL;
}


/*
 * NULL if it is not to be asked.
 */
static fetch_t *
fetch_create(torrent_t *torrent, const char *url)
{
    char       hex[41];
    fetch_t   *f;
    engine_t  *engine;

    engine = torrent->engine;

    f = fetch_room(torrent) ? calloc(1, sizeof(fetch_t)) : NULL;

    if (f == NULL) {
        return NULL;
    }

    f->fetches = engine->fetches;
    f->torrent = torrent;
    f->url = strdup(url);

    f->transfer.shim = engine->shim;
    f->transfer.url = f->url;
    f->transfer.memory = &f->fetches->memory;
    memcpy(f->transfer.ih, torrent->ih, 20);

    if (f->url == NULL || fetch_name(f) != 0) {
        map_hex(hex, torrent->ih, 20);
        engine_log(engine, ENGINE_LOG_INFO, 0,
                   "torrent \"%s\": a source is not a URL", hex);

        fetch_free(f);
        return NULL;
    }

    LIST_INSERT_HEAD(&torrent->fetches, f, link);

    return f;
}


/*
 * One more source may be asked; one that has failed makes room for it, but not
 * so soon that it could be asked again.
 */
static int
fetch_room(torrent_t *torrent)
{
    int64_t    now;
    unsigned   n;
    fetch_t   *f, *old;

    n = 0;
    old = NULL;
    now = engine_now();

    LIST_FOREACH(f, &torrent->fetches, link) {
        n++;

        if (f->state == FETCH_OVER && f->until <= now) {
            old = f;
        }
    }

    if (n < FETCH_SOURCES) {
        return 1;
    }

    if (old == NULL) {
        return 0;
    }

    LIST_REMOVE(old, link);
    fetch_free(old);

    return 1;
}


/*
 * Without what may be a secret of whoever asks us: a password, or a key.
 */
static int
fetch_name(fetch_t *f)
{
    int     rc;
    char   *text;
    CURLU  *url;

    rc = -1;
    url = curl_url();

    if (url != NULL
        && curl_url_set(url, CURLUPART_URL, f->url, 0) == CURLUE_OK
        && curl_url_set(url, CURLUPART_USER, NULL, 0) == CURLUE_OK
        && curl_url_set(url, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK
        && curl_url_set(url, CURLUPART_QUERY, NULL, 0) == CURLUE_OK
        && curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK
        && curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK)
    {
        snprintf(f->name, sizeof(f->name), "%s", text);
        curl_free(text);
        rc = 0;
    }

    curl_url_cleanup(url);

    return rc;
}


/*
 * Those that may run are begun.
 */
static void
fetch_start(fetches_t *fetches)
{
    int       rc;
    fetch_t  *f;

    while (fetches->running < FETCH_RUNNING) {
        f = TAILQ_FIRST(&fetches->queue);

        if (f == NULL) {
            return;
        }

        TAILQ_REMOVE(&fetches->queue, f, queue_link);

        rc = transfer_open(&f->transfer);

        if (rc == 0) {
            rc = jobs_submit(&fetches->jobs, &f->transfer.job);
        }

        if (rc != 0) {
            fetch_fail(f, strerror(rc));
            continue;
        }

        f->state = FETCH_ASKING;
        fetches->running++;
    }
}


void
fetch_forget(torrent_t *torrent)
{
    fetch_t  *f;

    while ((f = LIST_FIRST(&torrent->fetches)) != NULL) {
        LIST_REMOVE(f, link);
        f->torrent = NULL;

        if (f->state == FETCH_ASKING) {
            transfer_cancel(&f->transfer);
            continue;
        }

        if (f->state == FETCH_QUEUED) {
            TAILQ_REMOVE(&f->fetches->queue, f, queue_link);
        }

        fetch_free(f);
    }
}


void
fetch_event(engine_t *engine)
{
    job_t      *job;
    fetches_t  *fetches;

    fetches = engine->fetches;

    while ((job = jobs_done(&fetches->jobs)) != NULL) {
        fetches->running--;
        fetch_done((fetch_t *) job);
    }

    fetch_start(fetches);
}


static void
fetch_done(fetch_t *f)
{
    char       *buf, hex[41];
    size_t      len;
    torrent_t  *torrent;

    torrent = f->torrent;

    if (torrent == NULL) {
        fetch_free(f);
        return;
    }

    if (!f->transfer.good) {
        fetch_fail(f, f->transfer.why);
        return;
    }

    map_hex(hex, torrent->ih, 20);
    engine_log(torrent->engine, ENGINE_LOG_INFO, 0,
               "torrent \"%s\": source \"%s\" has its info", hex, f->name);

    /* with the torrent, if that cannot go on, f is gone */

    buf = f->transfer.buf;
    len = f->transfer.len;
    f->transfer.buf = NULL;

    fetch_over(f);
    load_source(torrent, buf, len);
    free(buf);
}


static void
fetch_fail(fetch_t *f, const char *why)
{
    char  hex[41];

    map_hex(hex, f->torrent->ih, 20);
    engine_log(f->torrent->engine, ENGINE_LOG_INFO, 0,
               "torrent \"%s\": source \"%s\": %s", hex, f->name, why);

    fetch_over(f);
}


static void
fetch_over(fetch_t *f)
{
    f->state = FETCH_OVER;
    f->until = engine_now() + FETCH_AGAIN;

    transfer_close(&f->transfer);
}


static void
fetch_free(fetch_t *f)
{
    transfer_close(&f->transfer);
    free(f->url);
    free(f);
}
