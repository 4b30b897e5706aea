
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io.h"


static int storage_begin(void *ctx, uint32_t piece, uint32_t *generation);
static int storage_write(void *ctx, uint32_t piece, uint32_t generation,
    void const *buf, uint32_t len);
static int storage_mark(void *ctx, uint32_t piece, uint32_t generation,
    shim_piece_state_t state);
static int storage_current(void *ctx, uint32_t piece, uint32_t generation);
static int storage_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len);
static int storage_complete(void *ctx, uint32_t piece);
static void storage_release(void *ctx);

static int storage_check(const store_t *store, uint32_t piece,
    uint32_t generation);
static int storage_lock(store_t *store, uint32_t segment, int *fd);
static int storage_find_fd(const store_t *store, uint32_t segment);
static int storage_open_fd(store_t *store, uint32_t segment);
static uint32_t storage_segment(const store_t *store, uint32_t piece);
static uint32_t storage_generation(const store_t *store, uint32_t piece);
static off_t storage_offset(const store_t *store, uint32_t piece);


const shim_storage_t  store_storage = {
    storage_begin,
    storage_write,
    storage_mark,
    storage_current,
    storage_read,
    storage_complete,
    storage_release
};


static int
storage_begin(void *ctx, uint32_t piece, uint32_t *generation)
{
    int       rc;
    uint8_t   state;
    store_t  *store;

    store = ctx;

    if (piece >= store->map.header->piece_n) {
        return EINVAL;
    }

    /* looked at under the lock: no eviction between this and the change */

    pthread_rwlock_rdlock(&store->lock);

    state = store_state(store, piece);

    if (state & MAP_COMPLETE) {
        rc = EEXIST;

    } else if (!(state & MAP_CHARGED)) {
        rc = EAGAIN;

    } else {
        rc = 0;
        store_state_set(store, piece, MAP_PARTIAL, 0);
        *generation = storage_generation(store, piece);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


/*
 * The file is written to without the lock, which an eviction would wait for
 * while the disk is busy; of an evicted file nobody sees it.
 */
static int
storage_write(void *ctx, uint32_t piece, uint32_t generation, void const *buf,
    uint32_t len)
{
    int       rc, fd;
    store_t  *store;

    store = ctx;

    rc = storage_lock(store, storage_segment(store, piece), &fd);

    if (rc != 0) {
        return rc;
    }

    rc = storage_check(store, piece, generation);

    if (rc == 0) {
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        rc = (fd == -1) ? errno : 0;
    }

    if (rc == 0) {
        store_state_set(store, piece, MAP_MARKING, 0);
    }

    pthread_rwlock_unlock(&store->lock);

    if (rc != 0) {
        return rc;
    }

    rc = io_pwrite(fd, buf, len, storage_offset(store, piece));
    close(fd);

    return rc;
}


/*
 * Whether a piece of that generation may be written.  Under the lock.
 */
static int
storage_check(const store_t *store, uint32_t piece, uint32_t generation)
{
    if (generation != storage_generation(store, piece)) {
        return ESTALE;
    }

    return (store_state(store, piece) & MAP_CHARGED) ? 0 : EAGAIN;
}


static int
storage_mark(void *ctx, uint32_t piece, uint32_t generation,
    shim_piece_state_t state)
{
    int       rc;
    store_t  *store;

    store = ctx;

    pthread_rwlock_rdlock(&store->lock);

    rc = 0;

    if (generation != storage_generation(store, piece)) {
        rc = ESTALE;

    } else if (state == SHIM_PIECE_COMPLETE) {
        store_state_set(store, piece, MAP_COMPLETE,
                        MAP_PARTIAL|MAP_CHECK|MAP_PRIORITY);

    } else if (state == SHIM_PIECE_HASHING) {
        store_state_set(store, piece, MAP_HASHING, MAP_CHECK);

    } else if (state == SHIM_PIECE_QUEUED) {
        store_state_set(store, piece, MAP_QUEUED, MAP_CHECK);

    } else {
        store_state_set(store, piece, 0, MAP_PARTIAL|MAP_CHECK);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


static int
storage_current(void *ctx, uint32_t piece, uint32_t generation)
{
    int       current;
    store_t  *store;

    store = ctx;

    pthread_rwlock_rdlock(&store->lock);
    current = (generation == storage_generation(store, piece));
    pthread_rwlock_unlock(&store->lock);

    return current;
}


static int
storage_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len)
{
    int       rc, fd;
    store_t  *store;

    store = ctx;

    if (!storage_complete(store, piece)) {
        return ESTALE;
    }

    rc = storage_lock(store, storage_segment(store, piece), &fd);

    if (rc != 0) {
        return (rc == EAGAIN) ? ESTALE : rc;
    }

    if (store_state(store, piece) & MAP_COMPLETE) {
        rc = io_pread(fd, buf, len, storage_offset(store, piece) + offset);

    } else {
        rc = ESTALE;
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


static int
storage_complete(void *ctx, uint32_t piece)
{
    store_t  *store;

    store = ctx;

    return piece < store->map.header->piece_n
           && (store_state(store, piece) & MAP_COMPLETE);
}


static void
storage_release(void *ctx)
{
    store_release(ctx);
}


/*
 * Takes the read lock with the segment's descriptor at hand, which stays open
 * for as long as the lock is held.
 */
static int
storage_lock(store_t *store, uint32_t segment, int *fd)
{
    int  rc;

    for ( ;; ) {
        pthread_rwlock_rdlock(&store->lock);

        *fd = storage_find_fd(store, segment);

        if (*fd != -1) {
            return 0;
        }

        pthread_rwlock_unlock(&store->lock);

        if (store->map.segments[segment].charged == 0) {
            return EAGAIN;
        }

        pthread_rwlock_wrlock(&store->lock);
        rc = storage_open_fd(store, segment);
        pthread_rwlock_unlock(&store->lock);

        if (rc != 0) {
            return rc;
        }
    }
}


static int
storage_find_fd(const store_t *store, uint32_t segment)
{
    unsigned  i;

    for (i = 0; i < STORE_FDS; i++) {
        if (store->fds[i].fd != -1
            && store->fds[i].segment == segment
            && store->fds[i].generation
               == store->map.segments[segment].generation)
        {
            return store->fds[i].fd;
        }
    }

    return -1;
}


/*
 * Opens or creates the segment's file, in the place of the descriptor that was
 * opened longest ago.  Under the write lock.
 */
static int
storage_open_fd(store_t *store, uint32_t segment)
{
    int          fd, err;
    char         name[MAP_SEGMENT_NAME];
    uint32_t     n, first, last;
    uint64_t     size;
    store_fd_t  *slot;

    if (storage_find_fd(store, segment) != -1) {
        return 0;
    }

    map_segment_name(store->ih, segment,
                     store->map.segments[segment].generation, name,
                     sizeof(name));

    fd = openat(store->dir, name, O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return errno;
    }

    /* the full length at once, without blocks: holes read as zeros */

    n = store_segment_pieces(store, segment, &first);
    last = first + n - 1;
    size = (uint64_t) (n - 1) * store->map.header->piece_length
           + store_piece_length(store, last);

    if (ftruncate(fd, size) == -1) {
        err = errno;
        close(fd);
        return err;
    }

    slot = &store->fds[store->fd_next++ % STORE_FDS];

    if (slot->fd != -1) {
        close(slot->fd);
    }

    slot->fd = fd;
    slot->segment = segment;
    slot->generation = store->map.segments[segment].generation;

    return 0;
}


static uint32_t
storage_segment(const store_t *store, uint32_t piece)
{
    return piece / store->map.header->pieces_per_segment;
}


static uint32_t
storage_generation(const store_t *store, uint32_t piece)
{
    return store->map.segments[storage_segment(store, piece)].generation;
}


/*
 * Where a piece begins in its segment's file.
 */
static off_t
storage_offset(const store_t *store, uint32_t piece)
{
    return (off_t) (piece % store->map.header->pieces_per_segment)
           * store->map.header->piece_length;
}
