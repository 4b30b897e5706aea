
/*
 * What a worker hands to the engine of an upload: a file that tells what was
 * uploaded, and beside it the data.
 *
 *      upload/<folder>/        locked (flock) by who uploads; what is not
 *                              locked is nobody's, and removed
 *      upload/<folder>/files   the manifest:
 *
 *          +----------------------+ 0
 *          | manifest_t           |  written last
 *          +----------------------+
 *          | manifest_file_t      |  for each file, in their order
 *          | path                 |
 *          +----------------------+ name_off
 *          | name                 |
 *          +----------------------+
 *
 *      upload/<folder>/<n>     bytes [n * MANIFEST_SEGMENT, ...) of all files
 *                              one after another: what segments of the store
 *                              look like, if pieces are not larger than that
 *
 *      upload/<folder>/hashes  SHA-1 of each piece, by the engine: when it is
 *                              there, files may have been taken already
 *
 * Host byte order, nothing is aligned.
 */

#ifndef _ENGINE_MANIFEST_H_INCLUDED_
#define _ENGINE_MANIFEST_H_INCLUDED_


#include <stdint.h>


#define MANIFEST_MAGIC      "CNFLUPL\n"
#define MANIFEST_FOLDER     "upload"
#define MANIFEST_NAME       "files"
#define MANIFEST_HASHES     "hashes"
#define MANIFEST_SEGMENT    (4 * 1024 * 1024)

#define MANIFEST_FILES_MAX  100000
#define MANIFEST_PATHS_MAX  (16 * 1024 * 1024)      /* bytes of all paths */
#define MANIFEST_TOTAL_MAX  ((uint64_t) 1 << 38)    /* bytes of all files */


typedef struct {
    char        magic[8];
    uint64_t    total;          /* bytes of all files */
    uint64_t    name_off;
    uint32_t    name_len;
    uint32_t    file_n;
    uint32_t    strip;          /* the first component of longer paths */
    uint32_t    reserved;
    char        folder[40];     /* below upload/, terminated */
} manifest_t;


typedef struct {
    uint64_t    length;         /* bytes */
    uint32_t    path_len;       /* bytes that follow */
    uint32_t    reserved;
} manifest_file_t;


#endif /* _ENGINE_MANIFEST_H_INCLUDED_ */
