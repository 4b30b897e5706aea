
#include "engine/pieces/hash_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "engine/metainfo/metainfo.h"


static void verify_run(job_t *job);
static int verify_load(verify_t *v);
static int verify_read(verify_t *v, uint32_t piece, uint8_t *buf);
static int verify_open(verify_t *v, const map_place_t *place);
static void verify_close(verify_t *v);
static verify_e verify_piece(verify_t *v, uint32_t piece, const void *buf);


verify_t *
verify_create(store_t *store, uint32_t first, uint32_t n)
{
    uint8_t    state;
    uint32_t   i;
    verify_t  *v;

    v = calloc(1, sizeof(verify_t) + n);

    if (v == NULL) {
        return NULL;
    }

    __atomic_add_fetch(&store->refs, 1, __ATOMIC_RELAXED);

    v->job.run = verify_run;
    v->store = store;
    v->first = first;
    v->n = n;
    v->generation = store_generation(store, first);
    v->fd = -1;

    for (i = 0; i < n; i++) {
        state = store_state(store, first + i);

        if ((state & MAP_COMPLETE)
            || (map_in_doubt(state) && (state & MAP_CHECK) == MAP_QUEUED))
        {
            v->verdicts[i] = VERIFY_UNKNOWN;
        }
    }

    return v;
}


void
verify_free(verify_t *v)
{
    shim_hashes_free(v->hashes);
    store_release(v->store);
    free(v);
}


static void
verify_run(job_t *job)
{
    int        rc;
    void      *buf;
    uint32_t   i;
    verify_t  *v;

    v = (verify_t *) job;

    v->err = verify_load(v);

    if (v->err != 0) {
        return;
    }

    buf = malloc(v->store->map.header->piece_length);

    if (buf == NULL) {
        v->err = ENOMEM;
        return;
    }

    for (i = 0; i < v->n && v->err == 0 && !job_canceled(job); i++) {

        if (v->verdicts[i] == VERIFY_SKIP) {
            continue;
        }

        rc = verify_read(v, v->first + i, buf);

        if (rc == 0) {
            v->verdicts[i] = verify_piece(v, v->first + i, buf);
            continue;
        }

        if (rc == EMFILE || rc == ENFILE || rc == ENOMEM || rc == EAGAIN) {
            /* that says nothing about the piece */
            v->err = rc;
            break;
        }

        v->verdicts[i] = VERIFY_BAD;
        v->err = (rc == EIO) ? EIO : 0;
    }

    verify_close(v);
    free(buf);
}


/*
 * What it must hash to.
 */
static int
verify_load(verify_t *v)
{
    int      rc;
    void    *buf;
    size_t   len;

    if (v->hashes != NULL) {
        return 0;
    }

    rc = metainfo_load(v->store->dir, v->store->ih, &buf, &len);

    if (rc != 0) {
        return rc;
    }

    if (shim_hashes_read(buf, len, v->store->ih, &v->hashes) != SHIM_OK) {
        rc = EBADMSG;
    }

    free(buf);

    return rc;
}


/*
 * Returns 0 or an errno: EMSGSIZE if a file is too short.
 */
static int
verify_read(verify_t *v, uint32_t piece, uint8_t *buf)
{
    int          rc;
    uint32_t     done, len;
    uint64_t     begin;
    map_place_t  place;

    begin = (uint64_t) piece * v->store->map.header->piece_length;
    len = store_piece_length(v->store, piece);

    if (v->store->payload->find == NULL) {
        v->bytes += len;
        return v->store->payload->copy(v->store, piece, buf, len);
    }

    for (done = 0; done < len; done += place.length) {
        map_place(&v->store->map, begin + done, len - done, &place);

        if (place.file == MAP_NOWHERE) {
            memset(buf + done, 0, place.length);
            continue;
        }

        rc = verify_open(v, &place);

        if (rc == 0) {
            v->bytes += place.length;
            rc = io_pread(v->fd, buf + done, place.length, place.offset);
        }

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


static int
verify_open(verify_t *v, const map_place_t *place)
{
    struct stat  st;

    if (v->fd == -1 || v->file != place->file) {
        verify_close(v);

        v->file = place->file;
        v->fd = v->store->payload->find(v->store, v->file, v->generation);

        if (v->fd != -1 && v->scrub) {
            /* what clients read is to stay in memory, not this */
            (void) posix_fadvise(v->fd, 0, 0, POSIX_FADV_NOREUSE);
        }
    }

    if (v->fd == -1 || fstat(v->fd, &st) == -1) {
        return errno;
    }

    return ((uint64_t) st.st_size < place->offset + place->length) ? EMSGSIZE
                                                                   : 0;
}


static void
verify_close(verify_t *v)
{
    if (v->fd != -1) {
        close(v->fd);
        v->fd = -1;
    }
}


static verify_e
verify_piece(verify_t *v, uint32_t piece, const void *buf)
{
    switch (shim_hashes_check(v->hashes, piece, buf,
                              store_piece_length(v->store, piece)))
    {
    case SHIM_OK:
        return VERIFY_GOOD;

    case SHIM_INVALID:
        return VERIFY_BAD;

    default:
        return VERIFY_UNKNOWN;
    }
}
