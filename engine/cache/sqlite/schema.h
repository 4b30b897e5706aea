
/*
 * The file of a database (rows.h): opened, or made, or told to be of somebody
 * else; and what rows take in it.
 */

#ifndef _ENGINE_SCHEMA_H_INCLUDED_
#define _ENGINE_SCHEMA_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>


#define SCHEMA_PAGE  8192       /* bytes of a page of the file */


/*
 * Opens the database of a cache directory to write.
 *
 * create: make one if there is none; else *db is NULL then
 * damaged: set to nonzero if there was one that is damaged, and is removed now
 * Returns 0, or an errno and a text in err.
 */
int schema_open(sqlite3 **db, const char *dir, int create, int *damaged,
    char *err, size_t err_size);

/* Bytes of the file that a row of len bytes takes, at most. */
uint64_t schema_charge(uint32_t len);


#endif /* _ENGINE_SCHEMA_H_INCLUDED_ */
