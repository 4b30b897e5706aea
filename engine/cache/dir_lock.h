
/*
 * The file "lock" in the cache directory: whose flock() it has, has the
 * directory.  It also tells how the last engines fared, so that one which
 * dies again and again is not started ten times a second by its host.
 *
 *     ""                                       stopped as it should
 *     "BOOT_ID running TIME DEATHS\n"          started at TIME
 *     "BOOT_ID waiting TIME DEATHS\n"          not to be started before TIME
 *
 * TIME: milliseconds of CLOCK_BOOTTIME; DEATHS: engines in a row that died
 * within LOCK_SOON of their start, without counting the present one.  What
 * cannot be read as one of these, or is of another boot, counts as "".
 */

#ifndef _ENGINE_LOCK_H_INCLUDED_
#define _ENGINE_LOCK_H_INCLUDED_


#include <stdint.h>


#define LOCK_SOON       10000   /* ms of life that are not a failed start */
#define LOCK_FREE       3       /* deaths that are followed by no delay */
#define LOCK_DELAY      250     /* ms after one more; doubles each time */
#define LOCK_DELAY_MAX  30000


/*
 * Takes the directory's lock.
 *
 * fd: the lock; the caller gives it to lock_release(), or dies
 * deaths: of engines in a row
 * Returns 0; EAGAIN if another process has it; EBUSY if too many died, and
 * it is too early to try again; else an errno.  Any thread; blocks for a disk
 * access.
 */
int lock_take(const char *path, int *fd, unsigned *deaths);

/* Notes that the engine stopped as it should, and lets go of the lock. */
void lock_release(int fd);

/* Milliseconds to wait after so many deaths in a row. */
int64_t lock_delay(unsigned deaths);


#endif /* _ENGINE_LOCK_H_INCLUDED_ */
