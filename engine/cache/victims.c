
#include "engine/cache/victims.h"

#include <stdlib.h>


static int victims_gather(victims_t *v, store_t *stores);
static int victims_push(victims_t *v, store_t *store, uint32_t segment);
static int victims_cmp(const void *a, const void *b);


int
victims_take(victims_t *v, store_t *stores, victim_t *victim)
{
    int             fresh;
    map_segment_t  *s;

    fresh = 0;

    for ( ;; ) {

        while (v->n != 0) {
            *victim = v->list[--v->n];
            s = &victim->store->map.segments[victim->segment];

            if (s->charged != 0
                && (fresh
                    || __atomic_load_n(&s->last_read, __ATOMIC_RELAXED)
                       == victim->last_read)
                && !store_segment_needed(victim->store, victim->segment))
            {
                return 0;
            }
        }

        if (fresh || victims_gather(v, stores) != 0) {
            return -1;
        }

        fresh = 1;
    }
}


static int
victims_gather(victims_t *v, store_t *stores)
{
    uint32_t  i;
    store_t  *store, *next;

    v->n = 0;

    HASH_ITER(hh, stores, store, next) {

        if (store->charged_n == 0) {
            continue;
        }

        for (i = 0; i < store->map.header->segment_n; i++) {

            if (store->map.segments[i].charged != 0
                && !store_segment_needed(store, i)
                && victims_push(v, store, i) != 0)
            {
                return -1;
            }
        }
    }

    if (v->n == 0) {
        return 0;
    }

    qsort(v->list, v->n, sizeof(victim_t), victims_cmp);

    return 0;
}


static int
victims_push(victims_t *v, store_t *store, uint32_t segment)
{
    size_t     n;
    victim_t  *list;

    if (v->n == v->max) {
        n = v->max ? v->max * 2 : 64;
        list = realloc(v->list, n * sizeof(victim_t));

        if (list == NULL) {
            return -1;
        }

        v->list = list;
        v->max = n;
    }

    list = &v->list[v->n++];

    list->store = store;
    list->segment = segment;
    list->last_read = __atomic_load_n(&store->map.segments[segment].last_read,
                                      __ATOMIC_RELAXED);
    list->idle = TAILQ_EMPTY(&store->windows);

    return 0;
}


/*
 * The list is consumed from its end: idle and longest unread come last.  Of
 * one second's reads the lower segments are the older.
 */
static int
victims_cmp(const void *a, const void *b)
{
    const victim_t  *x, *y;

    x = a;
    y = b;

    if (x->idle != y->idle) {
        return x->idle ? 1 : -1;
    }

    if (x->last_read != y->last_read) {
        return (x->last_read < y->last_read) ? 1 : -1;
    }

    return (x->segment < y->segment) - (x->segment > y->segment);
}


void
victims_free(victims_t *v)
{
    free(v->list);
    v->list = NULL;
    v->n = 0;
    v->max = 0;
}
