
/*
 * The cache without a swarm: a store's life, the limit, eviction, and what is
 * left after a restart, a crash and a power cut.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cache.h"
#include "tap.h"


#define PIECE   65536
#define PIECES  200                 /* 64 to a segment */
#define TOTAL   ((uint64_t) PIECES * PIECE - 1000)


static void open_cache(cache_t *cache, int64_t max_size);
static store_t *make_store(cache_t *cache, uint8_t name);
static int fill(cache_t *cache, store_t *store, uint32_t piece);
static int is_right(uint32_t piece);
static void test_files(cache_t *cache);
static void test_write(cache_t *cache, store_t *store);
static void test_evict(cache_t *cache, store_t *store);
static void test_limit(void);
static void test_restart(void);
static void test_descriptors(void);
static void test_share(void);
static void limit_descriptors(unsigned n);
static unsigned descriptors(void);
static void test_damage(void);
static void test_missing(void);
static void damage(int kind);
static void forget_boot(void);
static void count_refused(void *ctx, const char *name, int err);
static void count_evicted(void *ctx, store_t *store, uint32_t segment,
    int complete);


static char           path[PATH_MAX];
static uint8_t        ih[20];
static unsigned       evicted;
static unsigned       refused;

static const struct {
    const char       *path;
    uint64_t          offset;
    uint64_t          length;
    uint32_t          flags;
} files[] = {
    { "b/two", 0, 100, 0 },
    { ".pad/1", 100, PIECE - 100, SHIM_PAD_FILE },
    { "a", PIECE, 10, 0 },
    { "b/two", PIECE + 10, TOTAL - PIECE - 10, 0 }
};


/* what layout_create() asks of the shim */

shim_rc_t
shim_file(shim_t *s, shim_id_t id, uint32_t n, shim_file_t *file)
{
    (void) s;
    (void) id;

    file->offset = files[n].offset;
    file->length = files[n].length;
    file->path = files[n].path;
    file->path_len = strlen(files[n].path);
    file->flags = files[n].flags;

    return SHIM_OK;
}


int
main(void)
{
    cache_t   cache;
    store_t  *store;

    snprintf(path, sizeof(path), "%s/confluence-unit.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");

    if (mkdtemp(path) == NULL) {
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
    test_restart();
    test_damage();
    test_missing();
    test_descriptors();
    test_share();

    (void) done_testing();
    fflush(stdout);

    return execlp("rm", "rm", "-rf", path, NULL);
}


static void
open_cache(cache_t *cache, int64_t max_size)
{
    memset(cache, 0, sizeof(cache_t));

    cache->path = path;
    cache->caches = 1;
    cache->max_size = max_size;
    cache->evicted = count_evicted;
    cache->refused = count_refused;

    if (cache_open(cache) != 0) {
        ok(0, "cache_open()");
        exit(1);
    }
}


static void
count_evicted(void *ctx, store_t *store, uint32_t segment, int complete)
{
    (void) ctx;
    (void) store;
    (void) segment;
    (void) complete;

    evicted++;
}


static void
count_refused(void *ctx, const char *name, int err)
{
    (void) ctx;
    (void) name;
    (void) err;

    refused++;
}


static store_t *
make_store(cache_t *cache, uint8_t name)
{
    char          err[256];
    store_t      *store;
    shim_info_t   info;

    memset(&info, 0, sizeof(info));
    info.size = sizeof(info);
    info.has_v1 = 1;
    info.has_v2 = 1;
    info.v1[0] = name;
    info.piece_length = PIECE;
    info.piece_n = PIECES;
    info.total_size = TOTAL;
    info.file_n = sizeof(files) / sizeof(files[0]);
    info.name = "name";
    info.name_len = 4;

    memset(ih, 0, 20);
    ih[0] = name;

    if (cache_store(cache, &store, ih, NULL, 0, &info, err, sizeof(err)) != 0) {
        return NULL;
    }

    return store;
}


static int
fill(cache_t *cache, store_t *store, uint32_t piece)
{
    uint32_t  generation;
    uint8_t   bytes[PIECE];

    if (cache_reserve(cache, store, piece, 0) != 0
        || store_storage.begin(store, piece, &generation) != 0)
    {
        return -1;
    }

    memset(bytes, piece, sizeof(bytes));

    if (store_storage.write(store, piece, generation, bytes,
                            store_piece_length(store, piece))
        != 0)
    {
        return -1;
    }

    return store_storage.mark(store, piece, generation, SHIM_PIECE_COMPLETE);
}


/* As a worker reads: by the map and the segment's file. */
static int
is_right(uint32_t piece)
{
    int           fd, rc;
    char          name[PATH_MAX];
    map_t         map;
    uint8_t       byte[2];
    map_extent_t  e;

    if (map_open(&map, path, ih) != 0) {
        return 0;
    }

    rc = 0;

    if (map_extent(&map, (uint64_t) piece * PIECE, 1000, 1, &e) == 1000) {
        rc = snprintf(name, sizeof(name), "%s/", path);
        map_segment_name(ih, e.segment, e.generation, name + rc,
                         sizeof(name) - rc);

        fd = open(name, O_RDONLY);

        rc = fd != -1
             && pread(fd, byte, 1, e.offset) == 1
             && pread(fd, byte + 1, 1, e.offset + 999) == 1
             && map_still(&map, &e)
             && byte[0] == (uint8_t) piece
             && byte[1] == (uint8_t) piece;

        close(fd);
    }

    map_close(&map);

    return rc;
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
test_restart(void)
{
    char      name[PATH_MAX + 64], hex[41];
    uint32_t  generation;
    cache_t   cache;
    store_t  *store;

    open_cache(&cache, -1);
    store = make_store(&cache, 3);
    fill(&cache, store, 1);
    fill(&cache, store, 70);
    (void) cache_reserve(&cache, store, 2, 0);
    cache_close(&cache, 0);

    open_cache(&cache, -1);
    store = cache_find(&cache, ih);
    ok(store != NULL && is_right(1) && is_right(70),
       "after a crash what was complete is there");
    ok(!(store->map.states[2] & MAP_CHARGED), "and nothing else");
    cache_close(&cache, 0);

    map_hex(hex, ih, 20);
    snprintf(name, sizeof(name), "%s/pieces/%s/1.1", path, hex);
    ok(unlink(name) == 0, "a segment's file is removed");

    open_cache(&cache, -1);
    ok(is_right(1) && !is_right(70), "its pieces are not complete any more");
    cache_close(&cache, 1);

    /* another boot */

    forget_boot();
    ok(!is_right(1), "of another boot: not served before it was looked at");

    open_cache(&cache, -1);
    ok(is_right(1), "trusted after a clean stop and a reboot");
    cache_close(&cache, 0);

    forget_boot();
    open_cache(&cache, -1);
    store = cache_find(&cache, ih);
    ok(store != NULL && !is_right(1) && map_in_doubt(store->map.states[1]),
       "in doubt after a power cut");
    ok(store_storage.begin(store, 1, &generation) == EAGAIN
       && store_discharge(store, 1, 1) == 0,
       "a piece in doubt is not begun, and keeps its space");
    cache_unload(&cache, store, 0);
    ok(cache_find(&cache, ih) == store, "nor is it lost with its torrent");
    cache_close(&cache, 1);

    open_cache(&cache, -1);
    store = cache_find(&cache, ih);
    ok(!is_right(1) && map_in_doubt(store->map.states[1]),
       "in doubt still after a clean stop");
    cache_close(&cache, 0);
}


/*
 * Maps that are not what they were, each on its own.
 */
static void
test_damage(void)
{
    int       i;
    cache_t   cache;
    map_t     map;

    static const char  *names[] = {
        "cut short", "of no length", "noise", "of another version",
        "an offset beyond the end", "a file's offset", "a path",
        "the piece length", "a directory"
    };

    for (i = 0; i < 9; i++) {
        open_cache(&cache, -1);
        fill(&cache, make_store(&cache, 4), 1);
        cache_close(&cache, 0);

        damage(i);
        refused = 0;

        open_cache(&cache, -1);
        ok(cache_find(&cache, ih) == NULL && refused == 1
           && map_open(&map, path, ih) != 0,
           names[i]);
        cache_close(&cache, 0);
    }
}


/*
 * The file of a segment, removed or cut when some of it is complete.
 */
static void
test_missing(void)
{
    int           i;
    char          name[PATH_MAX + MAP_SEGMENT_NAME];
    size_t        n;
    cache_t       cache;
    store_t      *store;
    uint8_t       byte;
    uint32_t      generation;
    struct stat   st;

    for (i = 0; i < 2; i++) {
        open_cache(&cache, -1);
        store = make_store(&cache, 5 + i);

        n = sprintf(name, "%s/", path);
        map_segment_name(ih, 0, store->map.segments[0].generation, name + n,
                         sizeof(name) - n);

        ok(fill(&cache, store, 1) == 0 && stat(name, &st) == 0,
           "a piece of a segment");

        files_forget(&cache.files, store, 0);
        (void) !(i ? truncate(name, PIECE) : unlink(name));

        ok(cache_reserve(&cache, store, 0, 0) == 0
           && store_storage.begin(store, 0, &generation) == 0
           && store_storage.write(store, 0, generation, &byte, 1)
              == ENOTRECOVERABLE,
           i ? "cut: no other is written" : "removed: no other is written");
        ok(store_storage.read(store, 1, 0, &byte, 1) == ENOTRECOVERABLE,
           "it is not read");
        ok(i ? (stat(name, &st) == 0 && st.st_size == PIECE)
             : (stat(name, &st) == -1),
           "nor made anew, or longer: there would be zeros");

        cache_close(&cache, 0);
    }
}


static void
damage(int kind)
{
    int    fd, i;
    char   name[PATH_MAX + 64], hex[41];
    map_t  map;

    map_hex(hex, ih, 20);
    snprintf(name, sizeof(name), "%s/pieces/%s/map", path, hex);

    if (kind == 8) {
        (void) unlink(name);
        (void) mkdir(name, 0700);
        return;
    }

    if (kind < 2) {
        (void) !truncate(name, kind == 0 ? 1000 : 0);
        return;
    }

    if (kind == 2) {
        fd = open(name, O_RDWR);

        for (i = 0; i < 4096; i++) {
            (void) !pwrite(fd, &(char) { (char) (i * 7) }, 1, i);
        }

        close(fd);
        return;
    }

    (void) map_open_file(&map, name);

    switch (kind) {

    case 3:
        map.header->version--;
        break;

    case 4:
        map.header->segments_off = map.header->map_size - 8;
        break;

    case 5:
        map.files[3].offset += 8;
        break;

    case 6:
        map.strings[5] ^= 1;
        break;

    default:
        map.header->piece_length *= 2;
        break;
    }

    map_close(&map);
}


/*
 * Makes the map one of another boot.
 */
static void
forget_boot(void)
{
    char   name[PATH_MAX + 64], hex[41];
    map_t  map;

    map_hex(hex, ih, 20);
    snprintf(name, sizeof(name), "%s/pieces/%s/map", path, hex);

    (void) map_open_file(&map, name);
    memset(map.header->boot_id, 'x', 36);
    map_close(&map);
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


/* Caches of one process take no more descriptors together than one alone. */

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
