
/*
 * Infohashes and magnet links as users write them (BEP 9, BEP 53's form of
 * v2 topics, BEP 52).  Plain parsing of one string: no allocation beyond the
 * result, any process, any thread.
 */

#ifndef _ENGINE_MAGNET_H_INCLUDED_
#define _ENGINE_MAGNET_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define MAGNET_ERROR_LEN  256


/* What names a torrent. */
typedef struct {
    uint8_t     ih[20];         /* v1, else v2 cut to 20 bytes */
    uint8_t     v2[32];
    uint8_t     has_v1;
    uint8_t     has_v2;
} magnet_hash_t;


typedef enum {
    MAGNET_TRACKER = 1,         /* tr, and tr.N */
    MAGNET_PEER,                /* x.pe */
    MAGNET_WEB_SEED,            /* ws */
    MAGNET_SOURCE,              /* xs, as, and with .N */
    MAGNET_NAME                 /* dn */
} magnet_param_e;


/*
 * Parses the value of "ih": 40 hex digits (v1, or v2 cut short: has_v1 and
 * has_v2 are both 0 then, only the swarm can tell), or 64 (v2).
 *
 * Returns 0, or -1 and a text in err (MAGNET_ERROR_LEN bytes, terminated):
 * "hash hex string has bad length: 3", "encoding/hex: invalid byte: U+007A
 * 'z'", "zero infohash".
 */
int magnet_parse_ih(magnet_hash_t *hash, const uint8_t *text, size_t len,
    char *err);

/*
 * Parses the name of an item of the DHT, 40 hex digits, to 20 bytes.  Returns
 * 0, or -1 and a text in err as above.
 */
int magnet_parse_target(uint8_t *target, const uint8_t *text, size_t len,
    char *err);

/*
 * Parses a magnet link, already decoded once by the query.  xt=urn:btih: in
 * hex or base32 (either case), xt=urn:btmh: in hex (1220...), xt.N too; the
 * first valid of each counts.
 *
 * Returns 0, or -1 and a text that begins with "parsing magnet: ".
 */
int magnet_parse(magnet_hash_t *hash, const uint8_t *text, size_t len,
    char *err);

/*
 * Walks over the other parameters that mean something.
 *
 * pos: 0 at first, carried from call to call
 * buf: takes the decoded value, terminated; one that does not fit, or has a
 *      zero byte or a control character in it, is passed over
 * Returns a magnet_param_e, or 0 at the end.
 */
int magnet_next(const uint8_t *text, size_t len, size_t *pos, char *buf,
    size_t size);


#endif /* _ENGINE_MAGNET_H_INCLUDED_ */
