
/*
 * The trash: folders of the cache directory that nobody uses any more.  They
 * are renamed to trash/<n> and removed by a thread, since the removal of what
 * is large takes its time.  What a stop or a crash leaves is removed after the
 * next start.
 */

#ifndef _ENGINE_TRASH_H_INCLUDED_
#define _ENGINE_TRASH_H_INCLUDED_


#include <pthread.h>


typedef struct {
    int              dir;       /* descriptor of the cache directory */
    unsigned         next;      /* number of a name that may be free */

    pthread_mutex_t  mutex;
    pthread_cond_t   cond;
    pthread_t        thread;
    unsigned         started:1;
    int              todo;
    int              quit;      /* atomic */
} trash_t;


/*
 * dir: descriptor of the cache directory, stays the caller's
 * Returns 0 or an errno.  The engine's thread, as all below.
 */
int trash_open(trash_t *trash, int dir);

/* Stops removing.  Harmless if it was not opened. */
void trash_close(trash_t *trash);

/*
 * Takes a folder, named below the cache directory, out of its place; when this
 * returns the name is free.  Returns 0 or an errno: ENOENT if it is not there.
 */
int trash_put(trash_t *trash, const char *name);


#endif /* _ENGINE_TRASH_H_INCLUDED_ */
