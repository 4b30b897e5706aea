
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io.h"
#include "store.h"


static int payload_check(const store_t *store, uint32_t piece,
    uint32_t generation);
static int payload_dup(store_t *store, uint32_t piece, uint32_t generation,
    uint32_t file, int *fd);
static int payload_lock(store_t *store, uint32_t file, uint32_t segment,
    int *fd);
static int payload_find(const store_t *store, uint32_t file);
static int payload_open(store_t *store, uint32_t file, uint32_t segment);


const payload_t *
payload_of(const map_t *map)
{
    (void) map;

    return &payload_segments;
}


/*
 * The files are written to without the lock, which an eviction would wait for
 * while the disk is busy; of an evicted file nobody sees it.
 */
int
payload_write(store_t *store, uint32_t piece, uint32_t generation,
    const void *buf, uint32_t len)
{
    int             rc, fd;
    uint64_t        begin;
    uint32_t        done;
    map_place_t     place;
    const uint8_t  *p;

    p = buf;
    begin = (uint64_t) piece * store->map.header->piece_length;

    for (done = 0; done < len; done += place.length) {
        map_place(&store->map, begin + done, len - done, &place);

        rc = payload_dup(store, piece, generation, place.file, &fd);

        if (rc != 0) {
            return rc;
        }

        rc = io_pwrite(fd, p + done, place.length, place.offset);
        close(fd);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


/*
 * A descriptor of our own, if the piece may be written.
 */
static int
payload_dup(store_t *store, uint32_t piece, uint32_t generation,
    uint32_t file, int *fd)
{
    int  rc;

    rc = payload_lock(store, file, store_segment(store, piece), fd);

    if (rc != 0) {
        return rc;
    }

    rc = payload_check(store, piece, generation);

    if (rc == 0) {
        *fd = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
        rc = (*fd == -1) ? errno : 0;
    }

    if (rc == 0) {
        store_state_set(store, piece, MAP_MARKING, 0);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


/*
 * Whether a piece of that generation may be written.  Under the lock.
 */
static int
payload_check(const store_t *store, uint32_t piece, uint32_t generation)
{
    if (generation != store_generation(store, piece)) {
        return ESTALE;
    }

    return (store_state(store, piece) & MAP_CHARGED) ? 0 : EAGAIN;
}


int
payload_read(store_t *store, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len)
{
    int           rc, fd;
    uint8_t      *p;
    uint64_t      begin;
    uint32_t      done;
    map_place_t   place;

    p = buf;
    begin = (uint64_t) piece * store->map.header->piece_length + offset;

    for (done = 0; done < len; done += place.length) {
        map_place(&store->map, begin + done, len - done, &place);

        rc = payload_lock(store, place.file, store_segment(store, piece),
                          &fd);

        if (rc != 0) {
            return (rc == EAGAIN) ? ESTALE : rc;
        }

        if (store_state(store, piece) & MAP_COMPLETE) {
            rc = io_pread(fd, p + done, place.length, place.offset);

        } else {
            rc = ESTALE;
        }

        pthread_rwlock_unlock(&store->lock);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


/*
 * Takes the read lock with the file's descriptor at hand, which stays open for
 * as long as the lock is held.
 */
static int
payload_lock(store_t *store, uint32_t file, uint32_t segment, int *fd)
{
    int  rc;

    for ( ;; ) {
        pthread_rwlock_rdlock(&store->lock);

        *fd = payload_find(store, file);

        if (*fd != -1) {
            return 0;
        }

        pthread_rwlock_unlock(&store->lock);

        pthread_rwlock_wrlock(&store->lock);
        rc = payload_open(store, file, segment);
        pthread_rwlock_unlock(&store->lock);

        if (rc != 0) {
            return rc;
        }
    }
}


static int
payload_find(const store_t *store, uint32_t file)
{
    unsigned  i;

    for (i = 0; i < STORE_FDS; i++) {
        if (store->fds[i].fd != -1 && store->fds[i].file == file) {
            return store->fds[i].fd;
        }
    }

    return -1;
}


/*
 * Opens or creates a file, in the place of the descriptor that was opened
 * longest ago.  Under the write lock.
 */
static int
payload_open(store_t *store, uint32_t file, uint32_t segment)
{
    int          fd;
    store_fd_t  *slot;

    if (payload_find(store, file) != -1) {
        return 0;
    }

    /* seen under the lock: what was just evicted is not created again */

    if (store->map.segments[segment].charged == 0) {
        return EAGAIN;
    }

    fd = store->payload->open(store, file);

    if (fd == -1) {
        return errno;
    }

    slot = &store->fds[store->fd_next++ % STORE_FDS];

    if (slot->fd != -1) {
        close(slot->fd);
    }

    slot->fd = fd;
    slot->file = file;
    slot->segment = segment;

    return 0;
}


void
payload_close(store_t *store, uint32_t segment)
{
    unsigned  i;

    for (i = 0; i < STORE_FDS; i++) {
        if (store->fds[i].fd != -1 && store->fds[i].segment == segment) {
            close(store->fds[i].fd);
            store->fds[i].fd = -1;
        }
    }
}


void
payload_close_all(store_t *store)
{
    unsigned  i;

    for (i = 0; i < STORE_FDS; i++) {
        if (store->fds[i].fd != -1) {
            close(store->fds[i].fd);
            store->fds[i].fd = -1;
        }
    }
}
