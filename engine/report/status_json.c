
#include "engine/report/status_json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>


static json_t *json_base64(const void *buf, size_t len);
static int json_set_list(json_t *object, const char *key, json_t *list);
static json_t *json_trackers(const torrent_t *torrent);
static json_t *json_web_seeds(const torrent_t *torrent);
static json_t *json_nodes(const torrent_t *torrent);
static json_t *json_layers(const torrent_t *torrent);
static json_t *json_session(engine_t *engine, const facts_t *facts);
static json_t *json_cache(const cache_t *cache);
static json_t *json_torrent(const facts_torrent_t *f);
static json_t *json_readers(const torrent_t *torrent);
static json_t *json_announces(const facts_torrent_t *f);
static json_t *json_peers(const facts_torrent_t *f);
static json_t *json_flags(const shim_peer_t *peer);
static json_t *json_hex(const uint8_t *hash, size_t len);
static json_t *json_text(const char *text);
static json_t *json_bytes(const char *text, size_t len);
static int json_line(json_t *object, char **buf, size_t *len);


int
json_metainfo(torrent_t *torrent, const char *comment, int64_t date,
    char **buf, size_t *len)
{
    int              rc;
    size_t           n;
    json_t          *object;
    const void      *info;
    shim_sources_t   from;

    if (shim_info_bytes(torrent->engine->shim, torrent->id, &info, &n)
        != SHIM_OK
        || shim_sources(torrent->engine->shim, torrent->id, &from) != SHIM_OK)
    {
        return -1;
    }

    object = json_object();

    /* a value that could not be made makes the call fail, and so all */

    rc = json_object_set_new(object, "info", json_base64(info, n));

    rc |= json_set_list(object, "announceList", json_trackers(torrent));
    rc |= json_set_list(object, "nodes", json_nodes(torrent));
    rc |= json_object_set_new(object, "creationDate",
                              json_integer(from.creation_date
                                           ? from.creation_date : date));
    rc |= json_object_set_new(object, "comment",
                              json_text(*from.comment ? from.comment
                                                      : comment));
    rc |= json_object_set_new(object, "createdBy",
                              json_text(*from.created_by ? from.created_by
                                                         : ENGINE_NAME));
    rc |= json_set_list(object, "urlList", json_web_seeds(torrent));

    if (torrent->info.has_v2) {
        rc |= json_object_set_new(object, "pieceLayers", json_layers(torrent));
    }

    if (rc == 0) {
        rc = json_line(object, buf, len);
    }

    json_decref(object);

    return (rc == 0) ? 0 : -1;
}


/*
 * One line, ended by LF.
 */
static int
json_line(json_t *object, char **buf, size_t *len)
{
    char    *text, *line;
    size_t   n;

    text = json_dumps(object, JSON_COMPACT);

    if (text == NULL) {
        return -1;
    }

    n = strlen(text);
    line = realloc(text, n + 2);

    if (line == NULL) {
        free(text);
        return -1;
    }

    line[n] = '\n';

    *buf = line;
    *len = n + 1;

    return 0;
}


static json_t *
json_base64(const void *buf, size_t len)
{
    int             n;
    json_t         *value;
    unsigned char  *text;

    if (len > INT_MAX / 2) {
        return NULL;
    }

    text = malloc((len + 2) / 3 * 4 + 1);

    if (text == NULL) {
        return NULL;
    }

    n = EVP_EncodeBlock(text, buf, len);
    value = json_stringn((char *) text, n);

    free(text);

    return value;
}


/*
 * Takes the list over; an empty one is left out.
 */
static int
json_set_list(json_t *object, const char *key, json_t *list)
{
    if (list != NULL && json_array_size(list) == 0) {
        json_decref(list);
        return 0;
    }

    return json_object_set_new(object, key, list);
}


/*
 * Trackers as tiers: an array of arrays of URLs.
 */
static json_t *
json_trackers(const torrent_t *torrent)
{
    json_t      *list, *tier;
    uint32_t     i, number, last;
    const char  *url;

    list = json_array();
    tier = NULL;
    last = 0;

    for (i = 0;
         shim_source(torrent->engine->shim, torrent->id, SHIM_SOURCE_TRACKER,
                     i, &url, &number)
         == SHIM_OK;
         i++)
    {
        if (tier == NULL || number != last) {
            tier = json_array();
            json_array_append_new(list, tier);
        }

        json_array_append_new(tier, json_text(url));
        last = number;
    }

    return list;
}


static json_t *
json_web_seeds(const torrent_t *torrent)
{
    json_t      *list;
    uint32_t     i, number;
    const char  *url;

    list = json_array();

    for (i = 0;
         shim_source(torrent->engine->shim, torrent->id, SHIM_SOURCE_WEB_SEED,
                     i, &url, &number)
         == SHIM_OK;
         i++)
    {
        json_array_append_new(list, json_text(url));
    }

    return list;
}


/*
 * "host:port", an IPv6 address in brackets.
 */
static json_t *
json_nodes(const torrent_t *torrent)
{
    char         text[300];
    json_t      *list;
    uint32_t     i, port;
    const char  *host;

    list = json_array();

    for (i = 0;
         shim_source(torrent->engine->shim, torrent->id, SHIM_SOURCE_NODE, i,
                     &host, &port)
         == SHIM_OK;
         i++)
    {
        snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:%u" : "%s:%u",
                 host, port);
        json_array_append_new(list, json_text(text));
    }

    return list;
}


/*
 * Layers by root: hex -> base64.
 */
static json_t *
json_layers(const torrent_t *torrent)
{
    int            rc;
    char           hex[65];
    json_t        *object;
    uint32_t       i, n;
    shim_layer_t  *layers;

    if (shim_layers(torrent->engine->shim, torrent->id, &layers, &n)
        != SHIM_OK)
    {
        return NULL;
    }

    object = json_object();
    rc = 0;

    for (i = 0; i < n; i++) {
        map_hex(hex, layers[i].root, 32);
        rc |= json_object_set_new(object, hex, json_base64(layers[i].hashes,
                                                           layers[i].len));
    }

    shim_free(layers);

    if (rc != 0) {
        json_decref(object);
        return NULL;
    }

    return object;
}


int
json_status(engine_t *engine, const facts_t *facts, FILE *out)
{
    int        rc;
    json_t    *object, *list;
    uint32_t   i;

    list = json_array();
    rc = 0;

    for (i = 0; i < facts->torrent_n; i++) {
        rc |= json_array_append_new(list, json_torrent(&facts->torrents[i]));
    }

    object = json_pack("{s:s, s:s, s:o, s:o, s:o}",
                       "version", ENGINE_NAME "/" ENGINE_VERSION,
                       "library", shim_version(),
                       "session", json_session(engine, facts),
                       "cache", json_cache(&engine->cache),
                       "torrents", list);

    if (object == NULL) {
        return -1;
    }

    if (rc == 0) {
        rc = json_dumpf(object, out, JSON_COMPACT);
        fputc('\n', out);
    }

    json_decref(object);

    return (rc == 0) ? 0 : -1;
}


static json_t *
json_session(engine_t *engine, const facts_t *facts)
{
    json_t      *list;
    uint32_t     i;
    const char  *address;

    list = json_array();

    for (i = 0; (address = shim_listening(engine->shim, i)) != NULL; i++) {
        json_array_append_new(list, json_text(address));
    }

    return json_pack("{s:i, s:o, s:I, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I}",
                     "listenPort", (int) shim_listen_port(engine->shim),
                     "listening", list,
                     "dhtNodes", (json_int_t) facts->dht_nodes,
                     "workers", __atomic_load_n(&engine->workers,
                                                __ATOMIC_RELAXED),
                     "readers", (int) facts->readers,
                     "waiting", (int) facts->waiting,
                     "peers", (int) facts->peers,
                     "downloaded", (json_int_t) facts->received,
                     "uploaded", (json_int_t) facts->sent,
                     "downloadRate", (json_int_t) facts->download_rate,
                     "uploadRate", (json_int_t) facts->upload_rate);
}


static json_t *
json_cache(const cache_t *cache)
{
    return json_pack("{s:I, s:o, s:i, s:I, s:I}",
                     "bytes", (json_int_t) cache->used,
                     "limit", (cache->max_size >= 0)
                              ? json_integer(cache->max_size) : json_null(),
                     "torrents", (int) HASH_CNT(hh, cache->stores),
                     "evictedSegments",
                     (json_int_t) counters_sum(&cache->counters,
                                               COUNTERS_EVICTED_SEGMENTS),
                     "evictedBytes",
                     (json_int_t) counters_sum(&cache->counters,
                                               COUNTERS_EVICTED_BYTES));
}


static json_t *
json_torrent(const facts_torrent_t *f)
{
    int                 rc;
    json_t             *object;
    const torrent_t    *torrent;
    const shim_info_t  *info;

    torrent = f->torrent;
    info = &torrent->info;

    object = json_pack("{s:o, s:i, s:I, s:I, s:I, s:I, s:i, s:o, s:o, s:o}",
                       "infohash", json_hex(torrent->ih, 20),
                       "holders", (int) f->holders,
                       "downloaded", (json_int_t) f->shim.downloaded,
                       "uploaded", (json_int_t) f->shim.uploaded,
                       "downloadRate", (json_int_t) f->shim.download_rate,
                       "uploadRate", (json_int_t) f->shim.upload_rate,
                       "wantedPieces", (int) torrent->want_n,
                       "readers", json_readers(torrent),
                       "trackers", json_announces(f),
                       "peers", json_peers(f));

    if (object == NULL || torrent->store == NULL) {
        return object;
    }

    rc = json_object_set_new(object, "name", json_bytes(info->name,
                                                        info->name_len));
    rc |= json_object_set_new(object, "size", json_integer(info->total_size));
    rc |= json_object_set_new(object, "pieceLength",
                              json_integer(info->piece_length));
    rc |= json_object_set_new(object, "pieces", json_integer(info->piece_n));
    rc |= json_object_set_new(object, "completePieces",
                              json_integer(f->complete_n));
    rc |= json_object_set_new(object, "completeBytes",
                              json_integer(f->complete));

    if (info->has_v2) {
        rc |= json_object_set_new(object, "infohashV2",
                                  json_hex(info->v2, 32));
    }

    if (rc != 0) {
        json_decref(object);
        return NULL;
    }

    return object;
}


/*
 * Windows, in bytes of the piece space.
 */
static json_t *
json_readers(const torrent_t *torrent)
{
    json_t           *list;
    const request_t  *request;

    list = json_array();

    TAILQ_FOREACH(request, &torrent->requests, link) {
        if (request->reading) {
            json_array_append_new(list,
                          json_pack("{s:I, s:I, s:b}",
                                    "begin",
                                    (json_int_t) request->window.begin,
                                    "end", (json_int_t) request->window.end,
                                    "waiting", (int) request->waiting));
        }
    }

    return list;
}


static json_t *
json_announces(const facts_torrent_t *f)
{
    json_t                *list;
    uint32_t               i;
    const shim_tracker_t  *t;

    list = json_array();

    for (i = 0; i < f->tracker_n; i++) {
        t = &f->trackers[i];

        json_array_append_new(list,
                      json_pack("{s:o, s:i, s:i, s:o, s:o, s:o}",
                                "url", json_text(t->url),
                                "tier", (int) t->tier,
                                "fails", (int) t->fails,
                                "nextAnnounce",
                                (t->next_announce >= 0)
                                ? json_integer(t->next_announce)
                                : json_null(),
                                "peers", (t->peers >= 0)
                                         ? json_integer(t->peers)
                                         : json_null(),
                                "lastError", (t->error[0] != '\0')
                                             ? json_text(t->error)
                                             : json_null()));
    }

    return list;
}


static json_t *
json_peers(const facts_torrent_t *f)
{
    json_t             *list;
    uint32_t            i;
    const shim_peer_t  *p;

    list = json_array();

    for (i = 0; i < f->peer_n; i++) {
        p = &f->peers[i];

        json_array_append_new(list,
                      json_pack("{s:o, s:o, s:i, s:o, s:I, s:I}",
                                "address", json_text(p->address),
                                "client", json_text(p->client),
                                "pieces", (int) p->have,
                                "flags", json_flags(p),
                                "downloadRate", (json_int_t) p->download_rate,
                                "uploadRate", (json_int_t) p->upload_rate));
    }

    return list;
}


static json_t *
json_flags(const shim_peer_t *peer)
{
    size_t   i;
    json_t  *list;

    const struct {
        uint8_t      on;
        const char  *name;
    } flags[] = {
        { peer->interesting, "interesting" },
        { peer->choked, "choked" },
        { peer->interested, "interested" },
        { peer->choking, "choking" },
        { peer->utp, "utp" },
        { peer->incoming, "incoming" }
    };

    list = json_array();

    for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (flags[i].on) {
            json_array_append_new(list, json_text(flags[i].name));
        }
    }

    return list;
}


static json_t *
json_hex(const uint8_t *hash, size_t len)
{
    char  hex[65];

    map_hex(hex, hash, len);

    return json_text(hex);
}


static json_t *
json_text(const char *text)
{
    return json_bytes(text, strlen(text));
}


/*
 * Bytes that are not UTF-8 become U+FFFD.
 */
static json_t *
json_bytes(const char *text, size_t len)
{
    char    *copy;
    size_t   i, out;
    json_t  *value;

    value = json_stringn(text, len);

    if (value != NULL) {
        return value;
    }

    copy = malloc(3 * len + 1);

    if (copy == NULL) {
        return NULL;
    }

    for (i = 0, out = 0; i < len; i++) {
        if ((unsigned char) text[i] < 0x80) {
            copy[out++] = text[i];

        } else {
            memcpy(copy + out, "\xef\xbf\xbd", 3);
            out += 3;
        }
    }

    value = json_stringn(copy, out);

    free(copy);

    return value;
}
