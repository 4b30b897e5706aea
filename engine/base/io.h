
/*
 * Whole reads and writes of files, and folders.
 */

#ifndef _ENGINE_IO_H_INCLUDED_
#define _ENGINE_IO_H_INCLUDED_


#include <dirent.h>
#include <stddef.h>
#include <sys/types.h>


/*
 * Writes, or reads, all len bytes at a byte offset.  Returns 0 or an errno;
 * EIO if a file ends before them.  Any thread.
 */
int io_pwrite(int fd, const void *buf, size_t len, off_t offset);
int io_pread(int fd, void *buf, size_t len, off_t offset);

/*
 * Opens a folder below another one, to be read and closed by closedir(); not
 * what a link points to.  NULL and errno if it cannot be.  Any thread.
 */
DIR *io_opendir(int dir, const char *name);


#endif /* _ENGINE_IO_H_INCLUDED_ */
