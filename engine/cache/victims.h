
/*
 * What may be evicted, best first: segments of stores that nobody reads, by
 * last read; then segments no window touches.
 *
 * Engine thread only.
 */

#ifndef _ENGINE_VICTIMS_H_INCLUDED_
#define _ENGINE_VICTIMS_H_INCLUDED_


#include "engine/cache/store/store.h"


typedef struct {
    store_t   *store;
    uint32_t   segment;
    uint32_t   last_read;
    unsigned   idle;        /* nobody reads the store */
} victim_t;


typedef struct {
    victim_t  *list;        /* most evictable last */
    size_t     n;           /* set to 0 when a store goes */
    size_t     max;
} victims_t;


/*
 * Takes the best victim off the list, which is made anew when it is used up.
 * Entries may be out of date: what was read since it was made is passed over.
 *
 * stores: hash by ih
 * Returns 0, or -1 if there is none.
 */
int victims_take(victims_t *v, store_t *stores, victim_t *victim);

void victims_free(victims_t *v);


#endif /* _ENGINE_VICTIMS_H_INCLUDED_ */
