
/*
 * Brings one folder of pieces/ in order when the engine starts: what a crash
 * left behind goes, what can be trusted stays, what a power cut may have
 * spoilt is in doubt from now on (map.h).
 */

#ifndef _ENGINE_SCAN_H_INCLUDED_
#define _ENGINE_SCAN_H_INCLUDED_


#include "engine/cache/store/store.h"


typedef struct {
    int          dir;       /* descriptor of the cache directory */
    const char  *path;      /* and its name */
    files_t     *files;     /* the cache's */
    database_t  *database;  /* the cache's, or NULL */
    int          sealed;    /* nothing can have been lost */
    uint32_t     doubts;    /* pieces in doubt, of the last store */
} scan_t;


/*
 * name: an entry of pieces/
 * Returns 0 and *store; EINVAL if the entry is not a torrent's; EBADMSG, EIO
 * or ENOENT if there is no map that could be kept (the folder is removed);
 * else an errno: nothing was changed.
 */
int scan_store(scan_t *scan, store_t **store, const char *name);

/* Removes a folder of pieces/ with all that is in it.  folder: its name */
void scan_remove(DIR *dir, const char *folder);

/*
 * Throws away the folders of files/ that are of no store.
 *
 * stores: hash by ih; dir: descriptor of the cache directory
 */
void scan_files(store_t *stores, int dir, trash_t *trash);

/* The same with rows of the database, which may be NULL. */
void scan_rows(store_t *stores, database_t *database);


#endif /* _ENGINE_SCAN_H_INCLUDED_ */
