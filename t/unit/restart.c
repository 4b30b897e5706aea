
/*
 * What is left of a cache after a restart, a crash, a power cut, and after
 * somebody has meddled with its files.
 */

#include "fixture.h"


static void test_restart(void);
static void test_damage(void);
static void test_missing(void);
static void test_lost(void);
static void damage(int kind);
static void forget_boot(void);


int
main(void)
{
    if (fixture_begin() != 0) {
        return 1;
    }

    test_restart();
    test_damage();
    test_missing();
    test_lost();

    return fixture_end();
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


/*
 * A map that is cut while it is in use: all of it, which is one page, all but
 * its begin, or its end.
 */
static void
test_lost(void)
{
    int            i;
    char           name[PATH_MAX + 64], hex[41];
    map_t          map;
    cache_t        cache;
    store_t       *store;
    uint32_t       generation;
    uint64_t       used;
    map_extent_t   e;

    for (i = 0; i < 3; i++) {
        open_cache(&cache, -1);
        ok(fill(&cache, make_store(&cache, 20 + i), 1) == 0, "a store");
        used = cache.used;

        store = make_store(&cache, 10 + i);
        ok(fill(&cache, store, 1) == 0, "another one");

        map_hex(hex, ih, 20);
        snprintf(name, sizeof(name), "%s/pieces/%s/map", path, hex);

        (void) map_open(&map, path, ih);
        (void) !truncate(name, i == 0 ? 0 : (i == 1 ? 100 : map.size - 64));

        ok(!map_usable(&map) && !map_usable(&store->map), "a cut map");
        ok(i == 2 || map_extent(&map, PIECE, 1000, 0, &e) == 0,
           "what it has lost is not complete");
        ok(map.header->piece_length == PIECE
           && map_find(&map, (uint8_t *) "a", 1) == 2,
           "counts and names are as they were");
        map_close(&map);

        cache.used += store_charge(store, 199, 0);

        ok(store_storage.begin(store, 199, &generation) == EAGAIN,
           "no piece is begun");
        ok(store_storage.mark(store, 199, 1, SHIM_PIECE_COMPLETE) == ESTALE,
           "nor published");

        refused = 0;
        store = make_store(&cache, 10 + i);

        ok(refused == 1 && map_usable(&store->map) && !is_right(1),
           "a new one is made");
        ok(cache.used == used, "what the old one had is not counted");

        snprintf(name, sizeof(name), "%s/pieces/%s/0.1", path, hex);

        ok(access(name, F_OK) == -1, "nor is it there");
        ok(fill(&cache, store, 1) == 0 && is_right(1), "pieces are written");

        memset(ih, 0, 20);
        ih[0] = 20 + i;
        ok(is_right(1), "the other store is as it was");

        cache_close(&cache, 0);
    }
}


static void
damage(int kind)
{
    int       fd, i;
    char      name[PATH_MAX + 64], hex[41];
    map_t     map;
    uint8_t  *p;

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
    p = (uint8_t *) map.shared;

    switch (kind) {

    case 3:
        map.shared->version--;
        break;

    case 4:
        map.shared->segments_off = map.header->map_size - 8;
        break;

    case 5:
        ((map_file_t *) (p + map.header->files_off))[3].offset += 8;
        break;

    case 6:
        p[map.header->strings_off + 5] ^= 1;
        break;

    default:
        map.shared->piece_length *= 2;
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
    memset(map.shared->boot_id, 'x', 36);
    map_close(&map);
}
