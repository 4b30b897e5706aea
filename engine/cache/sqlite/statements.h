
/*
 * The connection that writes to a database (database.h): its statements, and
 * results of SQLite as those of all else.
 */

#ifndef _ENGINE_SQL_H_INCLUDED_
#define _ENGINE_SQL_H_INCLUDED_


#include <stdint.h>

#include <sqlite3.h>


typedef enum {
    SQL_INSERT = 0,         /* id, data */
    SQL_DELETE,             /* first id, id behind the last */
    SQL_FIND,               /* ih */
    SQL_ADD,                /* ih */
    SQL_DROP,               /* id of a torrent */
    SQL_NEXT,               /* id of a row: that of it or of the next one */
    SQL_PAGES,
    SQL_FREE,
    SQL_STATEMENTS
} sql_statement_e;


typedef struct {
    sqlite3       *db;
    sqlite3_stmt  *statements[SQL_STATEMENTS];
    int            wal;     /* pages in the WAL */
} sql_t;


/*
 * Takes over a connection.  Returns 0 or an errno; sql_close() in any case.
 * One thread at a time, as all below.
 */
int sql_open(sql_t *sql, sqlite3 *db);

/* Brings what is in the WAL to the file. */
void sql_close(sql_t *sql);

/* The bound values are used up.  Returns 0 or an errno. */
int sql_step(sql_t *sql, sql_statement_e n);

/* The number that a statement tells; 0 if it tells none, -1 if it failed. */
int64_t sql_number(sql_t *sql, sql_statement_e n);

/*
 * Of a torrent: 0 if there is none, -1 if the database cannot be read.
 */
int64_t sql_torrent(sql_t *sql, const uint8_t *ih);

/* Returns 0 or an errno. */
int sql_begin(sql_t *sql);

/* Commits if rc is 0, else rolls back.  Returns rc, or what failed. */
int sql_end(sql_t *sql, int rc);

/* Brings the WAL to the file if it is long, or if it is to be done now. */
void sql_checkpoint(sql_t *sql, int now);

/*
 * The errno of a result code: EAGAIN if a lock is taken, ENOSPC, EROFS, ENOMEM,
 * EBADMSG if what is there is damaged or no database, else what the system
 * said, or EIO.  db may be NULL.
 */
int sql_errno(int rc, sqlite3 *db);


#endif /* _ENGINE_SQL_H_INCLUDED_ */
