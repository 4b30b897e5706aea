
#include "engine/cache/sqlite/vacuum.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/core/log.h"


#define RECLAIM_ROWS   1024     /* removed at once */
#define RECLAIM_SPARE  1024     /* free pages that are kept */
#define RECLAIM_STEP   256      /* pages given back at once */
#define RECLAIM_QUIET  10000    /* ms without writes until the file shrinks */
#define RECLAIM_RETRY  1000     /* ms */
#define RECLAIM_CLOSE  16       /* transactions; the next start does the rest */


struct removal_s {
    TAILQ_ENTRY(removal_s)  link;
    uint8_t                 ih[20];
    uint64_t                begin;
    uint64_t                end;
    int                     torrent;
};


static void *reclaim_thread(void *data);
static void reclaim_sleep(reclaim_t *reclaim, int ms);
static int reclaim_work(reclaim_t *reclaim);
static int reclaim_remove(reclaim_t *reclaim, removal_t *r);
static int reclaim_delete(sql_t *sql, int64_t id, int64_t first, int64_t end,
    const removal_t *r);
static int reclaim_shrink(reclaim_t *reclaim);


int
reclaim_open(reclaim_t *reclaim, sql_t *sql, pthread_mutex_t *lock)
{
    int                 rc;
    sigset_t            all, old;
    pthread_condattr_t  attr;

    memset(reclaim, 0, sizeof(reclaim_t));

    reclaim->sql = sql;
    reclaim->lock = lock;

    TAILQ_INIT(&reclaim->removals);

    pthread_mutex_init(&reclaim->mutex, NULL);

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&reclaim->cond, &attr);
    pthread_condattr_destroy(&attr);

    /* signals are the host's: its own thread takes them */

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);

    rc = pthread_create(&reclaim->thread, NULL, reclaim_thread, reclaim);

    pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc != 0) {
        pthread_cond_destroy(&reclaim->cond);
        pthread_mutex_destroy(&reclaim->mutex);
    }

    return rc;
}


void
reclaim_close(reclaim_t *reclaim)
{
    removal_t  *r;

    pthread_mutex_lock(&reclaim->mutex);
    reclaim->quit = 1;
    pthread_cond_signal(&reclaim->cond);
    pthread_mutex_unlock(&reclaim->mutex);

    pthread_join(reclaim->thread, NULL);

    (void) reclaim_flush(reclaim, RECLAIM_CLOSE);

    while ((r = TAILQ_FIRST(&reclaim->removals)) != NULL) {
        TAILQ_REMOVE(&reclaim->removals, r, link);
        free(r);
    }

    pthread_cond_destroy(&reclaim->cond);
    pthread_mutex_destroy(&reclaim->mutex);
}


static void *
reclaim_thread(void *data)
{
    int         ms;
    reclaim_t  *reclaim;

    reclaim = data;

    (void) pthread_setname_np(pthread_self(), "engine-reclaim");

    pthread_mutex_lock(&reclaim->mutex);

    while (!reclaim->quit) {
        pthread_mutex_unlock(&reclaim->mutex);

        pthread_mutex_lock(reclaim->lock);
        ms = reclaim_work(reclaim);
        pthread_mutex_unlock(reclaim->lock);

        pthread_mutex_lock(&reclaim->mutex);

        if (reclaim->quit) {
            break;
        }

        if (ms == RECLAIM_RETRY) {
            reclaim_sleep(reclaim, ms);
            continue;
        }

        if (ms == 0 || !TAILQ_EMPTY(&reclaim->removals)) {
            continue;
        }

        if (ms == -1) {
            pthread_cond_wait(&reclaim->cond, &reclaim->mutex);

        } else {
            reclaim_sleep(reclaim, ms);
        }
    }

    pthread_mutex_unlock(&reclaim->mutex);

    return NULL;
}


/*
 * Until it is over, or something was noted.  Under the mutex.
 */
static void
reclaim_sleep(reclaim_t *reclaim, int ms)
{
    struct timespec  t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;

    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }

    (void) pthread_cond_timedwait(&reclaim->cond, &reclaim->mutex, &t);
}


/*
 * A bit of what is to be done.  Returns the milliseconds until there is more,
 * or -1.  Under the lock.
 */
static int
reclaim_work(reclaim_t *reclaim)
{
    int  rc, more;

    rc = reclaim_flush(reclaim, 1);

    pthread_mutex_lock(&reclaim->mutex);
    more = !TAILQ_EMPTY(&reclaim->removals);
    pthread_mutex_unlock(&reclaim->mutex);

    if (rc != 0) {
        return RECLAIM_RETRY;
    }

    rc = more ? 0 : reclaim_shrink(reclaim);

    sql_checkpoint(reclaim->sql, 0);

    return rc;
}


void
reclaim_note(reclaim_t *reclaim, const uint8_t *ih, uint64_t begin,
    uint64_t end, int torrent)
{
    removal_t  *r;

    pthread_mutex_lock(&reclaim->mutex);

    r = TAILQ_LAST(&reclaim->removals, removals_s);

    if (r != NULL && r->end == begin && !r->torrent && !torrent
        && memcmp(r->ih, ih, 20) == 0)
    {
        r->end = end;

    } else {
        r = calloc(1, sizeof(removal_t));

        if (r != NULL) {
            memcpy(r->ih, ih, 20);
            r->begin = begin;
            r->end = end;
            r->torrent = torrent;
            TAILQ_INSERT_TAIL(&reclaim->removals, r, link);
        }
    }

    pthread_cond_signal(&reclaim->cond);
    pthread_mutex_unlock(&reclaim->mutex);
}


int
reclaim_flush(reclaim_t *reclaim, unsigned n)
{
    int         rc;
    removal_t  *r;

    rc = 0;

    for ( /* void */ ; rc == 0 && n != 0; n--) {

        /* nobody adds to one that is taken out */

        pthread_mutex_lock(&reclaim->mutex);

        r = TAILQ_FIRST(&reclaim->removals);

        if (r != NULL) {
            TAILQ_REMOVE(&reclaim->removals, r, link);
        }

        pthread_mutex_unlock(&reclaim->mutex);

        if (r == NULL) {
            return 0;
        }

        rc = reclaim_remove(reclaim, r);

        if (r->begin == r->end) {
            free(r);
            continue;
        }

        pthread_mutex_lock(&reclaim->mutex);
        TAILQ_INSERT_HEAD(&reclaim->removals, r, link);
        pthread_mutex_unlock(&reclaim->mutex);
    }

    return rc;
}


/*
 * Some rows of a removal, those from begin on: it is over when there are none.
 */
static int
reclaim_remove(reclaim_t *reclaim, removal_t *r)
{
    int      rc;
    sql_t   *sql;
    int64_t  id, first, end;

    sql = reclaim->sql;
    id = sql_torrent(sql, r->ih);

    if (id == -1) {
        return EIO;
    }

    if (id == 0) {
        r->begin = r->end;
        return 0;
    }

    /* there may be few of all that there could be */

    sqlite3_bind_int64(sql->statements[SQL_NEXT], 1,
                       (id << 32) + (int64_t) r->begin);

    first = sql_number(sql, SQL_NEXT);

    if (first == -1) {
        return EIO;
    }

    end = (id << 32) + (int64_t) r->end;

    if (first == 0 || first >= end) {
        first = end;

        if (!r->torrent) {
            r->begin = r->end;
            return 0;
        }
    }

    if (end - first > RECLAIM_ROWS) {
        end = first + RECLAIM_ROWS;
    }

    rc = sql_begin(sql);

    if (rc == 0) {
        rc = sql_end(sql, reclaim_delete(sql, id, first, end, r));
    }

    if (rc == 0) {
        r->begin = end - (id << 32);
    }

    return rc;
}


/*
 * In a transaction.
 */
static int
reclaim_delete(sql_t *sql, int64_t id, int64_t first, int64_t end,
    const removal_t *r)
{
    int            rc;
    sqlite3_stmt  *st;

    st = sql->statements[SQL_DELETE];
    sqlite3_bind_int64(st, 1, first);
    sqlite3_bind_int64(st, 2, end);

    rc = sql_step(sql, SQL_DELETE);

    if (rc == 0 && r->torrent && end == (id << 32) + (int64_t) r->end) {
        sqlite3_bind_int64(sql->statements[SQL_DROP], 1, id);
        rc = sql_step(sql, SQL_DROP);
    }

    return rc;
}


/*
 * Gives pages back to the file system.  Returns milliseconds, as
 * reclaim_work().
 */
static int
reclaim_shrink(reclaim_t *reclaim)
{
    char      text[64];
    sql_t    *sql;
    int64_t   n, pages, quiet;

    sql = reclaim->sql;

    n = sql_number(sql, SQL_FREE);
    pages = sql_number(sql, SQL_PAGES);

    if (n <= RECLAIM_SPARE) {
        return -1;
    }

    quiet = engine_now() - reclaim->written;

    if (quiet < RECLAIM_QUIET && n <= pages / 2) {
        return RECLAIM_QUIET - quiet;
    }

    n -= RECLAIM_SPARE;
    n = (n < RECLAIM_STEP) ? n : RECLAIM_STEP;

    snprintf(text, sizeof(text), "PRAGMA incremental_vacuum(%d)", (int) n);

    if (sqlite3_exec(sql->db, text, NULL, NULL, NULL) != SQLITE_OK) {
        return RECLAIM_QUIET;
    }

    if (sql_number(sql, SQL_FREE) > RECLAIM_SPARE) {
        return 0;
    }

    /* the file gets shorter by a checkpoint */

    sql_checkpoint(sql, 1);

    return -1;
}
