
/*
 * Brings one folder of pieces/ in order when the engine starts: what a crash
 * or a power cut left behind goes, what can be trusted stays (map.h).
 */

#ifndef _ENGINE_SCAN_H_INCLUDED_
#define _ENGINE_SCAN_H_INCLUDED_


#include "store.h"


/*
 * dir:   descriptor of the cache directory, path: its name
 * files: the cache's
 * name:  an entry of pieces/
 * Returns 0 and *store; EINVAL if the entry is not a torrent's, ENOENT if
 * nothing of it could be kept (the folder is removed); ENOMEM, EMFILE, ENFILE:
 * nothing was changed.
 */
int scan_store(store_t **store, int dir, files_t *files, const char *path,
    const char *name);

/*
 * Throws away the folders of files/ that are of no store.
 *
 * stores: hash by ih; dir: descriptor of the cache directory
 */
void scan_files(store_t *stores, int dir, trash_t *trash);


#endif /* _ENGINE_SCAN_H_INCLUDED_ */
