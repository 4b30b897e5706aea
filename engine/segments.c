
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

#include "payload.h"
#include "store.h"


static uint64_t segments_charge(const store_t *store, uint32_t piece);
static int segments_open(store_t *store, uint32_t file);
static int segments_find(const store_t *store, uint32_t file,
    uint32_t generation);
static void segments_evict(store_t *store, uint32_t segment,
    uint32_t generation);
static uint64_t segments_length(const map_t *map, uint32_t segment);
static void segments_scan(map_t *map, int cache, DIR *dir);
static int segments_scan_one(map_t *map, int dir, const char *name);


const payload_t  payload_segments = {
    MAP_SEGMENTS,
    0,
    NULL,
    segments_charge,
    payload_write,
    payload_read,
    segments_open,
    segments_find,
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
    int       fd, err;
    char      name[MAP_SEGMENT_NAME];

    map_segment_name(store->ih, file, store->map.segments[file].generation,
                     name, sizeof(name));

    fd = openat(store->dir, name, O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return -1;
    }

    /* the full length at once, without blocks: holes read as zeros */

    if (ftruncate(fd, segments_length(&store->map, file)) == -1) {
        err = errno;
        close(fd);
        errno = err;
        return -1;
    }

    return fd;
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
 * The length of a segment's file, from its first moment on.
 */
static uint64_t
segments_length(const map_t *map, uint32_t segment)
{
    uint64_t             begin, length;
    const map_header_t  *h;

    h = map->header;
    length = (uint64_t) h->pieces_per_segment * h->piece_length;
    begin = segment * length;

    return (h->total_size - begin < length) ? h->total_size - begin : length;
}


/*
 * Counts what each segment takes on disk; files of other generations or of
 * another length and temporary ones are removed.
 */
static void
segments_scan(map_t *map, int cache, DIR *dir)
{
    struct dirent  *entry;

    (void) cache;

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
        || (uint64_t) st.st_size != segments_length(map, n))
    {
        return -1;
    }

    /* one block at least: a file is there, it can be evicted */

    s->charged = (st.st_blocks != 0) ? (uint64_t) st.st_blocks * 512 : 512;

    return 0;
}
