
#include "engine/shared/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sigbus.h"
#include "engine/base/io.h"


#define COUNTERS_FILE  "counters"


typedef struct {
    char      magic[8];
    uint32_t  version;
    uint32_t  header;       /* bytes */
    uint32_t  slots;
    uint32_t  stripes;
    uint8_t   reserved[40];
} counters_header_t;


_Static_assert(COUNTERS_N <= COUNTERS_SLOTS, "too many counters");
_Static_assert(sizeof(counters_header_t) == COUNTERS_HEADER, "header");


static int counters_name(char *name, const char *dir, const char *file);
static int counters_map(counters_t *c, const char *dir, unsigned stripe);
static void counters_unmap(counters_t *c);
static int counters_make(const char *dir);
static void counters_header(counters_header_t *header);
static uint64_t *counters_stripe(void *map, unsigned stripe);


const uint32_t  counters_bounds[COUNTERS_BOUNDS] = {
    1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000,
    300000
};


void
counters_init(counters_t *c)
{
    memset(c, 0, sizeof(counters_t));

    c->values = c->own;
}


int
counters_create(counters_t *c, const char *dir)
{
    int  rc;

    rc = counters_map(c, dir, 0);

    if (rc == ENOENT || rc == EBADMSG) {
        rc = counters_make(dir);

        if (rc == 0) {
            rc = counters_map(c, dir, 0);
        }
    }

    return rc;
}


int
counters_open(counters_t *c, const char *dir, unsigned stripe)
{
    return counters_map(c, dir, 1 + stripe % (COUNTERS_STRIPES - 1));
}


void
counters_close(counters_t *c)
{
    counters_unmap(c);
    c->values = c->own;
}


static void
counters_unmap(counters_t *c)
{
    if (c->map != NULL) {
        guard_del(c->guard);
        munmap(c->map, COUNTERS_SIZE);
        c->map = NULL;
    }
}


static int
counters_map(counters_t *c, const char *dir, unsigned stripe)
{
    int                 fd, rc;
    char                name[PATH_MAX];
    void               *p;
    guard_t            *guard;
    unsigned            i;
    struct stat         st;
    counters_header_t   header;

    rc = counters_name(name, dir, COUNTERS_FILE);

    if (rc != 0) {
        return rc;
    }

    fd = open(name, O_RDWR|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return errno;
    }

    counters_header(&header);

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)
        || st.st_size != COUNTERS_SIZE)
    {
        close(fd);
        return EBADMSG;
    }

    p = mmap(NULL, COUNTERS_SIZE, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    rc = errno;

    close(fd);

    if (p == MAP_FAILED) {
        return rc;
    }

    guard = guard_add(p, COUNTERS_SIZE);

    if (guard == NULL) {
        munmap(p, COUNTERS_SIZE);
        return ENOMEM;
    }

    if (memcmp(p, &header, sizeof(header)) != 0) {
        guard_del(guard);
        munmap(p, COUNTERS_SIZE);
        return EBADMSG;
    }

    counters_unmap(c);

    c->map = p;
    c->guard = guard;
    c->values = counters_stripe(p, stripe);

    for (i = 0; i < COUNTERS_N; i++) {
        counters_add(c, i, c->own[i]);
        c->own[i] = 0;
    }

    return 0;
}


static int
counters_make(const char *dir)
{
    int                fd, rc;
    char               name[PATH_MAX], temp[PATH_MAX];
    counters_header_t  header;

    rc = counters_name(name, dir, COUNTERS_FILE);

    if (rc == 0) {
        rc = counters_name(temp, dir, COUNTERS_FILE ".new");
    }

    if (rc != 0) {
        return rc;
    }

    (void) unlink(temp);

    fd = open(temp, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (fd == -1) {
        return errno;
    }

    counters_header(&header);

    rc = posix_fallocate(fd, 0, COUNTERS_SIZE);

    if (rc == 0) {
        rc = io_pwrite(fd, &header, sizeof(header), 0);
    }

    if (rc == 0 && rename(temp, name) == -1) {
        rc = errno;
    }

    if (rc != 0) {
        (void) unlink(temp);
    }

    close(fd);

    return rc;
}


static int
counters_name(char *name, const char *dir, const char *file)
{
    return (snprintf(name, PATH_MAX, "%s/%s", dir, file) >= PATH_MAX)
           ? ENAMETOOLONG : 0;
}


static void
counters_header(counters_header_t *header)
{
    memset(header, 0, sizeof(counters_header_t));

    memcpy(header->magic, COUNTERS_MAGIC, sizeof(header->magic));
    header->version = COUNTERS_VERSION;
    header->header = COUNTERS_HEADER;
    header->slots = COUNTERS_SLOTS;
    header->stripes = COUNTERS_STRIPES;
}


static uint64_t *
counters_stripe(void *map, unsigned stripe)
{
    return (uint64_t *) ((char *) map + COUNTERS_HEADER)
           + stripe * COUNTERS_SLOTS;
}


void
counters_add_time(counters_t *c, unsigned n, uint64_t ms)
{
    unsigned  i;

    for (i = 0; i < COUNTERS_BOUNDS && ms > counters_bounds[i]; i++) {
        /* void */
    }

    counters_add(c, n + i, 1);
}


uint64_t
counters_sum(const counters_t *c, unsigned n)
{
    unsigned  i;
    uint64_t  sum;

    sum = __atomic_load_n(&c->own[n], __ATOMIC_RELAXED);

    for (i = 0; c->map != NULL && i < COUNTERS_STRIPES; i++) {
        sum += __atomic_load_n(&counters_stripe(c->map, i)[n],
                               __ATOMIC_RELAXED);
    }

    return sum;
}
