
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"


#define STORE_PAGE         4096
#define STORE_CHUNK        (64 * 1024)
#define STORE_PREPARE_MAX  (4 * 1024 * 1024)


static int store_write(void *ctx, uint32_t piece, uint32_t offset,
    void const *buf, uint32_t len, uint32_t *generation);
static int store_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len, uint32_t generation);
static int store_publish(void *ctx, uint32_t piece, uint32_t generation,
    int ok);
static int store_complete(void *ctx, uint32_t piece);
static void store_release_handler(void *ctx);

static int store_prepare(store_t *store, uint32_t piece, int fd, off_t pos);
static int store_lock_segment(store_t *store, uint32_t segment, int *fd);
static int store_find_fd(const store_t *store, uint32_t segment);
static int store_open_fd(store_t *store, uint32_t segment);
static uint8_t store_state(const store_t *store, uint32_t piece);
static void store_state_set(store_t *store, uint32_t piece, uint8_t set,
    uint8_t clear);


const shim_storage_t  store_storage = {
    store_write,
    store_read,
    store_publish,
    store_complete,
    store_release_handler
};


store_t *
store_create(map_t *map, int dir)
{
    unsigned              i;
    store_t              *store;
    pthread_rwlockattr_t  attr;

    store = calloc(1, sizeof(store_t));

    if (store == NULL) {
        return NULL;
    }

    memcpy(store->ih, map->header->ih, 20);
    store->map = *map;
    store->dir = dir;
    store->refs = 1;

    for (i = 0; i < STORE_FDS; i++) {
        store->fds[i].fd = -1;
    }

    TAILQ_INIT(&store->windows);

    for (i = 0; i < map->header->segment_n; i++) {
        store->charged_n += (map->segments[i].charged != 0);
    }

    /* an eviction must not wait behind an endless stream of blocks */

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr,
                                PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&store->lock, &attr);
    pthread_rwlockattr_destroy(&attr);

    return store;
}


void
store_release(store_t *store)
{
    unsigned  i;

    if (__atomic_sub_fetch(&store->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }

    for (i = 0; i < STORE_FDS; i++) {
        if (store->fds[i].fd != -1) {
            close(store->fds[i].fd);
        }
    }

    map_close(&store->map);
    pthread_rwlock_destroy(&store->lock);
    free(store);
}


static void
store_release_handler(void *ctx)
{
    store_release(ctx);
}


static int
store_write(void *ctx, uint32_t piece, uint32_t offset, void const *buf,
    uint32_t len, uint32_t *generation)
{
    int       rc, fd;
    off_t     pos;
    uint8_t   state;
    store_t  *store;
    uint32_t  segment, first;

    store = ctx;

    if (piece >= store->map.header->piece_n) {
        return EINVAL;
    }

    segment = piece / store->map.header->pieces_per_segment;
    store_segment_pieces(store, segment, &first);

    rc = store_lock_segment(store, segment, &fd);

    if (rc != 0) {
        return rc;
    }

    /* looked at under the lock: no eviction between this and the write */

    state = store_state(store, piece);

    if (state & MAP_COMPLETE) {
        rc = EEXIST;

    } else if (!(state & MAP_CHARGED)) {
        rc = EAGAIN;

    } else {
        pos = (off_t) (piece - first) * store->map.header->piece_length;
        rc = 0;

        if (!(state & MAP_PARTIAL)) {
            rc = store_prepare(store, piece, fd, pos);
        }

        if (rc == 0) {
            rc = io_pwrite(fd, buf, len, pos + offset);
        }

        if (rc == 0 && !(state & MAP_PARTIAL)) {
            store_state_set(store, piece, MAP_PARTIAL, 0);
        }

        *generation = store->map.segments[segment].generation;
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


/*
 * Fills a piece with zeros before its first block.  Pages of the page cache
 * come in the size of the write that makes them: of 16 KiB blocks they would
 * be small, and sendfile() of them costs a worker a third more.  Larger chunks
 * than these cost the engine more than the workers gain.
 */
static int
store_prepare(store_t *store, uint32_t piece, int fd, off_t pos)
{
    int       rc;
    size_t    n;
    uint32_t  left;

    static const uint8_t  zeros[STORE_CHUNK];

    left = store_piece_length(store, piece);

    if (left > STORE_PREPARE_MAX) {
        return 0;
    }

    for (rc = 0; rc == 0 && left != 0; left -= n) {
        n = (left < STORE_CHUNK) ? left : STORE_CHUNK;
        rc = io_pwrite(fd, zeros, n, pos);
        pos += n;
    }

    return rc;
}


static int
store_read(void *ctx, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len, uint32_t generation)
{
    int       rc, fd;
    off_t     pos;
    uint8_t   state;
    store_t  *store;
    uint32_t  segment, first;

    store = ctx;

    if (piece >= store->map.header->piece_n) {
        return EINVAL;
    }

    segment = piece / store->map.header->pieces_per_segment;
    store_segment_pieces(store, segment, &first);

    rc = store_lock_segment(store, segment, &fd);

    if (rc != 0) {
        return (rc == EAGAIN) ? ESTALE : rc;
    }

    state = store_state(store, piece);

    if (generation != 0) {
        rc = (generation != store->map.segments[segment].generation)
             ? ESTALE : 0;

    } else {
        rc = (state & MAP_COMPLETE) ? 0 : ESTALE;
    }

    if (rc == 0) {
        pos = (off_t) (piece - first) * store->map.header->piece_length;
        rc = io_pread(fd, buf, len, pos + offset);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


static int
store_publish(void *ctx, uint32_t piece, uint32_t generation, int ok)
{
    int       rc;
    store_t  *store;
    uint32_t  segment;

    store = ctx;
    segment = piece / store->map.header->pieces_per_segment;

    pthread_rwlock_rdlock(&store->lock);

    if (generation != store->map.segments[segment].generation) {
        rc = ESTALE;

    } else {
        rc = 0;
        store_state_set(store, piece, ok ? MAP_COMPLETE : 0,
                        ok ? MAP_PARTIAL|MAP_HASHING|MAP_PRIORITY
                           : MAP_PARTIAL|MAP_HASHING);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


static int
store_complete(void *ctx, uint32_t piece)
{
    store_t  *store;

    store = ctx;

    return piece < store->map.header->piece_n
           && (store_state(store, piece) & MAP_COMPLETE);
}


/*
 * Takes the read lock with the segment's descriptor at hand, which stays open
 * for as long as the lock is held.
 */
static int
store_lock_segment(store_t *store, uint32_t segment, int *fd)
{
    int  rc;

    for ( ;; ) {
        pthread_rwlock_rdlock(&store->lock);

        *fd = store_find_fd(store, segment);

        if (*fd != -1) {
            return 0;
        }

        pthread_rwlock_unlock(&store->lock);

        if (store->map.segments[segment].charged == 0) {
            return EAGAIN;
        }

        pthread_rwlock_wrlock(&store->lock);
        rc = store_open_fd(store, segment);
        pthread_rwlock_unlock(&store->lock);

        if (rc != 0) {
            return rc;
        }
    }
}


static int
store_find_fd(const store_t *store, uint32_t segment)
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
store_open_fd(store_t *store, uint32_t segment)
{
    int          fd, err;
    char         name[MAP_SEGMENT_NAME];
    uint32_t     n, first, last;
    uint64_t     size;
    store_fd_t  *slot;

    if (store_find_fd(store, segment) != -1) {
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


static uint8_t
store_state(const store_t *store, uint32_t piece)
{
    return __atomic_load_n(&store->map.states[piece], __ATOMIC_SEQ_CST);
}


static void
store_state_set(store_t *store, uint32_t piece, uint8_t set, uint8_t clear)
{
    uint8_t  *p, old, new;

    p = &store->map.states[piece];
    old = __atomic_load_n(p, __ATOMIC_RELAXED);

    do {
        new = (old & ~clear) | set;
    } while (!__atomic_compare_exchange_n(p, &old, new, 0, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
}


uint32_t
store_piece_length(const store_t *store, uint32_t piece)
{
    uint64_t             begin;
    const map_header_t  *h;

    h = store->map.header;
    begin = (uint64_t) piece * h->piece_length;

    return (h->total_size - begin < h->piece_length)
           ? h->total_size - begin : h->piece_length;
}


uint64_t
store_piece_charge(const store_t *store, uint32_t piece)
{
    return ((uint64_t) store_piece_length(store, piece) + STORE_PAGE - 1)
           & ~(uint64_t) (STORE_PAGE - 1);
}


uint64_t
store_charge(store_t *store, uint32_t piece, uint32_t now)
{
    uint64_t        n;
    map_segment_t  *s;

    n = store_piece_charge(store, piece);
    s = &store->map.segments[piece / store->map.header->pieces_per_segment];

    if (s->charged == 0) {
        store->charged_n++;
        __atomic_store_n(&s->last_read, now, __ATOMIC_RELAXED);
    }

    s->charged += n;

    store_state_set(store, piece, MAP_CHARGED, 0);

    return n;
}


uint64_t
store_discharge(store_t *store, uint32_t piece)
{
    uint64_t        n;
    map_segment_t  *s;

    n = 0;

    /* no block may arrive between the look and the change */

    pthread_rwlock_wrlock(&store->lock);

    if ((store_state(store, piece)
         & (MAP_CHARGED|MAP_PARTIAL|MAP_COMPLETE|MAP_HASHING))
        == MAP_CHARGED)
    {
        n = store_piece_charge(store, piece);
        s = &store->map.segments[piece
                                 / store->map.header->pieces_per_segment];

        if (s->charged > n) {
            s->charged -= n;

        } else {
            /* the last piece, and no block in it: the file may exist still */
            n = 0;
        }

        if (n != 0) {
            store_state_set(store, piece, 0, MAP_CHARGED);
        }
    }

    pthread_rwlock_unlock(&store->lock);

    return n;
}


int
store_segment_needed(const store_t *store, uint32_t segment)
{
    uint64_t         size, begin, end;
    store_window_t  *w;

    size = (uint64_t) store->map.header->pieces_per_segment
           * store->map.header->piece_length;
    begin = segment * size;
    end = begin + size;

    TAILQ_FOREACH(w, &store->windows, link) {
        if (w->begin < end && begin < w->end) {
            return 1;
        }
    }

    return 0;
}


uint64_t
store_evict(store_t *store, uint32_t segment, int *complete)
{
    char            name[MAP_SEGMENT_NAME];
    uint32_t        i, n, first;
    uint64_t        charged;
    unsigned        k;
    map_segment_t  *s;

    s = &store->map.segments[segment];
    n = store_segment_pieces(store, segment, &first);
    *complete = 0;

    pthread_rwlock_wrlock(&store->lock);

    for (i = first; i < first + n; i++) {
        *complete |= store_state(store, i) & MAP_COMPLETE;
        __atomic_store_n(&store->map.states[i], 0, __ATOMIC_SEQ_CST);
    }

    map_segment_name(store->ih, segment, s->generation, name, sizeof(name));

    __atomic_add_fetch(&s->generation, 1, __ATOMIC_SEQ_CST);

    charged = s->charged;
    s->charged = 0;

    for (k = 0; k < STORE_FDS; k++) {
        if (store->fds[k].fd != -1 && store->fds[k].segment == segment) {
            close(store->fds[k].fd);
            store->fds[k].fd = -1;
        }
    }

    pthread_rwlock_unlock(&store->lock);

    (void) unlinkat(store->dir, name, 0);

    if (charged != 0) {
        store->charged_n--;
    }

    return charged;
}


uint32_t
store_segment_pieces(const store_t *store, uint32_t segment, uint32_t *first)
{
    uint32_t             n;
    const map_header_t  *h;

    h = store->map.header;
    n = h->pieces_per_segment;

    *first = segment * n;

    return (h->piece_n - *first < n) ? h->piece_n - *first : n;
}
