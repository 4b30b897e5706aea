
/*
 * Lists of addresses that are not to be talked to, in the forms in use:
 *
 *      packed    confluence's packed-blocklist: a count, records of first and
 *                last address, descriptions
 *      P2P text  "description:1.2.3.4-5.6.7.8", a line each
 *      lines     "10.0.0.0/8", "2001:db8::/32", "192.0.2.1",
 *                "192.0.2.1-192.0.2.9"
 *
 * Text may have empty lines and comments that begin with "#".
 */

#ifndef _ENGINE_BLOCKLIST_H_INCLUDED_
#define _ENGINE_BLOCKLIST_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* Addresses in network order; those of IPv4 as ::ffff:a.b.c.d. */
typedef struct {
    uint8_t  first[16];
    uint8_t  last[16];      /* inclusive, not before the first */
} blocklist_range_t;


/*
 * Reads a list.
 *
 * ranges: to be freed with free(); NULL if there are none
 * err: what is wrong, with the number of the line or record
 * Returns 0, or -1 with a text in err.  Any thread; reads a file.
 */
int blocklist_read(const char *path, blocklist_range_t **ranges, size_t *n,
    char *err, size_t err_size);


#endif /* _ENGINE_BLOCKLIST_H_INCLUDED_ */
