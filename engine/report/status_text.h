
/*
 * The text of /status.
 */

#ifndef _ENGINE_STATUS_H_INCLUDED_
#define _ENGINE_STATUS_H_INCLUDED_


#include <stdio.h>

#include "engine/report/snapshot.h"


/* Writes it.  Engine thread. */
void status_text(engine_t *engine, const facts_t *facts, FILE *out);

/* Writes a line of each peer of a torrent. */
void status_peers(const facts_torrent_t *f, FILE *out);

/* Writes the name of a torrent, or its infohash. */
void status_name(const torrent_t *torrent, FILE *out);


#endif /* _ENGINE_STATUS_H_INCLUDED_ */
