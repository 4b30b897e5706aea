
#include "engine/cache/clean_marker.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>


#define SEAL_NAME  "sealed"


int
seal_break(int dir, int *sealed)
{
    *sealed = 0;

    if (unlinkat(dir, SEAL_NAME, 0) == -1) {
        return (errno == ENOENT) ? 0 : errno;
    }

    if (fsync(dir) == -1) {
        return errno;
    }

    *sealed = 1;

    return 0;
}


void
seal_make(int dir)
{
    int  fd;

    if (syncfs(dir) == -1) {
        return;
    }

    fd = openat(dir, SEAL_NAME, O_WRONLY|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd != -1) {
        close(fd);

        /* if its name is lost after all, nothing else is */

        (void) fsync(dir);
    }
}
