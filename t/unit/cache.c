
/*
 * The cache without a swarm: a store's life, the limit, eviction, descriptors.
 */

#include <sys/resource.h>

#include "fixture.h"


static void test_files(cache_t *cache);
static void test_write(cache_t *cache, store_t *store);
static void test_evict(cache_t *cache, store_t *store);
static void test_limit(void);
static void test_descriptors(void);
static void test_share(void);
static void limit_descriptors(unsigned n);
static unsigned descriptors(void);


int
main(void)
{
    cache_t   cache;
    store_t  *store;

    if (fixture_begin() != 0) {
        return 1;
    }

    open_cache(&cache, -1);

    store = make_store(&cache, 1);
    ok(store != NULL, "store");

    test_files(&cache);
    test_write(&cache, store);
    test_evict(&cache, store);

    cache_close(&cache, 0);

    test_limit();
    test_descriptors();
    test_share();

    return fixture_end();
}


static void
test_files(cache_t *cache)
{
    map_t     map;
    uint64_t  run;

    (void) cache;

    ok(map_open(&map, path, ih) == 0, "map_open()");

    ok(map_find(&map, (uint8_t *) "a", 1) == 2, "file found");
    ok(map_find(&map, (uint8_t *) "b/two", 5) == 0,
       "of two files of one name the first");
    ok(map_find(&map, (uint8_t *) "b/tw", 4) == -1
       && map_find(&map, (uint8_t *) "", 0) == -1
       && map_find(&map, (uint8_t *) "z", 1) == -1,
       "no such file");

    ok(map_length(&map, MAP_WHOLE) == 100 + 10 + TOTAL - PIECE - 10,
       "whole torrent without pads");
    ok(map_translate(&map, MAP_WHOLE, 99, &run) == 99 && run == 1,
       "last byte before a pad");
    ok(map_translate(&map, MAP_WHOLE, 100, &run) == PIECE
       && run == TOTAL - PIECE,
       "first byte after it");
    ok(map_translate(&map, 2, 3, &run) == PIECE + 3 && run == 7,
       "byte of a file");

    map_close(&map);
}


static void
test_write(cache_t *cache, store_t *store)
{
    uint32_t  generation;
    uint8_t   bytes[PIECE];

    memset(bytes, 0, sizeof(bytes));

    ok(store_storage.begin(store, 3, &generation) == EAGAIN,
       "a piece without space is refused");
    ok(cache->used == 0, "nothing is used");

    ok(cache_reserve(cache, store, 3, 0) == 0 && cache->used == PIECE,
       "space is reserved");
    cache_unreserve(cache, store, 3, 0);
    ok(cache->used == PIECE, "the last piece of a segment keeps its space");

    ok(cache_reserve(cache, store, 4, 0) == 0, "reserved");
    cache_unreserve(cache, store, 4, 0);
    ok(cache->used == PIECE, "and given back");

    ok(!is_right(5), "not complete");
    ok(fill(cache, store, 5) == 0, "filled");
    ok(is_right(5), "complete, and the right bytes");
    ok(store_storage.begin(store, 5, &generation) == EEXIST,
       "a complete piece is never begun again");
    ok(!is_right(6) && !is_right(PIECES - 1), "others are not complete");
    ok(fill(cache, store, PIECES - 1) == 0 && is_right(PIECES - 1),
       "the last, short one");

    (void) cache_reserve(cache, store, 6, 0);
    ok(store_storage.begin(store, 6, &generation) == 0, "begun");
    cache_unreserve(cache, store, 6, 0);
    ok(store_storage.begin(store, 6, &generation) == 0,
       "what was begun keeps its space");
    cache_unreserve(cache, store, 6, 1);
    ok(store_storage.write(store, 6, generation, bytes, PIECE) == EAGAIN
       && !is_right(6),
       "without space it is not written");
}


static void
test_evict(cache_t *cache, store_t *store)
{
    int             complete;
    uint32_t        generation;
    uint8_t         bytes[PIECE];
    store_window_t  w;

    memset(bytes, 0, sizeof(bytes));

    (void) cache_reserve(cache, store, 7, 0);
    (void) store_storage.begin(store, 7, &generation);

    w.begin = 3 * PIECE;
    w.end = 4 * PIECE;
    TAILQ_INSERT_TAIL(&store->windows, &w, link);

    ok(store_segment_needed(store, 0) && !store_segment_needed(store, 3),
       "a window pins its segment");

    ok(store_storage.current(store, 7, generation), "not evicted yet");
    cache->used -= store_evict(store, 0, &complete);
    TAILQ_REMOVE(&store->windows, &w, link);

    ok(complete, "a complete piece was evicted");
    ok(!is_right(5), "and is not served");
    ok(!store_storage.current(store, 7, generation), "evicted");
    ok(store_storage.write(store, 7, generation, bytes, PIECE) != 0,
       "a piece of an older generation is not written");
    ok(store_storage.mark(store, 7, generation, SHIM_PIECE_COMPLETE)
       == ESTALE,
       "nor published");
    ok(store_storage.read(store, 7, 0, bytes, 16) == ESTALE, "nor read");
    ok(fill(cache, store, 5) == 0 && is_right(5), "filled again");
}


static void
test_limit(void)
{
    int             i, n;
    cache_t         cache;
    store_t        *store;
    store_window_t  w;

    open_cache(&cache, 100 * PIECE);
    store = make_store(&cache, 2);
    evicted = 0;

    for (i = 0, n = 0; i < PIECES; i++) {
        n += (fill(&cache, store, i) == 0);

        if (cache.used > (uint64_t) cache.max_size) {
            break;
        }
    }

    ok(n == PIECES && cache.used <= 100 * PIECE,
       "more than the limit flows through it");
    ok(evicted >= 2, "by eviction");
    ok(is_right(PIECES - 1) && !is_right(0), "the oldest went first");

    w.begin = 0;
    w.end = TOTAL;
    TAILQ_INSERT_TAIL(&store->windows, &w, link);

    for (i = 0; i < 100 && cache_reserve(&cache, store, i, 0) == 0; i++) {
        /* void */
    }

    ok(i < 100, "what a window touches is not evicted");
    ok(cache_reserve(&cache, store, i, 1) == 0,
       "a reader's next piece is taken all the same");

    TAILQ_REMOVE(&store->windows, &w, link);

    cache_close(&cache, 0);
}


static void
test_descriptors(void)
{
    int       i, n;
    cache_t   cache;
    unsigned  before;

    before = descriptors();
    limit_descriptors(60);

    open_cache(&cache, -1);

    for (i = 0, n = 0; i < 100; i++) {
        n += (fill(&cache, make_store(&cache, 10 + i), 1) == 0);
    }

    ok(n == 100, "more torrents than descriptors");
    ok(descriptors() <= before + 30, "few of which are used");

    cache_close(&cache, 0);

    ok(descriptors() == before, "all are closed in the end");

    limit_descriptors(2);
    memset(&cache, 0, sizeof(cache_t));
    cache.path = path;
    cache.caches = 1;
    cache.max_size = -1;

    ok(cache_open(&cache) == EMFILE, "too few to read the directory");
    cache_close(&cache, 0);
    limit_descriptors(60);

    open_cache(&cache, -1);
    ok(HASH_CNT(hh, cache.stores) >= 100 && is_right(1),
       "which costs no torrent its data");
    cache_close(&cache, 0);
}


static void
test_share(void)
{
    int       i, n;
    char     *name;
    cache_t   cache[4];
    unsigned  before, used;

    before = descriptors();

    for (i = 0; i < 4; i++) {
        if (asprintf(&name, "%s/%d", path, i) == -1
            || mkdir(name, 0700) == -1)
        {
            ok(0, "mkdir()");
            return;
        }

        memset(&cache[i], 0, sizeof(cache_t));
        cache[i].path = name;
        cache[i].caches = 4;
        cache[i].max_size = -1;

        if (cache_open(&cache[i]) != 0) {
            ok(0, "cache_open()");
            return;
        }
    }

    for (i = 0, n = 0; i < 80; i++) {
        n += (fill(&cache[i % 4], make_store(&cache[i % 4], 200 + i), 1) == 0);
    }

    used = descriptors() - before;

    ok(n == 80, "several caches");
    ok(used > 8 && used <= 24, "share the descriptors");

    for (i = 0; i < 4; i++) {
        cache_close(&cache[i], 0);
        free((void *) cache[i].path);
    }
}


/* To n more than there are. */
static void
limit_descriptors(unsigned n)
{
    int            fd;
    struct rlimit  limit;

    for (fd = 0; n != 0; fd++) {
        n -= (fcntl(fd, F_GETFD) == -1);
    }

    (void) getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = fd;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
}


static unsigned
descriptors(void)
{
    int       fd;
    unsigned  n;

    for (fd = 0, n = 0; fd < 1024; fd++) {
        n += (fcntl(fd, F_GETFD) != -1);
    }

    return n;
}
