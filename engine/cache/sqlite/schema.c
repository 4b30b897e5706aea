
#include "engine/cache/sqlite/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/shared/piece_db.h"
#include "engine/cache/sqlite/statements.h"


#define SCHEMA_ID       0x434e464c      /* "CNFL" */
#define SCHEMA_VERSION  1

#define SCHEMA_STRING(s)   SCHEMA_STRING_(s)
#define SCHEMA_STRING_(s)  #s


static int schema_use(sqlite3 **db, const char *name, char *err,
    size_t err_size);
static int schema_check(sqlite3 *db, const char *name, char *err,
    size_t err_size);
static int schema_number(sqlite3 *db, const char *text, int *number);
static int schema_create(const char *name);
static void schema_remove(const char *name);


/*
 * Pages of this size and rows of MAP_BLOCK go together well: of a row all but
 * some 1000 bytes are in pages of its own, which are full (schema_charge()).
 */
static const char  schema_make[] =
    "PRAGMA page_size = " SCHEMA_STRING(SCHEMA_PAGE) ";"
    "PRAGMA auto_vacuum = INCREMENTAL;"
    "PRAGMA journal_mode = WAL;"
    "BEGIN;"
    "CREATE TABLE torrent (id INTEGER PRIMARY KEY, ih BLOB NOT NULL UNIQUE);"
    "CREATE TABLE block (id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "PRAGMA application_id = " SCHEMA_STRING(SCHEMA_ID) ";"
    "PRAGMA user_version = " SCHEMA_STRING(SCHEMA_VERSION) ";"
    "COMMIT;";

/*
 * Freed pages stay as they are, Debian's SQLite writes zeros to them otherwise;
 * what cannot be read is to be an error, not a SIGBUS.
 */
static const char  schema_set[] =
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA secure_delete = OFF;"
    "PRAGMA mmap_size = 0;";


int
schema_open(sqlite3 **db, const char *dir, int create, int *damaged,
    char *err, size_t err_size)
{
    int          rc;
    char         name[PATH_MAX];
    struct stat  st;

    *db = NULL;
    *damaged = 0;

    if (snprintf(name, sizeof(name), "%s/" ROWS_FILE, dir)
        > (int) sizeof(name) - 8)
    {
        snprintf(err, err_size, "path \"%s\" is too long", dir);
        return ENAMETOOLONG;
    }

    if (stat(name, &st) == 0) {
        rc = schema_use(db, name, err, err_size);

        if (rc != EBADMSG) {
            return rc;
        }

        schema_remove(name);
        *damaged = (st.st_size != 0);
    }

    if (!create) {
        return 0;
    }

    rc = schema_create(name);

    if (rc != 0) {
        snprintf(err, err_size, "database \"%s\" cannot be made: %s", name,
                 strerror(rc));
        return rc;
    }

    return schema_use(db, name, err, err_size);
}


/*
 * Opens what has that name.
 */
static int
schema_use(sqlite3 **db, const char *name, char *err, size_t err_size)
{
    int  rc;

    err[0] = '\0';

    rc = sqlite3_open_v2(name, db, SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX,
                         NULL);

    if (rc == SQLITE_OK) {
        (void) sqlite3_extended_result_codes(*db, 1);
        rc = sqlite3_exec(*db, schema_set, NULL, NULL, NULL);
    }

    rc = sql_errno(rc, *db);

    if (rc == 0) {
        rc = schema_check(*db, name, err, err_size);
    }

    if (rc == 0) {
        return 0;
    }

    if (err[0] == '\0') {
        snprintf(err, err_size, "database \"%s\" cannot be opened: %s", name,
                 strerror(rc));
    }

    sqlite3_close(*db);
    *db = NULL;

    return rc;
}


/*
 * Returns EBADMSG if it is damaged, EINVAL and a text if it is not ours.
 */
static int
schema_check(sqlite3 *db, const char *name, char *err, size_t err_size)
{
    int  rc, id, version, tables;

    rc = schema_number(db, "PRAGMA application_id", &id);

    if (rc == 0) {
        rc = schema_number(db, "PRAGMA user_version", &version);
    }

    if (rc == 0) {
        rc = schema_number(db, "SELECT count(*) FROM sqlite_master", &tables);
    }

    if (rc != 0) {
        return rc;
    }

    if (sqlite3_db_readonly(db, "main") == 1) {
        return EROFS;
    }

    if (id == 0 && version == 0 && tables == 0) {

        /* an empty file */

        return EBADMSG;
    }

    if (id != SCHEMA_ID) {
        snprintf(err, err_size, "database \"%s\" is not of confluence", name);
        return EINVAL;
    }

    if (version != SCHEMA_VERSION) {
        snprintf(err, err_size, "database \"%s\" is of version %d, which is "
                 "not known", name, version);
        return EINVAL;
    }

    return schema_number(db, "SELECT count(*) FROM (SELECT 1 FROM block, "
                         "torrent WHERE ih = x'00' AND block.id = torrent.id "
                         "AND length(data))", &tables);
}


static int
schema_number(sqlite3 *db, const char *text, int *number)
{
    int            rc;
    sqlite3_stmt  *st;

    rc = sqlite3_prepare_v2(db, text, -1, &st, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
    }

    if (rc == SQLITE_ROW) {
        *number = sqlite3_column_int(st, 0);
        rc = SQLITE_OK;
    }

    sqlite3_finalize(st);

    return sql_errno(rc, db);
}


/*
 * Whoever opens the name finds all of it: it is made under another one.
 */
static int
schema_create(const char *name)
{
    int       fd, rc;
    char      temp[PATH_MAX];
    sqlite3  *db;

    snprintf(temp, sizeof(temp), "%s", name);
    memcpy(temp + strlen(temp) - 2, "tmp", 4);

    schema_remove(temp);

    /* what SQLITE_OPEN_CREATE makes anybody may read */

    fd = open(temp, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return errno;
    }

    close(fd);

    rc = sqlite3_open_v2(temp, &db, SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX,
                         NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, schema_make, NULL, NULL, NULL);
    }

    rc = sql_errno(rc, db);

    sqlite3_close(db);

    if (rc == 0) {

        /* of an older one, which would be taken for its own */

        schema_remove(name);

        if (rename(temp, name) == -1) {
            rc = errno;
        }
    }

    if (rc != 0) {
        schema_remove(temp);
    }

    return rc;
}


static void
schema_remove(const char *name)
{
    char  other[PATH_MAX];

    (void) unlink(name);

    snprintf(other, sizeof(other), "%.*s-wal", PATH_MAX - 5, name);
    (void) unlink(other);

    snprintf(other, sizeof(other), "%.*s-shm", PATH_MAX - 5, name);
    (void) unlink(other);
}


/*
 * As "Inside The Cell" in SQLite's file format has it: what is too long for a
 * page has the rest in pages of its own.  What is in the pages of the tree
 * counts twice, since those are half empty if rows come in any order.
 */
uint64_t
schema_charge(uint32_t len)
{
    uint32_t  local, most, least, pages;

    if (len == 0) {
        return 0;
    }

    len += 8;                               /* header of the record */
    most = SCHEMA_PAGE - 35;
    least = (SCHEMA_PAGE - 12) * 32 / 255 - 23;
    local = len;
    pages = 0;

    if (len > most) {
        local = least + (len - least) % (SCHEMA_PAGE - 4);
        local = (local <= most) ? local : least;
        pages = (len - local + SCHEMA_PAGE - 5) / (SCHEMA_PAGE - 4);
    }

    local = 2 * (local + 32);               /* header of the cell */

    return (uint64_t) pages * SCHEMA_PAGE
           + ((local < SCHEMA_PAGE) ? local : SCHEMA_PAGE);
}
