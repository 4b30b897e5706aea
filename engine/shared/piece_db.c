
#include "engine/shared/piece_db.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "engine/cache/sqlite/statements.h"


struct rows_s {
    sqlite3       *db;
    sqlite3_stmt  *select;
};


int
rows_open(rows_t **rows, const char *dir)
{
    int      rc;
    char     name[PATH_MAX];
    rows_t  *r;

    if (snprintf(name, sizeof(name), "%s/" ROWS_FILE, dir)
        >= (int) sizeof(name))
    {
        return ENAMETOOLONG;
    }

    r = calloc(1, sizeof(rows_t));

    if (r == NULL) {
        return ENOMEM;
    }

    /* without a busy handler nothing waits */

    rc = sqlite3_open_v2(name, &r->db,
                         SQLITE_OPEN_READONLY|SQLITE_OPEN_NOMUTEX, NULL);

    /* what cannot be read is to be an error, not a SIGBUS */

    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(r->db, "PRAGMA mmap_size = 0", NULL, NULL, NULL);
    }

    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v3(r->db,
                                "SELECT data FROM block WHERE id = ?2 + "
                                "(SELECT id << 32 FROM torrent WHERE ih = ?1)",
                                -1, SQLITE_PREPARE_PERSISTENT, &r->select,
                                NULL);
    }

    if (rc != SQLITE_OK) {
        rc = sql_errno(rc, r->db);
        rows_close(r);
        return rc;
    }

    *rows = r;

    return 0;
}


void
rows_close(rows_t *rows)
{
    if (rows == NULL) {
        return;
    }

    sqlite3_finalize(rows->select);
    sqlite3_close(rows->db);
    free(rows);
}


int
rows_read(rows_t *rows, const map_t *map, uint64_t offset, void *buf,
    size_t size, size_t *len)
{
    int                  rc;
    size_t               n, skip;
    uint64_t             begin, end;
    const uint8_t       *data;
    const map_header_t  *h;

    h = map->header;

    /* of the row, in the piece space: the piece is a run of rows */

    begin = offset - offset % h->piece_length;
    end = begin + h->piece_length;
    begin += (offset - begin) / MAP_BLOCK * MAP_BLOCK;

    end = (begin + MAP_BLOCK < end) ? begin + MAP_BLOCK : end;
    end = (h->total_size < end) ? h->total_size : end;
    skip = offset - begin;

    sqlite3_bind_blob(rows->select, 1, h->ih, 20, SQLITE_STATIC);
    sqlite3_bind_int64(rows->select, 2,
                       offset / h->piece_length * map_blocks(h)
                       + offset % h->piece_length / MAP_BLOCK);

    rc = sqlite3_step(rows->select);

    if (rc == SQLITE_ROW) {
        data = sqlite3_column_blob(rows->select, 0);
        n = sqlite3_column_bytes(rows->select, 0);

        if (data != NULL && n == end - begin) {
            n -= skip;
            *len = (n < size) ? n : size;
            memcpy(buf, data + skip, *len);
            rc = 0;

        } else {
            rc = (sqlite3_errcode(rows->db) == SQLITE_NOMEM) ? ENOMEM
                                                             : EBADMSG;
        }

    } else if (rc == SQLITE_DONE) {
        rc = ENOENT;

    } else {
        rc = sql_errno(rc, rows->db);
    }

    /* the transaction ends here: nothing may hold up a checkpoint */

    (void) sqlite3_reset(rows->select);
    sqlite3_clear_bindings(rows->select);

    return rc;
}
