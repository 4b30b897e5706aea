
/*
 * Parameters of a MIME header's value (RFC 2045, RFC 2231).
 */

#ifndef _ENGINE_PARAM_H_INCLUDED_
#define _ENGINE_PARAM_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/*
 * Looks a parameter up in "; a=b; c=\"d\"".  Quotes are taken off; of the
 * backslashes in them those are taken off that escape something, not those of
 * a Windows path.  An encoded form (name*=UTF-8''a%20b, name*0=a; name*1=b)
 * wins over the plain one.
 *
 * dst: of size bytes, not terminated; *len is 0 if there is no such parameter
 * Returns 0, or -1 if the text is malformed, or the value longer than size.
 */
int param_get(const uint8_t *p, const uint8_t *last, const char *name,
    uint8_t *dst, size_t size, size_t *len);


#endif /* _ENGINE_PARAM_H_INCLUDED_ */
