
/*
 * Blocklists: files that somebody else publishes.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/parse/blocklist.h"
#include "fuzz.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                 fd;
    char                name[64], err[256];
    size_t              i, n;
    blocklist_range_t  *ranges;

    snprintf(name, sizeof(name), "/dev/shm/fuzz-list.%d", (int) getpid());

    fd = open(name, O_WRONLY|O_CREAT|O_TRUNC, 0600);

    FUZZ_CHECK(fd != -1);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t) size);
    close(fd);

    err[0] = '\0';

    if (blocklist_read(name, &ranges, &n, err, sizeof(err)) == 0) {

        for (i = 0; i < n; i++) {
            FUZZ_CHECK(memcmp(ranges[i].first, ranges[i].last, 16) <= 0);
        }

        free(ranges);

    } else {
        FUZZ_CHECK(err[0] != '\0');
    }

    (void) unlink(name);

    return 0;
}
