
#include "engine/report/metrics.h"

#include <ctype.h>
#include <inttypes.h>

#include "engine/report/snapshot.h"


#define METRICS_PREFIX  "confluence_"


typedef struct {
    unsigned     counter;
    unsigned     n;             /* of them, in a row */
    const char  *name;
    const char  *label;         /* its values below, if n > 1 */
    const char  *values[COUNTERS_CACHES];
    const char  *help;
} metrics_counter_t;


static void metrics_counter(const counters_t *c, const metrics_counter_t *m,
    FILE *out);
static void metrics_histogram(const counters_t *c, FILE *out);
static void metrics_gauges(engine_t *engine, FILE *out);
static void metrics_gauge(FILE *out, const char *name, const char *help,
    uint64_t value);
static void metrics_head(FILE *out, const char *name, const char *type,
    const char *help);
static void metrics_library(engine_t *engine, FILE *out);


static const char  *const metrics_caches[COUNTERS_CACHES] = {
    "hit", "partial", "miss"
};


static const metrics_counter_t  metrics_counters[] = {

    { COUNTERS_REQUESTS, 3, "requests_total", "cache",
      { "hit", "partial", "miss" },
      "Requests for bytes, by what of them was in the cache: all, the first "
      "byte, not even that." },

    { COUNTERS_CLIENT_BYTES, 1, "client_sent_bytes_total", NULL, { NULL },
      "Bytes of torrents that were sent to clients." },

    { COUNTERS_WAIT_TIMEOUT, 3, "failed_waits_total", "reason",
      { "timeout", "engine", "refused" },
      "Requests that waited in vain: too long, without an engine, for what "
      "the engine knows will not come." },

    { COUNTERS_STARTS, 1, "engine_starts_total", NULL, { NULL },
      "Starts of the engine: one for each reload, one for each crash." },

    { COUNTERS_SWARM_RECEIVED, 1, "swarm_received_bytes_total", NULL, { NULL },
      "Bytes of verified pieces that came from peers and web seeds." },

    { COUNTERS_SWARM_SENT, 1, "swarm_sent_bytes_total", NULL, { NULL },
      "Bytes of pieces that were sent to peers." },

    { COUNTERS_BAD_PIECES, 1, "bad_pieces_total", NULL, { NULL },
      "Pieces that came and were corrupt." },

    { COUNTERS_EVICTED_SEGMENTS, 1, "cache_evictions_total", NULL, { NULL },
      "Segments that were evicted from the cache." },

    { COUNTERS_EVICTED_BYTES, 1, "cache_evicted_bytes_total", NULL, { NULL },
      "Bytes that were evicted from the cache." }
};


void
metrics_text(engine_t *engine, FILE *out)
{
    size_t             i;
    const counters_t  *c;

    c = &engine->cache.counters;

    metrics_gauges(engine, out);

    for (i = 0; i < sizeof(metrics_counters) / sizeof(metrics_counters[0]);
         i++)
    {
        metrics_counter(c, &metrics_counters[i], out);
    }

    metrics_histogram(c, out);
    metrics_library(engine, out);
}


static void
metrics_counter(const counters_t *c, const metrics_counter_t *m, FILE *out)
{
    unsigned  i;

    metrics_head(out, m->name, "counter", m->help);

    for (i = 0; i < m->n; i++) {
        fprintf(out, METRICS_PREFIX "%s", m->name);

        if (m->label != NULL) {
            fprintf(out, "{%s=\"%s\"}", m->label, m->values[i]);
        }

        fprintf(out, " %" PRIu64 "\n", counters_sum(c, m->counter + i));
    }
}


static void
metrics_histogram(const counters_t *c, FILE *out)
{
    unsigned     i, k, n;
    uint64_t     sum, ms;
    const char  *cache;

    metrics_head(out, "first_byte_seconds", "histogram",
                 "Time from a request for bytes to the first of them, by what "
                 "was in the cache.");

    for (k = 0; k < COUNTERS_CACHES; k++) {
        cache = metrics_caches[k];
        sum = 0;

        for (i = 0; i < COUNTERS_TIMES; i++) {
            n = COUNTERS_FIRST_BYTE + k * COUNTERS_TIMES + i;
            sum += counters_sum(c, n);

            fprintf(out, METRICS_PREFIX "first_byte_seconds_bucket"
                    "{cache=\"%s\",le=\"", cache);

            if (i < COUNTERS_BOUNDS) {
                fprintf(out, "%g", counters_bounds[i] / 1000.0);

            } else {
                fputs("+Inf", out);
            }

            fprintf(out, "\"} %" PRIu64 "\n", sum);
        }

        ms = counters_sum(c, COUNTERS_FIRST_BYTE_MS + k);

        fprintf(out, METRICS_PREFIX "first_byte_seconds_sum{cache=\"%s\"} %"
                PRIu64 ".%03u\n", cache, ms / 1000, (unsigned) (ms % 1000));
        fprintf(out, METRICS_PREFIX "first_byte_seconds_count{cache=\"%s\"} %"
                PRIu64 "\n", cache, sum);
    }
}


static void
metrics_gauges(engine_t *engine, FILE *out)
{
    uint32_t        readers, waiting;
    const cache_t  *cache;

    cache = &engine->cache;

    facts_requests(engine, &readers, &waiting);

    metrics_head(out, "info", "gauge", "Versions.");
    fprintf(out, METRICS_PREFIX "info{version=\"%s\",library=\"%s\"} 1\n",
            ENGINE_VERSION, shim_version());

    metrics_gauge(out, "num_torrents", "Torrents that are loaded.",
                  HASH_CNT(hh, engine->torrents));
    metrics_gauge(out, "engine_start_time_seconds",
                  "When the engine started, since 1970.", engine->started_at);
    metrics_gauge(out, "workers", "Worker processes that are connected.",
                  __atomic_load_n(&engine->workers, __ATOMIC_RELAXED));
    metrics_gauge(out, "reading_requests",
                  "Requests that are being fetched for.", readers);
    metrics_gauge(out, "waiting_requests",
                  "Requests that wait for metadata or for their next byte.",
                  waiting);
    metrics_gauge(out, "peers", "Peers that are connected.",
                  facts_stat(engine, "peer.num_peers_connected"));
    metrics_gauge(out, "dht_nodes", "Nodes that the DHT knows.",
                  facts_stat(engine, "dht.dht_nodes"));
    metrics_gauge(out, "cache_bytes", "Bytes that count for the cache's limit.",
                  cache->used);
    metrics_gauge(out, "cache_torrents",
                  "Torrents that the cache has bytes of.",
                  HASH_CNT(hh, cache->stores));

    metrics_head(out, "cache_limit_bytes", "gauge",
                 "Bytes that the cache may hold.");

    if (cache->max_size < 0) {
        fputs(METRICS_PREFIX "cache_limit_bytes +Inf\n", out);

    } else {
        fprintf(out, METRICS_PREFIX "cache_limit_bytes %" PRId64 "\n",
                cache->max_size);
    }
}


static void
metrics_gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
    metrics_head(out, name, "gauge", help);

    fprintf(out, METRICS_PREFIX "%s %" PRIu64 "\n", name, value);
}


static void
metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP " METRICS_PREFIX "%s %s\n", name, help);
    fprintf(out, "# TYPE " METRICS_PREFIX "%s %s\n", name, type);
}


/*
 * "net.recv_bytes" becomes confluence_libtorrent_net_recv_bytes_total; what is
 * no counter has no "_total".
 */
static void
metrics_library(engine_t *engine, FILE *out)
{
    char          name[128];
    size_t        k;
    uint32_t      i;
    shim_stat_t   stat;

    for (i = 0; shim_stat(engine->shim, i, &stat) == SHIM_OK; i++) {

        snprintf(name, sizeof(name), "libtorrent_%s%s", stat.name,
                 stat.gauge ? "" : "_total");

        for (k = 0; name[k] != '\0'; k++) {
            if (!isalnum((unsigned char) name[k])) {
                name[k] = '_';
            }
        }

        fprintf(out, "# TYPE " METRICS_PREFIX "%s %s\n", name,
                stat.gauge ? "gauge" : "counter");
        fprintf(out, METRICS_PREFIX "%s %" PRId64 "\n", name, stat.value);
    }
}
