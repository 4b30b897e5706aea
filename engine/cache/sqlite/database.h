
/*
 * The database of a cache (rows.h), as the engine writes to it.
 *
 *      hash threads     _write() ---------------------+
 *                                                     v  lock
 *      engine thread    _remove() --> removals --> pieces.db (sql.h)
 *                                    (reclaim.h)      |
 *      network thread   _read() <---------------------+  no lock (rows.h)
 *
 * What is removed is noted, and done by whoever has the lock next: before
 * anything is written, thus what is removed makes room for it, and never takes
 * what was written after it.  Freed pages are used again.  When nothing was
 * written for some time, or most pages are free, the file is made shorter.
 *
 * A piece is written in one transaction; it is in the database when that is
 * committed, whichever process is killed then.  The WAL goes to the disk at
 * each checkpoint, after some MiB (synchronous = NORMAL): a power cut takes the
 * last pieces.
 *
 * A database that is damaged, or none, is made anew, under a temporary name.
 * One of another program, or of another version, is left alone.
 */

#ifndef _ENGINE_DATABASE_H_INCLUDED_
#define _ENGINE_DATABASE_H_INCLUDED_


#include "engine/shared/map.h"


typedef struct database_s  database_t;


/*
 * Opens the database of a cache directory.
 *
 * path: stays the caller's; create: make one if there is none; else *database
 * is NULL then
 * Returns 0, or an errno and a text in err.  The engine's thread, as all below
 * but for what says otherwise.
 */
int database_open(database_t **database, const char *path, int create,
    char *err, size_t err_size);

/*
 * Does what is left to do, and leaves as little as possible in the WAL.
 * database may be NULL.
 */
void database_close(database_t *database);

/* Nonzero if the one that was there was damaged, and is gone. */
int database_damaged(const database_t *database);

/*
 * Writes the rows of a piece, all or none.
 *
 * check: called with ctx just before; if it returns an errno nothing is
 *        written.  Of what is removed after it nothing stays.
 * Returns 0 or an errno; ENOSPC if the disk has not enough room for it and what
 * a removal needs.  Any thread; blocks for the disk.
 */
int database_write(database_t *database, const map_t *map, uint32_t piece,
    const void *buf, uint32_t len, int (*check)(void *ctx), void *ctx);

/*
 * Reads bytes of a piece.  Returns 0 or an errno, see rows_read().  Any thread;
 * does not wait for writers.
 */
int database_read(database_t *database, const map_t *map, uint64_t offset,
    void *buf, uint32_t len);

/* Removes the rows of n pieces. */
void database_remove(database_t *database, const map_t *map, uint32_t piece,
    uint32_t n);

/* Nonzero if it may have rows of a torrent. */
int database_has(database_t *database, const uint8_t *ih);

/* Removes all of the torrents for which keep() returns 0. */
void database_clean(database_t *database,
    int (*keep)(void *ctx, const uint8_t *ih), void *ctx);

/* Bytes that the rows of a piece of len bytes take in the file, at most. */
uint64_t database_charge(uint32_t len);


#endif /* _ENGINE_DATABASE_H_INCLUDED_ */
