
/*
 * Where the bytes of a map's pieces lie, and which of them are complete.
 */

#include "engine/shared/map.h"


/* states are stored one by one */
typedef uint64_t __attribute__((may_alias))  map_word_t;


static uint64_t map_run(const map_t *map, uint64_t offset, uint64_t limit);
static uint32_t map_run_end(const map_t *map, uint32_t piece, uint32_t end);


uint32_t
map_file_at(const map_t *map, uint64_t offset)
{
    uint32_t  low, high, mid;

    /* the last one that begins there or before has a length */

    low = 0;
    high = map->header->file_n;

    while (high - low > 1) {
        mid = low + (high - low) / 2;

        if (map->files[mid].offset <= offset) {
            low = mid;

        } else {
            high = mid;
        }
    }

    return low;
}


void
map_place(const map_t *map, uint64_t offset, uint64_t limit,
    map_place_t *place)
{
    uint64_t           size;
    const map_file_t  *f;

    if (map_layout(map) == MAP_FILES) {
        place->file = map_file_at(map, offset);

        f = &map->files[place->file];

        place->offset = offset - f->offset;
        size = f->length;

        if (map_flags(f) & MAP_PAD_FILE) {
            place->file = MAP_NOWHERE;
        }

        /* who reads is to say so now and then: last_read */

        if (limit > MAP_SEGMENT_SIZE) {
            limit = MAP_SEGMENT_SIZE;
        }

        if (limit > size - place->offset) {
            limit = size - place->offset;
        }

        place->length = limit;

        return;
    }

    size = (uint64_t) map->header->pieces_per_segment
           * map->header->piece_length;

    place->file = offset / size;
    place->offset = offset % size;
    place->length = size - place->offset;

    if (place->length > limit) {
        place->length = limit;
    }
}


uint64_t
map_file_size(const map_t *map, uint32_t file)
{
    uint64_t             begin, size;
    const map_header_t  *h;

    h = map->header;

    if (map_layout(map) == MAP_FILES) {
        return map->files[file].length;
    }

    size = (uint64_t) h->pieces_per_segment * h->piece_length;
    begin = file * size;

    return (h->total_size - begin < size) ? h->total_size - begin : size;
}


uint64_t
map_extent(const map_t *map, uint64_t offset, uint64_t limit, uint32_t now,
    map_extent_t *extent)
{
    map_place_t          place;
    map_segment_t       *s;
    const map_header_t  *h;

    h = map->header;

    map_place(map, offset, limit, &place);

    extent->segment = offset / h->piece_length / h->pieces_per_segment;
    extent->file = place.file;
    extent->offset = place.offset;

    s = &map->segments[extent->segment];
    extent->generation = __atomic_load_n(&s->generation, __ATOMIC_SEQ_CST);

    extent->length = map_run(map, offset, place.length);

    if (extent->length == 0) {
        return 0;
    }

    if (extent->generation == 0 || !map_still(map, extent)) {
        extent->length = 0;
        return 0;
    }

    /* stored only if it changes: the line stays shared between the workers */

    if (now != 0
        && __atomic_load_n(&s->last_read, __ATOMIC_RELAXED) != now)
    {
        __atomic_store_n(&s->last_read, now, __ATOMIC_RELAXED);
    }

    return extent->length;
}


uint32_t
map_raise(map_t *map, uint32_t segment)
{
    uint32_t  generation, old, *p;

    p = &map->segments[segment].generation;
    generation = __atomic_load_n(p, __ATOMIC_SEQ_CST);

    /* of a map that was cut it stays 0, though that may happen right now */

    if (generation != 0) {
        old = generation;
        (void) __atomic_compare_exchange_n(p, &old, generation + 1, 0,
                                           __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    }

    return generation;
}


int
map_still(const map_t *map, const map_extent_t *extent)
{
    return __atomic_load_n(&map->segments[extent->segment].generation,
                           __ATOMIC_SEQ_CST)
           == extent->generation;
}


uint64_t
map_ready(const map_t *map, uint64_t offset, uint64_t limit)
{
    return map_run(map, offset, limit);
}


/*
 * Bytes of complete pieces from offset on, at most limit.
 */
static uint64_t
map_run(const map_t *map, uint64_t offset, uint64_t limit)
{
    uint32_t             piece, last, length;
    uint64_t             end;
    const map_header_t  *h;

    h = map->header;

    if (offset >= h->total_size || limit == 0) {
        return 0;
    }

    if (limit > h->total_size - offset) {
        limit = h->total_size - offset;
    }

    length = h->piece_length;
    piece = offset / length;
    last = (offset + limit - 1) / length;

    piece = map_run_end(map, piece, last + 1);

    end = (uint64_t) piece * length;

    if (end <= offset) {
        return 0;
    }

    return (end - offset < limit) ? end - offset : limit;
}


/*
 * The first piece in [piece, end) that is not complete, or end.  Long runs are
 * walked for each request: most of them a word of states at a time.
 */
static uint32_t
map_run_end(const map_t *map, uint32_t piece, uint32_t end)
{
    size_t       size;
    uint64_t     all;
    const void  *p;

    size = sizeof(map_word_t);
    all = UINT64_MAX / UINT8_MAX * MAP_COMPLETE;

    while (piece < end) {
        p = &map->states[piece];

        if ((uintptr_t) p % size == 0 && end - piece >= size
            && (__atomic_load_n((const map_word_t *) p, __ATOMIC_SEQ_CST)
                & all) == all)
        {
            piece += size;
            continue;
        }

        if (!(map_state(map, piece) & MAP_COMPLETE)) {
            break;
        }

        piece++;
    }

    return piece;
}
