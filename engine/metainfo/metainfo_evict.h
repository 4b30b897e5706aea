
/*
 * Keeps the cached metainfo within a bound, beside that on the payload: anybody
 * who may name or post torrents makes files there.  What is too much is removed
 * by age, of torrents that are neither loaded nor have bytes in the cache; they
 * are loaded from the swarm then.
 *
 * Engine thread only.
 */

#ifndef _ENGINE_PRUNE_H_INCLUDED_
#define _ENGINE_PRUNE_H_INCLUDED_


#include "engine/core/types.h"


/*
 * The bound is this part of max_size, and this number of bytes at least; there
 * is none without max_size.  Removal goes on to three fourths of it.
 */
#define PRUNE_PART   16
#define PRUNE_LEAST  (64 * 1024 * 1024)


/* Counts what is there, when the engine starts. */
void prune_start(engine_t *engine);

/* A file of so many bytes was written. */
void prune_note(engine_t *engine, uint64_t bytes);


#endif /* _ENGINE_PRUNE_H_INCLUDED_ */
