
/*
 * The files of a torrent as files, below files/<ih>/ in the cache directory:
 *
 *      <name>/<path>       of a torrent of several files
 *      <path>              of a single file, or if the name is "-" or empty
 *
 * Paths are what a stranger wrote: each component is opened by itself and no
 * link is followed, nothing but a regular file is opened.
 *
 * Any thread and process.
 */

#ifndef _ENGINE_TREE_H_INCLUDED_
#define _ENGINE_TREE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "engine/shared/map.h"


#define TREE_FOLDER      "files"
#define TREE_ROOT        48         /* bytes of "files/<ih>" */
#define TREE_PATH        4000       /* bytes of <name>/<path> */
#define TREE_COMPONENT   255        /* bytes */
#define TREE_DEPTH       64         /* components of a path */


/* "files/<40 hex>", terminated: TREE_ROOT bytes at buf. */
void tree_root(char *buf, const uint8_t *ih);

/*
 * Opens file n of a torrent.
 *
 * at:    a descriptor, or AT_FDCWD; root: its folder's name there
 * flags: O_RDONLY or O_RDWR
 * Returns a descriptor, or -1 and errno: ELOOP or ENOTDIR if there is a link on
 * the way, EINVAL if it is not a regular file.
 */
int tree_open(int at, const char *root, const map_t *map, uint32_t n,
    int flags);

/*
 * The same of a file that is not there yet, EEXIST if it is: folders on the way
 * are made, and it gets its length, without blocks.
 */
int tree_create(int at, const char *root, const map_t *map, uint32_t n);

/* Removes it, whatever it is. */
void tree_remove(int at, const char *root, const map_t *map, uint32_t n);

/*
 * Whether the files of a torrent can be files: paths within the bounds above,
 * without "." and "..", none twice, none a folder of another.  Returns 0, or -1
 * and a text in err, EINVAL or ENOMEM in errno.
 */
int tree_check(const map_t *map, char *err, size_t err_size);


#endif /* _ENGINE_TREE_H_INCLUDED_ */
