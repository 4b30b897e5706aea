
/*
 * A job that hashes some pieces of one segment, those that are stored.
 */

#ifndef _ENGINE_VERIFY_H_INCLUDED_
#define _ENGINE_VERIFY_H_INCLUDED_


#include "engine/base/job.h"
#include "engine/cache/store/store.h"


typedef enum {
    VERIFY_SKIP = 0,    /* nothing is stored, or another job looks at it */
    VERIFY_GOOD,
    VERIFY_BAD,
    VERIFY_UNKNOWN      /* its hash is not known, or it could not be opened */
} verify_e;


typedef struct {
    job_t           job;
    store_t        *store;          /* a reference */
    uint32_t        first;          /* pieces [first, first + n) */
    uint32_t        n;
    uint32_t        generation;     /* of their segment */

    shim_hashes_t  *hashes;         /* ours; NULL: of the cached metainfo */

    unsigned        scrub:1;        /* of the scrub: there is time */

    /* the file that is open, of the job's thread */
    uint32_t        file;
    int             fd;             /* -1: none */

    /* what came of it */
    int             err;            /* of the last failure, or 0 */
    uint64_t        bytes;          /* read */
    uint8_t         verdicts[];     /* verify_e, n of them */
} verify_t;


/*
 * Makes a job for pieces of one segment, as they are now.  NULL if out of
 * memory.  Engine thread.
 */
verify_t *verify_create(store_t *store, uint32_t first, uint32_t n);

/* Frees the job and what it holds. */
void verify_free(verify_t *v);


#endif /* _ENGINE_VERIFY_H_INCLUDED_ */
