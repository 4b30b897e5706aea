
/*
 * The scrub: which pieces are hashed next, and when.
 *
 * A round begins with a store that is chosen by chance, so that it does not
 * matter much if a reload ends it early, goes through all stores in the order
 * of their infohashes, and ends where it began.  What comes and goes meanwhile
 * is found, or not.
 */

#ifndef _ENGINE_SCRUB_H_INCLUDED_
#define _ENGINE_SCRUB_H_INCLUDED_


#include "engine/core/types.h"
#include "engine/pieces/hash_job.h"


typedef struct {
    engine_t       *engine;
    uint8_t         start[20];      /* where the round began */
    uint8_t         at[20];         /* the store it is at */
    uint32_t        piece;          /* the next one of it */
    shim_hashes_t  *hashes;         /* of it, or NULL: not read yet */
    int64_t         round;          /* when it began, ms */
    int64_t         next;           /* when the next job is due, ms */
    unsigned        active:1;       /* a round goes on */
    unsigned        wrapped:1;      /* it has come to the lowest infohash */
    unsigned        busy:1;         /* a job of it runs; the submitter's */
} scrub_t;


void scrub_init(scrub_t *scrub, engine_t *engine);
void scrub_done(scrub_t *scrub);

/* The milliseconds until scrub_next() is due, 0: now, -1: it never is. */
int scrub_timeout(const scrub_t *scrub);

/* The next job, or NULL: scrub_timeout() tells when to ask again. */
verify_t *scrub_next(scrub_t *scrub);

/* The job has ended; its hashes are taken. */
void scrub_result(scrub_t *scrub, verify_t *v);


#endif /* _ENGINE_SCRUB_H_INCLUDED_ */
