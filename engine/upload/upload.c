
#include "engine/upload/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/upload/import.h"
#include "engine/upload/build.h"
#include "engine/torrent/torrent_add.h"
#include "engine/core/log.h"
#include "engine/pieces/reader.h"
#include "engine/control/reply.h"
#include "engine/upload/cleanup.h"
#include "engine/torrent/torrent.h"


#define UPLOAD_THREADS    2
#define UPLOAD_PAGE       4096
#define UPLOAD_STEP       (64 * 1024 * 1024)    /* bytes staged at a time */
#define UPLOAD_STEP_MIN   (4 * 1024 * 1024)     /* of who knows how many */
#define UPLOAD_SLICE      64            /* segments moved at a time */
#define UPLOAD_PROGRESS   2000          /* ms */
#define UPLOAD_SWEEP      100           /* ms after an upload has ended */


/* Of a request, request->upload. */
struct upload_s {
    TAILQ_ENTRY(upload_s)  link;
    request_t             *request;
    content_t             *content;     /* NULL: data still comes */
    uint64_t               staged;      /* bytes counted as used */
    uint64_t               hashed;      /* when last looked at */
    uint32_t               segment;     /* the next one to be moved */
    adopt_t               *adopt;       /* it is being copied, or NULL */
    unsigned               loaded:1;    /* the torrent is */
};


struct uploads_s {
    jobs_t                   jobs;
    TAILQ_HEAD(, upload_s)   list;
    sweep_t                  sweep;
    int64_t                  progress_next;
};


static upload_t *upload_create(request_t *request);
static uint64_t upload_round(uint64_t n);
static void upload_done(engine_t *engine, content_t *content);
static int upload_load(upload_t *upload);
static int upload_move(upload_t *upload);
static int upload_segment(upload_t *upload, uint32_t n);
static void upload_unstage(upload_t *upload, uint64_t n);
static void upload_drop(job_t *job);


int
upload_open(engine_t *engine)
{
    int         rc;
    uploads_t  *u;

    u = calloc(1, sizeof(uploads_t));

    if (u == NULL) {
        return ENOMEM;
    }

    if (mkdirat(engine->cache.dir, MANIFEST_FOLDER, 0700) == -1
        && errno != EEXIST)
    {
        rc = errno;
        free(u);
        return rc;
    }

    rc = jobs_open(&u->jobs, UPLOAD_THREADS, "engine-upload");

    if (rc != 0) {
        free(u);
        return rc;
    }

    TAILQ_INIT(&u->list);
    u->sweep.dir = engine->cache.dir;
    engine->uploads = u;

    /* what a crash has left */

    sweep_after(&u->sweep, 0);

    return 0;
}


void
upload_close(engine_t *engine)
{
    uploads_t  *u;

    u = engine->uploads;

    if (u == NULL) {
        return;
    }

    engine->uploads = NULL;

    jobs_close(&u->jobs, upload_drop);
    free(u);
}


static void
upload_drop(job_t *job)
{
    if (job->run == content_run) {
        content_free((content_t *) job);

    } else {
        (void) adopt_done(job);
    }
}


int
upload_fd(const engine_t *engine)
{
    return engine->uploads->jobs.fd;
}


static upload_t *
upload_create(request_t *request)
{
    upload_t  *upload;

    upload = request->upload;

    if (upload == NULL) {
        upload = calloc(1, sizeof(upload_t));

        if (upload == NULL) {
            reply_fail(request, 500, "out of memory\n");
            return NULL;
        }

        upload->request = request;
        request->upload = upload;
        TAILQ_INSERT_TAIL(&request->conn->engine->uploads->list, upload,
                          link);
    }

    return upload;
}


int
upload_stage(request_t *request, uint64_t need, uint64_t most)
{
    uint64_t      n, got, step;
    cache_t      *cache;
    upload_t     *upload;
    proto_msg_t   msg;

    if (request->torrent != NULL || most < need) {
        return -1;
    }

    upload = upload_create(request);

    if (upload == NULL) {
        return 0;
    }

    cache = &request->conn->engine->cache;
    need = upload_round(need);
    n = need > upload->staged ? need - upload->staged : 0;

    /* what surely never fits need not come */

    if (need > MANIFEST_TOTAL_MAX
        || (most != UINT64_MAX && cache->max_size >= 0
            && most > (uint64_t) cache->max_size + UPLOAD_STEP))
    {
        reply_fail(request, 507, "upload is larger than the cache\n");
        return 0;
    }

    step = UPLOAD_STEP;

    if (most == UINT64_MAX && need < UPLOAD_STEP) {
        step = (need > UPLOAD_STEP_MIN) ? need : UPLOAD_STEP_MIN;
    }

    most = (most > need && most - need > step) ? need + step
                                               : upload_round(most);

    if (cache_stage(cache, n, most > upload->staged ? most - upload->staged
                                                    : 0, &got)
        != 0)
    {
        reply_fail(request, 507, "no room for the upload in the cache\n");
        return 0;
    }

    upload->staged += got;

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_STAGED;
    msg.tag = request->tag;
    msg.arg0 = upload->staged;

    reply_send(request->conn, &msg, NULL, -1);

    return 0;
}


static uint64_t
upload_round(uint64_t n)
{
    return (n + UPLOAD_PAGE - 1) & ~(uint64_t) (UPLOAD_PAGE - 1);
}


void
upload_call(request_t *request, int fd, uint64_t len)
{
    int         rc;
    engine_t   *engine;
    upload_t   *upload;
    content_t  *content;

    engine = request->conn->engine;
    upload = upload_create(request);

    if (upload == NULL || upload->content != NULL) {
        return;
    }

    content = calloc(1, sizeof(content_t));

    if (content == NULL) {
        reply_fail(request, 500, "out of memory\n");
        return;
    }

    content->job.run = content_run;
    content->dir = engine->cache.dir;
    content->size = len;
    content->trackers = engine->conf.implicit_trackers;
    content->data = upload;
    content_nodes(content, engine->conf.public_ip,
                  shim_listen_port(engine->shim));
    content->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    rc = (content->fd == -1) ? errno : 0;

    if (rc == 0) {
        rc = jobs_submit(&engine->uploads->jobs, &content->job);
    }

    if (rc != 0) {
        engine_log(engine, ENGINE_LOG_CRIT, rc, "upload cannot be begun");
        content_free(content);
        reply_fail(request, 500, "upload cannot be begun\n");
        return;
    }

    upload->content = content;
}


void
upload_forget(request_t *request)
{
    engine_t  *engine;
    upload_t  *upload;

    upload = request->upload;

    if (upload == NULL) {
        return;
    }

    engine = request->conn->engine;
    request->upload = NULL;

    upload_unstage(upload, upload->staged);

    if (upload->adopt != NULL) {
        adopt_forget(upload->adopt);
    }

    if (upload->content != NULL) {

        if (upload->loaded) {
            content_free(upload->content);

        } else {
            upload->content->data = NULL;
            job_cancel(&upload->content->job);
        }
    }

    TAILQ_REMOVE(&engine->uploads->list, upload, link);
    free(upload);

    sweep_after(&engine->uploads->sweep, UPLOAD_SWEEP);
}


void
upload_event(engine_t *engine)
{
    job_t      *job;
    upload_t   *upload, *next;
    uploads_t  *u;

    u = engine->uploads;

    while ((job = jobs_done(&u->jobs)) != NULL) {

        if (job == &u->sweep.job) {
            sweep_done(&u->sweep);
            continue;
        }

        if (!adopt_done(job)) {
            upload_done(engine, (content_t *) job);
        }
    }

    for (upload = TAILQ_FIRST(&u->list); upload != NULL; upload = next) {
        next = TAILQ_NEXT(upload, link);

        if (upload->loaded && upload_move(upload)) {

            /* others have their turn, then this goes on */

            jobs_wake(&u->jobs);
        }
    }
}


/*
 * The job has ended.
 */
static void
upload_done(engine_t *engine, content_t *content)
{
    char       text[300];
    upload_t  *upload;

    upload = content->data;

    if (upload == NULL) {
        content_free(content);
        return;
    }

    if (content->status != 200) {

        if (content->status >= 500) {
            engine_log(engine, ENGINE_LOG_ERR, 0, "upload failed: %s",
                       content->error);
        }

        snprintf(text, sizeof(text), "%s%s\n",
                 (content->status < 500) ? "parsing multipart form: " : "",
                 content->error);

        upload->loaded = 1;     /* the job is ours again */
        reply_fail(upload->request, content->status, text);
        return;
    }

    upload->loaded = 1;

    (void) upload_load(upload);
}


/*
 * Loads the torrent, or tells it to one that is loaded.  Returns -1 if that
 * failed: the upload is gone then.
 */
static int
upload_load(upload_t *upload)
{
    char         err[256];
    unsigned     status;
    content_t   *content;
    request_t   *request;
    load_name_t  name;

    content = upload->content;
    request = upload->request;

    memset(&name, 0, sizeof(name));

    status = load_post(request, content->metainfo, content->metainfo_len,
                       &name, err, sizeof(err));

    if (status != 200) {
        engine_log(request->conn->engine, ENGINE_LOG_ERR, 0,
                   "torrent of an upload is refused: %s", err);
        reply_fail(request, status, err);
        return -1;
    }

    if (request->torrent->store == NULL) {

        /* whoever waits for it is answered, but for this request */

        (void) torrent_found(request->torrent);
    }

    return 0;
}


/*
 * Moves some segments to the torrent's store.  Returns 1 if there are more.
 */
static int
upload_move(upload_t *upload)
{
    int         rc;
    char        text[128];
    uint32_t    end;
    engine_t   *engine;
    content_t  *content;
    torrent_t  *torrent;

    engine = upload->request->conn->engine;
    content = upload->content;
    torrent = upload->request->torrent;

    if (torrent == NULL
        || torrent->store == NULL
        || content->total != torrent->info.total_size)
    {
        reply_fail(upload->request, 500, "torrent of an upload differs\n");
        return 0;
    }

    end = upload->segment + UPLOAD_SLICE;
    end = (end < content->segment_n) ? end : content->segment_n;

    for ( /* void */ ; upload->segment < end; upload->segment++) {
        rc = upload_segment(upload, upload->segment);

        if (rc == EINPROGRESS) {
            return 0;
        }

        if (rc != 0) {
            engine_log(engine, ENGINE_LOG_CRIT, rc,
                       "upload cannot be moved to the cache");
            snprintf(text, sizeof(text), "cache directory: %s\n",
                     strerror(rc));
            reply_fail(upload->request,
                       (rc == ENOSPC || rc == EDQUOT) ? 507 : 500, text);
            return 0;
        }
    }

    reader_dirty(torrent);

    if (upload->segment < content->segment_n) {
        return 1;
    }

    reply_body(upload->request, 200, 0, content->metainfo,
               content->metainfo_len);

    return 0;
}


/*
 * Moves one of them, or has it copied.  It counts there from then on.
 */
static int
upload_segment(upload_t *upload, uint32_t n)
{
    int         rc;
    char        name[80];
    uint64_t    begin, size;
    content_t  *content;
    torrent_t  *torrent;

    content = upload->content;
    torrent = upload->request->torrent;

    snprintf(name, sizeof(name), MANIFEST_FOLDER "/%s/%u", content->folder, n);

    begin = n * content->segment_size;
    size = content->total - begin;
    size = (size < content->segment_size) ? size : content->segment_size;

    if (!torrent->store->payload->copied) {
        upload_unstage(upload, upload_round(size));
        return adopt_segment(torrent, n, name, size);
    }

    rc = adopt_copy(torrent, &torrent->engine->uploads->jobs, &upload->adopt,
                    name, begin, size);

    if (rc == 0) {
        upload_unstage(upload, upload_round(size));
    }

    return rc;
}


static void
upload_unstage(upload_t *upload, uint64_t n)
{
    n = (n < upload->staged) ? n : upload->staged;

    upload->staged -= n;
    upload->request->conn->engine->cache.used -= n;
}


int
upload_timeout(engine_t *engine)
{
    int64_t     now, next;
    upload_t   *upload;
    uploads_t  *u;
    uint64_t    hashed;

    u = engine->uploads;
    now = engine_now();

    next = sweep_start(&u->sweep, &u->jobs);

    if (!TAILQ_EMPTY(&u->list)) {

        if (u->progress_next <= now) {
            u->progress_next = now + UPLOAD_PROGRESS;

            TAILQ_FOREACH(upload, &u->list, link) {

                if (upload->content == NULL) {
                    continue;
                }

                hashed = __atomic_load_n(&upload->content->hashed,
                                         __ATOMIC_RELAXED);

                if (hashed != upload->hashed) {
                    upload->hashed = hashed;
                    reply_wake(upload->request);
                }
            }
        }

        if (next == 0 || u->progress_next < next) {
            next = u->progress_next;
        }
    }

    if (next == 0) {
        return -1;
    }

    return (next > now) ? (int) (next - now) : 0;
}
