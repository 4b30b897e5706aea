
#include "status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define STATUS_TRACKERS  16
#define STATUS_PEERS     64


static void status_session(engine_t *engine, FILE *out);
static void status_torrent(torrent_t *torrent, FILE *out);
static void status_name(const torrent_t *torrent, FILE *out);
static void status_pieces(const torrent_t *torrent, FILE *out);
static void status_readers(const torrent_t *torrent, FILE *out);
static void status_trackers(const torrent_t *torrent, FILE *out);
static void status_peers(const torrent_t *torrent, FILE *out);
static void status_line(FILE *out, const char *text, size_t len);


int
status_text(engine_t *engine, char **buf, size_t *len)
{
    FILE       *out;
    torrent_t  *torrent, *next;

    out = open_memstream(buf, len);

    if (out == NULL) {
        return errno;
    }

    status_session(engine, out);

    HASH_ITER(hh, engine->torrents, torrent, next) {
        status_torrent(torrent, out);
    }

    return (fclose(out) == 0) ? 0 : errno;
}


static void
status_session(engine_t *engine, FILE *out)
{
    fprintf(out, "%s %s, %s\n", ENGINE_NAME, ENGINE_VERSION, shim_version());
    fprintf(out, "Listen port: %u\n", shim_listen_port(engine->shim));
    fprintf(out, "Workers: %d\n",
            __atomic_load_n(&engine->workers, __ATOMIC_RELAXED));

    fprintf(out, "Cache: %" PRIu64 " bytes", engine->cache.used);

    if (engine->cache.max_size >= 0) {
        fprintf(out, " of %" PRId64, engine->cache.max_size);
    }

    fprintf(out, ", %u torrents, %" PRIu64 " segments evicted\n",
            HASH_CNT(hh, engine->cache.stores), engine->cache.evictions);

    fprintf(out, "# Torrents: %u\n\n", HASH_CNT(hh, engine->torrents));
}


static void
status_torrent(torrent_t *torrent, FILE *out)
{
    char                   hex[65];
    shim_torrent_status_t  st;

    status_name(torrent, out);

    map_hex(hex, torrent->ih, 20);

    if (torrent->store == NULL) {
        fprintf(out, "<missing metainfo>\nInfohash: %s\n", hex);

    } else {
        status_pieces(torrent, out);
        fprintf(out, "Infohash: %s\n", hex);

        if (torrent->info.has_v2) {
            map_hex(hex, torrent->info.v2, 32);
            fprintf(out, "Infohash v2: %s\n", hex);
        }
    }

    st.size = sizeof(st);

    if (shim_torrent_status(torrent->engine->shim, torrent->id, &st)
        == SHIM_OK)
    {
        fprintf(out, "Downloaded: %" PRIu64 " bytes, %" PRIu64 " per second\n",
                st.downloaded, st.download_rate);
        fprintf(out, "Uploaded: %" PRIu64 " bytes, %" PRIu64 " per second\n",
                st.uploaded, st.upload_rate);
    }

    status_readers(torrent, out);
    status_trackers(torrent, out);
    status_peers(torrent, out);

    fputc('\n', out);
}


static void
status_name(const torrent_t *torrent, FILE *out)
{
    char  hex[41];

    if (torrent->store != NULL) {
        status_line(out, torrent->info.name, torrent->info.name_len);

    } else {
        map_hex(hex, torrent->ih, 20);
        fprintf(out, "infohash:%s", hex);
    }

    fputc('\n', out);
}


static void
status_pieces(const torrent_t *torrent, FILE *out)
{
    uint32_t        i, n;
    uint64_t        bytes;
    const store_t  *store;

    store = torrent->store;
    n = 0;
    bytes = 0;

    for (i = 0; i < torrent->info.piece_n; i++) {
        if (store->map.states[i] & MAP_COMPLETE) {
            n++;
            bytes += store_piece_length(store, i);
        }
    }

    fprintf(out, "%.6f%% of %" PRIu64 " bytes\n",
            torrent->info.total_size
            ? bytes * 100.0 / torrent->info.total_size : 100.0,
            torrent->info.total_size);
    fprintf(out, "Piece length: %u\n", torrent->info.piece_length);
    fprintf(out, "Num Pieces: %u (%u completed)\n", torrent->info.piece_n, n);
}


static void
status_readers(const torrent_t *torrent, FILE *out)
{
    uint32_t          length;
    const request_t  *request;

    fprintf(out, "Wanted Pieces: %u\n", torrent->want_n);
    fprintf(out, "Reader Pieces:");

    TAILQ_FOREACH(request, &torrent->requests, link) {
        if (request->reading) {
            length = torrent->info.piece_length;
            fprintf(out, " %" PRIu64 ":%" PRIu64,
                    request->window.begin / length,
                    (request->window.end + length - 1) / length);
        }
    }

    fputc('\n', out);
}


static void
status_trackers(const torrent_t *torrent, FILE *out)
{
    uint32_t         i, n;
    shim_tracker_t  *t;

    t = calloc(STATUS_TRACKERS, sizeof(shim_tracker_t));

    if (t == NULL) {
        return;
    }

    if (shim_trackers(torrent->engine->shim, torrent->id, t, STATUS_TRACKERS,
                      &n)
        == SHIM_OK)
    {
        fprintf(out, "Enabled trackers: %u\n", n);

        for (i = 0; i < n && i < STATUS_TRACKERS; i++) {
            fputs("    ", out);
            status_line(out, t[i].url, strlen(t[i].url));
            fprintf(out, "  tier %u, next ann: %ds, fails: %u, last ann: ",
                    t[i].tier, t[i].next_announce, t[i].fails);

            if (t[i].error[0] != '\0') {
                status_line(out, t[i].error, strlen(t[i].error));

            } else if (t[i].peers >= 0) {
                fprintf(out, "%d peers", t[i].peers);

            } else {
                fputs("never", out);
            }

            fputc('\n', out);
        }
    }

    free(t);
}


static void
status_peers(const torrent_t *torrent, FILE *out)
{
    uint32_t      i, n;
    shim_peer_t  *p;

    p = calloc(STATUS_PEERS, sizeof(shim_peer_t));

    if (p == NULL) {
        return;
    }

    if (shim_peers(torrent->engine->shim, torrent->id, p, STATUS_PEERS, &n)
        == SHIM_OK)
    {
        fprintf(out, "%u peer conns:\n", n);

        for (i = 0; i < n && i < STATUS_PEERS; i++) {
            fprintf(out, "  - %s ", p[i].address);
            status_line(out, p[i].client, strlen(p[i].client));
            fprintf(out, ", %u pieces, %s%s:%s%s, %s%s, dr: %u, ur: %u\n",
                    p[i].have,
                    p[i].interesting ? "i" : "", p[i].choking ? "c" : "",
                    p[i].interested ? "i" : "", p[i].choked ? "c" : "",
                    p[i].utp ? "utp" : "tcp", p[i].incoming ? " incoming" : "",
                    p[i].download_rate, p[i].upload_rate);
        }
    }

    free(p);
}


/*
 * Text of the network: no line of it is to look like ours.
 */
static void
status_line(FILE *out, const char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        fputc(((unsigned char) text[i] < 0x20 || text[i] == 0x7f) ? '?'
                                                                  : text[i],
              out);
    }
}
