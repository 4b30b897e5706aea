
/*
 * Payload in files: those of the torrent, under their names (tree.h).  All of
 * them are one segment, which is evicted when nobody reads the torrent, and
 * when it is dropped: the folder is renamed to the trash.  What has the bytes
 * of a piece in several files is written and read file by file; pads lie
 * nowhere, since they are zeros.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cache/store/payload.h"
#include "engine/cache/store/store.h"
#include "engine/cache/store/trash.h"
#include "engine/shared/file_tree.h"


static int plain_check(const map_t *map, char *err, size_t err_size);
static uint64_t plain_charge(const store_t *store, uint32_t piece);
static int plain_write(store_t *store, uint32_t piece, uint32_t generation,
    const void *buf, uint32_t len);
static void plain_make_empty(store_t *store, uint32_t piece,
    uint32_t generation);
static int plain_open(store_t *store, uint32_t file);
static int plain_open_made(store_t *store, const char *root, uint32_t file);
static int plain_find(const store_t *store, uint32_t file,
    uint32_t generation);
static void plain_evict(store_t *store, uint32_t segment,
    uint32_t generation);
static void plain_scan(map_t *map, int cache, DIR *dir, database_t *database);
static void plain_scan_one(map_t *map, int cache, const char *root,
    uint32_t n);


const payload_t  payload_files = {
    MAP_FILES,
    1,
    1,
    plain_check,
    plain_charge,
    plain_write,
    payload_read,
    plain_open,
    plain_find,
    NULL,
    plain_evict,
    plain_scan
};


static int
plain_check(const map_t *map, char *err, size_t err_size)
{
    return (tree_check(map, err, err_size) == 0) ? 0 : errno;
}


/*
 * The pages that it touches in each file; a page of two pieces counts twice.
 */
static uint64_t
plain_charge(const store_t *store, uint32_t piece)
{
    uint32_t           i;
    uint64_t           n, begin, end, from, to;
    const map_t       *map;
    const map_file_t  *f;

    map = &store->map;
    begin = (uint64_t) piece * map->header->piece_length;
    end = begin + store_piece_length(store, piece);
    n = 0;

    for (i = map_file_at(map, begin); i < map->header->file_n; i++) {
        f = &map->files[i];

        if (f->offset >= end) {
            break;
        }

        if ((map_flags(f) & MAP_PAD_FILE) || f->length == 0) {
            continue;
        }

        from = (f->offset > begin) ? f->offset : begin;
        to = (f->offset + f->length < end) ? f->offset + f->length : end;

        n += ((to - f->offset + PAYLOAD_PAGE - 1) / PAYLOAD_PAGE
              - (from - f->offset) / PAYLOAD_PAGE)
             * PAYLOAD_PAGE;
    }

    /* never nothing, even of a piece of zeros: that is for what is not there */

    return (n != 0) ? n : PAYLOAD_PAGE;
}


static int
plain_write(store_t *store, uint32_t piece, uint32_t generation,
    const void *buf, uint32_t len)
{
    int  rc;

    rc = payload_write(store, piece, generation, buf, len);

    if (rc == 0) {
        plain_make_empty(store, piece, generation);
    }

    return rc;
}


/*
 * Files without bytes are made with the piece around them, for whoever looks
 * at the folder: nothing here reads them.
 */
static void
plain_make_empty(store_t *store, uint32_t piece, uint32_t generation)
{
    int          fd;
    uint32_t     i;
    uint64_t     begin, end;
    map_file_t  *f;

    begin = (uint64_t) piece * store->map.header->piece_length;
    end = begin + store_piece_length(store, piece);
    end += (end == store->map.header->total_size);

    i = map_file_at(&store->map, begin);

    while (i > 0 && store->map.files[i - 1].offset >= begin) {
        i--;
    }

    for ( /* void */ ; i < store->map.header->file_n; i++) {
        f = &store->map.files[i];

        if (f->offset >= end) {
            return;
        }

        if (f->length != 0 || (map_flags(f) & (MAP_PAD_FILE|MAP_MADE))) {
            continue;
        }

        pthread_rwlock_wrlock(&store->lock);

        if (store_generation(store, piece) == generation
            && store_charged(store, 0))
        {
            fd = plain_open(store, i);

            if (fd != -1) {
                close(fd);
            }
        }

        pthread_rwlock_unlock(&store->lock);
    }
}


static int
plain_open(store_t *store, uint32_t file)
{
    int          fd;
    char         root[TREE_ROOT];
    map_file_t  *f;

    tree_root(root, store->ih);
    f = &store->map.files[file];

    if (map_flags(f) & MAP_MADE) {
        return plain_open_made(store, root, file);
    }

    fd = tree_create(store->dir, root, &store->map, file);

    if (fd != -1) {
        map_made(&store->map, file, 1);
    }

    return fd;
}


/*
 * Somebody may have removed it, cut it, or put something else in its place.
 */
static int
plain_open_made(store_t *store, const char *root, uint32_t file)
{
    int          fd;
    struct stat  st;

    fd = tree_open(store->dir, root, &store->map, file, O_RDWR);

    if (fd == -1) {

        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP
            || errno == EISDIR || errno == EINVAL)
        {
            errno = ENOTRECOVERABLE;
        }

        return -1;
    }

    if (fstat(fd, &st) == -1
        || (uint64_t) st.st_size != store->map.files[file].length)
    {
        close(fd);
        errno = ENOTRECOVERABLE;
        return -1;
    }

    return fd;
}


static int
plain_find(const store_t *store, uint32_t file, uint32_t generation)
{
    char  root[TREE_ROOT];

    (void) generation;

    tree_root(root, store->ih);

    return tree_open(store->dir, root, &store->map, file, O_RDONLY);
}


static void
plain_evict(store_t *store, uint32_t segment, uint32_t generation)
{
    int       rc;
    char      root[TREE_ROOT];
    uint32_t  i;

    (void) segment;
    (void) generation;

    tree_root(root, store->ih);

    rc = trash_put(store->trash, root);

    for (i = 0; i < store->map.header->file_n; i++) {

        if (rc != 0 && rc != ENOENT
            && (map_flags(&store->map.files[i]) & MAP_MADE))
        {
            /* a disk that is full of all, maybe */
            tree_remove(store->dir, root, &store->map, i);
        }

        map_made(&store->map, i, 0);
    }
}


static void
plain_scan(map_t *map, int cache, DIR *dir, database_t *database)
{
    int         fd;
    char        root[TREE_ROOT];
    uint32_t    i;

    (void) dir;
    (void) database;

    tree_root(root, map->header->ih);

    if (map->header->segment_n == 0) {
        return;
    }

    fd = openat(cache, root, O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_NOFOLLOW);

    for (i = 0; i < map->header->file_n; i++) {

        if (fd == -1) {
            map_made(map, i, 0);

        } else if (!(map_flags(&map->files[i]) & MAP_PAD_FILE)) {
            plain_scan_one(map, cache, root, i);
        }
    }

    if (fd == -1) {
        return;
    }

    close(fd);

    if (map->segments[0].charged == 0) {

        /* a folder is there, it can be evicted */

        map->segments[0].charged = 512;
    }
}


/*
 * One that somebody has removed or replaced is made anew when its pieces are
 * there again; one that a crash left before it was known as made, too.
 */
static void
plain_scan_one(map_t *map, int cache, const char *root, uint32_t n)
{
    int           fd;
    uint64_t      i;
    struct stat   st;
    map_file_t   *f;

    f = &map->files[n];

    if (!(map_flags(f) & MAP_MADE)) {
        tree_remove(cache, root, map, n);
        return;
    }

    fd = tree_open(cache, root, map, n, O_RDONLY);

    if (fd != -1) {
        st.st_size = -1;
        (void) fstat(fd, &st);
        close(fd);

        if ((uint64_t) st.st_size == f->length) {
            map->segments[0].charged += (uint64_t) st.st_blocks * 512;
            return;
        }
    }

    tree_remove(cache, root, map, n);
    map_made(map, n, 0);

    for (i = f->offset / map->header->piece_length;
         i * map->header->piece_length < f->offset + f->length;
         i++)
    {
        __atomic_store_n(&map->states[i], 0, __ATOMIC_SEQ_CST);
    }

    (void) map_raise(map, 0);
}
