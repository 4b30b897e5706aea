
/*
 * Rows: the payload of all torrents of a cache in the layout sqlite, as it is
 * read.  <cache>/pieces.db is an SQLite database in WAL mode, which the engine
 * alone writes to (database.h):
 *
 *      torrent (id INTEGER PRIMARY KEY, ih BLOB UNIQUE)
 *      block (id INTEGER PRIMARY KEY, data BLOB)
 *
 * A piece is map_blocks() rows of MAP_BLOCK bytes, of which the last may be
 * shorter.  The id of a row is that of the torrent in its upper 32 bits, and
 * the row's number, piece after piece, in the lower.
 *
 * What is complete the map says, and nothing else: a row is there before its
 * piece is said to be complete, and may be there when it is not.
 *
 * A reader waits for nobody: it takes one row at a time, in a transaction of
 * its own, which neither waits for the writer nor holds it up for long.  It
 * must not be taken over a fork().
 */

#ifndef _ENGINE_ROWS_H_INCLUDED_
#define _ENGINE_ROWS_H_INCLUDED_


#include "engine/shared/map.h"


#define ROWS_FILE  "pieces.db"


/* A reader, of one thread at a time. */
typedef struct rows_s  rows_t;


/*
 * Makes a reader.  dir: the cache directory.  Returns 0, or an errno as
 * rows_read().
 */
int rows_open(rows_t **rows, const char *dir);

/* rows may be NULL. */
void rows_close(rows_t *rows);

/*
 * Copies bytes of one row, and no more than that.
 *
 * offset: in the piece space; size: of buf, > 0
 * len: set to how many bytes were copied
 * Returns 0, or an errno: EAGAIN if it would have to wait, for what takes some
 * milliseconds; ENOENT if there is no such row (of this reader's database: make
 * a new reader if the map says otherwise); EBADMSG, EIO, ENOMEM... if the
 * database cannot be read.
 */
int rows_read(rows_t *rows, const map_t *map, uint64_t offset, void *buf,
    size_t size, size_t *len);


#endif /* _ENGINE_ROWS_H_INCLUDED_ */
