
#include "engine/report/debug_pages.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/report/status_text.h"


typedef struct {
    const store_t  *store;
    uint32_t        segment;
    uint32_t        last_read;
} debug_item_t;


static void debug_dht(engine_t *engine, FILE *out);
static void debug_dht_node(const shim_dht_t *dht, FILE *out);
static uint64_t debug_items(engine_t *engine, debug_item_t *items);
static int debug_lru(engine_t *engine, FILE *out);
static int debug_item_cmp(const void *a, const void *b);
static void debug_time(uint32_t seconds, FILE *out);
static int debug_peers(engine_t *engine, FILE *out);


int
debug_page(engine_t *engine, unsigned kind, FILE *out)
{
    switch (kind) {

    case PROTO_CALL_DEBUG_DHT:
        debug_dht(engine, out);
        return 0;

    case PROTO_CALL_DEBUG_CACHE:
        fputs("Capacity: ", out);

        if (engine->cache.max_size >= 0) {
            fprintf(out, "%" PRId64 "\n", engine->cache.max_size);

        } else {
            fputs("off\n", out);
        }

        fprintf(out, "Current Size: %" PRIu64 "\n", engine->cache.used);
        fprintf(out, "Item Count: %" PRIu64 "\n", debug_items(engine, NULL));
        return 0;

    case PROTO_CALL_DEBUG_LRU:
        return debug_lru(engine, out);

    case PROTO_CALL_DEBUG_PEERS:
        return debug_peers(engine, out);

    default: /* PROTO_CALL_DEBUG */
        fputs("dht\nfilecache/lru\nfilecache/status\npeers\n", out);
        return 0;
    }
}


static void
debug_dht(engine_t *engine, FILE *out)
{
    uint32_t    i;
    shim_dht_t  dht;

    for (i = 0; shim_dht(engine->shim, i, &dht) == SHIM_OK; i++) {
        debug_dht_node(&dht, out);
    }

    if (i == 0) {
        fputs("no dht servers\n", out);
    }
}


static void
debug_dht_node(const shim_dht_t *dht, FILE *out)
{
    char      hex[41];
    uint32_t  i, good, more;

    good = 0;
    more = 0;

    for (i = 0; i < dht->bucket_n; i++) {
        good += dht->buckets[i].nodes;
        more += dht->buckets[i].replacements;
    }

    map_hex(hex, dht->id, sizeof(dht->id));

    fprintf(out, "Listening on %s\n", dht->address);
    fprintf(out, "Nodes in table: %u good, %u total\n", good, good + more);
    fprintf(out, "Ongoing transactions: %u\n", dht->transactions);
    fprintf(out, "Server node ID: %s\n", hex);
    fputs("Bucket  Nodes  Replacements\n", out);

    for (i = 0; i < dht->bucket_n; i++) {
        fprintf(out, "%6u  %5u  %12u\n", i, dht->buckets[i].nodes,
                dht->buckets[i].replacements);
    }

    fputc('\n', out);
}


/*
 * Segments in the cache: how many there are; items, if not NULL, has room.
 */
static uint64_t
debug_items(engine_t *engine, debug_item_t *items)
{
    store_t        *store, *next;
    uint32_t        i;
    uint64_t        n;
    map_segment_t  *s;

    n = 0;

    HASH_ITER(hh, engine->cache.stores, store, next) {

        for (i = 0; i < store->map.header->segment_n; i++) {
            s = &store->map.segments[i];

            if (s->charged == 0) {
                continue;
            }

            if (items != NULL) {
                items[n].store = store;
                items[n].segment = i;
                items[n].last_read = __atomic_load_n(&s->last_read,
                                                     __ATOMIC_RELAXED);
            }

            n++;
        }
    }

    return n;
}


/*
 * Segments, the one that was not read for the longest time first: time, bytes,
 * file.  Those that are in use are not evicted whatever their place.
 */
static int
debug_lru(engine_t *engine, FILE *out)
{
    char                  name[MAP_SEGMENT_NAME];
    uint64_t              i, n;
    debug_item_t         *items;
    const map_segment_t  *s;

    items = calloc(debug_items(engine, NULL) + 1, sizeof(debug_item_t));

    if (items == NULL) {
        return -1;
    }

    n = debug_items(engine, items);

    qsort(items, n, sizeof(debug_item_t), debug_item_cmp);

    for (i = 0; i < n; i++) {
        s = &items[i].store->map.segments[items[i].segment];

        map_segment_name(items[i].store->ih, items[i].segment, s->generation,
                         name, sizeof(name));

        debug_time(items[i].last_read, out);
        fprintf(out, "\t%" PRIu64 "\t%s\n", s->charged, name);
    }

    free(items);

    return 0;
}


static int
debug_item_cmp(const void *a, const void *b)
{
    const debug_item_t  *x, *y;

    x = a;
    y = b;

    if (x->last_read != y->last_read) {
        return (x->last_read < y->last_read) ? -1 : 1;
    }

    return (x->segment > y->segment) - (x->segment < y->segment);
}


static void
debug_time(uint32_t seconds, FILE *out)
{
    char       text[32];
    time_t     t;
    struct tm  tm;

    t = seconds;

    if (gmtime_r(&t, &tm) != NULL
        && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) != 0)
    {
        fputs(text, out);
    }
}


static int
debug_peers(engine_t *engine, FILE *out)
{
    int       rc;
    char      hex[41];
    facts_t   facts;
    uint32_t  i;

    rc = facts_gather(&facts, engine);

    for (i = 0; rc == 0 && i < facts.torrent_n; i++) {
        map_hex(hex, facts.torrents[i].torrent->ih, 20);

        fprintf(out, "%s ", hex);
        status_name(facts.torrents[i].torrent, out);
        fprintf(out, ": %u peers\n", facts.torrents[i].peer_n);
        status_peers(&facts.torrents[i], out);
    }

    facts_free(&facts);

    return rc;
}
