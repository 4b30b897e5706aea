
/*
 * Mapped files that somebody else may cut: what is beyond the end of a file
 * cannot be read or written, the kernel sends SIGBUS.  From the page that is
 * not there on, a guarded mapping is replaced then by zeros, which are the
 * process's own.  For what may begin anew at any time, or shows by its end
 * whether it is whole.
 *
 *      fault ---> in a guarded mapping? ---> zeros, go on
 *                           |
 *                           no ---> who handled SIGBUS before
 *
 * Any thread and process; no thread that touches such a mapping blocks SIGBUS.
 */

#ifndef _ENGINE_GUARD_H_INCLUDED_
#define _ENGINE_GUARD_H_INCLUDED_


#include <stddef.h>


typedef struct guard_s  guard_t;


/*
 * Guards a mapping until guard_del(), which comes before munmap().  p is the
 * begin of a page.  Returns NULL if out of memory.
 */
guard_t *guard_add(void *p, size_t size);
void guard_del(guard_t *guard);

/* How often a mapping of this process was found to be cut. */
unsigned guard_faults(void);


#endif /* _ENGINE_GUARD_H_INCLUDED_ */
