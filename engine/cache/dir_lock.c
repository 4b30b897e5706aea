
#include "engine/cache/dir_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/boot_id.h"


#define LOCK_TEXT  128


typedef struct {
    int64_t   time;
    unsigned  deaths;
    unsigned  running:1;
    unsigned  waiting:1;
} lock_note_t;


static int lock_judge(int fd, unsigned *deaths);
static int64_t lock_now(void);
static void lock_read(int fd, lock_note_t *note);
static void lock_write(int fd, const lock_note_t *note);


int
lock_take(const char *path, int *fd, unsigned *deaths)
{
    int   rc, lock;
    char  name[PATH_MAX];

    *deaths = 0;

    if (snprintf(name, sizeof(name), "%s/lock", path) >= (int) sizeof(name)) {
        return ENAMETOOLONG;
    }

    lock = open(name, O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (lock == -1) {
        return errno;
    }

    if (flock(lock, LOCK_EX|LOCK_NB) == -1) {
        rc = (errno == EWOULDBLOCK) ? EAGAIN : errno;

    } else {
        rc = lock_judge(lock, deaths);
    }

    if (rc != 0) {
        close(lock);
        return rc;
    }

    *fd = lock;

    return 0;
}


void
lock_release(int fd)
{
    /* at worst the next engine thinks that this one has died */
    while (ftruncate(fd, 0) == -1 && errno == EINTR) { /* void */ }

    close(fd);
}


int64_t
lock_delay(unsigned deaths)
{
    int64_t  delay;

    if (deaths <= LOCK_FREE) {
        return 0;
    }

    delay = LOCK_DELAY;

    while (--deaths > LOCK_FREE && delay < LOCK_DELAY_MAX) {
        delay *= 2;
    }

    return (delay < LOCK_DELAY_MAX) ? delay : LOCK_DELAY_MAX;
}


static int
lock_judge(int fd, unsigned *deaths)
{
    int64_t      now;
    lock_note_t  note;

    now = lock_now();

    lock_read(fd, &note);

    if (note.running) {
        note.deaths = (now - note.time < LOCK_SOON) ? note.deaths + 1 : 1;
        note.time = now + lock_delay(note.deaths);
        note.waiting = 1;
        note.running = 0;

        if (note.time > now) {
            lock_write(fd, &note);
        }
    }

    *deaths = note.deaths;

    if (note.waiting && note.time > now) {
        return EBUSY;
    }

    note.running = 1;
    note.time = now;

    lock_write(fd, &note);

    return 0;
}


static int64_t
lock_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static void
lock_read(int fd, lock_note_t *note)
{
    char       text[LOCK_TEXT], id[BOOT_ID_LEN + 1], state[8];
    ssize_t    n;
    unsigned   deaths;
    long long  time;

    memset(note, 0, sizeof(lock_note_t));

    n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0) {
        return;
    }

    text[n] = '\0';

    if (sscanf(text, "%36s %7s %lld %u", id, state, &time, &deaths) != 4
        || strcmp(id, boot_id()) != 0)
    {
        return;
    }

    if (time - lock_now() > LOCK_DELAY_MAX || deaths == UINT_MAX) {
        return;
    }

    note->time = time;
    note->deaths = deaths;
    note->running = (strcmp(state, "running") == 0);
    note->waiting = (strcmp(state, "waiting") == 0);
}


static void
lock_write(int fd, const lock_note_t *note)
{
    int   n;
    char  text[LOCK_TEXT];

    n = snprintf(text, sizeof(text), "%s %s %lld %u\n", boot_id(),
                 note->running ? "running" : "waiting",
                 (long long) note->time, note->deaths);

    /* on a full disk there is no note, and no delay */

    if (pwrite(fd, text, n, 0) == n) {
        (void) !ftruncate(fd, n);
    }
}
