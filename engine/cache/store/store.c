
#include "engine/cache/store/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>


store_t *
store_create(map_t *map, int dir, files_t *files)
{
    unsigned              i;
    store_t              *store;
    pthread_rwlockattr_t  attr;

    store = calloc(1, sizeof(store_t));

    if (store == NULL) {
        return NULL;
    }

    memcpy(store->ih, map->header->ih, 20);
    store->map = *map;
    store->payload = payload_of(map);
    store->dir = dir;
    store->files = files;
    store->refs = 1;

    TAILQ_INIT(&store->windows);

    for (i = 0; i < map->header->segment_n; i++) {
        store->charged_n += (map->segments[i].charged != 0);
        store->charged += map->segments[i].charged;
    }

    /* an eviction must not wait behind an endless stream of blocks */

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr,
                                PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&store->lock, &attr);
    pthread_rwlockattr_destroy(&attr);

    return store;
}


void
store_release(store_t *store)
{
    if (__atomic_sub_fetch(&store->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }

    files_forget_all(store->files, store);
    map_close(&store->map);
    pieces_free(&store->changes.pieces);
    pthread_rwlock_destroy(&store->lock);
    free(store);
}


uint8_t
store_state(const store_t *store, uint32_t piece)
{
    return __atomic_load_n(&store->map.states[piece], __ATOMIC_SEQ_CST);
}


void
store_state_set(store_t *store, uint32_t piece, uint8_t set, uint8_t clear)
{
    uint8_t  *p, old, new;

    p = &store->map.states[piece];
    old = __atomic_load_n(p, __ATOMIC_RELAXED);

    do {
        new = (old & ~clear) | set;
    } while (!__atomic_compare_exchange_n(p, &old, new, 0, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));

    if (map_state_key(old) != map_state_key(new)) {
        store_changed(store, piece);
    }
}


int
store_complete(const store_t *store, uint32_t piece)
{
    return store_state(store, piece) & MAP_COMPLETE;
}


int
store_holds(const store_t *store, uint32_t piece)
{
    uint8_t  state;

    state = store_state(store, piece);

    return (state & MAP_COMPLETE) || map_in_doubt(state);
}


int
store_watch(store_t *store, int fd)
{
    store_changes_t  *c;

    c = &store->changes;

    if (c->pieces.bits == NULL
        && pieces_init(&c->pieces, store->map.header->piece_n) != 0)
    {
        return -1;
    }

    c->fd = fd;
    __atomic_store_n(&c->on, 1, __ATOMIC_SEQ_CST);

    return 0;
}


void
store_unwatch(store_t *store)
{
    __atomic_store_n(&store->changes.on, 0, __ATOMIC_SEQ_CST);
}


int
store_noted(store_t *store)
{
    return __atomic_exchange_n(&store->changes.noted, 0, __ATOMIC_SEQ_CST);
}


void
store_changed(store_t *store, uint32_t piece)
{
    uint64_t          one;
    store_changes_t  *c;

    c = &store->changes;

    if (!__atomic_load_n(&c->on, __ATOMIC_SEQ_CST)) {
        return;
    }

    pieces_add(&c->pieces, piece);

    if (!__atomic_exchange_n(&c->noted, 1, __ATOMIC_SEQ_CST)) {
        one = 1;

        /* it cannot be full: it is read for each time that this is set */

        (void) !write(c->fd, &one, sizeof(one));
    }
}


uint32_t
store_piece_length(const store_t *store, uint32_t piece)
{
    uint64_t             begin;
    const map_header_t  *h;

    h = store->map.header;
    begin = (uint64_t) piece * h->piece_length;

    return (h->total_size - begin < h->piece_length)
           ? h->total_size - begin : h->piece_length;
}


uint32_t
store_segment(const store_t *store, uint32_t piece)
{
    return piece / store->map.header->pieces_per_segment;
}


uint32_t
store_generation(const store_t *store, uint32_t piece)
{
    return store->map.segments[store_segment(store, piece)].generation;
}


int
store_charged(const store_t *store, uint32_t segment)
{
    return __atomic_load_n(&store->map.segments[segment].charged,
                           __ATOMIC_RELAXED) != 0;
}


uint64_t
store_charge(store_t *store, uint32_t piece, uint32_t now)
{
    uint64_t        n;
    map_segment_t  *s;

    n = store->payload->charge(store, piece);
    s = &store->map.segments[store_segment(store, piece)];

    if (s->charged == 0) {
        store->charged_n++;
        __atomic_store_n(&s->last_read, now, __ATOMIC_RELAXED);
    }

    /* for store_charged(), in threads that write pieces */

    __atomic_store_n(&s->charged, s->charged + n, __ATOMIC_RELAXED);
    store->charged += n;

    store_state_set(store, piece, MAP_CHARGED, 0);

    return n;
}


uint64_t
store_discharge(store_t *store, uint32_t piece, int partial)
{
    uint8_t         busy;
    uint64_t        n;
    map_segment_t  *s;

    n = 0;

    busy = MAP_COMPLETE|MAP_CHECK | (partial ? 0 : MAP_PARTIAL);

    /* no block may arrive between the look and the change */

    pthread_rwlock_wrlock(&store->lock);

    if ((store_state(store, piece) & (MAP_CHARGED|busy)) == MAP_CHARGED) {
        n = store->payload->charge(store, piece);
        s = &store->map.segments[store_segment(store, piece)];

        if (s->charged > n) {
            s->charged -= n;
            store->charged -= n;

        } else {
            /* the last piece: the file may exist still */
            n = 0;
        }

        if (n != 0) {
            store_state_set(store, piece, 0, MAP_CHARGED);
        }
    }

    pthread_rwlock_unlock(&store->lock);

    return n;
}


int
store_segment_needed(const store_t *store, uint32_t segment)
{
    uint64_t         size, begin, end;
    store_window_t  *w;

    if (store->payload->whole && store->readers != 0) {
        return 1;
    }

    size = (uint64_t) store->map.header->pieces_per_segment
           * store->map.header->piece_length;
    begin = segment * size;
    end = begin + size;

    TAILQ_FOREACH(w, &store->windows, link) {
        if (w->begin < end && begin < w->end) {
            return 1;
        }
    }

    return 0;
}


uint64_t
store_evict(store_t *store, uint32_t segment, int *complete)
{
    uint8_t         state;
    uint32_t        i, n, first, generation;
    uint64_t        charged;
    map_segment_t  *s;

    s = &store->map.segments[segment];
    n = store_segment_pieces(store, segment, &first);
    *complete = 0;

    pthread_rwlock_wrlock(&store->lock);

    for (i = first; i < first + n; i++) {
        state = __atomic_exchange_n(&store->map.states[i], 0,
                                    __ATOMIC_SEQ_CST);
        *complete |= state & MAP_COMPLETE;

        /* told by this thread, thus after the generation was raised */

        if (map_state_key(state) != 0) {
            store_changed(store, i);
        }
    }

    generation = map_raise(&store->map, segment);

    charged = s->charged;
    s->charged = 0;
    store->charged -= charged;

    files_forget(store->files, store, segment);

    pthread_rwlock_unlock(&store->lock);

    /* nobody creates anything of it anew: only this thread charges pieces */

    store->payload->evict(store, segment, generation);

    if (charged != 0) {
        store->charged_n--;
    }

    return charged;
}


int
store_segment_holds(const store_t *store, uint32_t segment)
{
    uint32_t  i, n, first;

    n = store_segment_pieces(store, segment, &first);

    for (i = first; i < first + n; i++) {
        if (store_state(store, i) & (MAP_COMPLETE|MAP_PARTIAL|MAP_CHECK)) {
            return 1;
        }
    }

    return 0;
}


uint32_t
store_segment_pieces(const store_t *store, uint32_t segment, uint32_t *first)
{
    uint32_t             n;
    const map_header_t  *h;

    h = store->map.header;
    n = h->pieces_per_segment;

    *first = segment * n;

    return (h->piece_n - *first < n) ? h->piece_n - *first : n;
}
