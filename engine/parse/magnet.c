
#include "engine/parse/magnet.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>


#define MAGNET_V2_PREFIX  "1220"    /* multihash: SHA-256, 32 bytes */


typedef struct {
    const uint8_t  *key;
    size_t          key_len;
    const uint8_t  *value;
    size_t          value_len;
} magnet_pair_t;


static int magnet_pair(const uint8_t *text, size_t len, size_t *pos,
    magnet_pair_t *pair);
static int magnet_is_topic(const magnet_pair_t *pair);
static int magnet_topic(magnet_hash_t *hash, const magnet_pair_t *pair,
    char *err);
static int magnet_btih(magnet_hash_t *hash, const char *topic,
    const char *text, char *err);
static int magnet_btmh(magnet_hash_t *hash, const char *text);
static int magnet_scheme(const uint8_t *text, size_t len, char *err);
static int magnet_finish(magnet_hash_t *hash, char *err);
static int magnet_unescape(char *dst, size_t size, const uint8_t *src,
    size_t len);
static int magnet_hex(uint8_t *dst, const char *src, size_t n, size_t *bad);
static int magnet_base32(uint8_t *dst, const char *src);
static void magnet_bad_byte(char *err, int c);
static int magnet_digit(int c);
static int magnet_key_is(const magnet_pair_t *pair, const char *name,
    int numbered);


int
magnet_parse_ih(magnet_hash_t *hash, const uint8_t *text, size_t len,
    char *err)
{
    size_t   bad;
    uint8_t  bytes[32];

    memset(hash, 0, sizeof(magnet_hash_t));

    if (len != 40 && len != 64) {
        snprintf(err, MAGNET_ERROR_LEN, "hash hex string has bad length: %zu",
                 len);
        return -1;
    }

    if (magnet_hex(bytes, (const char *) text, len / 2, &bad) != 0) {
        magnet_bad_byte(err, text[bad]);
        return -1;
    }

    memcpy(hash->ih, bytes, 20);

    if (len == 64) {
        memcpy(hash->v2, bytes, 32);
        hash->has_v2 = 1;
    }

    return magnet_finish(hash, err);
}


int
magnet_parse_target(uint8_t *target, const uint8_t *text, size_t len,
    char *err)
{
    size_t  i, bad;

    for (i = 0; i < len; i++) {
        if (magnet_digit(text[i]) < 0) {
            magnet_bad_byte(err, text[i]);
            return -1;
        }
    }

    if (len % 2 != 0) {
        snprintf(err, MAGNET_ERROR_LEN, "encoding/hex: odd length hex string");
        return -1;
    }

    if (len != 40) {
        snprintf(err, MAGNET_ERROR_LEN, "target has bad length");
        return -1;
    }

    return magnet_hex(target, (const char *) text, 20, &bad);
}


int
magnet_parse(magnet_hash_t *hash, const uint8_t *text, size_t len, char *err)
{
    int            rc;
    char           why[MAGNET_ERROR_LEN];
    size_t         pos;
    magnet_pair_t  pair;

    memset(hash, 0, sizeof(magnet_hash_t));
    why[0] = '\0';

    if (magnet_scheme(text, len, err) != 0) {
        return -1;
    }

    pos = 0;

    while (magnet_pair(text, len, &pos, &pair)) {

        if (magnet_is_topic(&pair)) {
            rc = magnet_topic(hash, &pair, err);

            if (rc != 0 && why[0] == '\0') {
                memcpy(why, err, sizeof(why));
            }
        }
    }

    if (hash->has_v1 || hash->has_v2) {

        if (!hash->has_v1) {
            memcpy(hash->ih, hash->v2, 20);
        }

        if (magnet_finish(hash, why) == 0) {
            return 0;
        }
    }

    snprintf(err, MAGNET_ERROR_LEN, "parsing magnet: %.200s",
             (why[0] != '\0') ? why : "missing v1 infohash");

    return -1;
}


int
magnet_next(const uint8_t *text, size_t len, size_t *pos, char *buf,
    size_t size)
{
    int            type;
    magnet_pair_t  pair;

    while (magnet_pair(text, len, pos, &pair)) {

        if (magnet_key_is(&pair, "tr", 1)) {
            type = MAGNET_TRACKER;

        } else if (magnet_key_is(&pair, "x.pe", 0)) {
            type = MAGNET_PEER;

        } else if (magnet_key_is(&pair, "ws", 0)) {
            type = MAGNET_WEB_SEED;

        } else if (magnet_key_is(&pair, "xs", 1)
                   || magnet_key_is(&pair, "as", 1))
        {
            type = MAGNET_SOURCE;

        } else if (magnet_key_is(&pair, "dn", 0)) {
            type = MAGNET_NAME;

        } else {
            continue;
        }

        if (magnet_unescape(buf, size, pair.value, pair.value_len) > 0) {
            return type;
        }
    }

    return 0;
}


static int
magnet_scheme(const uint8_t *text, size_t len, char *err)
{
    size_t          n;
    const uint8_t  *colon;

    colon = (len != 0) ? memchr(text, ':', len) : NULL;

    if (colon == NULL || colon == text) {
        snprintf(err, MAGNET_ERROR_LEN,
                 "parsing magnet: unexpected scheme \"\"");
        return -1;
    }

    n = colon - text;

    if (n == 6 && strncasecmp((const char *) text, "magnet", 6) == 0) {
        return 0;
    }

    /* the text goes back to whoever sent it, as one line of plain text */

    for (n = 0; text + n < colon && n < 32; n++) {
        if (text[n] <= 0x20 || text[n] >= 0x7f || text[n] == '"') {
            break;
        }
    }

    snprintf(err, MAGNET_ERROR_LEN,
             "parsing magnet: unexpected scheme \"%.*s\"", (int) n, text);

    return -1;
}


/*
 * Takes the next key=value of the query part.
 */
static int
magnet_pair(const uint8_t *text, size_t len, size_t *pos, magnet_pair_t *pair)
{
    size_t          i, end;
    const uint8_t  *p;

    i = *pos;

    if (i == 0) {
        p = memchr(text, '?', len);

        if (p == NULL) {
            return 0;
        }

        i = p - text + 1;
    }

    while (i < len) {
        p = memchr(text + i, '&', len - i);
        end = (p != NULL) ? (size_t) (p - text) : len;

        p = memchr(text + i, '=', end - i);

        if (p != NULL) {
            pair->key = text + i;
            pair->key_len = p - pair->key;
            pair->value = p + 1;
            pair->value_len = text + end - pair->value;

            *pos = end + 1;
            return 1;
        }

        i = end + 1;
    }

    *pos = (i > len) ? i : len + 1;

    return 0;
}


static int
magnet_is_topic(const magnet_pair_t *pair)
{
    return magnet_key_is(pair, "xt", 1);
}


/*
 * Compares a key; numbered keys may end in .N.
 */
static int
magnet_key_is(const magnet_pair_t *pair, const char *name, int numbered)
{
    size_t  i, n;

    n = strlen(name);

    if (pair->key_len < n || memcmp(pair->key, name, n) != 0) {
        return 0;
    }

    if (pair->key_len == n) {
        return 1;
    }

    if (!numbered || pair->key[n] != '.' || pair->key_len == n + 1) {
        return 0;
    }

    for (i = n + 1; i < pair->key_len; i++) {
        if (pair->key[i] < '0' || pair->key[i] > '9') {
            return 0;
        }
    }

    return 1;
}


static int
magnet_topic(magnet_hash_t *hash, const magnet_pair_t *pair, char *err)
{
    char  topic[128];

    if (magnet_unescape(topic, sizeof(topic), pair->value, pair->value_len)
        < 0)
    {
        snprintf(err, MAGNET_ERROR_LEN, "error parsing v1 infohash: bad topic");
        return -1;
    }

    if (strncasecmp(topic, "urn:btih:", 9) == 0) {
        return hash->has_v1 ? 0 : magnet_btih(hash, topic, topic + 9, err);
    }

    if (strncasecmp(topic, "urn:btmh:", 9) == 0 && !hash->has_v2) {

        if (magnet_btmh(hash, topic + 9) != 0) {
            snprintf(err, MAGNET_ERROR_LEN,
                     "error parsing v2 infohash \"%.100s\": not a hex "
                     "multihash of SHA-256", topic);
            return -1;
        }
    }

    return 0;
}


static int
magnet_btih(magnet_hash_t *hash, const char *topic, const char *text,
    char *err)
{
    int      rc;
    size_t   len, bad;
    uint8_t  bytes[20];

    len = strlen(text);

    if (len != 40 && len != 32) {
        snprintf(err, MAGNET_ERROR_LEN,
                 "error parsing v1 infohash \"%.100s\": unhandled xt parameter "
                 "encoding (encoded length %zu)", topic, len);
        return -1;
    }

    rc = (len == 40) ? magnet_hex(bytes, text, 20, &bad)
                     : magnet_base32(bytes, text);

    if (rc != 0) {
        snprintf(err, MAGNET_ERROR_LEN,
                 "error parsing v1 infohash \"%.100s\": error decoding xt: "
                 "not %s", topic, (len == 40) ? "hex" : "base32");
        return -1;
    }

    memcpy(hash->ih, bytes, 20);
    hash->has_v1 = 1;

    return 0;
}


static int
magnet_btmh(magnet_hash_t *hash, const char *text)
{
    size_t   bad;
    uint8_t  bytes[32];

    if (strlen(text) != 4 + 64
        || strncmp(text, MAGNET_V2_PREFIX, 4) != 0
        || magnet_hex(bytes, text + 4, 32, &bad) != 0)
    {
        return -1;
    }

    memcpy(hash->v2, bytes, 32);
    hash->has_v2 = 1;

    return 0;
}


static int
magnet_finish(magnet_hash_t *hash, char *err)
{
    static const uint8_t  zero[20];

    if (memcmp(hash->ih, zero, 20) == 0) {
        snprintf(err, MAGNET_ERROR_LEN, "zero infohash");
        return -1;
    }

    return 0;
}


/*
 * Decodes %XX and '+'.  Returns the length, or -1 if the value is malformed,
 * does not fit, or has a control character in it.
 */
static int
magnet_unescape(char *dst, size_t size, const uint8_t *src, size_t len)
{
    int     c, high, low;
    size_t  i, n;

    n = 0;

    for (i = 0; i < len; i++) {
        c = src[i];

        if (c == '+') {
            c = ' ';

        } else if (c == '%') {
            high = (len - i > 2) ? magnet_digit(src[i + 1]) : -1;
            low = (len - i > 2) ? magnet_digit(src[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return -1;
            }

            c = high << 4 | low;
            i += 2;
        }

        if (c < 0x20 || c == 0x7f || n + 1 >= size) {
            return -1;
        }

        dst[n++] = c;
    }

    dst[n] = '\0';

    return n;
}


static int
magnet_hex(uint8_t *dst, const char *src, size_t n, size_t *bad)
{
    int     high, low;
    size_t  i;

    for (i = 0; i < n; i++) {
        high = magnet_digit((uint8_t) src[2 * i]);

        if (high < 0) {
            *bad = 2 * i;
            return -1;
        }

        low = magnet_digit((uint8_t) src[2 * i + 1]);

        if (low < 0) {
            *bad = 2 * i + 1;
            return -1;
        }

        dst[i] = high << 4 | low;
    }

    return 0;
}


static void
magnet_bad_byte(char *err, int c)
{
    snprintf(err, MAGNET_ERROR_LEN,
             (c >= 0x20 && c < 0x7f)
             ? "encoding/hex: invalid byte: U+%04X '%c'"
             : "encoding/hex: invalid byte: U+%04X", c, c);
}


static int
magnet_digit(int c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


/*
 * 32 characters of RFC 4648 base32 to 20 bytes; either case.
 */
static int
magnet_base32(uint8_t *dst, const char *src)
{
    int       c, v;
    size_t    i, n;
    unsigned  bits, have;

    bits = 0;
    have = 0;
    n = 0;

    for (i = 0; i < 32; i++) {
        c = src[i] | 0x20;

        if (c >= 'a' && c <= 'z') {
            v = c - 'a';

        } else if (src[i] >= '2' && src[i] <= '7') {
            v = src[i] - '2' + 26;

        } else {
            return -1;
        }

        bits = bits << 5 | v;
        have += 5;

        if (have >= 8) {
            have -= 8;
            dst[n++] = bits >> have;
        }
    }

    return 0;
}
