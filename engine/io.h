
/*
 * Whole reads and writes of files.
 */

#ifndef _ENGINE_IO_H_INCLUDED_
#define _ENGINE_IO_H_INCLUDED_


#include <stddef.h>
#include <sys/types.h>


/*
 * Writes, or reads, all len bytes at a byte offset.  Returns 0 or an errno;
 * EIO if a file ends before them.  Any thread.
 */
int io_pwrite(int fd, const void *buf, size_t len, off_t offset);
int io_pread(int fd, void *buf, size_t len, off_t offset);


#endif /* _ENGINE_IO_H_INCLUDED_ */
