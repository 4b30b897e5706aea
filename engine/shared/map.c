
#include "engine/shared/map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/boot_id.h"
#include "engine/base/sigbus.h"


static int map_name(char *name, const char *dir, const uint8_t *ih);
static int map_copy(map_t *map);
static int map_check_header(const map_header_t *h, size_t size);
static int map_check_array(const map_header_t *h, uint64_t off, uint64_t n,
    size_t item, size_t align);
static int map_check_files(const map_t *map);
static int map_path_cmp(const map_t *map, uint32_t n, const uint8_t *path,
    size_t len);


int
map_open(map_t *map, const char *dir, const uint8_t *ih)
{
    int   rc;
    char  name[PATH_MAX];

    if (map_name(name, dir, ih) != 0) {
        return ENAMETOOLONG;
    }

    rc = map_open_file(map, name);

    if (rc != 0) {
        return rc;
    }

    if (memcmp(map->header->ih, ih, 20) != 0
        || strcmp(map->header->boot_id, boot_id()) != 0
        || !map_usable(map))
    {
        map_close(map);
        return EBADMSG;
    }

    return 0;
}


static int
map_name(char *name, const char *dir, const uint8_t *ih)
{
    char  hex[41];

    map_hex(hex, ih, 20);

    return (snprintf(name, PATH_MAX, "%s/pieces/%s/map", dir, hex) >= PATH_MAX)
           ? -1 : 0;
}


int
map_open_file(map_t *map, const char *name)
{
    int          fd, err;
    void        *p;
    struct stat  st;

    fd = open(name, O_RDWR|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return errno;
    }

    if (fstat(fd, &st) == -1) {
        err = errno;
        close(fd);
        return err;
    }

    if (!S_ISREG(st.st_mode)
        || st.st_size < (off_t) sizeof(map_header_t)
        || (uint64_t) st.st_size > SIZE_MAX / 2)
    {
        close(fd);
        return EBADMSG;
    }

    p = mmap(NULL, st.st_size, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    err = errno;

    close(fd);

    if (p == MAP_FAILED) {
        return err;
    }

    map->shared = p;
    map->size = st.st_size;
    map->inode = st.st_ino;
    map->header = NULL;
    map->guard = guard_add(p, map->size);

    err = (map->guard != NULL) ? map_copy(map) : ENOMEM;

    if (err != 0) {
        map_close(map);
    }

    return err;
}


/*
 * Copies what never changes, and checks the copy.
 */
static int
map_copy(map_t *map)
{
    uint8_t       *copy, *p;
    map_header_t   header, *h;

    p = (uint8_t *) map->shared;
    memcpy(&header, p, sizeof(map_header_t));

    if (map_check_header(&header, map->size) != 0) {
        return EBADMSG;
    }

    copy = malloc(header.states_off);

    if (copy == NULL) {
        return ENOMEM;
    }

    memcpy(copy, p, header.states_off);
    memcpy(copy, &header, sizeof(map_header_t));

    h = (map_header_t *) copy;

    map->header = h;
    map->files = (map_file_t *) (copy + h->files_off);
    map->sorted = (uint32_t *) (copy + h->sorted_off);
    map->strings = copy + h->strings_off;

    map->states = p + h->states_off;
    map->segments = (map_segment_t *) (p + h->segments_off);

    return (map_check_files(map) == 0) ? 0 : EBADMSG;
}


void
map_close(map_t *map)
{
    if (map->guard != NULL) {
        guard_del(map->guard);
    }

    munmap(map->shared, map->size);
    free(map->header);

    map->header = NULL;
}


static int
map_check_header(const map_header_t *h, size_t size)
{
    uint64_t  pieces, segments;

    if (memcmp(h->magic, MAP_MAGIC, sizeof(h->magic)) != 0
        || h->version != MAP_VERSION
        || h->header_size != sizeof(map_header_t)
        || h->map_size != size
        || (h->flags & MAP_LAYOUT) > MAP_SQLITE
        || h->piece_length == 0
        || h->pieces_per_segment == 0
        || h->total_size > INT64_MAX
        || h->whole_size > h->total_size
        || h->boot_id[sizeof(h->boot_id) - 1] != '\0')
    {
        return -1;
    }

    pieces = h->total_size / h->piece_length
             + (h->total_size % h->piece_length != 0);
    segments = pieces / h->pieces_per_segment
               + (pieces % h->pieces_per_segment != 0);

    if (pieces != h->piece_n || segments != h->segment_n) {
        return -1;
    }

    if ((h->flags & MAP_LAYOUT) == MAP_FILES && segments > 1) {
        return -1;
    }

    if ((h->flags & MAP_LAYOUT) == MAP_SQLITE
        && pieces * map_blocks(h) > UINT32_MAX)
    {
        return -1;
    }

    if (map_check_array(h, h->files_off, h->file_n, sizeof(map_file_t), 8)
        || map_check_array(h, h->sorted_off, h->file_n, sizeof(uint32_t), 4)
        || map_check_array(h, h->strings_off, h->strings_len, 1, 1)
        || map_check_array(h, h->states_off, h->piece_n, 1, 1)
        || map_check_array(h, h->segments_off, h->segment_n,
                           sizeof(map_segment_t), 8))
    {
        return -1;
    }

    /* what is written to lies in no other: last_read, MAP_MADE, states */

    if (h->files_off + h->file_n * sizeof(map_file_t) > h->sorted_off
        || h->sorted_off + h->file_n * sizeof(uint32_t) > h->strings_off
        || h->strings_off + h->strings_len > h->states_off
        || h->states_off + h->piece_n > h->segments_off)
    {
        return -1;
    }

    if (h->name_off > h->strings_len
        || h->name_len > h->strings_len - h->name_off)
    {
        return -1;
    }

    return 0;
}


static int
map_check_array(const map_header_t *h, uint64_t off, uint64_t n, size_t item,
    size_t align)
{
    if (off < h->header_size || off > h->map_size || off % align != 0) {
        return -1;
    }

    return (n > (h->map_size - off) / item) ? -1 : 0;
}


/*
 * Files lie one after another in the piece space, and without padding in the
 * torrent as it is served.
 */
static int
map_check_files(const map_t *map)
{
    uint32_t             i;
    uint64_t             end, whole;
    const map_file_t    *f;
    const map_header_t  *h;

    h = map->header;
    end = 0;
    whole = 0;

    for (i = 0; i < h->file_n; i++) {
        f = &map->files[i];

        if (f->offset < end
            || f->offset > h->total_size
            || f->length > h->total_size - f->offset
            || f->whole_offset != whole
            || f->path_off > h->strings_len
            || f->path_len > h->strings_len - f->path_off
            || map->sorted[i] >= h->file_n)
        {
            return -1;
        }

        /* of files, no byte of the payload is of none */

        if (map_layout(map) == MAP_FILES && f->offset != end) {
            return -1;
        }

        end = f->offset + f->length;

        if (!(h->flags & MAP_HAS_V2) || !(map_flags(f) & MAP_PAD_FILE)) {
            whole += f->length;
        }
    }

    if (map_layout(map) == MAP_FILES && end != h->total_size) {
        return -1;
    }

    return (whole == h->whole_size) ? 0 : -1;
}


uint8_t
map_state_key(uint8_t state)
{
    return (state & (MAP_COMPLETE|MAP_PARTIAL|MAP_CHECK))
           | ((state & MAP_PRIORITY) ? MAP_PRIORITY : 0);
}


int
map_in_doubt(uint8_t state)
{
    return (state & MAP_CHECK) && !(state & (MAP_COMPLETE|MAP_PARTIAL));
}


uint8_t
map_state(const map_t *map, uint32_t piece)
{
    return __atomic_load_n(&map->states[piece], __ATOMIC_SEQ_CST);
}


uint32_t
map_layout(const map_t *map)
{
    return map->header->flags & MAP_LAYOUT;
}


uint32_t
map_blocks(const map_header_t *header)
{
    return (header->piece_length - 1) / MAP_BLOCK + 1;
}


int
map_usable(const map_t *map)
{
    uint32_t  n;

    n = map->header->segment_n;

    return __atomic_load_n(&map->shared->state, __ATOMIC_ACQUIRE) == MAP_READY
           && (n == 0
               || __atomic_load_n(&map->segments[n - 1].generation,
                                  __ATOMIC_ACQUIRE) != 0);
}


int
map_is_there(const map_t *map, const char *dir)
{
    char         name[PATH_MAX];
    struct stat  st;

    if (!map_usable(map)) {
        return 0;
    }

    if (map_name(name, dir, map->header->ih) != 0
        || lstat(name, &st) == -1)
    {
        /* a disk that fails is no reason to do without it */
        return errno != ENOENT;
    }

    return st.st_ino == map->inode && (uint64_t) st.st_size == map->size;
}


void
map_retire(map_t *map)
{
    __atomic_store_n(&map->shared->state, MAP_RETIRED, __ATOMIC_SEQ_CST);
}


uint32_t
map_flags(const map_file_t *file)
{
    return __atomic_load_n(&file->flags, __ATOMIC_RELAXED);
}


void
map_made(map_t *map, uint32_t n, int made)
{
    uint32_t     flags;
    map_file_t  *shared;

    flags = map->files[n].flags & ~MAP_MADE;
    flags |= made ? MAP_MADE : 0;

    __atomic_store_n(&map->files[n].flags, flags, __ATOMIC_RELAXED);

    /* for the next engine */

    shared = (map_file_t *) ((uint8_t *) map->shared + map->header->files_off);
    shared[n].flags = flags;
}


int64_t
map_find(const map_t *map, const uint8_t *path, size_t len)
{
    int       rc;
    uint32_t  low, high, mid;

    /* the lowest entry that is not less than the path */

    low = 0;
    high = map->header->file_n;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (map_path_cmp(map, map->sorted[mid], path, len) < 0) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    if (low == map->header->file_n) {
        return -1;
    }

    rc = map_path_cmp(map, map->sorted[low], path, len);

    return (rc == 0) ? (int64_t) map->sorted[low] : -1;
}


static int
map_path_cmp(const map_t *map, uint32_t n, const uint8_t *path, size_t len)
{
    const map_file_t  *f;

    f = &map->files[n];

    return map_bytes_cmp(map->strings + f->path_off, f->path_len, path, len);
}


int
map_bytes_cmp(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int     rc;
    size_t  n;

    n = (a_len < b_len) ? a_len : b_len;
    rc = (n == 0) ? 0 : memcmp(a, b, n);

    if (rc != 0) {
        return rc;
    }

    return (a_len > b_len) - (a_len < b_len);
}


uint64_t
map_length(const map_t *map, uint32_t n)
{
    return (n == MAP_WHOLE) ? map->header->whole_size : map->files[n].length;
}


uint64_t
map_translate(const map_t *map, uint32_t n, uint64_t offset, uint64_t *run)
{
    uint32_t           low, high, mid;
    const map_file_t  *f, *end, *next;

    if (n != MAP_WHOLE) {
        f = &map->files[n];
        *run = f->length - offset;
        return f->offset + offset;
    }

    if (map->header->whole_size == map->header->total_size) {
        *run = map->header->whole_size - offset;
        return offset;
    }

    /* the last file that begins at or before offset */

    low = 0;
    high = map->header->file_n;

    while (high - low > 1) {
        mid = low + (high - low) / 2;

        if (map->files[mid].whole_offset <= offset) {
            low = mid;

        } else {
            high = mid;
        }
    }

    f = &map->files[low];
    end = map->files + map->header->file_n;

    /* files that follow without a gap belong to the same run */

    for (next = f + 1; next < end; next++) {
        if (next->offset - f->offset != next->whole_offset - f->whole_offset) {
            break;
        }
    }

    *run = ((next < end) ? next->whole_offset : map->header->whole_size)
           - offset;

    return f->offset + (offset - f->whole_offset);
}


size_t
map_segment_name(const uint8_t *ih, uint32_t segment, uint32_t generation,
    char *buf, size_t size)
{
    int   n;
    char  hex[41];

    map_hex(hex, ih, 20);

    n = snprintf(buf, size, "pieces/%s/%u.%u", hex, segment, generation);

    return n;
}


void
map_hex(char *dst, const uint8_t *src, size_t n)
{
    static const char  digits[] = "0123456789abcdef";

    while (n--) {
        *dst++ = digits[*src >> 4];
        *dst++ = digits[*src++ & 0xf];
    }

    *dst = '\0';
}
