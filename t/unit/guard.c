
/*
 * Mapped files that are cut: what is guarded has zeros then, and nothing else
 * survives it.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sigbus.h"
#include "tap.h"


#define PAGES  4
#define MAPS   1000


static uint8_t *map_new(int fd, size_t size);
static int death(volatile uint8_t *p);


int
main(void)
{
    int       fd, i, n;
    char      name[] = "/tmp/confluence-guard.XXXXXX";
    size_t    page;
    guard_t  *guards[MAPS];
    uint8_t  *maps[MAPS], *bare;

    page = sysconf(_SC_PAGESIZE);
    fd = mkstemp(name);

    if (fd == -1 || unlink(name) == -1) {
        return 1;
    }

    bare = map_new(fd, PAGES * page);
    n = 0;

    for (i = 0; i < MAPS; i++) {
        maps[i] = map_new(fd, PAGES * page);
        guards[i] = guard_add(maps[i], PAGES * page);
        n += (guards[i] != NULL);
    }

    ok(n == MAPS, "as many as one likes");

    memset(bare, 7, PAGES * page);
    (void) !ftruncate(fd, 2 * page);

    ok(guard_faults() == 0, "nobody has looked");

    maps[1][3 * page] = 1;

    ok(maps[1][3 * page] == 1 && guard_faults() == 1, "written beyond the end");
    ok(death(&bare[2 * page]) == SIGBUS, "not guarded");
    ok(maps[1][2 * page] == 0 && guard_faults() == 2, "read beyond the end");
    ok(maps[1][3 * page] == 0 && guard_faults() == 2,
       "from there on all is gone");
    ok(maps[1][2 * page - 1] == 7, "what is before the end is the file's");
    ok(maps[MAPS - 1][2 * page] == 0 && guard_faults() == 3, "the last one");

    guard_del(guards[2]);
    ok(death(&maps[2][2 * page]) == SIGBUS, "not guarded any more");

    guards[2] = guard_add(maps[2], PAGES * page);
    ok(maps[2][2 * page] == 0, "guarded again");

    (void) munmap(maps[0], PAGES * page);
    ok(death(maps[0]) == SIGSEGV, "other faults are other faults");

    return done_testing();
}


static uint8_t *
map_new(int fd, size_t size)
{
    void  *p;

    if (ftruncate(fd, size) == -1) {
        exit(1);
    }

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED) {
        exit(1);
    }

    return p;
}


/*
 * The signal that a process dies of when it reads there, or 0.
 */
static int
death(volatile uint8_t *p)
{
    int    status;
    pid_t  pid;

    fflush(stdout);

    pid = fork();

    if (pid == 0) {
        (void) *p;
        _exit(0);
    }

    if (pid == -1 || waitpid(pid, &status, 0) == -1) {
        return -1;
    }

    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
