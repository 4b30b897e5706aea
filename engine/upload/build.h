
/*
 * The content of an upload on its way to a torrent: a job that reads the
 * manifest, brings the data into the form of segments, hashes it, and makes
 * the .torrent.
 */

#ifndef _ENGINE_CONTENT_H_INCLUDED_
#define _ENGINE_CONTENT_H_INCLUDED_


#include <stdint.h>

#include "engine/base/job.h"
#include "engine/shared/upload_manifest.h"

#include "shim/api/shim.h"


#define CONTENT_NODES  8


typedef struct {
    job_t                      job;

    /* set by the submitter */
    int                        dir;         /* the cache directory */
    int                        fd;          /* the manifest; ours */
    uint64_t                   size;        /* bytes of it */
    const char *const         *trackers;    /* as shim_create_t */
    char                      *hosts;       /* of the nodes; ours */
    shim_create_node_t         nodes[CONTENT_NODES];
    uint32_t                   node_n;
    void                      *data;        /* the submitter's own */

    /* what came of it */
    unsigned                   status;      /* of HTTP */
    char                       error[256];  /* a line, unless 200 */
    char                       folder[40];  /* "" if it was not read */
    uint64_t                   total;       /* bytes */
    uint64_t                   segment_size;
    uint32_t                   segment_n;
    void                      *metainfo;    /* by shim_free() */
    size_t                     metainfo_len;

    uint64_t                   hashed;      /* bytes so far; atomic */
} content_t;


/* The run function of a content_t. */
void content_run(job_t *job);

/*
 * Sets the DHT nodes that the .torrent names: addresses separated by commas.
 */
void content_nodes(content_t *content, const char *addresses, uint16_t port);

/* Closes and frees all that it holds. */
void content_free(content_t *content);

/* The length of pieces of so many bytes: some 1000 to 2000 pieces. */
uint32_t content_piece_length(uint64_t total);


#endif /* _ENGINE_CONTENT_H_INCLUDED_ */
