
#include "engine/parse/blocklist.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


#define BLOCKLIST_MAX     (1024 * 1024 * 1024)
#define BLOCKLIST_RECORD  44        /* bytes of a packed record */
#define BLOCKLIST_LINE    1024


typedef struct {
    blocklist_range_t  *ranges;
    size_t              n;
    size_t              max;
    char               *err;
    size_t              err_size;
} blocklist_t;


static char *blocklist_load(const char *path, size_t *len, char *err,
    size_t err_size);
static int blocklist_is_packed(const uint8_t *p, size_t len);
static int blocklist_packed(blocklist_t *list, const uint8_t *p, size_t len);
static int blocklist_text(blocklist_t *list, const char *p, size_t len);
static int blocklist_line(blocklist_t *list, char *line, size_t number);
static int blocklist_parse(char *text, blocklist_range_t *range);
static int blocklist_prefix(char *text, unsigned bits,
    blocklist_range_t *range);
static int blocklist_address(const char *text, uint8_t *address);
static int blocklist_push(blocklist_t *list, const blocklist_range_t *range);
static uint64_t blocklist_le(const uint8_t *p, unsigned n);


int
blocklist_read(const char *path, blocklist_range_t **ranges, size_t *n,
    char *err, size_t err_size)
{
    int          rc;
    char        *buf;
    size_t       len;
    blocklist_t  list;

    memset(&list, 0, sizeof(list));
    list.err = err;
    list.err_size = err_size;

    buf = blocklist_load(path, &len, err, err_size);

    if (buf == NULL) {
        return -1;
    }

    if (blocklist_is_packed((uint8_t *) buf, len)) {
        rc = blocklist_packed(&list, (uint8_t *) buf, len);

    } else {
        rc = blocklist_text(&list, buf, len);
    }

    free(buf);

    if (rc != 0) {
        free(list.ranges);
        return -1;
    }

    *ranges = list.ranges;
    *n = list.n;

    return 0;
}


static char *
blocklist_load(const char *path, size_t *len, char *err, size_t err_size)
{
    int          fd;
    char        *buf;
    ssize_t      n;
    struct stat  st;

    buf = NULL;
    fd = open(path, O_RDONLY|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {
        snprintf(err, err_size, "%s", strerror(errno));

    } else if (!S_ISREG(st.st_mode) || st.st_size > BLOCKLIST_MAX) {
        snprintf(err, err_size, "not a file, or larger than 1 GiB");

    } else {
        buf = malloc(st.st_size + 1);
        *len = 0;

        while (buf != NULL && *len < (size_t) st.st_size) {
            n = read(fd, buf + *len, st.st_size - *len);

            if (n <= 0) {
                break;
            }

            *len += n;
        }

        if (buf == NULL) {
            snprintf(err, err_size, "no memory");
        }
    }

    if (fd != -1) {
        close(fd);
    }

    return buf;
}


/*
 * The packed form has no magic, but a count that fits its size; in a text the
 * first eight characters make a number far beyond.
 */
static int
blocklist_is_packed(const uint8_t *p, size_t len)
{
    return len >= 8 && blocklist_le(p, 8) <= (len - 8) / BLOCKLIST_RECORD;
}


static int
blocklist_packed(blocklist_t *list, const uint8_t *p, size_t len)
{
    size_t             i, n, texts;
    uint64_t           offset;
    const uint8_t     *record;
    blocklist_range_t  range;

    n = blocklist_le(p, 8);
    texts = len - 8 - n * BLOCKLIST_RECORD;

    for (i = 0; i < n; i++) {
        record = p + 8 + i * BLOCKLIST_RECORD;
        memcpy(range.first, record, 16);
        memcpy(range.last, record + 16, 16);
        offset = blocklist_le(record + 32, 8);

        if (memcmp(range.first, range.last, 16) > 0
            || offset > texts
            || blocklist_le(record + 40, 4) > texts - offset)
        {
            snprintf(list->err, list->err_size, "record %zu is invalid", i);
            return -1;
        }

        if (blocklist_push(list, &range) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
blocklist_text(blocklist_t *list, const char *p, size_t len)
{
    char         line[BLOCKLIST_LINE];
    size_t       n, number;
    const char  *end, *next;

    end = p + len;

    for (number = 1; p < end; number++) {
        next = memchr(p, '\n', end - p);

        if (next == NULL) {
            next = end;
        }

        n = next - p;

        if (n >= sizeof(line) || memchr(p, '\0', n) != NULL) {
            snprintf(list->err, list->err_size, "line %zu is not text",
                     number);
            return -1;
        }

        memcpy(line, p, n);
        line[n] = '\0';

        if (blocklist_line(list, line, number) != 0) {
            return -1;
        }

        p = next + 1;
    }

    return 0;
}


static int
blocklist_line(blocklist_t *list, char *line, size_t number)
{
    char               *p, *last;
    blocklist_range_t   range;

    line += strspn(line, " \t");
    p = line + strlen(line);

    while (p > line && strchr(" \t\r", p[-1]) != NULL) {
        *--p = '\0';
    }

    if (*line == '\0' || *line == '#') {
        return 0;
    }

    p = strdup(line);

    if (p == NULL) {
        snprintf(list->err, list->err_size, "no memory");
        return -1;
    }

    if (blocklist_parse(p, &range) != 0) {

        /* a description may have colons in it, addresses of IPv4 have none */

        last = strrchr(line, ':');

        if (last == NULL || blocklist_parse(last + 1, &range) != 0) {
            free(p);
            snprintf(list->err, list->err_size,
                     "line %zu has no range of addresses", number);
            return -1;
        }
    }

    free(p);

    return blocklist_push(list, &range);
}


/*
 * "address", "address-address" or "address/bits"; the text is changed.
 */
static int
blocklist_parse(char *text, blocklist_range_t *range)
{
    char      *p, *end;
    unsigned   bits;

    p = strchr(text, '/');

    if (p != NULL) {
        *p++ = '\0';

        if (*p < '0' || *p > '9') {
            return -1;
        }

        bits = strtoul(p, &end, 10);

        return (*end == '\0') ? blocklist_prefix(text, bits, range) : -1;
    }

    p = strchr(text, '-');

    if (p != NULL) {
        *p++ = '\0';

    } else {
        p = text;
    }

    if (blocklist_address(text, range->first) != 0
        || blocklist_address(p, range->last) != 0)
    {
        return -1;
    }

    return memcmp(range->first, range->last, 16) <= 0 ? 0 : -1;
}


static int
blocklist_prefix(char *text, unsigned bits, blocklist_range_t *range)
{
    unsigned  i, from;

    if (blocklist_address(text, range->first) != 0) {
        return -1;
    }

    from = (strchr(text, ':') == NULL) ? 96 : 0;

    if (bits > 128 - from) {
        return -1;
    }

    memcpy(range->last, range->first, 16);

    for (i = from + bits; i < 128; i++) {
        range->first[i / 8] &= ~(0x80 >> i % 8);
        range->last[i / 8] |= 0x80 >> i % 8;
    }

    return 0;
}


static int
blocklist_address(const char *text, uint8_t *address)
{
    text += strspn(text, " \t");

    if (inet_pton(AF_INET6, text, address) == 1) {
        return 0;
    }

    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);

    return inet_pton(AF_INET, text, address + 12) == 1 ? 0 : -1;
}


static int
blocklist_push(blocklist_t *list, const blocklist_range_t *range)
{
    size_t              max;
    blocklist_range_t  *ranges;

    if (list->n == list->max) {
        max = list->max ? list->max * 2 : 1024;
        ranges = realloc(list->ranges, max * sizeof(blocklist_range_t));

        if (ranges == NULL) {
            snprintf(list->err, list->err_size, "no memory");
            return -1;
        }

        list->ranges = ranges;
        list->max = max;
    }

    list->ranges[list->n++] = *range;

    return 0;
}


static uint64_t
blocklist_le(const uint8_t *p, unsigned n)
{
    uint64_t  value;

    value = 0;

    while (n--) {
        value = value << 8 | p[n];
    }

    return value;
}
