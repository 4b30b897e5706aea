
/*
 * The seal: an empty file in the cache directory, there while nothing below
 * it is written to and all of it has reached the disk.
 *
 *      stop:   everything is brought to disk, then the seal is made
 *      start:  the seal is broken, on disk too, before anything is written
 *
 * Thus after a power cut it is there only if nothing can have been lost.
 */

#ifndef _ENGINE_SEAL_H_INCLUDED_
#define _ENGINE_SEAL_H_INCLUDED_


/*
 * Breaks the seal of a directory.  Returns 0 and *sealed, nonzero if there was
 * one, or an errno.  Blocks for as long as the disk takes.
 */
int seal_break(int dir, int *sealed);

/* Brings all to disk and seals it; no seal is left if that fails. */
void seal_make(int dir);


#endif /* _ENGINE_SEAL_H_INCLUDED_ */
