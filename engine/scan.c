
#include "scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "tree.h"


static int scan_is_hash(const char *name);
static int scan_is_short(int error);
static void scan_hash(uint8_t *ih, const char *name);
static int scan_trusted(const map_t *map, const char *name);
static void scan_payload(map_t *map, int cache, DIR *dir);
static void scan_states(map_t *map);
static void scan_remove(DIR *dir, const char *folder);


int
scan_store(store_t **store, int dir, files_t *files, const char *path,
    const char *name)
{
    int    rc;
    DIR   *d;
    char   folder[PATH_MAX], file[PATH_MAX];
    map_t  map;

    if (!scan_is_hash(name)) {
        return EINVAL;
    }

    snprintf(folder, sizeof(folder), "%s/pieces/%s", path, name);

    if (snprintf(file, sizeof(file), "%s/pieces/%s/map", path, name)
        >= (int) sizeof(file))
    {
        return EINVAL;
    }

    d = opendir(folder);

    if (d == NULL) {
        return scan_is_short(errno) ? errno : EINVAL;
    }

    rc = map_open_file(&map, file);

    if (scan_is_short(rc)) {
        closedir(d);
        return rc;
    }

    if (rc == 0 && !scan_trusted(&map, name)) {
        map.header->state = MAP_RETIRED;
        map_close(&map);
        rc = EBADMSG;
    }

    if (rc != 0) {
        scan_remove(d, folder);
        closedir(d);
        return ENOENT;
    }

    scan_payload(&map, dir, d);
    closedir(d);

    snprintf(map.header->boot_id, sizeof(map.header->boot_id), "%s",
             boot_id());
    map.header->clean = 0;

    *store = store_create(&map, dir, files);

    if (*store == NULL) {
        map_close(&map);
        return ENOMEM;
    }

    return 0;
}


static int
scan_is_hash(const char *name)
{
    return strlen(name) == 40 && strspn(name, "0123456789abcdef") == 40;
}


static void
scan_hash(uint8_t *ih, const char *name)
{
    unsigned  i, byte;

    for (i = 0; i < 20; i++) {
        (void) sscanf(name + 2 * i, "%2x", &byte);
        ih[i] = byte;
    }
}


/*
 * Of descriptors, memory or maps (vm.max_map_count): that says nothing about
 * what is in the directory.
 */
static int
scan_is_short(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}


/*
 * Bytes that were written before a power cut may be lost while the states say
 * complete: such a map is trusted only if it was closed in order.
 */
static int
scan_trusted(const map_t *map, const char *name)
{
    char  hex[41];

    map_hex(hex, map->header->ih, 20);

    return strcmp(hex, name) == 0
           && map_usable(map)
           && (map->header->clean
               || strcmp(map->header->boot_id, boot_id()) == 0);
}


/*
 * Counts what each segment takes on disk, and removes what is of no use.
 */
static void
scan_payload(map_t *map, int cache, DIR *dir)
{
    uint32_t  i;

    for (i = 0; i < map->header->segment_n; i++) {
        map->segments[i].charged = 0;
    }

    payload_of(map)->scan(map, cache, dir);

    scan_states(map);
}


/*
 * Keeps what is complete and has its file.  Nothing else of a piece's state
 * outlives the engine that set it.
 */
static void
scan_states(map_t *map)
{
    uint8_t   state;
    uint32_t  i;

    for (i = 0; i < map->header->piece_n; i++) {
        state = map->states[i];

        if ((state & MAP_COMPLETE)
            && map->segments[i / map->header->pieces_per_segment].charged)
        {
            state = MAP_COMPLETE|MAP_CHARGED;

        } else {
            state = 0;
        }

        __atomic_store_n(&map->states[i], state, __ATOMIC_SEQ_CST);
    }
}


void
scan_files(store_t *stores, int dir, trash_t *trash)
{
    int             fd;
    DIR            *d;
    char            root[TREE_ROOT];
    store_t        *store;
    uint8_t         ih[20];
    struct dirent  *entry;

    fd = openat(dir, TREE_FOLDER, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    d = fdopendir(fd);

    if (d == NULL) {
        close(fd);
        return;
    }

    while ((entry = readdir(d)) != NULL) {

        if (!scan_is_hash(entry->d_name)) {
            continue;
        }

        scan_hash(ih, entry->d_name);
        HASH_FIND(hh, stores, ih, 20, store);

        if (store == NULL || map_layout(&store->map) != MAP_FILES) {
            tree_root(root, ih);
            (void) trash_put(trash, root);
        }
    }

    closedir(d);
}


static void
scan_remove(DIR *dir, const char *folder)
{
    struct dirent  *entry;

    while ((entry = readdir(dir)) != NULL) {

        if (strcmp(entry->d_name, ".") != 0
            && strcmp(entry->d_name, "..") != 0)
        {
            (void) unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }

    (void) rmdir(folder);
}
