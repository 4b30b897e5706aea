
/*
 * Infohashes and magnet links: what a query says.
 */

#include <string.h>

#include "engine/parse/magnet.h"
#include "fuzz.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char           err[MAGNET_ERROR_LEN], value[256];
    size_t         pos, was;
    magnet_hash_t  hash;

    err[0] = '\0';

    if (magnet_parse_ih(&hash, data, size, err) != 0) {
        FUZZ_CHECK(err[0] != '\0' && memchr(err, '\0', sizeof(err)) != NULL);
    }

    err[0] = '\0';

    if (magnet_parse(&hash, data, size, err) != 0) {
        FUZZ_CHECK(memcmp(err, "parsing magnet: ", 16) == 0);
        FUZZ_CHECK(memchr(err, '\0', sizeof(err)) != NULL);

    } else {
        FUZZ_CHECK(hash.has_v1 || hash.has_v2);
    }

    pos = 0;
    was = 0;

    while (magnet_next(data, size, &pos, value, sizeof(value)) != 0) {
        FUZZ_CHECK(pos > was);
        FUZZ_CHECK(memchr(value, '\0', sizeof(value)) != NULL);
        was = pos;
    }

    return 0;
}
