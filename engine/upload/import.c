
#include "engine/upload/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "engine/pieces/reader.h"
#include "engine/torrent/torrent.h"


struct adopt_s {
    job_t       job;
    engine_t   *engine;
    store_t    *store;          /* a reference */
    char        from[80];
    uint32_t    first;          /* pieces */
    uint32_t    n;
    uint32_t    copied;         /* of n, the first ones */
    int         rc;
    unsigned    done:1;
    unsigned    forgotten:1;

    store_window_t  window;     /* it is not evicted meanwhile */
};


static int adopt_is_complete(const store_t *store, uint32_t first,
    uint32_t n);
static int adopt_start(torrent_t *torrent, jobs_t *jobs, adopt_t **adopt,
    const char *from, uint64_t begin, uint64_t size);
static void adopt_run(job_t *job);
static int adopt_piece(adopt_t *adopt, int fd, uint8_t *buf, uint32_t n);
static void adopt_free(adopt_t *adopt);


int
adopt_segment(torrent_t *torrent, uint32_t segment, const char *from,
    uint64_t size)
{
    char          to[MAP_SEGMENT_NAME];
    cache_t      *cache;
    store_t      *store;
    uint32_t      i, n, first;
    struct stat   st;

    cache = &torrent->engine->cache;
    store = torrent->store;

    n = store_segment_pieces(store, segment, &first);

    if (adopt_is_complete(store, first, n)) {
        (void) unlinkat(cache->dir, from, 0);
        return 0;
    }

    if (fstatat(cache->dir, from, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return errno;
    }

    if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != size) {
        return EINVAL;
    }

    (void) cache_evict_segment(cache, store, segment);

    map_segment_name(store->ih, segment,
                     store->map.segments[segment].generation, to, sizeof(to));

    /*
     * The file has its name before a piece is charged, so that nobody else
     * creates it, and its bytes before a piece is complete.  Its old name stays
     * until then: who dies in between leaves it to the next engine.
     */

    (void) unlinkat(cache->dir, to, 0);

    if (linkat(cache->dir, from, cache->dir, to, 0) == -1
        && renameat(cache->dir, from, cache->dir, to) == -1)
    {
        return errno;
    }

    for (i = first; i < first + n; i++) {
        (void) cache_reserve(cache, store, i, 1);
        store_state_set(store, i, MAP_COMPLETE, 0);
    }

    (void) unlinkat(cache->dir, from, 0);

    (void) shim_have(torrent->engine->shim, torrent->id, first, n);
    reader_have(torrent, first, n);

    return 0;
}


static int
adopt_is_complete(const store_t *store, uint32_t first, uint32_t n)
{
    uint32_t  i;

    for (i = first; i < first + n; i++) {
        if (!(store_state(store, i) & MAP_COMPLETE)) {
            return 0;
        }
    }

    return 1;
}


int
adopt_copy(torrent_t *torrent, jobs_t *jobs, adopt_t **adopt,
    const char *from, uint64_t begin, uint64_t size)
{
    int       rc;
    adopt_t  *a;

    a = *adopt;

    if (a == NULL) {
        rc = adopt_start(torrent, jobs, adopt, from, begin, size);

        if (rc != 0) {
            return rc;
        }

        a = *adopt;
    }

    if (!a->done) {
        return EINPROGRESS;
    }

    rc = a->rc;
    *adopt = NULL;

    if (rc == 0) {
        (void) unlinkat(a->engine->cache.dir, a->from, 0);
    }

    adopt_free(a);

    return rc;
}


static int
adopt_start(torrent_t *torrent, jobs_t *jobs, adopt_t **adopt,
    const char *from, uint64_t begin, uint64_t size)
{
    int       rc;
    uint32_t  i, length;
    adopt_t  *a;

    length = torrent->info.piece_length;

    a = calloc(1, sizeof(adopt_t));

    if (a == NULL) {
        return ENOMEM;
    }

    a->job.run = adopt_run;
    a->engine = torrent->engine;
    a->store = torrent->store;
    a->first = begin / length;
    a->n = (size + length - 1) / length;
    a->done = adopt_is_complete(a->store, a->first, a->n);
    a->copied = a->done ? a->n : 0;
    snprintf(a->from, sizeof(a->from), "%s", from);

    __atomic_add_fetch(&a->store->refs, 1, __ATOMIC_RELAXED);

    a->window.begin = begin;
    a->window.end = begin + size;
    TAILQ_INSERT_TAIL(&a->store->windows, &a->window, link);

    *adopt = a;

    if (a->done) {
        return 0;
    }

    rc = 0;

    for (i = a->first; rc == 0 && i < a->first + a->n; i++) {
        rc = cache_reserve(&a->engine->cache, a->store, i, 0);

        /* what is in doubt is written anew */

        if (map_in_doubt(store_state(a->store, i))) {
            store_state_set(a->store, i, 0, MAP_CHECK);
        }
    }

    if (rc == 0) {
        rc = jobs_submit(jobs, &a->job);
    }

    if (rc != 0) {
        *adopt = NULL;
        adopt_free(a);
    }

    return rc;
}


/*
 * On a thread of its own, in the way that pieces of peers take.
 */
static void
adopt_run(job_t *job)
{
    int       fd;
    uint8_t  *buf;
    uint32_t  i;
    adopt_t  *a;

    a = (adopt_t *) job;

    fd = openat(a->engine->cache.dir, a->from, O_RDONLY|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        a->rc = errno;
        return;
    }

    buf = malloc(a->store->map.header->piece_length);
    a->rc = (buf == NULL) ? ENOMEM : 0;

    for (i = 0; a->rc == 0 && i < a->n; i++) {
        a->rc = job_canceled(job) ? ECANCELED : adopt_piece(a, fd, buf, i);

        if (a->rc == 0) {
            a->copied++;
        }
    }

    free(buf);
    close(fd);
}


static int
adopt_piece(adopt_t *adopt, int fd, uint8_t *buf, uint32_t n)
{
    int       rc;
    uint32_t  piece, len, generation;

    piece = adopt->first + n;
    len = store_piece_length(adopt->store, piece);

    rc = store_storage.begin(adopt->store, piece, &generation);

    if (rc != 0) {
        return (rc == EEXIST) ? 0 : rc;
    }

    rc = io_pread(fd, buf, len,
                  (off_t) n * adopt->store->map.header->piece_length);

    if (rc == 0) {
        rc = store_storage.write(adopt->store, piece, generation, buf, len);
    }

    if (rc == 0) {
        return store_storage.mark(adopt->store, piece, generation,
                                  SHIM_PIECE_COMPLETE);
    }

    (void) store_storage.mark(adopt->store, piece, generation,
                              SHIM_PIECE_EMPTY);

    return rc;
}


int
adopt_done(job_t *job)
{
    adopt_t  *a;

    if (job->run != adopt_run) {
        return 0;
    }

    a = (adopt_t *) job;
    a->done = 1;

    if (a->forgotten) {
        adopt_free(a);
    }

    return 1;
}


void
adopt_forget(adopt_t *adopt)
{
    if (adopt->done) {
        adopt_free(adopt);
        return;
    }

    adopt->forgotten = 1;
    job_cancel(&adopt->job);
}


/*
 * Tells of what was copied; the rest gives its space back, unless a reader
 * wants it.
 */
static void
adopt_free(adopt_t *adopt)
{
    uint32_t    i;
    engine_t   *engine;
    torrent_t  *torrent;

    TAILQ_REMOVE(&adopt->store->windows, &adopt->window, link);

    engine = adopt->engine;
    torrent = torrent_find(engine, adopt->store->ih);

    if (torrent != NULL
        && torrent->store == adopt->store
        && adopt->copied != 0)
    {
        (void) shim_have(engine->shim, torrent->id, adopt->first,
                         adopt->copied);
        reader_have(torrent, adopt->first, adopt->copied);
    }

    for (i = adopt->copied; i < adopt->n; i++) {
        if (!(store_state(adopt->store, adopt->first + i) & MAP_PRIORITY)) {
            cache_unreserve(&engine->cache, adopt->store, adopt->first + i, 0);
        }
    }

    store_release(adopt->store);
    free(adopt);
}
