
#include "engine/cache/store/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/io.h"


#define TRASH_FOLDER  "trash"
#define TRASH_DEPTH   128       /* folders in folders, more than are made */
#define TRASH_TRIES   65536


static int trash_start(trash_t *trash);
static void *trash_thread(void *data);
static void trash_empty(trash_t *trash);
static void trash_remove(trash_t *trash, int dir, const char *name,
    unsigned depth);


int
trash_open(trash_t *trash, int dir)
{
    int  rc;

    memset(trash, 0, sizeof(trash_t));

    if (mkdirat(dir, TRASH_FOLDER, 0700) == -1 && errno != EEXIST) {
        return errno;
    }

    trash->dir = dir;
    trash->todo = 1;

    pthread_mutex_init(&trash->mutex, NULL);
    pthread_cond_init(&trash->cond, NULL);

    rc = trash_start(trash);

    if (rc != 0) {
        pthread_cond_destroy(&trash->cond);
        pthread_mutex_destroy(&trash->mutex);
        return rc;
    }

    trash->started = 1;

    return 0;
}


static int
trash_start(trash_t *trash)
{
    int       rc;
    sigset_t  all, old;

    /* signals are the host's: its own thread takes them */

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);

    rc = pthread_create(&trash->thread, NULL, trash_thread, trash);

    pthread_sigmask(SIG_SETMASK, &old, NULL);

    return rc;
}


void
trash_close(trash_t *trash)
{
    if (!trash->started) {
        return;
    }

    pthread_mutex_lock(&trash->mutex);
    __atomic_store_n(&trash->quit, 1, __ATOMIC_RELAXED);
    pthread_cond_signal(&trash->cond);
    pthread_mutex_unlock(&trash->mutex);

    pthread_join(trash->thread, NULL);

    pthread_cond_destroy(&trash->cond);
    pthread_mutex_destroy(&trash->mutex);

    trash->started = 0;
}


int
trash_put(trash_t *trash, const char *name)
{
    int   i;
    char  to[sizeof(TRASH_FOLDER) + 16];

    for (i = 0; i < TRASH_TRIES; i++) {
        snprintf(to, sizeof(to), TRASH_FOLDER "/%u", trash->next++);

        if (renameat(trash->dir, name, trash->dir, to) == 0) {
            pthread_mutex_lock(&trash->mutex);
            trash->todo = 1;
            pthread_cond_signal(&trash->cond);
            pthread_mutex_unlock(&trash->mutex);

            return 0;
        }

        /* of an earlier run, and not removed yet */

        if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) {
            break;
        }
    }

    return errno;
}


static void *
trash_thread(void *data)
{
    trash_t  *trash;

    trash = data;

    (void) pthread_setname_np(pthread_self(), "engine-trash");

    pthread_mutex_lock(&trash->mutex);

    while (!trash->quit) {

        if (!trash->todo) {
            pthread_cond_wait(&trash->cond, &trash->mutex);
            continue;
        }

        trash->todo = 0;

        pthread_mutex_unlock(&trash->mutex);

        trash_empty(trash);

        pthread_mutex_lock(&trash->mutex);
    }

    pthread_mutex_unlock(&trash->mutex);

    return NULL;
}


static void
trash_empty(trash_t *trash)
{
    DIR            *dir;
    struct dirent  *entry;

    dir = io_opendir(trash->dir, TRASH_FOLDER);

    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {
        trash_remove(trash, dirfd(dir), entry->d_name, 0);
    }

    closedir(dir);
}


/*
 * Removes a file, or a folder with all that is in it.
 */
static void
trash_remove(trash_t *trash, int dir, const char *name, unsigned depth)
{
    DIR            *d;
    struct dirent  *entry;

    if (strcmp(name, ".") == 0
        || strcmp(name, "..") == 0
        || depth == TRASH_DEPTH
        || __atomic_load_n(&trash->quit, __ATOMIC_RELAXED)
        || unlinkat(dir, name, 0) == 0)
    {
        return;
    }

    d = io_opendir(dir, name);

    if (d == NULL) {
        return;
    }

    while ((entry = readdir(d)) != NULL) {
        trash_remove(trash, dirfd(d), entry->d_name, depth + 1);
    }

    closedir(d);

    (void) unlinkat(dir, name, AT_REMOVEDIR);
}
