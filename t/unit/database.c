
/*
 * The database of pieces without a cache: what it takes on the disk, the order
 * of writes and removals, readers that do not wait.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "engine/cache/sqlite/database.h"
#include "engine/shared/piece_db.h"
#include "tap.h"


#define PIECE  100000
#define MIB    (1024 * 1024)


static void test_charge(void);
static void test_charge_of(uint32_t length);
static void test_order(void);
static void test_read(void);
static void test_wait(void);
static void clear(void);
static void make_map(map_t *map, uint32_t length, uint32_t n, uint8_t name);
static database_t *open_database(void);
static int write_piece(database_t *database, const map_t *map, uint32_t piece,
    int check);
static int read_piece(database_t *database, const map_t *map, uint32_t piece);
static int check_of(void *ctx);
static uint64_t size_of(const char *suffix);


static char          path[PATH_MAX];
static map_header_t  headers[4];
static uint8_t       bytes[MIB];
static uint8_t       got[MIB];


int
main(void)
{
    uint32_t  i;

    snprintf(path, sizeof(path), "%s/confluence-unit.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");

    if (mkdtemp(path) == NULL) {
        return 1;
    }

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (i * 2654435761u) >> 24;
    }

    test_charge();
    test_order();
    test_read();
    test_wait();

    clear();
    (void) rmdir(path);

    return done_testing();
}


/*
 * What is counted is not less than what the file takes, in whatever order
 * pieces come, and not much more.
 */
static void
test_charge(void)
{
    static const uint32_t  lengths[] = {
        16384, 32768, 65536, 65537, 100000, 131072, 262144, 1000000, MIB
    };

    size_t  i;

    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        test_charge_of(lengths[i]);
    }
}


static void
test_charge_of(uint32_t length)
{
    char         name[80];
    map_t        map;
    uint32_t     i, n;
    uint64_t     size, sum;
    database_t  *d;

    clear();

    n = 8 * MIB / length;
    make_map(&map, length, n, 1);
    d = open_database();
    sum = 0;

    for (i = 0; i < n; i++) {

        /* 7919 has no divisor with any of the numbers */

        (void) write_piece(d, &map, (uint64_t) i * 7919 % n, 0);
        sum += database_charge(length);
    }

    database_close(d);
    size = size_of("");

    snprintf(name, sizeof(name), "pieces of %u bytes: %llu of %llu", length,
             (unsigned long long) size, (unsigned long long) sum);

    ok(size <= sum + 65536 && sum < size + size / 5, name);
}


static void
test_order(void)
{
    map_t        a, b;
    database_t  *d;

    clear();

    make_map(&a, PIECE, 10, 1);
    make_map(&b, PIECE, 10, 2);

    d = open_database();

    ok(!database_has(d, headers[1].ih), "nothing of a torrent");
    ok(write_piece(d, &a, 3, ESTALE) == ESTALE, "refused by the caller");
    ok(read_piece(d, &a, 3) == ENOENT, "and not written");

    ok(write_piece(d, &a, 3, 0) == 0 && write_piece(d, &a, 9, 0) == 0
       && write_piece(d, &b, 3, 0) == 0, "written");
    ok(read_piece(d, &a, 3) == 0, "and read");
    ok(read_piece(d, &a, 9) == 0, "the last one, which is short");
    ok(database_has(d, headers[1].ih), "something of the torrent");

    database_remove(d, &a, 0, 4);
    ok(write_piece(d, &a, 3, 0) == 0, "removed, and written again");
    ok(read_piece(d, &a, 3) == 0, "it is there");

    database_remove(d, &a, 3, 7);
    database_close(d);

    d = open_database();

    ok(read_piece(d, &a, 3) == ENOENT && read_piece(d, &a, 9) == ENOENT,
       "removed before it is closed");
    ok(read_piece(d, &b, 3) == 0, "of another torrent, there");

    database_close(d);
}


/*
 * All that a row may be asked for.
 */
static void
test_read(void)
{
    int          right;
    map_t        map;
    size_t       i, len, want;
    rows_t      *rows;
    uint64_t     at;
    database_t  *d;

    static const uint64_t  offsets[] = {
        0, 1, 65535, 65536, 65537, PIECE - 1, PIECE, PIECE + 65536,
        10 * PIECE - 1001
    };

    clear();

    make_map(&map, PIECE, 10, 3);
    d = open_database();

    for (i = 0; i < 10; i++) {
        (void) write_piece(d, &map, i, 0);
    }

    ok(rows_open(&rows, path) == 0, "a reader");
    right = 0;

    for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        at = offsets[i] % PIECE;
        want = (at < MAP_BLOCK) ? MAP_BLOCK - at : PIECE - at;

        if (offsets[i] + want > headers[3].total_size) {
            want = headers[3].total_size - offsets[i];
        }

        len = 0;

        right += rows_read(rows, &map, offsets[i], got, sizeof(got), &len)
                 == 0
                 && len == want
                 && memcmp(got, bytes + at, len) == 0;
    }

    ok(right == sizeof(offsets) / sizeof(offsets[0]), "to the end of a row");
    ok(rows_read(rows, &map, 70000, got, 10, &len) == 0 && len == 10
       && memcmp(got, bytes + 70000, 10) == 0, "no more than asked for");

    rows_close(rows);
    database_close(d);
}


static void
test_wait(void)
{
    map_t        map;
    size_t       len;
    rows_t      *rows;
    sqlite3     *db;
    char         name[PATH_MAX];
    database_t  *d;

    clear();

    ok(rows_open(&rows, path) == ENOENT, "no database");

    make_map(&map, PIECE, 10, 1);
    d = open_database();
    (void) write_piece(d, &map, 1, 0);

    ok(rows_open(&rows, path) == 0, "a reader beside the writer");

    snprintf(name, sizeof(name), "%.*s/" ROWS_FILE, PATH_MAX - 20, path);

    (void) sqlite3_open(name, &db);

    ok(sqlite3_exec(db, "BEGIN IMMEDIATE; DELETE FROM block", NULL, NULL, NULL)
       == SQLITE_OK, "somebody else writes");
    ok(rows_read(rows, &map, PIECE, got, 100, &len) == 0
       && memcmp(got, bytes, 100) == 0, "a reader does not wait");
    ok(write_piece(d, &map, 2, 0) == EAGAIN, "a writer does, and tells so");

    (void) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);

    ok(write_piece(d, &map, 2, 0) == 0, "then it is written");

    rows_close(rows);
    database_close(d);

    ok(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE",
                    NULL, NULL, NULL) == SQLITE_OK, "it is locked");
    ok(rows_open(&rows, path) == EAGAIN, "a new reader does not wait either");

    sqlite3_close(db);
}


static void
clear(void)
{
    int   i;
    char  name[PATH_MAX];

    static const char *const  suffixes[] = { "", "-wal", "-shm" };

    for (i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%.*s/" ROWS_FILE "%s", PATH_MAX - 20,
                 path, suffixes[i]);
        (void) unlink(name);
    }
}


/*
 * Of n pieces, the last of which is 1000 bytes shorter.
 */
static void
make_map(map_t *map, uint32_t length, uint32_t n, uint8_t name)
{
    map_header_t  *h;

    h = &headers[name];

    memset(h, 0, sizeof(map_header_t));
    memset(h->ih, name, 20);
    h->flags = MAP_SQLITE;
    h->piece_length = length;
    h->piece_n = n;
    h->total_size = (uint64_t) n * length - 1000;

    map->header = h;
}


static database_t *
open_database(void)
{
    char         err[256];
    database_t  *d;

    if (database_open(&d, path, 1, err, sizeof(err)) != 0) {
        ok(0, err);
        exit(1);
    }

    return d;
}


static int
write_piece(database_t *database, const map_t *map, uint32_t piece, int check)
{
    uint32_t  len;

    len = map->header->piece_length
          - ((piece == map->header->piece_n - 1) ? 1000 : 0);

    return database_write(database, map, piece, bytes, len, check_of, &check);
}


static int
check_of(void *ctx)
{
    int  *check;

    check = ctx;

    return *check;
}


static int
read_piece(database_t *database, const map_t *map, uint32_t piece)
{
    int       rc;
    uint32_t  len;

    len = map->header->piece_length
          - ((piece == map->header->piece_n - 1) ? 1000 : 0);

    rc = database_read(database, map,
                       (uint64_t) piece * map->header->piece_length, got, len);

    return (rc == 0 && memcmp(got, bytes, len) != 0) ? EBADMSG : rc;
}


static uint64_t
size_of(const char *suffix)
{
    char         name[PATH_MAX];
    struct stat  st;

    snprintf(name, sizeof(name), "%.*s/" ROWS_FILE "%s", PATH_MAX - 20, path,
             suffix);

    return (stat(name, &st) == 0) ? st.st_size : 0;
}
