
/*
 * Removes the folders of uploads that are nobody's: those that are not locked,
 * because who wrote to them has ended, or died.
 */

#ifndef _ENGINE_SWEEP_H_INCLUDED_
#define _ENGINE_SWEEP_H_INCLUDED_


#include "job.h"


typedef struct {
    job_t      job;
    int        dir;         /* the cache directory */
    unsigned   left;        /* folders still in use */
} sweep_t;


/* The run function of a sweep_t. */
void sweep_run(job_t *job);


#endif /* _ENGINE_SWEEP_H_INCLUDED_ */
