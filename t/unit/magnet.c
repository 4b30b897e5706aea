
/* Infohashes and magnet links as users write them. */

#include <string.h>

#include "engine/parse/magnet.h"
#include "tap.h"


#define V1  "018fa960a3c86270661fe27cb2dc21102fa3bc59"
#define B32 "AGH2SYFDZBRHAZQ74J6LFXBBCAX2HPCZ"
#define V2  "1220" V1 "00112233445566778899aabb"


static int parse(magnet_hash_t *hash, const char *text);
static int is_v1(const char *text);
static int fails(const char *text, const char *why);
static int fails_ih(const char *text, const char *why);
static void test_params(void);


static const uint8_t  v1[20] = {
    0x01, 0x8f, 0xa9, 0x60, 0xa3, 0xc8, 0x62, 0x70, 0x66, 0x1f,
    0xe2, 0x7c, 0xb2, 0xdc, 0x21, 0x10, 0x2f, 0xa3, 0xbc, 0x59
};


int
main(void)
{
    magnet_hash_t  hash;

    ok(is_v1("magnet:?xt=urn:btih:" V1), "hex");
    ok(is_v1("MAGNET:?dn=x&xt=urn:btih:" V1), "scheme in capitals");
    ok(is_v1("magnet:?xt=urn:btih:" B32), "base32");
    ok(is_v1("magnet:?xt=urn:btih:agh2syfdzbrhazq74j6lfxbbcax2hpcz"),
       "base32, lower case");
    ok(is_v1("magnet:?xt=urn%3Abtih%3A" V1), "escaped topic");
    ok(is_v1("magnet:?xt.1=urn:btih:" V1), "numbered topic");
    ok(is_v1("magnet:?xt=urn:btih:xyz&xt=urn:btih:" V1), "a later valid one");

    ok(parse(&hash, "magnet:?xt=urn:btmh:" V2) == 0
       && hash.has_v2 && !hash.has_v1
       && memcmp(hash.ih, v1, 20) == 0
       && hash.v2[31] == 0xbb,
       "v2 alone");

    ok(parse(&hash, "magnet:?xt=urn:btmh:" V2 "&xt=urn:btih:"
             "1111111111111111111111111111111111111111") == 0
       && hash.has_v2 && hash.has_v1 && hash.ih[0] == 0x11,
       "hybrid: v1 names it");

    ok(fails("http://x/", "parsing magnet: unexpected scheme \"http\""),
       "other scheme");
    ok(fails("", "parsing magnet: unexpected scheme \"\""), "empty");
    ok(fails("magnet:", "parsing magnet: missing v1 infohash"), "no query");
    ok(fails("magnet:?dn=x", "parsing magnet: missing v1 infohash"),
       "no topic");
    ok(fails("magnet:?xt=urn:btih:xyz",
             "parsing magnet: error parsing v1 infohash \"urn:btih:xyz\": "
             "unhandled xt parameter encoding (encoded length 3)"),
       "odd length");
    ok(fails("magnet:?xt=urn:btih:"
             "0000000000000000000000000000000000000000",
             "parsing magnet: zero infohash"),
       "zero infohash");
    ok(fails("magnet:?xt=urn:btih:AAAA====AAAA====AAAA====AAAA====",
             "parsing magnet: error parsing v1 infohash"),
       "padded base32");
    ok(fails("magnet:?xt=urn:btmh:1220abcd",
             "parsing magnet: error parsing v2 infohash"),
       "short multihash");

    ok(magnet_parse_ih(&hash, (uint8_t *) V1, 40, (char[256]) { 0 }) == 0
       && memcmp(hash.ih, v1, 20) == 0 && !hash.has_v1 && !hash.has_v2,
       "ih of 40 digits");
    ok(magnet_parse_ih(&hash, (uint8_t *) V2 + 4, 64, (char[256]) { 0 }) == 0
       && hash.has_v2,
       "ih of 64 digits");
    ok(fails_ih("abc", "hash hex string has bad length: 3"), "short ih");
    ok(fails_ih("z18fa960a3c86270661fe27cb2dc21102fa3bc59",
                "encoding/hex: invalid byte: U+007A 'z'"),
       "ih with a letter that is no digit");
    ok(fails_ih("0000000000000000000000000000000000000000", "zero infohash"),
       "zero ih");

    test_params();

    return done_testing();
}


static int
parse(magnet_hash_t *hash, const char *text)
{
    char  err[MAGNET_ERROR_LEN];

    return magnet_parse(hash, (const uint8_t *) text, strlen(text), err);
}


static int
is_v1(const char *text)
{
    magnet_hash_t  hash;

    return parse(&hash, text) == 0
           && hash.has_v1
           && memcmp(hash.ih, v1, 20) == 0;
}


static int
fails(const char *text, const char *why)
{
    char           err[MAGNET_ERROR_LEN];
    magnet_hash_t  hash;

    return magnet_parse(&hash, (const uint8_t *) text, strlen(text), err) != 0
           && strncmp(err, why, strlen(why)) == 0;
}


static int
fails_ih(const char *text, const char *why)
{
    char           err[MAGNET_ERROR_LEN];
    magnet_hash_t  hash;

    return magnet_parse_ih(&hash, (const uint8_t *) text, strlen(text), err)
           != 0
           && strcmp(err, why) == 0;
}


static void
test_params(void)
{
    char         buf[32];
    size_t       pos, len;
    const char  *text;

    text = "magnet:?xt=urn:btih:" V1
           "&tr=http%3A%2F%2Ft%2Fa&tr.1=udp://t:1"
           "&dn=a+b&so=0-2&ws=http://w/&x.pe=127.0.0.1:5"
           "&xs=http%3a//x/&as.2=urn:x&xs.=a&as.b=c"
           "&tr=http%3A%2F%2Fx%0A&tr=%zz&tr=&tr=0123456789012345678901234567890"
           "12345&tr=last";
    len = strlen(text);
    pos = 0;

    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_TRACKER && strcmp(buf, "http://t/a") == 0,
       "tracker, decoded");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_TRACKER && strcmp(buf, "udp://t:1") == 0,
       "numbered tracker");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_NAME && strcmp(buf, "a b") == 0,
       "name");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_WEB_SEED && strcmp(buf, "http://w/") == 0,
       "web seed");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_PEER && strcmp(buf, "127.0.0.1:5") == 0,
       "peer");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_SOURCE && strcmp(buf, "http://x/") == 0,
       "exact source");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_SOURCE && strcmp(buf, "urn:x") == 0,
       "acceptable source, numbered");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf))
       == MAGNET_TRACKER && strcmp(buf, "last") == 0,
       "control characters, bad escapes, empty and long values are passed "
       "over");
    ok(magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf)) == 0
       && magnet_next((uint8_t *) text, len, &pos, buf, sizeof(buf)) == 0,
       "the end");
}
