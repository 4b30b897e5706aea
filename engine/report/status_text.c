
#include "engine/report/status_text.h"

#include <inttypes.h>
#include <string.h>


static void status_session(engine_t *engine, const facts_t *facts, FILE *out);
static void status_torrent(const facts_torrent_t *f, FILE *out);
static void status_pieces(const facts_torrent_t *f, FILE *out);
static void status_readers(const torrent_t *torrent, FILE *out);
static void status_trackers(const facts_torrent_t *f, FILE *out);
static void status_line(FILE *out, const char *text, size_t len);


void
status_text(engine_t *engine, const facts_t *facts, FILE *out)
{
    uint32_t  i;

    status_session(engine, facts, out);

    for (i = 0; i < facts->torrent_n; i++) {
        status_torrent(&facts->torrents[i], out);
    }
}


static void
status_session(engine_t *engine, const facts_t *facts, FILE *out)
{
    uint32_t     i;
    const char  *address;

    fprintf(out, "%s %s, %s\n", ENGINE_NAME, ENGINE_VERSION, shim_version());
    fprintf(out, "Listen port: %u\n", shim_listen_port(engine->shim));
    fputs("Listening on:", out);

    for (i = 0; (address = shim_listening(engine->shim, i)) != NULL; i++) {
        fprintf(out, " %s", address);
    }

    fprintf(out, "\nDHT nodes: %" PRId64 "\n", facts->dht_nodes);
    fprintf(out, "Workers: %d\n",
            __atomic_load_n(&engine->workers, __ATOMIC_RELAXED));
    fprintf(out, "Requests: %u reading, %u waiting\n", facts->readers,
            facts->waiting);
    fprintf(out, "Peers: %u\n", facts->peers);
    fprintf(out, "Downloaded: %" PRIu64 " bytes, %" PRIu64 " per second\n",
            facts->received, facts->download_rate);
    fprintf(out, "Uploaded: %" PRIu64 " bytes, %" PRIu64 " per second\n",
            facts->sent, facts->upload_rate);
    fprintf(out, "Cache: %" PRIu64 " bytes", engine->cache.used);

    if (engine->cache.max_size >= 0) {
        fprintf(out, " of %" PRId64, engine->cache.max_size);
    }

    fprintf(out, ", %u torrents, %" PRIu64 " segments evicted\n",
            HASH_CNT(hh, engine->cache.stores),
            counters_sum(&engine->cache.counters, COUNTERS_EVICTED_SEGMENTS));

    fprintf(out, "# Torrents: %u\n\n", facts->torrent_n);
}


static void
status_torrent(const facts_torrent_t *f, FILE *out)
{
    char              hex[65];
    const torrent_t  *torrent;

    torrent = f->torrent;

    status_name(torrent, out);
    fputc('\n', out);

    map_hex(hex, torrent->ih, 20);

    if (torrent->store == NULL) {
        fprintf(out, "<missing metainfo>\nInfohash: %s\n", hex);

    } else {
        status_pieces(f, out);
        fprintf(out, "Infohash: %s\n", hex);

        if (torrent->info.has_v2) {
            map_hex(hex, torrent->info.v2, 32);
            fprintf(out, "Infohash v2: %s\n", hex);
        }
    }

    fprintf(out, "Downloaded: %" PRIu64 " bytes, %" PRIu64 " per second\n",
            f->shim.downloaded, f->shim.download_rate);
    fprintf(out, "Uploaded: %" PRIu64 " bytes, %" PRIu64 " per second\n",
            f->shim.uploaded, f->shim.upload_rate);
    fprintf(out, "Holders: %u\n", f->holders);

    status_readers(torrent, out);
    status_trackers(f, out);

    fprintf(out, "%u peer conns:\n", f->peer_n);
    status_peers(f, out);

    fputc('\n', out);
}


void
status_name(const torrent_t *torrent, FILE *out)
{
    char  hex[41];

    if (torrent->store != NULL) {
        status_line(out, torrent->info.name, torrent->info.name_len);

    } else {
        map_hex(hex, torrent->ih, 20);
        fprintf(out, "infohash:%s", hex);
    }
}


static void
status_pieces(const facts_torrent_t *f, FILE *out)
{
    const shim_info_t  *info;

    info = &f->torrent->info;

    fprintf(out, "%.6f%% of %" PRIu64 " bytes\n",
            info->total_size ? f->complete * 100.0 / info->total_size : 100.0,
            info->total_size);
    fprintf(out, "Piece length: %u\n", info->piece_length);
    fprintf(out, "Num Pieces: %u (%u completed)\n", info->piece_n,
            f->complete_n);
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
status_trackers(const facts_torrent_t *f, FILE *out)
{
    uint32_t               i;
    const shim_tracker_t  *t;

    fprintf(out, "Enabled trackers: %u\n", f->tracker_n);

    for (i = 0; i < f->tracker_n; i++) {
        t = &f->trackers[i];

        fputs("    ", out);
        status_line(out, t->url, strlen(t->url));
        fprintf(out, "  tier %u, next ann: %ds, fails: %u, last ann: ",
                t->tier, t->next_announce, t->fails);

        if (t->error[0] != '\0') {
            status_line(out, t->error, strlen(t->error));

        } else if (t->peers >= 0) {
            fprintf(out, "%d peers", t->peers);

        } else {
            fputs("never", out);
        }

        fputc('\n', out);
    }
}


void
status_peers(const facts_torrent_t *f, FILE *out)
{
    uint32_t            i;
    const shim_peer_t  *p;

    for (i = 0; i < f->peer_n; i++) {
        p = &f->peers[i];

        fprintf(out, "  - %s ", p->address);
        status_line(out, p->client, strlen(p->client));
        fprintf(out, ", %u pieces, %s%s:%s%s, %s%s, dr: %u, ur: %u\n",
                p->have,
                p->interesting ? "i" : "", p->choking ? "c" : "",
                p->interested ? "i" : "", p->choked ? "c" : "",
                p->utp ? "utp" : "tcp", p->incoming ? " incoming" : "",
                p->download_rate, p->upload_rate);
    }
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
