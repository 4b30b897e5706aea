
/*
 * Uploads: data that clients bring becomes a torrent.
 *
 *      worker                              engine
 *      STAGE: room for more      ---->     evicts, counts it as used
 *      writes to upload/<folder>/
 *      CALL UPLOAD, manifest     ---->     a job hashes (content.h)
 *                                          loads the torrent
 *                                          moves files to its store, a few at
 *                                          a time, and publishes their pieces
 *                                <----     REPLY
 *
 * Bytes are written once, by the worker: a file of the upload is renamed to be
 * a segment; a job copies it if the torrent is kept in files or a database.
 * What is staged counts for the limit of the cache until the request ends, or
 * its segments count.
 *
 * Who writes to a folder has it locked; one that is not locked is removed when
 * the engine starts, and some time after an upload has ended.
 */

#ifndef _ENGINE_UPLOAD_H_INCLUDED_
#define _ENGINE_UPLOAD_H_INCLUDED_


#include "engine/core/types.h"


/* Returns 0 or an errno.  Engine thread, as all below. */
int upload_open(engine_t *engine);
void upload_close(engine_t *engine);

/* STAGE.  Returns -1 if it cannot be understood. */
int upload_stage(request_t *request, uint64_t need, uint64_t most);

/* CALL UPLOAD; the descriptor stays the caller's. */
void upload_call(request_t *request, int fd, uint64_t len);

/* The request ends. */
void upload_forget(request_t *request);

/* The descriptor of engine->uploads is readable: jobs are done. */
void upload_event(engine_t *engine);

/*
 * Does what is due; returns the milliseconds until something is, or -1.
 */
int upload_timeout(engine_t *engine);

/* Its descriptor. */
int upload_fd(const engine_t *engine);


#endif /* _ENGINE_UPLOAD_H_INCLUDED_ */
