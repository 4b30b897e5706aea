
#include "engine/parse/multipart.h"

#include <string.h>
#include <strings.h>

#include "engine/parse/mime_param.h"


/* What the next byte belongs to. */
enum {
    multipart_preamble = 0,
    multipart_after,            /* the byte after a delimiter */
    multipart_dash,             /* "-" after a delimiter */
    multipart_padding,          /* white space after a delimiter */
    multipart_lf,               /* the end of its line */
    multipart_header,
    multipart_data,
    multipart_unread,           /* a delimiter that was none: it is data */
    multipart_epilogue
};


static void multipart_line(multipart_t *m);
static multipart_event_e multipart_scan(multipart_t *m, const uint8_t **p,
    const uint8_t *last);
static int multipart_delimiter(multipart_t *m, uint8_t c);
static int multipart_header_byte(multipart_t *m, uint8_t c);
static int multipart_headers(multipart_t *m);
static int multipart_disposition(multipart_t *m, const uint8_t *p,
    const uint8_t *last);
static multipart_event_e multipart_fail(multipart_t *m, const char *error);


int
multipart_init(multipart_t *m, const uint8_t *type, size_t len)
{
    size_t                n;
    const uint8_t        *last;
    static const char     form[] = "multipart/form-data";

    n = sizeof(form) - 1;

    if (len < n
        || strncasecmp((const char *) type, form, n) != 0
        || (len > n && type[n] != ';' && type[n] != ' ' && type[n] != '\t'))
    {
        return -1;
    }

    last = type + len;

    memset(m, 0, sizeof(multipart_t));
    memcpy(m->delim, "\r\n--", 4);

    if (param_get(type + n, last, "boundary", (uint8_t *) m->delim + 4,
                  MULTIPART_BOUNDARY_MAX, &n)
        != 0)
    {
        m->error = "malformed boundary param in Content-Type";
        return -2;
    }

    if (n == 0) {
        m->error = "no multipart boundary param in Content-Type";
        return -2;
    }

    if (memchr(m->delim + 4, '\r', n) || memchr(m->delim + 4, '\0', n)) {
        m->error = "malformed boundary param in Content-Type";
        return -2;
    }

    m->delim_len = n + 4;

    /* the first delimiter needs no line end before it */
    multipart_line(m);

    return 0;
}


int
multipart_ended(const multipart_t *m)
{
    return m->state == multipart_epilogue;
}


multipart_event_e
multipart_next(multipart_t *m, const uint8_t **p, const uint8_t *last)
{
    int                 rc;
    multipart_event_e   event;

    while (*p < last || m->state == multipart_unread) {

        switch (m->state) {

        case multipart_preamble:
        case multipart_data:
            event = multipart_scan(m, p, last);

            if (event == MULTIPART_DATA && m->state == multipart_preamble) {
                continue;
            }

            if (event != MULTIPART_MORE) {
                return event;
            }

            break;

        case multipart_unread:
            /* the byte after it is looked at again */
            m->state = m->part ? multipart_data : multipart_preamble;
            m->data = (const uint8_t *) m->delim + m->ahead;
            m->data_len = m->delim_len - m->ahead;
            m->ahead = 0;

            if (!m->part) {
                continue;
            }

            return MULTIPART_DATA;

        case multipart_header:
            rc = multipart_header_byte(m, *(*p)++);

            if (rc < 0) {
                return MULTIPART_ERROR;
            }

            if (rc > 0) {
                /* a part may be empty: its end may follow at once */
                m->state = multipart_data;
                m->part = 1;
                multipart_line(m);
                return MULTIPART_PART;
            }

            break;

        case multipart_epilogue:
            *p = last;
            return MULTIPART_MORE;

        default:
            rc = multipart_delimiter(m, **p);

            if (rc < 0) {
                return multipart_fail(m, "malformed line of a boundary");
            }

            *p += rc;

            if (m->state == multipart_epilogue) {
                return MULTIPART_END;
            }

            break;
        }
    }

    return MULTIPART_MORE;
}


/*
 * A line begins: the line end that a delimiter begins with need not come.
 */
static void
multipart_line(multipart_t *m)
{
    m->match = 2;
    m->ahead = 2;
}


/*
 * Looks for the next delimiter.  What is surely data is an event; what may
 * turn out to be one is kept in m->match: as delim has one CR, which is its
 * first byte, nothing else need be kept.
 */
static multipart_event_e
multipart_scan(multipart_t *m, const uint8_t **p, const uint8_t *last)
{
    size_t          n;
    const uint8_t  *s, *found;

    s = *p;

    if (m->match != 0) {

        while (s < last && m->match < m->delim_len
               && *s == (uint8_t) m->delim[m->match])
        {
            s++;
            m->match++;
        }

        *p = s;

        if (m->match == m->delim_len) {
            m->match = 0;
            m->state = multipart_after;
            return MULTIPART_MORE;
        }

        if (s == last) {
            return MULTIPART_MORE;
        }

        m->data = (const uint8_t *) m->delim + m->ahead;
        m->data_len = m->match - m->ahead;
        m->match = 0;
        m->ahead = 0;

        return (m->data_len != 0) ? MULTIPART_DATA : MULTIPART_MORE;
    }

    found = memmem(s, last - s, m->delim, m->delim_len);

    if (found == NULL) {
        n = (size_t) (last - s) < m->delim_len - 1 ? (size_t) (last - s)
                                                   : m->delim_len - 1;
        found = memrchr(last - n, '\r', n);

        if (found != NULL && memcmp(found, m->delim, last - found) != 0) {
            found = NULL;
        }

        found = (found != NULL) ? found : last;
    }

    *p = found;

    if (found < last) {
        *p = found + 1;
        m->match = 1;
    }

    if (found == s) {
        return MULTIPART_MORE;
    }

    m->data = s;
    m->data_len = found - s;

    return MULTIPART_DATA;
}


/*
 * A byte after a delimiter; returns how many were consumed, or -1.
 */
static int
multipart_delimiter(multipart_t *m, uint8_t c)
{
    switch (m->state) {

    case multipart_after:

        if (c == '-') {
            m->state = multipart_dash;
            m->ahead = 0;
            return 1;
        }

        if (c != ' ' && c != '\t' && c != '\r') {

            /* the boundary is but the beginning of this line */

            m->state = multipart_unread;
            return 0;
        }

        m->state = multipart_padding;
        m->ahead = 0;
        return 0;

    case multipart_padding:

        if (c == '\r') {
            m->state = multipart_lf;
            return 1;
        }

        return (c == ' ' || c == '\t') ? 1 : -1;

    case multipart_lf:

        if (c != '\n') {
            return -1;
        }

        m->state = multipart_header;
        m->header_len = 0;
        return 1;

    default: /* multipart_dash */

        if (c != '-') {
            return -1;
        }

        m->state = multipart_epilogue;
        return 1;
    }
}


/*
 * Returns 1 when the header is complete, -1 if it is malformed.
 */
static int
multipart_header_byte(multipart_t *m, uint8_t c)
{
    size_t  n;

    if (m->header_len == MULTIPART_HEADER_MAX) {
        multipart_fail(m, "header of a part is too long");
        return -1;
    }

    m->header[m->header_len++] = c;
    n = m->header_len;

    if (c != '\n') {
        return 0;
    }

    if (n < 2 || m->header[n - 2] != '\r') {
        multipart_fail(m, "malformed header of a part");
        return -1;
    }

    if (n != 2 && (n < 4 || m->header[n - 3] != '\n')) {
        return 0;
    }

    m->header_len = n - 2;

    return (multipart_headers(m) == 0) ? 1 : -1;
}


static int
multipart_headers(multipart_t *m)
{
    uint8_t              *p, *end, *last;
    static const char     name[] = "Content-Disposition:";

    m->name_len = 0;
    m->filename_len = 0;

    p = m->header;
    last = p + m->header_len;

    while (p < last) {

        /* a line that begins with white space goes on with the one before */

        end = p;

        do {
            end = memchr(end, '\n', last - end);
            end = (end != NULL) ? end + 1 : last;

            if (end < last && (*end == ' ' || *end == '\t')) {
                end[-1] = ' ';
                end[-2] = ' ';
                continue;
            }

            break;

        } while (end < last);

        if (end - p < 2 || *p == ' ' || *p == '\t') {
            multipart_fail(m, "malformed header of a part");
            return -1;
        }

        if ((size_t) (end - p) > sizeof(name) - 1
            && strncasecmp((char *) p, name, sizeof(name) - 1) == 0)
        {
            return multipart_disposition(m, p + sizeof(name) - 1, end - 2);
        }

        p = end;
    }

    return 0;
}


static int
multipart_disposition(multipart_t *m, const uint8_t *p, const uint8_t *last)
{
    size_t              n;
    const uint8_t      *s;
    static const char   form[] = "form-data";

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    for (s = p; s < last && *s != ';' && *s != ' ' && *s != '\t'; s++) {
        /* void */
    }

    n = s - p;

    if (n != sizeof(form) - 1
        || strncasecmp((const char *) p, form, n) != 0)
    {
        return 0;       /* not a field of the form */
    }

    if (param_get(s, last, "name", m->name, sizeof(m->name), &m->name_len)
        != 0
        || param_get(s, last, "filename", m->filename, sizeof(m->filename),
                     &m->filename_len)
           != 0)
    {
        multipart_fail(m, "malformed Content-Disposition of a part");
        return -1;
    }

    return 0;
}


static multipart_event_e
multipart_fail(multipart_t *m, const char *error)
{
    m->error = error;

    return MULTIPART_ERROR;
}
