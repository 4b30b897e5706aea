
#include "engine/cache/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/boot_id.h"
#include "engine/cache/map_create.h"
#include "engine/shared/file_tree.h"


#define SCAN_BLOCK  65536


static int scan_is_hash(const char *name);
static void scan_hash(uint8_t *ih, const char *name);
static int scan_open(map_t *map, const char *file, const char *name);
static int scan_read(const char *file);
static void scan_payload(map_t *map, const scan_t *scan, DIR *dir);
static uint32_t scan_states(map_t *map, int trusted);
static uint32_t scan_segment(map_t *map, uint32_t segment, int trusted);
static void scan_lost(map_t *map, uint32_t segment);
static uint32_t scan_last(const map_t *map, uint32_t segment);
static int scan_has_rows(void *ctx, const uint8_t *ih);


int
scan_store(scan_t *scan, store_t **store, const char *name)
{
    int    rc;
    DIR   *d;
    char   folder[PATH_MAX], file[PATH_MAX];
    map_t  map;

    if (!scan_is_hash(name)) {
        return EINVAL;
    }

    snprintf(folder, sizeof(folder), "%s/pieces/%s", scan->path, name);

    if (snprintf(file, sizeof(file), "%s/pieces/%s/map", scan->path, name)
        >= (int) sizeof(file))
    {
        return EINVAL;
    }

    d = opendir(folder);

    if (d == NULL) {
        return (errno == ENOTDIR) ? EINVAL : errno;
    }

    rc = scan_open(&map, file, name);

    if (rc != 0) {

        if (rc == EBADMSG || rc == EIO || rc == ENOENT) {
            scan_remove(d, folder);
        }

        closedir(d);
        return rc;
    }

    scan_payload(&map, scan, d);
    closedir(d);

    scan->doubts = scan_states(&map, scan->sealed
                               || strcmp(map.header->boot_id, boot_id()) == 0);

    /* vouched for: workers may look at it from now on */

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    snprintf(map.shared->boot_id, sizeof(map.shared->boot_id), "%s",
             boot_id());

    *store = store_create(&map, scan->dir, scan->files);

    if (*store == NULL) {
        map_close(&map);
        return ENOMEM;
    }

    return 0;
}


static int
scan_is_hash(const char *name)
{
    return strlen(name) == 40 && strspn(name, "0123456789abcdef") == 40;
}


static void
scan_hash(uint8_t *ih, const char *name)
{
    unsigned  i, byte;

    for (i = 0; i < 20; i++) {
        (void) sscanf(name + 2 * i, "%2x", &byte);
        ih[i] = byte;
    }
}


static int
scan_open(map_t *map, const char *file, const char *name)
{
    int   rc;
    char  hex[41];

    rc = scan_read(file);

    if (rc == 0) {
        rc = map_open_file(map, file);
    }

    if (rc != 0) {
        return rc;
    }

    map_hex(hex, map->header->ih, 20);

    if (strcmp(hex, name) != 0
        || !map_usable(map)
        || !layout_is_whole(map))
    {
        map_retire(map);
        map_close(map);
        return EBADMSG;
    }

    return 0;
}


/*
 * Reads the map once, and gives it blocks where it has holes: a bad sector or
 * a full disk is an error here, and would be a SIGBUS later.
 */
static int
scan_read(const char *file)
{
    int          fd, rc;
    char         buf[SCAN_BLOCK];
    ssize_t      n;
    struct stat  st;

    fd = open(file, O_RDWR|O_NONBLOCK|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return (errno == ELOOP || errno == EISDIR) ? EBADMSG : errno;
    }

    rc = 0;

    if (fstat(fd, &st) == -1) {
        rc = errno;

    } else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        rc = EBADMSG;

    } else if ((off_t) st.st_blocks * 512 < st.st_size) {
        rc = posix_fallocate(fd, 0, st.st_size);
    }

    while (rc == 0) {
        n = read(fd, buf, sizeof(buf));

        if (n == 0) {
            break;
        }

        if (n == -1 && errno != EINTR) {
            rc = errno;
        }
    }

    close(fd);

    return rc;
}


/*
 * Counts what each segment takes on disk, and removes what is of no use.
 */
static void
scan_payload(map_t *map, const scan_t *scan, DIR *dir)
{
    uint32_t  i;

    for (i = 0; i < map->header->segment_n; i++) {
        map->segments[i].charged = 0;
    }

    payload_of(map)->scan(map, scan->dir, dir, scan->database);
}


/*
 * Keeps what is complete and has its file; if the states are not trusted it is
 * in doubt, as what was so before.  Nothing else of a piece's state outlives
 * the engine that set it.  Returns how many are in doubt.
 */
static uint32_t
scan_states(map_t *map, int trusted)
{
    uint32_t  i, doubts;

    doubts = 0;

    for (i = 0; i < map->header->segment_n; i++) {

        if (map->segments[i].charged) {
            doubts += scan_segment(map, i, trusted);

        } else {
            scan_lost(map, i);
        }
    }

    return doubts;
}


static uint32_t
scan_segment(map_t *map, uint32_t segment, int trusted)
{
    uint8_t   state;
    uint32_t  i, last, doubts;

    doubts = 0;
    last = scan_last(map, segment);

    for (i = segment * map->header->pieces_per_segment; i < last; i++) {
        state = map->states[i];

        if ((state & MAP_COMPLETE) && trusted) {
            state = MAP_COMPLETE|MAP_CHARGED;

        } else if ((state & MAP_COMPLETE) || map_in_doubt(state)) {
            state = MAP_QUEUED|MAP_CHARGED;
            doubts++;

        } else {
            state = 0;
        }

        __atomic_store_n(&map->states[i], state, __ATOMIC_SEQ_CST);
    }

    return doubts;
}


/*
 * What had been complete is of another generation when it is fetched again:
 * workers that outlived the last engine may have found its file missing.
 */
static void
scan_lost(map_t *map, uint32_t segment)
{
    int       complete;
    uint32_t  i, last;

    complete = 0;
    last = scan_last(map, segment);

    for (i = segment * map->header->pieces_per_segment; i < last; i++) {
        complete |= map->states[i] & MAP_COMPLETE;

        __atomic_store_n(&map->states[i], 0, __ATOMIC_SEQ_CST);
    }

    if (complete) {
        (void) map_raise(map, segment);
    }
}


/*
 * The piece after the segment's last.
 */
static uint32_t
scan_last(const map_t *map, uint32_t segment)
{
    uint64_t  last;

    last = ((uint64_t) segment + 1) * map->header->pieces_per_segment;

    return (last < map->header->piece_n) ? last : map->header->piece_n;
}


void
scan_files(store_t *stores, int dir, trash_t *trash)
{
    int             fd;
    DIR            *d;
    char            root[TREE_ROOT];
    store_t        *store;
    uint8_t         ih[20];
    struct dirent  *entry;

    fd = openat(dir, TREE_FOLDER, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    d = fdopendir(fd);

    if (d == NULL) {
        close(fd);
        return;
    }

    while ((entry = readdir(d)) != NULL) {

        if (!scan_is_hash(entry->d_name)) {
            continue;
        }

        scan_hash(ih, entry->d_name);
        HASH_FIND(hh, stores, ih, 20, store);

        if (store == NULL || map_layout(&store->map) != MAP_FILES) {
            tree_root(root, ih);
            (void) trash_put(trash, root);
        }
    }

    closedir(d);
}


void
scan_rows(store_t *stores, database_t *database)
{
    if (database != NULL) {
        database_clean(database, scan_has_rows, stores);
    }
}


static int
scan_has_rows(void *ctx, const uint8_t *ih)
{
    store_t  *stores, *store;

    stores = ctx;

    HASH_FIND(hh, stores, ih, 20, store);

    return store != NULL && map_layout(&store->map) == MAP_SQLITE;
}


void
scan_remove(DIR *dir, const char *folder)
{
    struct dirent  *entry;

    while ((entry = readdir(dir)) != NULL) {

        if (strcmp(entry->d_name, ".") != 0
            && strcmp(entry->d_name, "..") != 0)
        {
            if (unlinkat(dirfd(dir), entry->d_name, 0) == -1) {
                (void) unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
            }
        }
    }

    (void) rmdir(folder);
}
