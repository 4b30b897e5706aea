
#include "engine/metainfo/metainfo_evict.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cache/cache.h"
#include "engine/base/io.h"
#include "engine/core/log.h"
#include "engine/parse/magnet.h"
#include "engine/torrent/torrent.h"


#define PRUNE_NAME   40         /* digits of the infohash */
#define PRUNE_BLOCK  512        /* bytes, unit of st_blocks */


typedef struct {
    char             name[PRUNE_NAME + sizeof(".torrent")];
    uint64_t         size;
    ino_t            ino;       /* the names of a hybrid are one file */
    struct timespec  written;
} prune_file_t;


typedef struct {
    prune_file_t  *list;
    size_t         n;
    size_t         max;
} prune_t;


static void prune(engine_t *engine);
static int prune_list(prune_t *p, DIR *dir);
static int prune_add(prune_t *p, const char *name, const struct stat *st);
static int prune_cmp(const void *one, const void *other);
static int prune_needed(engine_t *engine, const prune_file_t *file);
static uint64_t prune_bound(const engine_t *engine);


void
prune_start(engine_t *engine)
{
    engine->metainfo_used = UINT64_MAX;
    prune(engine);
}


void
prune_note(engine_t *engine, uint64_t bytes)
{
    engine->metainfo_used += bytes;

    if (engine->metainfo_used > prune_bound(engine)) {
        prune(engine);
    }
}


static void
prune(engine_t *engine)
{
    DIR      *dir;
    size_t    i, next;
    prune_t   p;
    unsigned  needed;
    uint64_t  bound, used;

    dir = io_opendir(engine->cache.dir, "metainfo");

    if (dir == NULL) {
        engine_log(engine, ENGINE_LOG_CRIT, errno,
                   "metainfo cannot be listed");
        engine->metainfo_used = 0;
        return;
    }

    memset(&p, 0, sizeof(p));

    if (prune_list(&p, dir) != 0) {
        engine_log(engine, ENGINE_LOG_CRIT, ENOMEM,
                   "metainfo cannot be listed");
    }

    if (p.n != 0) {
        qsort(p.list, p.n, sizeof(prune_file_t), prune_cmp);
    }

    used = 0;

    for (i = 0; i < p.n; i++) {
        used += (i == 0 || p.list[i].ino != p.list[i - 1].ino)
                ? p.list[i].size : 0;
    }

    bound = prune_bound(engine);
    bound = (used > bound) ? bound / 4 * 3 : bound;

    for (i = 0; i < p.n && used > bound; i = next) {
        needed = 0;

        for (next = i; next < p.n && p.list[next].ino == p.list[i].ino; next++)
        {
            needed |= prune_needed(engine, &p.list[next]);
        }

        if (needed) {
            continue;
        }

        used -= p.list[i].size;

        for ( /* void */ ; i < next; i++) {
            (void) unlinkat(dirfd(dir), p.list[i].name, 0);
        }
    }

    engine->metainfo_used = used;

    free(p.list);
    closedir(dir);
}


static int
prune_list(prune_t *p, DIR *dir)
{
    struct stat     st;
    struct dirent  *entry;

    while ((entry = readdir(dir)) != NULL) {

        if (strlen(entry->d_name) != PRUNE_NAME + strlen(".torrent")
            || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)
               == -1
            || !S_ISREG(st.st_mode))
        {
            continue;
        }

        if (prune_add(p, entry->d_name, &st) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
prune_add(prune_t *p, const char *name, const struct stat *st)
{
    size_t         max;
    prune_file_t  *list, *file;

    if (p->n == p->max) {
        max = (p->max != 0) ? 2 * p->max : 64;
        list = realloc(p->list, max * sizeof(prune_file_t));

        if (list == NULL) {
            return -1;
        }

        p->list = list;
        p->max = max;
    }

    file = &p->list[p->n++];

    memcpy(file->name, name, sizeof(file->name));
    file->size = (uint64_t) st->st_blocks * PRUNE_BLOCK;
    file->ino = st->st_ino;
    file->written = st->st_mtim;

    return 0;
}


/*
 * The oldest first, the names of a file side by side.
 */
static int
prune_cmp(const void *one, const void *other)
{
    const prune_file_t  *a, *b;

    a = one;
    b = other;

    if (a->written.tv_sec != b->written.tv_sec) {
        return (a->written.tv_sec < b->written.tv_sec) ? -1 : 1;
    }

    if (a->written.tv_nsec != b->written.tv_nsec) {
        return (a->written.tv_nsec < b->written.tv_nsec) ? -1 : 1;
    }

    return (a->ino > b->ino) - (a->ino < b->ino);
}


/*
 * A name that is no infohash is of nobody.
 */
static int
prune_needed(engine_t *engine, const prune_file_t *file)
{
    char      err[MAGNET_ERROR_LEN];
    store_t  *store;
    uint8_t   ih[20];

    if (magnet_parse_target(ih, (const uint8_t *) file->name, PRUNE_NAME, err)
        != 0)
    {
        return 0;
    }

    if (torrent_find(engine, ih) != NULL) {
        return 1;
    }

    store = cache_find(&engine->cache, ih);

    return store != NULL && store->charged_n != 0;
}


static uint64_t
prune_bound(const engine_t *engine)
{
    uint64_t  bound;

    if (engine->conf.max_size < 0) {
        return UINT64_MAX;
    }

    bound = (uint64_t) engine->conf.max_size / PRUNE_PART;

    return (bound > PRUNE_LEAST) ? bound : PRUNE_LEAST;
}
