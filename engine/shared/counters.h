
/*
 * Counters of all processes: one mapped file, <path>/counters, whose values
 * only grow.  Workers come and go, engines too; what they counted stays.
 *
 *      +------------------------------+ 0
 *      | counters_header_t            |  magic, version, geometry
 *      +------------------------------+ COUNTERS_HEADER
 *      | uint64_t [COUNTERS_SLOTS]    |  stripe 0: the engine
 *      +------------------------------+
 *      | uint64_t [COUNTERS_SLOTS]    |  stripe 1: workers 0, 15, ...
 *      +------------------------------+
 *      | ...                          |
 *      +------------------------------+ COUNTERS_SIZE
 *
 * Rules:
 *  1. A counter is the sum of its slot over all stripes.  Stripes keep
 *     processes out of each other's cache lines; several may share one.
 *  2. A value is changed by an atomic addition and by nothing else, so it never
 *     goes back while the file is there, whoever dies.
 *  3. The engine, which has the directory's lock, makes the file: under a
 *     temporary name, its blocks allocated, and renamed.  One that is not
 *     understood is replaced, and counting begins anew.
 *  4. Numbers of slots are part of the format: new ones are added at the end;
 *     else COUNTERS_VERSION is raised.
 *  5. If somebody cuts the file, each process counts on alone (guard.h), until
 *     it opens it anew: after a restart, or a reload.
 *  6. A process that has no file counts in memory of its own, and adds that
 *     when it gets the file.
 */

#ifndef _ENGINE_COUNTERS_H_INCLUDED_
#define _ENGINE_COUNTERS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define COUNTERS_MAGIC    "CNFLCNT\n"
#define COUNTERS_VERSION  1

#define COUNTERS_HEADER   64        /* bytes */
#define COUNTERS_SLOTS    128
#define COUNTERS_STRIPES  16
#define COUNTERS_SIZE                                                         \
    (COUNTERS_HEADER + COUNTERS_STRIPES * COUNTERS_SLOTS * sizeof(uint64_t))


/* what of a request was in the cache when it came */
#define COUNTERS_HIT      0         /* all */
#define COUNTERS_PARTIAL  1         /* its first byte */
#define COUNTERS_MISS     2         /* not even that */
#define COUNTERS_CACHES   3

/* a histogram of times: a slot for each bound and one for what is longer */
#define COUNTERS_BOUNDS   15

#define COUNTERS_TIMES    (COUNTERS_BOUNDS + 1)


typedef enum {
    COUNTERS_REQUESTS = 0,          /* by cache: for bytes */
    COUNTERS_CLIENT_BYTES = COUNTERS_REQUESTS + COUNTERS_CACHES,

    COUNTERS_WAIT_TIMEOUT,          /* answered 504 */
    COUNTERS_WAIT_ENGINE,           /* there was none, 503 */
    COUNTERS_WAIT_REFUSED,          /* the engine said why it is in vain */

    COUNTERS_FIRST_BYTE,            /* by cache, by time */
    COUNTERS_FIRST_BYTE_MS = COUNTERS_FIRST_BYTE
                             + COUNTERS_CACHES * COUNTERS_TIMES,

    /* the engine's */

    COUNTERS_STARTS = COUNTERS_FIRST_BYTE_MS + COUNTERS_CACHES,
    COUNTERS_SWARM_RECEIVED,        /* bytes of verified pieces */
    COUNTERS_SWARM_SENT,            /* bytes read for peers */
    COUNTERS_BAD_PIECES,
    COUNTERS_EVICTED_SEGMENTS,
    COUNTERS_EVICTED_BYTES,

    COUNTERS_N
} counters_e;


typedef struct {
    uint64_t        *values;            /* the stripe this process adds to */
    void            *map;               /* the file, or NULL */
    struct guard_s  *guard;             /* of the mapping */
    uint64_t         own[COUNTERS_N];   /* used while there is none */
} counters_t;


/* Bounds of the histogram's slots, milliseconds, ascending. */
extern const uint32_t  counters_bounds[COUNTERS_BOUNDS];


/* Counts in memory of the process's own.  Before anything else. */
void counters_init(counters_t *c);

/*
 * Makes the file unless a good one is there, and opens it.  Engine, under the
 * directory's lock, before others use c.  Returns 0 or an errno.
 */
int counters_create(counters_t *c, const char *dir);

/*
 * Opens the file that is there now, in the place of the one that is open.
 * stripe: any number; it is taken modulo those there are for workers.
 * Returns 0; or an errno, and goes on as before.  Nobody may use c meanwhile.
 */
int counters_open(counters_t *c, const char *dir, unsigned stripe);

/* Unmaps the file; counts in memory again. */
void counters_close(counters_t *c);

/*
 * Adds a time to a histogram: to the slot of n whose bound is not below it.
 * ms: milliseconds
 */
void counters_add_time(counters_t *c, unsigned n, uint64_t ms);

/* The counter's value over all processes.  Any thread. */
uint64_t counters_sum(const counters_t *c, unsigned n);

/* Adds; no lock, no system call.  Any thread. */
static inline void
counters_add(counters_t *c, unsigned n, uint64_t value)
{
    __atomic_fetch_add(&c->values[n], value, __ATOMIC_RELAXED);
}


#endif /* _ENGINE_COUNTERS_H_INCLUDED_ */
