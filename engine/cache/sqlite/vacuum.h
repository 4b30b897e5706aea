
/*
 * Gets space of a database back (database.h): removes rows, and gives free
 * pages to the file system.
 *
 *      note() --> removals --> flush()     by whoever has the lock next
 *                                 ^
 *      thread --------------------+------> shrinks the file
 *
 * Removals are done in the order in which they were noted.  One that is under
 * way is in the list but while the lock of the database is held.
 */

#ifndef _ENGINE_RECLAIM_H_INCLUDED_
#define _ENGINE_RECLAIM_H_INCLUDED_


#include <pthread.h>
#include <sys/queue.h>

#include "engine/cache/sqlite/statements.h"


typedef struct removal_s  removal_t;


typedef struct {
    sql_t            *sql;          /* under the lock */
    pthread_mutex_t  *lock;
    int64_t           written;      /* under the lock: when, ms */

    pthread_mutex_t   mutex;        /* of what follows */
    pthread_cond_t    cond;
    int               quit;

    TAILQ_HEAD(removals_s, removal_s)  removals;

    pthread_t         thread;
} reclaim_t;


/* sql, lock: stay the caller's.  Returns 0 or an errno. */
int reclaim_open(reclaim_t *reclaim, sql_t *sql, pthread_mutex_t *lock);

/* Does what was noted, if it can and that takes no time. */
void reclaim_close(reclaim_t *reclaim);

/*
 * Notes that rows [begin, end) of a torrent are of no use any more, and, if
 * torrent is given, that it has none then.  What cannot be noted, for lack of
 * memory, stays until the next start.  Any thread.
 */
void reclaim_note(reclaim_t *reclaim, const uint8_t *ih, uint64_t begin,
    uint64_t end, int torrent);

/*
 * Removes what was noted, in at most that many transactions.  Returns 0 or an
 * errno.  Under the lock.
 */
int reclaim_flush(reclaim_t *reclaim, unsigned n);


#endif /* _ENGINE_RECLAIM_H_INCLUDED_ */
