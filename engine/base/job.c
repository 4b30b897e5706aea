
#include "engine/base/job.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>


static int jobs_spawn(jobs_t *jobs);
static void *jobs_thread(void *data);
static job_t *jobs_take(jobs_t *jobs, unsigned n);


int
jobs_open(jobs_t *jobs, unsigned threads, const char *name)
{
    jobs->fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (jobs->fd == -1) {
        return errno;
    }

    pthread_mutex_init(&jobs->mutex, NULL);
    pthread_cond_init(&jobs->cond, NULL);
    STAILQ_INIT(&jobs->todo);
    STAILQ_INIT(&jobs->done);
    jobs->thread_max = threads;
    jobs->name = name;

    return 0;
}


void
jobs_close(jobs_t *jobs, void (*drop)(job_t *job))
{
    job_t     *job;
    unsigned   i;

    pthread_mutex_lock(&jobs->mutex);

    jobs->quit = 1;

    for (i = 0; i < jobs->thread_n; i++) {
        if (jobs->running[i] != NULL) {
            job_cancel(jobs->running[i]);
        }
    }

    pthread_cond_broadcast(&jobs->cond);
    pthread_mutex_unlock(&jobs->mutex);

    for (i = 0; i < jobs->thread_n; i++) {
        pthread_join(jobs->threads[i], NULL);
    }

    STAILQ_CONCAT(&jobs->done, &jobs->todo);

    while ((job = STAILQ_FIRST(&jobs->done)) != NULL) {
        STAILQ_REMOVE_HEAD(&jobs->done, link);
        drop(job);
    }

    pthread_cond_destroy(&jobs->cond);
    pthread_mutex_destroy(&jobs->mutex);
    close(jobs->fd);
}


int
jobs_submit(jobs_t *jobs, job_t *job)
{
    int  rc;

    rc = 0;

    pthread_mutex_lock(&jobs->mutex);

    if (jobs->idle_n <= jobs->todo_n && jobs->thread_n < jobs->thread_max) {
        rc = jobs_spawn(jobs);
    }

    if (jobs->thread_n != 0) {
        rc = 0;
        STAILQ_INSERT_TAIL(&jobs->todo, job, link);
        jobs->todo_n++;
        pthread_cond_signal(&jobs->cond);
    }

    pthread_mutex_unlock(&jobs->mutex);

    return rc;
}


static int
jobs_spawn(jobs_t *jobs)
{
    int       rc;
    sigset_t  all, old;

    /* signals are the host's, but for that of guard.h */

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &old);

    rc = pthread_create(&jobs->threads[jobs->thread_n], NULL, jobs_thread,
                        jobs);

    pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc == 0) {
        jobs->thread_n++;
    }

    return rc;
}


static void *
jobs_thread(void *data)
{
    job_t     *job;
    jobs_t    *jobs;
    unsigned   n;

    jobs = data;

    (void) pthread_setname_np(pthread_self(), jobs->name);

    pthread_mutex_lock(&jobs->mutex);

    for (n = 0; !pthread_equal(jobs->threads[n], pthread_self()); n++) {
        /* void */
    }

    while ((job = jobs_take(jobs, n)) != NULL) {
        pthread_mutex_unlock(&jobs->mutex);

        job->run(job);

        pthread_mutex_lock(&jobs->mutex);

        jobs->running[n] = NULL;
        STAILQ_INSERT_TAIL(&jobs->done, job, link);
        jobs_wake(jobs);
    }

    pthread_mutex_unlock(&jobs->mutex);

    return NULL;
}


/*
 * Waits for a job; NULL: there will be none.
 */
static job_t *
jobs_take(jobs_t *jobs, unsigned n)
{
    job_t  *job;

    jobs->idle_n++;

    while (!jobs->quit && STAILQ_EMPTY(&jobs->todo)) {
        pthread_cond_wait(&jobs->cond, &jobs->mutex);
    }

    jobs->idle_n--;

    if (jobs->quit) {
        return NULL;
    }

    job = STAILQ_FIRST(&jobs->todo);
    STAILQ_REMOVE_HEAD(&jobs->todo, link);
    jobs->todo_n--;
    jobs->running[n] = job;

    return job;
}


job_t *
jobs_done(jobs_t *jobs)
{
    job_t     *job;
    uint64_t   n;

    (void) !read(jobs->fd, &n, sizeof(n));

    pthread_mutex_lock(&jobs->mutex);

    job = STAILQ_FIRST(&jobs->done);

    if (job != NULL) {
        STAILQ_REMOVE_HEAD(&jobs->done, link);
    }

    pthread_mutex_unlock(&jobs->mutex);

    return job;
}


void
jobs_wake(jobs_t *jobs)
{
    uint64_t  one;

    one = 1;

    (void) !write(jobs->fd, &one, sizeof(one));
}


void
job_cancel(job_t *job)
{
    __atomic_store_n(&job->cancel, 1, __ATOMIC_RELAXED);
}


int
job_canceled(const job_t *job)
{
    return __atomic_load_n(&job->cancel, __ATOMIC_RELAXED);
}
