
#include "engine/cache/store/payload.h"

#include <errno.h>
#include <string.h>

#include "engine/base/io.h"
#include "engine/cache/store/store.h"


static int payload_begin(store_t *store, uint32_t piece, uint32_t generation,
    uint32_t number, file_t **file);
static int payload_is_zero(const uint8_t *p, size_t len);
static int payload_lock(store_t *store, uint32_t number, uint32_t segment,
    file_t **file);
static int payload_open(store_t *store, uint32_t number, uint32_t segment,
    file_t **file);


const payload_t *
payload_of(const map_t *map)
{
    switch (map_layout(map)) {

    case MAP_FILES:
        return &payload_files;

    case MAP_SQLITE:
        return &payload_sqlite;

    default: /* MAP_SEGMENTS */
        return &payload_segments;
    }
}


/*
 * The files are written to without the lock, which an eviction would wait for
 * while the disk is busy; of an evicted file nobody sees it.
 */
int
payload_write(store_t *store, uint32_t piece, uint32_t generation,
    const void *buf, uint32_t len)
{
    int             rc;
    file_t         *file;
    uint64_t        begin;
    uint32_t        done;
    map_place_t     place;
    const uint8_t  *p;

    p = buf;
    begin = (uint64_t) piece * store->map.header->piece_length;

    for (done = 0; done < len; done += place.length) {
        map_place(&store->map, begin + done, len - done, &place);

        if (place.file == MAP_NOWHERE) {

            if (!payload_is_zero(p + done, place.length)) {
                return EBADMSG;
            }

            continue;
        }

        rc = payload_begin(store, piece, generation, place.file, &file);

        if (rc != 0) {
            return rc;
        }

        rc = io_pwrite(file->fd, p + done, place.length, place.offset);
        files_put(store->files, file);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


static int
payload_is_zero(const uint8_t *p, size_t len)
{
    return len == 0 || (*p == 0 && memcmp(p, p + 1, len - 1) == 0);
}


/*
 * The file, until files_put(), if the piece may be written.
 */
static int
payload_begin(store_t *store, uint32_t piece, uint32_t generation,
    uint32_t number, file_t **file)
{
    int  rc;

    rc = payload_lock(store, number, store_segment(store, piece), file);

    if (rc != 0) {
        return rc;
    }

    rc = payload_mark(store, piece, generation);

    if (rc != 0) {
        files_put(store->files, *file);
    }

    pthread_rwlock_unlock(&store->lock);

    return rc;
}


int
payload_mark(store_t *store, uint32_t piece, uint32_t generation)
{
    if (generation != store_generation(store, piece)) {
        return ESTALE;
    }

    if (!(store_state(store, piece) & MAP_CHARGED)) {
        return EAGAIN;
    }

    store_state_set(store, piece, MAP_MARKING, 0);

    return 0;
}


int
payload_read(store_t *store, uint32_t piece, uint32_t offset, void *buf,
    uint32_t len)
{
    int           rc;
    file_t       *file;
    uint8_t      *p;
    uint64_t      begin;
    uint32_t      done;
    map_place_t   place;

    p = buf;
    begin = (uint64_t) piece * store->map.header->piece_length + offset;

    for (done = 0; done < len; done += place.length) {
        map_place(&store->map, begin + done, len - done, &place);

        if (place.file == MAP_NOWHERE) {
            memset(p + done, 0, place.length);
            continue;
        }

        rc = payload_lock(store, place.file, store_segment(store, piece),
                          &file);

        if (rc != 0) {
            return (rc == EAGAIN) ? ESTALE : rc;
        }

        if (store_state(store, piece) & MAP_COMPLETE) {
            rc = io_pread(file->fd, p + done, place.length, place.offset);

        } else {
            rc = ESTALE;
        }

        files_put(store->files, file);
        pthread_rwlock_unlock(&store->lock);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


/*
 * Takes the lock with the file at hand: to read, or to write if the file had to
 * be opened.
 */
static int
payload_lock(store_t *store, uint32_t number, uint32_t segment,
    file_t **file)
{
    int  rc;

    pthread_rwlock_rdlock(&store->lock);

    *file = files_get(store->files, store, number);

    if (*file != NULL) {
        return 0;
    }

    pthread_rwlock_unlock(&store->lock);

    pthread_rwlock_wrlock(&store->lock);

    rc = payload_open(store, number, segment, file);

    if (rc != 0) {
        pthread_rwlock_unlock(&store->lock);
    }

    return rc;
}


/*
 * Opens or creates a file.  Under the write lock.
 */
static int
payload_open(store_t *store, uint32_t number, uint32_t segment,
    file_t **file)
{
    int  fd;

    *file = files_get(store->files, store, number);

    if (*file != NULL) {
        return 0;
    }

    /* seen under the lock: what was just evicted is not created again */

    if (!store_charged(store, segment)) {
        return EAGAIN;
    }

    fd = store->payload->open(store, number);

    if (fd == -1) {
        return errno;
    }

    *file = files_add(store->files, store, number, segment, fd);

    return (*file != NULL) ? 0 : ENOMEM;
}
