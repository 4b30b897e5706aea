
/*
 * What the engine says as JSON.
 */

#ifndef _ENGINE_JSON_H_INCLUDED_
#define _ENGINE_JSON_H_INCLUDED_


#include <stdio.h>

#include "engine/report/snapshot.h"


/*
 * The metainfo of a torrent whose info is known, as one object on one line
 * that ends in LF: info (base64 of the raw dictionary), announceList,
 * creationDate, comment, createdBy, urlList; absent keys are omitted.
 *
 * date: seconds since 1970
 * *buf is freed by the caller.  Returns 0, or -1 (out of memory, or the
 * torrent is gone).  Engine thread.
 */
int json_metainfo(torrent_t *torrent, const char *comment, int64_t date,
    char **buf, size_t *len);

/*
 * Writes what is going on as one object, on one line that ends in LF; README.md
 * tells its keys.  Returns 0, or -1 if out of memory.  Engine thread.
 */
int json_status(engine_t *engine, const facts_t *facts, FILE *out);


#endif /* _ENGINE_JSON_H_INCLUDED_ */
