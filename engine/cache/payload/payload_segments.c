
/*
 * Payload in segments: segment n of generation g is pieces/<ih>/<n>.<g>, which
 * is unlinked when it is evicted.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cache/store/payload.h"
#include "engine/cache/store/store.h"


static uint64_t segments_charge(const store_t *store, uint32_t piece);
static int segments_open(store_t *store, uint32_t file);
static int segments_find(const store_t *store, uint32_t file,
    uint32_t generation);
static void segments_evict(store_t *store, uint32_t segment,
    uint32_t generation);
static int segments_has_complete(const store_t *store, uint32_t segment);
static void segments_scan(map_t *map, int cache, DIR *dir,
    database_t *database);
static int segments_scan_one(map_t *map, int dir, const char *name);


const payload_t  payload_segments = {
    MAP_SEGMENTS,
    0,
    0,
    NULL,
    segments_charge,
    payload_write,
    payload_read,
    segments_open,
    segments_find,
    NULL,
    segments_evict,
    segments_scan
};


/*
 * Its length in whole pages.
 */
static uint64_t
segments_charge(const store_t *store, uint32_t piece)
{
    return ((uint64_t) store_piece_length(store, piece) + PAYLOAD_PAGE - 1)
           & ~(uint64_t) (PAYLOAD_PAGE - 1);
}


static int
segments_open(store_t *store, uint32_t file)
{
    int          fd, err, known;
    char         name[MAP_SEGMENT_NAME];
    uint64_t     size;
    struct stat  st;

    map_segment_name(store->ih, file, store->map.segments[file].generation,
                     name, sizeof(name));

    /* made anew, or longer, it would have zeros where pieces are complete */

    known = segments_has_complete(store, file);

    fd = openat(store->dir, name,
                O_RDWR|O_CLOEXEC|O_NOFOLLOW|(known ? 0 : O_CREAT), 0600);

    if (fd == -1) {
        errno = (known && errno == ENOENT) ? ENOTRECOVERABLE : errno;
        return -1;
    }

    size = map_file_size(&store->map, file);

    if (fstat(fd, &st) == -1) {
        err = errno;

    } else if ((uint64_t) st.st_size == size) {
        return fd;

    } else if (known) {
        err = ENOTRECOVERABLE;

    } else if (ftruncate(fd, size) == -1) {
        err = errno;

    } else {
        /* without blocks: holes read as zeros */
        return fd;
    }

    close(fd);
    errno = err;

    return -1;
}


static int
segments_has_complete(const store_t *store, uint32_t segment)
{
    uint32_t  i, n, first;

    n = store_segment_pieces(store, segment, &first);

    for (i = first; i < first + n; i++) {
        if (store_complete(store, i)) {
            return 1;
        }
    }

    return 0;
}


static int
segments_find(const store_t *store, uint32_t file, uint32_t generation)
{
    char  name[MAP_SEGMENT_NAME];

    map_segment_name(store->ih, file, generation, name, sizeof(name));

    return openat(store->dir, name, O_RDONLY|O_NONBLOCK|O_CLOEXEC|O_NOFOLLOW);
}


static void
segments_evict(store_t *store, uint32_t segment, uint32_t generation)
{
    char  name[MAP_SEGMENT_NAME];

    map_segment_name(store->ih, segment, generation, name, sizeof(name));

    (void) unlinkat(store->dir, name, 0);
}


/*
 * Counts what each segment takes on disk; files of other generations or of
 * another length and temporary ones are removed.
 */
static void
segments_scan(map_t *map, int cache, DIR *dir, database_t *database)
{
    struct dirent  *entry;

    (void) cache;
    (void) database;

    while ((entry = readdir(dir)) != NULL) {

        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "map") == 0) {
            continue;
        }

        if (segments_scan_one(map, dirfd(dir), entry->d_name) != 0) {
            (void) unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
}


static int
segments_scan_one(map_t *map, int dir, const char *name)
{
    char           *end;
    struct stat     st;
    unsigned long   n, generation;
    map_segment_t  *s;

    n = strtoul(name, &end, 10);

    if (end == name || *end != '.' || n >= map->header->segment_n) {
        return -1;
    }

    s = &map->segments[n];
    generation = strtoul(end + 1, &end, 10);

    if (*end != '\0' || generation != s->generation) {
        return -1;
    }

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1
        || !S_ISREG(st.st_mode)
        || (uint64_t) st.st_size != map_file_size(map, n))
    {
        return -1;
    }

    /* one block at least: a file is there, it can be evicted */

    s->charged = (st.st_blocks != 0) ? (uint64_t) st.st_blocks * 512 : 512;

    return 0;
}
