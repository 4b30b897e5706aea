
/*
 * The hashes of an upload's pieces, in a file beside its data: once they are
 * there, files of the data may be missing, since they were taken already.  An
 * engine that is asked for the same upload again, because the one before it
 * has ended, goes on from there.
 *
 * folder: descriptor of upload/<folder>
 * Any thread.
 */

#ifndef _ENGINE_DIGEST_H_INCLUDED_
#define _ENGINE_DIGEST_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* Returns 0, or an errno if there are none of that length. */
int digest_read(int folder, uint8_t *hashes, size_t len);

/* Without them the upload fails if the engine ends soon: no error for now. */
void digest_write(int folder, const uint8_t *hashes, size_t len);


#endif /* _ENGINE_DIGEST_H_INCLUDED_ */
