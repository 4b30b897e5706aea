
#include "engine/cache/store/fd_cache.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>


#define FILES_MAX  256


static void files_drop(files_t *files, file_t *file);
static void files_free(files_t *files, file_t *file);


void
files_open(files_t *files, unsigned caches)
{
    struct rlimit  limit;

    pthread_mutex_init(&files->mutex, NULL);
    files->table = NULL;
    TAILQ_INIT(&files->idle);
    files->n = 0;

    /* peers need descriptors, too */

    files->max = FILES_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0
        && limit.rlim_cur / 4 / caches < files->max)
    {
        files->max = limit.rlim_cur / 4 / caches;
    }
}


void
files_close(files_t *files)
{
    file_t  *file, *next;

    HASH_ITER(hh, files->table, file, next) {
        files_drop(files, file);
    }

    pthread_mutex_destroy(&files->mutex);
}


file_t *
files_get(files_t *files, const void *store, uint32_t number)
{
    file_t      *file;
    file_key_t   key;

    key.store = store;
    key.number = number;

    pthread_mutex_lock(&files->mutex);

    HASH_FIND(hh, files->table, &key, sizeof(key), file);

    if (file != NULL && file->refs++ == 0) {
        TAILQ_REMOVE(&files->idle, file, link);
    }

    pthread_mutex_unlock(&files->mutex);

    return file;
}


file_t *
files_add(files_t *files, const void *store, uint32_t number,
    uint32_t segment, int fd)
{
    file_t  *file;

    file = calloc(1, sizeof(file_t));

    if (file == NULL) {
        close(fd);
        return NULL;
    }

    file->key.store = store;
    file->key.number = number;
    file->segment = segment;
    file->fd = fd;
    file->refs = 1;

    pthread_mutex_lock(&files->mutex);

    while (files->n >= files->max && !TAILQ_EMPTY(&files->idle)) {
        files_drop(files, TAILQ_FIRST(&files->idle));
    }

    files->n++;

    HASH_ADD(hh, files->table, key, sizeof(file_key_t), file);

    pthread_mutex_unlock(&files->mutex);

    return file;
}


void
files_put(files_t *files, file_t *file)
{
    pthread_mutex_lock(&files->mutex);

    if (--file->refs == 0) {

        if (file->stale) {
            files_free(files, file);

        } else {
            TAILQ_INSERT_TAIL(&files->idle, file, link);
        }
    }

    pthread_mutex_unlock(&files->mutex);
}


void
files_forget(files_t *files, const void *store, uint32_t segment)
{
    file_t  *file, *next;

    pthread_mutex_lock(&files->mutex);

    HASH_ITER(hh, files->table, file, next) {
        if (file->key.store == store && file->segment == segment) {
            files_drop(files, file);
        }
    }

    pthread_mutex_unlock(&files->mutex);
}


void
files_forget_all(files_t *files, const void *store)
{
    file_t  *file, *next;

    pthread_mutex_lock(&files->mutex);

    HASH_ITER(hh, files->table, file, next) {
        if (file->key.store == store) {
            files_drop(files, file);
        }
    }

    pthread_mutex_unlock(&files->mutex);
}


/*
 * Out of the table; closed now or when it is put back.
 */
static void
files_drop(files_t *files, file_t *file)
{
    HASH_DEL(files->table, file);

    if (file->refs != 0) {
        file->stale = 1;
        return;
    }

    TAILQ_REMOVE(&files->idle, file, link);
    files_free(files, file);
}


static void
files_free(files_t *files, file_t *file)
{
    close(file->fd);
    files->n--;
    free(file);
}
