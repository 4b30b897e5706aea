
/*
 * Removes the folders of uploads that are nobody's: those that are not locked,
 * because who wrote to them has ended, or died.
 */

#ifndef _ENGINE_SWEEP_H_INCLUDED_
#define _ENGINE_SWEEP_H_INCLUDED_


#include <stdint.h>

#include "engine/base/job.h"


typedef struct {
    job_t      job;
    int        dir;         /* the cache directory; set by the owner */
    unsigned   left;        /* folders still in use */
    int64_t    next;        /* when to look, ms, 0: no need */
    unsigned   running:1;
} sweep_t;


/* Looks in so many milliseconds.  Engine thread, as all below. */
void sweep_after(sweep_t *sweep, int64_t delay);

/* Looks if it is time to.  Returns the time to call it again, ms, or 0. */
int64_t sweep_start(sweep_t *sweep, jobs_t *jobs);

/* The job is done. */
void sweep_done(sweep_t *sweep);


#endif /* _ENGINE_SWEEP_H_INCLUDED_ */
