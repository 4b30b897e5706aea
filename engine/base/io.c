
#include "engine/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>


/*
 * The most bytes of one pwrite().  The kernel makes page cache folios as large
 * as the write; these are the largest that it keeps lists of for each CPU.
 * Larger ones come from its largest free blocks.  In a virtual machine that
 * reports these to its host, as free page reporting does, nothing is behind
 * them: each page faults in the host while it is written.  Smaller ones cost
 * whoever reads them.  bench/README.md has the figures.
 */
#define IO_WRITE_MAX  32768


int
io_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    ssize_t         n;
    const uint8_t  *p;

    p = buf;

    while (len != 0) {
        n = pwrite(fd, p, len < IO_WRITE_MAX ? len : IO_WRITE_MAX, offset);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            return errno;
        }

        p += n;
        len -= n;
        offset += n;
    }

    return 0;
}


int
io_pread(int fd, void *buf, size_t len, off_t offset)
{
    ssize_t   n;
    uint8_t  *p;

    p = buf;

    while (len != 0) {
        n = pread(fd, p, len, offset);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            return errno;
        }

        if (n == 0) {
            return EIO;         /* cut short by somebody else */
        }

        p += n;
        len -= n;
        offset += n;
    }

    return 0;
}


DIR *
io_opendir(int dir, const char *name)
{
    int   fd, err;
    DIR  *d;

    fd = openat(dir, name, O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return NULL;
    }

    d = fdopendir(fd);

    if (d == NULL) {
        err = errno;
        close(fd);
        errno = err;
    }

    return d;
}
