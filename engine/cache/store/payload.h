
/*
 * Where the bytes of a store lie: one way of keeping them.  Everything else
 * about pieces (their states, their space, who needs them) is the same for all
 * ways, and not known here.
 *
 *      storage.c  cache.c  store.c  scan.c
 *              |
 *           payload_t
 *         /     |     \
 *        /   plain.c   \     files of the torrent, evicted together
 *  segments.c        blobs.c files of some MiB, each evicted by itself; rows of
 *                            a database, evicted by as many pieces
 *
 * A worker knows a file of the payload by the number that map_place() tells,
 * and opens it by itself (map.h, rule 4).
 */

#ifndef _ENGINE_PAYLOAD_H_INCLUDED_
#define _ENGINE_PAYLOAD_H_INCLUDED_


#include <dirent.h>
#include <stdint.h>

#include "engine/cache/sqlite/database.h"
#include "engine/shared/map.h"


#define PAYLOAD_PAGE  4096      /* bytes, what a file system allocates */


typedef struct store_s    store_t;
typedef struct payload_s  payload_t;


struct payload_s {

    uint32_t    layout;         /* MAP_SEGMENTS, MAP_FILES, MAP_SQLITE */

    /*
     * A torrent is one segment, which is not evicted while it is read; it goes
     * when the torrent is dropped.
     */
    unsigned    whole:1;

    /* What is uploaded cannot be made a part of it by its name alone. */
    unsigned    copied:1;

    /*
     * Whether a torrent can be kept in this way: 0, or an errno and a text in
     * err.  NULL: any can.  Engine thread, before the store is used.
     */
    int       (*check)(const map_t *map, char *err, size_t err_size);

    /* Bytes that a piece takes on disk, at most. */
    uint64_t  (*charge)(const store_t *store, uint32_t piece);

    /*
     * As the functions of shim_storage_t; the piece is one that the store has.
     * Hash threads and network thread.
     */
    int       (*write)(store_t *store, uint32_t piece, uint32_t generation,
                       const void *buf, uint32_t len);
    int       (*read)(store_t *store, uint32_t piece, uint32_t offset,
                      void *buf, uint32_t len);

    /*
     * Of ways in files: opens file number file for reading and writing, and
     * creates it if it was not created yet; returns a descriptor, or -1 and
     * errno, ENOTRECOVERABLE if it is not there any more, or is not what was
     * created.  Under the write lock, and only while the file's segment is
     * charged.
     */
    int       (*open)(store_t *store, uint32_t file);

    /*
     * Opens the same file for reading; never creates it.  generation: of its
     * segment.  Returns a descriptor, or -1 and errno.  Any thread.  NULL if
     * the bytes are not in files.
     */
    int       (*find)(const store_t *store, uint32_t file,
                      uint32_t generation);

    /*
     * Instead of that: reads a piece, whatever its state says, but unlike
     * read() not for peers.  Any thread.
     */
    int       (*copy)(const store_t *store, uint32_t piece, void *buf,
                      uint32_t len);

    /*
     * Removes what is left of a segment's generation, which was evicted: its
     * descriptors are closed, and nothing of it is charged.  Engine thread.
     */
    void      (*evict)(store_t *store, uint32_t segment, uint32_t generation);

    /*
     * Sets the charged bytes of each segment to what it takes on disk, 0 if
     * its bytes are not there, and removes what does not belong to the map.
     * Nobody uses the map yet.
     *
     * cache: descriptor of the cache directory; dir: the map's folder;
     * database: the cache's, or NULL
     */
    void      (*scan)(map_t *map, int cache, DIR *dir,
                      database_t *database);
};


/* The way in which the map says that its bytes are kept. */
const payload_t *payload_of(const map_t *map);

/*
 * Says that a piece is being written, if that generation of it may be: 0, or an
 * errno.  Under the lock.
 */
int payload_mark(store_t *store, uint32_t piece, uint32_t generation);

/* Functions of ways that keep the bytes in files, by their function open. */
int payload_write(store_t *store, uint32_t piece, uint32_t generation,
    const void *buf, uint32_t len);
int payload_read(store_t *store, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len);

extern const payload_t  payload_segments;
extern const payload_t  payload_files;
extern const payload_t  payload_sqlite;


#endif /* _ENGINE_PAYLOAD_H_INCLUDED_ */
