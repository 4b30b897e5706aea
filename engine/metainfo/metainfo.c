
#include "engine/metainfo/metainfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "engine/core/log.h"
#include "engine/metainfo/metainfo_evict.h"


#define METAINFO_NAME  64


static void metainfo_name(char *name, const uint8_t *ih);
static int metainfo_write(engine_t *engine, const char *name,
    const void *buf, size_t len);
static int metainfo_same(engine_t *engine, const uint8_t *ih,
    const void *buf, size_t len);


static void
metainfo_name(char *name, const uint8_t *ih)
{
    char  hex[41];

    map_hex(hex, ih, 20);
    snprintf(name, METAINFO_NAME, "metainfo/%s.torrent", hex);
}


int
metainfo_load(int dir, const uint8_t *ih, void **buf, size_t *len)
{
    int          fd, rc;
    char         name[METAINFO_NAME];
    struct stat  st;

    metainfo_name(name, ih);

    fd = openat(dir, name, O_RDONLY|O_NONBLOCK|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return errno;
    }

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
        close(fd);
        return EINVAL;
    }

    rc = metainfo_read(fd, st.st_size, buf);
    *len = st.st_size;

    close(fd);

    return rc;
}


int
metainfo_read(int fd, uint64_t len, void **buf)
{
    int    rc;
    char  *p;

    if (len > METAINFO_MAX) {
        return EFBIG;
    }

    p = malloc(len + 1);

    if (p == NULL) {
        return ENOMEM;
    }

    rc = io_pread(fd, p, len, 0);

    if (rc != 0) {
        free(p);
        return rc;
    }

    *buf = p;

    return 0;
}


void
metainfo_save(torrent_t *torrent)
{
    int        rc;
    char       name[METAINFO_NAME], alias[METAINFO_NAME], hex[41];
    void      *buf;
    size_t     len;
    engine_t  *engine;

    engine = torrent->engine;

    if (shim_metainfo(engine->shim, torrent->id, NULL, ENGINE_NAME,
                      torrent->info.creation_date, &buf, &len)
        != SHIM_OK)
    {
        return;
    }

    rc = 0;

    if (!metainfo_same(engine, torrent->ih, buf, len)) {
        metainfo_name(name, torrent->ih);
        rc = metainfo_write(engine, name, buf, len);

        if (rc == 0 && torrent->info.has_v1 && torrent->info.has_v2) {
            metainfo_name(alias, torrent->info.v2);
            (void) unlinkat(engine->cache.dir, alias, 0);

            if (linkat(engine->cache.dir, name, engine->cache.dir, alias, 0)
                == -1)
            {
                rc = errno;
            }
        }
    }

    shim_free(buf);

    if (rc != 0) {
        map_hex(hex, torrent->ih, 20);
        engine_log(engine, ENGINE_LOG_CRIT, rc,
                   "torrent \"%s\": its metainfo cannot be kept", hex);
    }
}


static int
metainfo_same(engine_t *engine, const uint8_t *ih, const void *buf,
    size_t len)
{
    int     same;
    void   *old;
    size_t  old_len;

    if (metainfo_load(engine->cache.dir, ih, &old, &old_len) != 0) {
        return 0;
    }

    same = (old_len == len && memcmp(old, buf, len) == 0);

    free(old);

    return same;
}


/*
 * To a temporary file that is renamed: a crash leaves the old or the new one.
 */
static int
metainfo_write(engine_t *engine, const char *name, const void *buf,
    size_t len)
{
    int   fd, err;
    char  temp[METAINFO_NAME + 8];

    snprintf(temp, sizeof(temp), "%s.tmp", name);

    fd = openat(engine->cache.dir, temp,
                O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return errno;
    }

    err = io_pwrite(fd, buf, len, 0);

    if (close(fd) == -1 && err == 0) {
        err = errno;
    }

    if (err == 0
        && renameat(engine->cache.dir, temp, engine->cache.dir, name) == -1)
    {
        err = errno;
    }

    if (err != 0) {
        (void) unlinkat(engine->cache.dir, temp, 0);

    } else {
        prune_note(engine, len);
    }

    return err;
}
