
#include "engine/torrent/storage_fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sigbus.h"
#include "engine/core/log.h"
#include "engine/pieces/reader.h"
#include "engine/control/reply.h"
#include "engine/torrent/torrent.h"
#include "engine/control/piece_watch.h"


static int fault_is_there(const store_t *store, uint32_t piece);
static int fault_is_row(const store_t *store, uint32_t piece);
static void fault_await(torrent_t *torrent);


void
fault_write(torrent_t *torrent, uint32_t piece, int error)
{
    int        full;
    char       text[128], hex[41];
    engine_t  *engine;

    engine = torrent->engine;
    full = (error == ENOSPC || error == EDQUOT);

    if (error == ENOTRECOVERABLE) {
        fault_evict(engine, torrent->store, piece, 0,
                    "has lost what it is stored in");
        return;
    }

    if (full) {

        if (cache_is_full(&engine->cache)) {
            return;     /* a block that was under way when it was seen */
        }

        reader_shrink(engine);

        if (cache_disk_full(&engine->cache) != 0) {
            reader_shrink(engine);      /* by the new limit */
            return;
        }
    }

    map_hex(hex, torrent->ih, 20);
    engine_log(engine, ENGINE_LOG_CRIT, error,
               "torrent \"%s\": cache cannot be written", hex);

    snprintf(text, sizeof(text), "cache directory: %s", strerror(error));

    reply_fail_readers(torrent, 0, full ? 507 : 500, text);
}


void
fault_missing(engine_t *engine, const uint8_t *ih, uint64_t piece)
{
    store_t  *store;

    store = cache_find(&engine->cache, ih);

    if (store != NULL
        && piece < store->map.header->piece_n
        && store_complete(store, piece)
        && !fault_is_there(store, piece))
    {
        fault_evict(engine, store, piece, 0, "is missing");
    }
}


static int
fault_is_there(const store_t *store, uint32_t piece)
{
    int          fd, rc;
    uint64_t     begin, done, len;
    map_place_t  place;
    struct stat  st;

    begin = (uint64_t) piece * store->map.header->piece_length;
    len = store_piece_length(store, piece);

    if (store->payload->find == NULL) {
        return fault_is_row(store, piece);
    }

    for (done = 0; done < len; done += place.length) {
        map_place(&store->map, begin + done, len - done, &place);

        if (place.file == MAP_NOWHERE) {
            continue;
        }

        fd = store->payload->find(store, place.file,
                                  store_generation(store, piece));

        if (fd == -1) {
            return errno == EMFILE || errno == ENFILE;
        }

        rc = fstat(fd, &st);
        close(fd);

        if (rc == -1
            || (uint64_t) st.st_size != map_file_size(&store->map, place.file))
        {
            return 0;
        }
    }

    return 1;
}


/*
 * The same of one that is not in files.
 */
static int
fault_is_row(const store_t *store, uint32_t piece)
{
    int       rc;
    void     *buf;
    uint32_t  len;

    len = store_piece_length(store, piece);
    buf = malloc(len);

    if (buf == NULL) {
        return 1;
    }

    rc = store->payload->copy(store, piece, buf, len);
    free(buf);

    return rc != ENOENT && rc != EBADMSG;
}


void
fault_maps(engine_t *engine)
{
    unsigned    faults;
    store_t    *store, *next;
    torrent_t  *torrent;

    faults = guard_faults();

    if (faults == engine->faults) {
        return;
    }

    engine->faults = faults;

    HASH_ITER(hh, engine->cache.stores, store, next) {

        if (map_usable(&store->map)) {
            continue;
        }

        torrent = torrent_find(engine, store->ih);

        if (torrent != NULL && torrent->store == store) {
            reader_dirty(torrent);

        } else {
            cache_lose(&engine->cache, store);
        }
    }
}


int
fault_renew(torrent_t *torrent)
{
    request_t  *request, *next;

    if (torrent->store == NULL || map_usable(&torrent->store->map)) {
        return 0;
    }

    for (request = TAILQ_FIRST(&torrent->requests);
         request != NULL;
         request = next)
    {
        next = TAILQ_NEXT(request, link);

        watch_stop(request);
        reader_stop(request);

        if (request->upload != NULL) {
            reply_fail(request, 500, "what was uploaded is lost\n");
        }
    }

    torrent->want_n = 0;

    cache_lose(&torrent->engine->cache, torrent->store);
    torrent->store = NULL;

    (void) shim_forget(torrent->engine->shim, torrent->id, 0,
                       torrent->info.piece_n);

    torrent_begin(torrent);

    return 1;
}


void
fault_evict(engine_t *engine, store_t *store, uint32_t piece, int error,
    const char *what)
{
    char        hex[41];
    torrent_t  *torrent;

    map_hex(hex, store->ih, 20);

    engine_log(engine, ENGINE_LOG_CRIT, error,
               "torrent \"%s\": piece %u %s in the cache, %s fetched again",
               hex, piece, what,
               store->payload->whole ? "its torrent is" : "its segment is");

    torrent = torrent_find(engine, store->ih);
    torrent = (torrent != NULL && torrent->store == store) ? torrent : NULL;

    (void) cache_evict_segment(&engine->cache, store,
                               store_segment(store, piece));

    if (torrent != NULL) {
        fault_await(torrent);
        reader_dirty(torrent);
    }
}


/*
 * Readers that were told that their piece is there wait for it again: they do
 * not say so themselves.
 */
static void
fault_await(torrent_t *torrent)
{
    uint32_t    piece;
    request_t  *request;

    TAILQ_FOREACH(request, &torrent->requests, link) {

        piece = request->begin / torrent->info.piece_length;

        if (request->reading && !store_complete(torrent->store, piece)) {
            request->waiting = 1;
        }
    }
}
