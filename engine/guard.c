
#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>


#define GUARD_TAKEN  1


typedef struct {
    uintptr_t  begin;       /* atomic; 0: free, GUARD_TAKEN: not yet set */
    uintptr_t  end;
} guard_t;


static void guard_install(void);
static void guard_handler(int signo, siginfo_t *info, void *context);
static int guard_replace(uintptr_t address);


static pthread_once_t    guard_once = PTHREAD_ONCE_INIT;
static guard_t           guards[GUARD_MAX];
static uintptr_t         guard_page;
static struct sigaction  guard_old;


void
guard_add(void *p, size_t size)
{
    unsigned   i;
    uintptr_t  none;

    (void) pthread_once(&guard_once, guard_install);

    for (i = 0; i < GUARD_MAX; i++) {
        none = 0;

        if (__atomic_compare_exchange_n(&guards[i].begin, &none, GUARD_TAKEN,
                                        0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
        {
            guards[i].end = (uintptr_t) p + size;
            __atomic_store_n(&guards[i].begin, (uintptr_t) p,
                             __ATOMIC_RELEASE);
            return;
        }
    }
}


void
guard_del(void *p)
{
    unsigned  i;

    for (i = 0; i < GUARD_MAX; i++) {

        if (__atomic_load_n(&guards[i].begin, __ATOMIC_ACQUIRE)
            == (uintptr_t) p)
        {
            __atomic_store_n(&guards[i].begin, 0, __ATOMIC_RELEASE);
            return;
        }
    }
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
 * Returns 0 if the address is in a guarded mapping.
 */
static int
guard_replace(uintptr_t address)
{
    void      *p, *page;
    unsigned   i;
    uintptr_t  begin;

    for (i = 0; i < GUARD_MAX; i++) {
        begin = __atomic_load_n(&guards[i].begin, __ATOMIC_ACQUIRE);

        if (begin > GUARD_TAKEN
            && address >= begin && address < guards[i].end)
        {
            page = (void *) (address & ~(guard_page - 1));

            /* of no file: the descriptor is ignored */

            p = mmap(page, guard_page, PROT_READ|PROT_WRITE,
                     MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, 0, 0);

            return (p == page) ? 0 : -1;
        }
    }

    return -1;
}
