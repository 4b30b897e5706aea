
#include "engine/cache/sqlite/statements.h"

#include <errno.h>
#include <string.h>


#define SQL_WAL      1024       /* pages in the WAL until a checkpoint */
#define SQL_WAL_MAX  4096       /* the same, if readers are in the way */
#define SQL_WAIT     1000       /* ms that a checkpoint waits for readers */


static int sql_hook(void *ctx, sqlite3 *db, const char *name, int pages);
static int sql_exec(sql_t *sql, const char *text);


static const char *const  sql_texts[SQL_STATEMENTS] = {
    "INSERT OR REPLACE INTO block (id, data) VALUES (?1, ?2)",
    "DELETE FROM block WHERE id >= ?1 AND id < ?2",
    "SELECT id FROM torrent WHERE ih = ?1",
    "INSERT INTO torrent (ih) VALUES (?1)",
    "DELETE FROM torrent WHERE id = ?1",
    "SELECT id FROM block WHERE id >= ?1 ORDER BY id LIMIT 1",
    "PRAGMA page_count",
    "PRAGMA freelist_count"
};


int
sql_open(sql_t *sql, sqlite3 *db)
{
    int  i, rc;

    memset(sql, 0, sizeof(sql_t));

    sql->db = db;

    (void) sqlite3_busy_timeout(db, SQL_WAIT);

    sqlite3_wal_hook(db, sql_hook, sql);

    for (i = 0; i < SQL_STATEMENTS; i++) {
        rc = sqlite3_prepare_v3(db, sql_texts[i], -1,
                                SQLITE_PREPARE_PERSISTENT,
                                &sql->statements[i], NULL);

        if (rc != SQLITE_OK) {
            return sql_errno(rc, db);
        }
    }

    return 0;
}


void
sql_close(sql_t *sql)
{
    int  i;

    for (i = 0; i < SQL_STATEMENTS; i++) {
        sqlite3_finalize(sql->statements[i]);
    }

    sql_checkpoint(sql, 1);
    sqlite3_close(sql->db);
}


/*
 * After each commit.
 */
static int
sql_hook(void *ctx, sqlite3 *db, const char *name, int pages)
{
    sql_t  *sql;

    (void) db;
    (void) name;

    sql = ctx;
    sql->wal = pages;

    return SQLITE_OK;
}


int
sql_step(sql_t *sql, sql_statement_e n)
{
    int            rc;
    sqlite3_stmt  *st;

    st = sql->statements[n];
    rc = sqlite3_step(st);
    rc = (rc == SQLITE_DONE) ? 0 : sql_errno(rc, sql->db);

    (void) sqlite3_reset(st);
    sqlite3_clear_bindings(st);

    return rc;
}


int64_t
sql_number(sql_t *sql, sql_statement_e n)
{
    int            rc;
    int64_t        number;
    sqlite3_stmt  *st;

    st = sql->statements[n];
    rc = sqlite3_step(st);

    number = (rc == SQLITE_DONE) ? 0 : -1;

    if (rc == SQLITE_ROW) {
        number = sqlite3_column_int64(st, 0);
    }

    (void) sqlite3_reset(st);
    sqlite3_clear_bindings(st);

    return number;
}


int64_t
sql_torrent(sql_t *sql, const uint8_t *ih)
{
    sqlite3_bind_blob(sql->statements[SQL_FIND], 1, ih, 20, SQLITE_STATIC);

    return sql_number(sql, SQL_FIND);
}


int
sql_begin(sql_t *sql)
{
    return sql_exec(sql, "BEGIN IMMEDIATE");
}


int
sql_end(sql_t *sql, int rc)
{
    if (rc == 0) {
        rc = sql_exec(sql, "COMMIT");
    }

    /* some errors have rolled it back already */

    if (rc != 0 && !sqlite3_get_autocommit(sql->db)) {
        (void) sql_exec(sql, "ROLLBACK");
    }

    return rc;
}


static int
sql_exec(sql_t *sql, const char *text)
{
    return sql_errno(sqlite3_exec(sql->db, text, NULL, NULL, NULL), sql->db);
}


void
sql_checkpoint(sql_t *sql, int now)
{
    int  mode;

    if (!now && sql->wal < SQL_WAL) {
        return;
    }

    /*
     * What fails is tried again after the next commit.  New readers wait for
     * none of it; to begin the WAL anew the old ones are waited for.
     */

    mode = (sql->wal < SQL_WAL_MAX) ? SQLITE_CHECKPOINT_PASSIVE
                                    : SQLITE_CHECKPOINT_RESTART;

    if (sqlite3_wal_checkpoint_v2(sql->db, NULL, mode, NULL, NULL)
        == SQLITE_OK)
    {
        sql->wal = 0;
    }
}


int
sql_errno(int rc, sqlite3 *db)
{
    int  err;

    switch (rc & 0xff) {

    case SQLITE_OK:
        return 0;

    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:       /* a race for locks */
        return EAGAIN;

    case SQLITE_FULL:
        return ENOSPC;

    case SQLITE_READONLY:
        return EROFS;

    case SQLITE_NOMEM:
        return ENOMEM;

    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:          /* a table is missing */
        return EBADMSG;

    default:
        err = (db != NULL) ? sqlite3_system_errno(db) : 0;
        return (err != 0) ? err : EIO;
    }
}
