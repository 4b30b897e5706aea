
#include "engine/cache/sqlite/database.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "engine/core/log.h"
#include "engine/cache/sqlite/vacuum.h"
#include "engine/shared/piece_db.h"
#include "engine/cache/sqlite/schema.h"
#include "engine/cache/sqlite/statements.h"


/* bytes on the disk that the WAL and removals need */
#define DATABASE_RESERVE  (16 * 1024 * 1024)


struct database_s {
    const char       *path;     /* of the cache, the caller's */
    int               damaged;

    pthread_mutex_t   lock;     /* of sql */
    sql_t             sql;
    reclaim_t         reclaim;

    pthread_mutex_t   rows_lock;
    rows_t           *rows;
};


static void database_free(database_t *database);
static int database_insert(sql_t *sql, const map_t *map, uint32_t piece,
    const uint8_t *p, uint32_t len);
static int database_room(database_t *database, uint32_t len);


int
database_open(database_t **database, const char *path, int create, char *err,
    size_t err_size)
{
    int          rc, damaged;
    sqlite3     *db;
    database_t  *d;

    *database = NULL;

    rc = schema_open(&db, path, create, &damaged, err, err_size);

    if (rc != 0 || db == NULL) {
        return rc;
    }

    d = calloc(1, sizeof(database_t));

    if (d == NULL) {
        sqlite3_close(db);
        snprintf(err, err_size, "out of memory");
        return ENOMEM;
    }

    d->path = path;
    d->damaged = damaged;

    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->rows_lock, NULL);

    rc = sql_open(&d->sql, db);

    if (rc == 0) {
        rc = rows_open(&d->rows, path);
    }

    if (rc == 0) {
        rc = reclaim_open(&d->reclaim, &d->sql, &d->lock);
    }

    if (rc != 0) {
        snprintf(err, err_size, "database \"%s/" ROWS_FILE "\" cannot be "
                 "opened: %s", path, strerror(rc));
        database_free(d);
        return rc;
    }

    *database = d;

    return 0;
}


void
database_close(database_t *database)
{
    if (database != NULL) {
        reclaim_close(&database->reclaim);
        database_free(database);
    }
}


static void
database_free(database_t *database)
{
    rows_close(database->rows);
    sql_close(&database->sql);

    pthread_mutex_destroy(&database->rows_lock);
    pthread_mutex_destroy(&database->lock);
    free(database);
}


int
database_damaged(const database_t *database)
{
    return database->damaged;
}


int
database_write(database_t *database, const map_t *map, uint32_t piece,
    const void *buf, uint32_t len, int (*check)(void *ctx), void *ctx)
{
    int     rc;
    sql_t  *sql;

    sql = &database->sql;

    pthread_mutex_lock(&database->lock);

    rc = reclaim_flush(&database->reclaim, UINT_MAX);

    if (rc == 0) {
        rc = database_room(database, len);
    }

    /* what is noted after this is done after what follows */

    if (rc == 0) {
        rc = check(ctx);
    }

    if (rc == 0) {
        rc = sql_begin(sql);
    }

    if (rc == 0) {
        rc = sql_end(sql, database_insert(sql, map, piece, buf, len));
    }

    sql_checkpoint(sql, 0);
    database->reclaim.written = engine_now();

    pthread_mutex_unlock(&database->lock);

    return rc;
}


/*
 * In a transaction.
 */
static int
database_insert(sql_t *sql, const map_t *map, uint32_t piece,
    const uint8_t *p, uint32_t len)
{
    int            rc;
    int64_t        id;
    uint32_t       n;
    sqlite3_stmt  *st;

    id = sql_torrent(sql, map->header->ih);

    if (id == 0) {
        st = sql->statements[SQL_ADD];
        sqlite3_bind_blob(st, 1, map->header->ih, 20, SQLITE_STATIC);

        rc = sql_step(sql, SQL_ADD);

        if (rc != 0) {
            return rc;
        }

        id = sqlite3_last_insert_rowid(sql->db);
    }

    if (id < 0 || id > INT32_MAX) {
        return EIO;
    }

    id = (id << 32) + (int64_t) piece * map_blocks(map->header);
    st = sql->statements[SQL_INSERT];

    for ( /* void */ ; len != 0; id++, p += n, len -= n) {
        n = (len < MAP_BLOCK) ? len : MAP_BLOCK;

        sqlite3_bind_int64(st, 1, id);
        sqlite3_bind_blob(st, 2, p, n, SQLITE_STATIC);

        rc = sql_step(sql, SQL_INSERT);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


/*
 * A removal needs some pages of the WAL, and so does what brings it to the
 * file: on a disk without any room nothing could be removed.
 */
static int
database_room(database_t *database, uint32_t len)
{
    int64_t         pages;
    uint64_t        room;
    struct statvfs  st;

    if (statvfs(database->path, &st) == -1) {
        return errno;
    }

    pages = sql_number(&database->sql, SQL_FREE);

    if (pages == -1) {
        return EIO;
    }

    room = (uint64_t) st.f_bavail * st.f_frsize
           + (uint64_t) pages * SCHEMA_PAGE;

    return (room < database_charge(len) + DATABASE_RESERVE) ? ENOSPC : 0;
}


int
database_read(database_t *database, const map_t *map, uint64_t offset,
    void *buf, uint32_t len)
{
    int       rc;
    size_t    n;
    uint8_t  *p;

    p = buf;
    rc = 0;

    /* row by row: the network thread is not to wait for a whole piece */

    for ( /* void */ ; rc == 0 && len != 0; p += n, offset += n, len -= n) {
        n = 0;

        pthread_mutex_lock(&database->rows_lock);
        rc = rows_read(database->rows, map, offset, p, len, &n);
        pthread_mutex_unlock(&database->rows_lock);
    }

    return rc;
}


void
database_remove(database_t *database, const map_t *map, uint32_t piece,
    uint32_t n)
{
    uint64_t  blocks;

    blocks = map_blocks(map->header);

    reclaim_note(&database->reclaim, map->header->ih, piece * blocks,
                 (piece + (uint64_t) n) * blocks, 0);
}


int
database_has(database_t *database, const uint8_t *ih)
{
    int64_t  id;

    pthread_mutex_lock(&database->lock);
    id = sql_torrent(&database->sql, ih);
    pthread_mutex_unlock(&database->lock);

    return id > 0;
}


void
database_clean(database_t *database,
    int (*keep)(void *ctx, const uint8_t *ih), void *ctx)
{
    const uint8_t  *ih;
    sqlite3_stmt   *st;

    pthread_mutex_lock(&database->lock);

    if (sqlite3_prepare_v2(database->sql.db, "SELECT ih FROM torrent", -1,
                           &st, NULL)
        == SQLITE_OK)
    {
        while (sqlite3_step(st) == SQLITE_ROW) {
            ih = sqlite3_column_blob(st, 0);

            if (ih != NULL && sqlite3_column_bytes(st, 0) == 20
                && !keep(ctx, ih))
            {
                reclaim_note(&database->reclaim, ih, 0,
                             (uint64_t) UINT32_MAX + 1, 1);
            }
        }

        sqlite3_finalize(st);
    }

    pthread_mutex_unlock(&database->lock);
}


uint64_t
database_charge(uint32_t len)
{
    return (uint64_t) (len / MAP_BLOCK) * schema_charge(MAP_BLOCK)
           + schema_charge(len % MAP_BLOCK);
}
