
/*
 * What takes the engine too long to do on its thread: threads that take jobs,
 * and a descriptor that says that some are done.
 */

#ifndef _ENGINE_JOB_H_INCLUDED_
#define _ENGINE_JOB_H_INCLUDED_


#include <pthread.h>
#include <sys/queue.h>


#define JOB_THREADS  16     /* at most */


typedef struct job_s  job_t;

/* The first member of what a job is about; its memory is the submitter's. */
struct job_s {
    STAILQ_ENTRY(job_s)   link;
    void                (*run)(job_t *job);     /* on a thread */
    int                   cancel;               /* see job_canceled() */
};


typedef struct {
    pthread_mutex_t       mutex;
    pthread_cond_t        cond;
    STAILQ_HEAD(, job_s)  todo;
    STAILQ_HEAD(, job_s)  done;

    job_t                *running[JOB_THREADS];
    pthread_t             threads[JOB_THREADS];
    const char           *name;
    unsigned              thread_max;
    unsigned              thread_n;
    unsigned              idle_n;
    unsigned              todo_n;
    int                   quit;
    int                   fd;           /* eventfd: some are done */
} jobs_t;


/*
 * threads: at most so many, which are started as jobs come; up to JOB_THREADS
 * name: theirs, up to 15 bytes, static
 * Returns 0 or an errno.  The engine's thread, as all but job_canceled().
 */
int jobs_open(jobs_t *jobs, unsigned threads, const char *name);

/* Cancels what runs and joins the threads; what is left is passed to drop. */
void jobs_close(jobs_t *jobs, void (*drop)(job_t *job));

/* Queues a job.  Returns 0 or an errno: there is no thread to do it. */
int jobs_submit(jobs_t *jobs, job_t *job);

/* The next one that is done, or NULL; resets the descriptor. */
job_t *jobs_done(jobs_t *jobs);

/* Makes the descriptor readable. */
void jobs_wake(jobs_t *jobs);

/* Nobody wants the job's outcome any more: it may end early. */
void job_cancel(job_t *job);

/* Nonzero if so.  Any thread. */
int job_canceled(const job_t *job);


#endif /* _ENGINE_JOB_H_INCLUDED_ */
