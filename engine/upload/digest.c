
#include "engine/upload/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "engine/shared/upload_manifest.h"


#define DIGEST_NEW  MANIFEST_HASHES ".new"


int
digest_read(int folder, uint8_t *hashes, size_t len)
{
    int          rc, fd;
    struct stat  st;

    fd = openat(folder, MANIFEST_HASHES, O_RDONLY|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return errno;
    }

    rc = (fstat(fd, &st) == -1) ? errno : 0;

    if (rc == 0) {
        rc = ((uint64_t) st.st_size == len) ? io_pread(fd, hashes, len, 0)
                                            : EINVAL;
    }

    close(fd);

    return rc;
}


void
digest_write(int folder, const uint8_t *hashes, size_t len)
{
    int  rc, fd;

    fd = openat(folder, DIGEST_NEW,
                O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return;
    }

    rc = io_pwrite(fd, hashes, len, 0);

    close(fd);

    if (rc == 0) {
        (void) renameat(folder, DIGEST_NEW, folder, MANIFEST_HASHES);
    }
}
