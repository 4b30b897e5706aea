
/*
 * Mapped files that somebody else may cut: what is beyond the end of a file
 * cannot be read or written, the kernel sends SIGBUS.  A page of a guarded
 * mapping is replaced then by one of zeros, which is the process's own.  For
 * what may begin anew at any time.
 *
 *      fault ---> in a guarded mapping? ---> a page of zeros, go on
 *                           |
 *                           no ---> who handled SIGBUS before
 *
 * Any thread and process.
 */

#ifndef _ENGINE_GUARD_H_INCLUDED_
#define _ENGINE_GUARD_H_INCLUDED_


#include <stddef.h>


#define GUARD_MAX  256      /* mappings of a process; more are not guarded */


/* Guards a mapping until guard_del(), which comes before munmap(). */
void guard_add(void *p, size_t size);
void guard_del(void *p);


#endif /* _ENGINE_GUARD_H_INCLUDED_ */
