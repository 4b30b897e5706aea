
/*
 * Files of payload that the engine has open, those of all stores together:
 * their number does not grow with the torrents.
 *
 *      key (store, number) ---> file ---> descriptor
 *                                 ^  refs: reads, writes
 *
 * One that nobody uses stays open, least recently used first, up to a limit;
 * one in use is never closed.  Any thread, but for files_open() and _close().
 */

#ifndef _ENGINE_FILES_H_INCLUDED_
#define _ENGINE_FILES_H_INCLUDED_


#include <pthread.h>
#include <stdint.h>
#include <sys/queue.h>

#include <uthash.h>


typedef struct {
    const void          *store;
    uint64_t             number;    /* see map_place() */
} file_key_t;


typedef struct file_s  file_t;

struct file_s {
    file_key_t           key;
    uint32_t             segment;   /* evicted with it */
    int                  fd;
    unsigned             refs;
    unsigned             stale:1;   /* to be closed when refs is 0 */

    TAILQ_ENTRY(file_s)  link;      /* while refs is 0 */
    UT_hash_handle       hh;        /* by key, unless stale */
};


typedef struct {
    pthread_mutex_t        mutex;
    file_t                *table;
    TAILQ_HEAD(, file_s)   idle;    /* least recently used first */
    unsigned               n;       /* of open descriptors */
    unsigned               max;
} files_t;


/* caches: in this process, each of which takes its part of descriptors */
void files_open(files_t *files, unsigned caches);

/* All have been put back. */
void files_close(files_t *files);

/* A file that is open, in use until files_put(); or NULL. */
file_t *files_get(files_t *files, const void *store, uint32_t number);

/*
 * Takes over the descriptor of a file that is not in the table.  Returns the
 * file, in use until files_put(); NULL if out of memory.
 */
file_t *files_add(files_t *files, const void *store, uint32_t number,
    uint32_t segment, int fd);

void files_put(files_t *files, file_t *file);

/* Closes a segment's files, those in use when they are put back; or all. */
void files_forget(files_t *files, const void *store, uint32_t segment);
void files_forget_all(files_t *files, const void *store);


#endif /* _ENGINE_FILES_H_INCLUDED_ */
