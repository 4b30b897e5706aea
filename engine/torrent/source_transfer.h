
/*
 * One .torrent by HTTP or HTTPS: a job (job.h).  What bounds it is told in
 * fetch.h.
 */

#ifndef _ENGINE_TRANSFER_H_INCLUDED_
#define _ENGINE_TRANSFER_H_INCLUDED_


#include <curl/curl.h>

#include "engine/base/job.h"

#include "shim/api/shim.h"


typedef struct {
    job_t          job;             /* first */

    /* the caller's */

    shim_t        *shim;
    const char    *url;
    uint8_t        ih[20];          /* that its info is to have */
    int64_t       *memory;          /* bytes of all buffers, atomic */

    CURLM         *multi;

    /* what came of it */

    char          *buf;             /* the .torrent, len bytes */
    size_t         len;
    size_t         size;
    unsigned       good:1;          /* it is of that torrent */
    char           why[CURL_ERROR_SIZE];    /* it is not good */
} transfer_t;


/*
 * Makes it ready to be submitted.  Returns 0 or an errno; transfer_close() is
 * to be called in any case.  The engine's thread, as all here.
 */
int transfer_open(transfer_t *t);

/* One that was submitted, and is not done, ends at once. */
void transfer_cancel(transfer_t *t);

/* Frees what came of it; harmless if there is nothing. */
void transfer_close(transfer_t *t);


#endif /* _ENGINE_TRANSFER_H_INCLUDED_ */
