
/*
 * Map files: what somebody left in the cache directory, opened by a worker and
 * asked for anything.
 */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/shared/map.h"
#include "engine/shared/file_tree.h"
#include "fuzz.h"


static void map_write(const char *name, const uint8_t *data, size_t size);
static void map_ask(const map_t *map, uint32_t file);
static void map_ask_at(const map_t *map, uint32_t file, uint64_t offset);
static void map_ask_file(const map_t *map, const map_extent_t *extent);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char      name[64], err[256];
    map_t     map;
    uint32_t  i;

    snprintf(name, sizeof(name), "/dev/shm/fuzz-map.%d", (int) getpid());

    map_write(name, data, size);

    if (map_open_file(&map, name) == 0) {

        for (i = 0; i < map.header->file_n && i < 64; i++) {
            map_ask(&map, i);
        }

        map_ask(&map, MAP_WHOLE);
        (void) map_find(&map, data, size < 16 ? size : 16);
        (void) tree_check(&map, err, sizeof(err));

        map_close(&map);
    }

    (void) unlink(name);

    return 0;
}


static void
map_write(const char *name, const uint8_t *data, size_t size)
{
    int  fd;

    fd = open(name, O_WRONLY|O_CREAT|O_TRUNC, 0600);

    FUZZ_CHECK(fd != -1);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t) size);

    close(fd);
}


static void
map_ask(const map_t *map, uint32_t file)
{
    uint64_t  length;

    length = map_length(map, file);

    FUZZ_CHECK(length <= map->header->total_size);

    if (length != 0) {
        map_ask_at(map, file, 0);
        map_ask_at(map, file, length / 2);
        map_ask_at(map, file, length - 1);
    }
}


static void
map_ask_at(const map_t *map, uint32_t file, uint64_t offset)
{
    uint64_t      run, at;
    map_extent_t  extent;

    at = map_translate(map, file, offset, &run);

    FUZZ_CHECK(run != 0 && at < map->header->total_size);
    FUZZ_CHECK(run <= map->header->total_size - at);

    FUZZ_CHECK(map_ready(map, at, run) <= run);

    if (map_extent(map, at, run, 1, &extent) != 0) {
        FUZZ_CHECK(extent.length <= run);
        FUZZ_CHECK(extent.segment < map->header->segment_n);
        FUZZ_CHECK(map_still(map, &extent));
        map_ask_file(map, &extent);
    }
}


/*
 * What a worker opens, in the layout files.
 */
static void
map_ask_file(const map_t *map, const map_extent_t *extent)
{
    const map_file_t  *f;

    if (map_layout(map) != MAP_FILES || extent->file == MAP_NOWHERE) {
        return;
    }

    FUZZ_CHECK(extent->file < map->header->file_n);

    f = &map->files[extent->file];

    FUZZ_CHECK(!(f->flags & MAP_PAD_FILE));
    FUZZ_CHECK(extent->length <= f->length
               && (uint64_t) extent->offset <= f->length - extent->length);
}
