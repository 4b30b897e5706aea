
/*
 * multipart/form-data (RFC 7578), parsed as it comes: nothing but the header
 * of the present part is kept.
 *
 *      preamble
 *      --boundary            MULTIPART_PART    the header is complete
 *      header
 *                            MULTIPART_DATA    bytes of it, any number of times
 *      data
 *      --boundary            (the next PART, or END, says that it is over)
 *      ...
 *      --boundary--          MULTIPART_END
 *      epilogue
 *
 * Safe in any process and thread; a parser belongs to one of them.
 */

#ifndef _ENGINE_MULTIPART_H_INCLUDED_
#define _ENGINE_MULTIPART_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define MULTIPART_BOUNDARY_MAX  200     /* bytes; RFC 2046 has 70 */
#define MULTIPART_HEADER_MAX    16384   /* bytes of a part's header */
#define MULTIPART_TEXT_MAX      4096    /* bytes of a name or file name */


typedef enum {
    MULTIPART_ERROR = -1,   /* malformed: see error */
    MULTIPART_MORE,         /* all input was consumed */
    MULTIPART_PART,         /* a part begins: name, filename */
    MULTIPART_DATA,         /* data and data_len */
    MULTIPART_END
} multipart_event_e;


typedef struct {
    char          delim[MULTIPART_BOUNDARY_MAX + 5];   /* CR LF "--" boundary */
    size_t        delim_len;

    unsigned      state;
    size_t        match;        /* bytes of delim that have just been seen */
    size_t        ahead;        /* of these, not seen: a line begins here */
    unsigned      part;         /* within one */

    uint8_t       header[MULTIPART_HEADER_MAX];
    size_t        header_len;

    /* of the part; raw bytes, not terminated */
    uint8_t       name[MULTIPART_TEXT_MAX];
    size_t        name_len;
    uint8_t       filename[MULTIPART_TEXT_MAX];
    size_t        filename_len;

    /* of an event; valid until the next call */
    const uint8_t  *data;
    size_t          data_len;

    const char     *error;
} multipart_t;


/*
 * Takes the boundary out of a Content-Type.  Returns 0; -1 if it is not
 * multipart/form-data; -2 and a text in m->error if it has no boundary, or one
 * that cannot be.
 */
int multipart_init(multipart_t *m, const uint8_t *type, size_t len);

/*
 * Consumes input up to the next event; *p is set behind what was consumed.
 * After MULTIPART_END everything is consumed and ignored.
 */
multipart_event_e multipart_next(multipart_t *m, const uint8_t **p,
    const uint8_t *last);

/* Nonzero if MULTIPART_END was seen. */
int multipart_ended(const multipart_t *m);


#endif /* _ENGINE_MULTIPART_H_INCLUDED_ */
