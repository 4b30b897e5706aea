
#include "engine/base/sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>


/* Never freed, but used again: the handler may be looking at any of them. */
struct guard_s {
    uintptr_t  begin;       /* atomic; 0: not in use */
    uintptr_t  end;
    guard_t   *next;        /* of all */
    guard_t   *next_free;
};


static void guard_install(void);
static void guard_handler(int signo, siginfo_t *info, void *context);
static int guard_replace(uintptr_t address);


static pthread_once_t    guard_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t   guard_mutex = PTHREAD_MUTEX_INITIALIZER;
static guard_t          *guard_all;         /* atomic */
static guard_t          *guard_free;        /* under the mutex */
static unsigned          guard_count;       /* atomic */
static uintptr_t         guard_page;
static struct sigaction  guard_old;


guard_t *
guard_add(void *p, size_t size)
{
    guard_t  *guard;

    (void) pthread_once(&guard_once, guard_install);

    pthread_mutex_lock(&guard_mutex);

    guard = guard_free;

    if (guard != NULL) {
        guard_free = guard->next_free;

    } else {
        guard = calloc(1, sizeof(guard_t));

        if (guard != NULL) {
            guard->next = guard_all;
            __atomic_store_n(&guard_all, guard, __ATOMIC_RELEASE);
        }
    }

    pthread_mutex_unlock(&guard_mutex);

    if (guard != NULL) {
        __atomic_store_n(&guard->end, (uintptr_t) p + size, __ATOMIC_RELAXED);
        __atomic_store_n(&guard->begin, (uintptr_t) p, __ATOMIC_RELEASE);
    }

    return guard;
}


void
guard_del(guard_t *guard)
{
    __atomic_store_n(&guard->begin, 0, __ATOMIC_RELEASE);

    pthread_mutex_lock(&guard_mutex);

    guard->next_free = guard_free;
    guard_free = guard;

    pthread_mutex_unlock(&guard_mutex);
}


unsigned
guard_faults(void)
{
    return __atomic_load_n(&guard_count, __ATOMIC_RELAXED);
}


static void
guard_install(void)
{
    struct sigaction  sa;

    guard_page = sysconf(_SC_PAGESIZE);

    sa.sa_sigaction = guard_handler;
    sa.sa_flags = SA_SIGINFO|SA_RESTART;
    sigemptyset(&sa.sa_mask);

    (void) sigaction(SIGBUS, &sa, &guard_old);
}


static void
guard_handler(int signo, siginfo_t *info, void *context)
{
    int  err;

    err = errno;

    if (info->si_code > 0 && guard_replace((uintptr_t) info->si_addr) == 0) {
        errno = err;
        return;
    }

    if (guard_old.sa_flags & SA_SIGINFO) {
        guard_old.sa_sigaction(signo, info, context);
        return;
    }

    /* what faulted is done again, and is the end of it then */

    (void) sigaction(SIGBUS, &guard_old, NULL);
}


/*
 * Returns 0 if the address is in a guarded mapping.  That was there when it was
 * touched, and stays until this is over.
 */
static int
guard_replace(uintptr_t address)
{
    void       *p, *page;
    guard_t    *guard;
    uintptr_t   begin, end;

    for (guard = __atomic_load_n(&guard_all, __ATOMIC_ACQUIRE);
         guard != NULL;
         guard = guard->next)
    {
        begin = __atomic_load_n(&guard->begin, __ATOMIC_ACQUIRE);
        end = __atomic_load_n(&guard->end, __ATOMIC_RELAXED);

        if (begin != 0 && address >= begin && address < end) {
            page = (void *) (address & ~(guard_page - 1));

            /* of no file: the descriptor is ignored */

            p = mmap(page, end - (uintptr_t) page, PROT_READ|PROT_WRITE,
                     MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, 0, 0);

            if (p != page) {
                return -1;
            }

            __atomic_fetch_add(&guard_count, 1, __ATOMIC_RELAXED);

            return 0;
        }
    }

    return -1;
}
