
/*
 * Makes the map of a torrent whose metadata is known.
 */

#ifndef _ENGINE_LAYOUT_H_INCLUDED_
#define _ENGINE_LAYOUT_H_INCLUDED_


#include "engine/shared/map.h"

#include "shim/api/shim.h"


/*
 * Creates pieces/<ih>/map, with nothing complete, and opens it.
 *
 * path: the cache directory
 * ih:   the 20 byte name
 * layout: of the payload, MAP_SEGMENTS, MAP_FILES, MAP_SQLITE
 * Returns 0, or an errno: ENOSPC, EDQUOT, EACCES...; nothing is left behind
 * then.  Engine thread.
 */
int layout_create(map_t *map, const char *path, const uint8_t *ih,
    uint32_t layout, shim_t *shim, shim_id_t id, const shim_info_t *info);

/* Nonzero if all of the map that never changes is as it was created. */
int layout_is_whole(const map_t *map);

/* Nonzero if the map is of a torrent of that geometry. */
int layout_matches(const map_t *map, const shim_info_t *info);


#endif /* _ENGINE_LAYOUT_H_INCLUDED_ */
