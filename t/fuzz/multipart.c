
/*
 * Forms, whole and cut anywhere: the same comes of both.  The first line is
 * the Content-Type, the first byte after it where the body is cut.
 */

#include <string.h>

#include "engine/parse/multipart.h"
#include "fuzz.h"


#define LOG_SIZE  65536


typedef struct {
    uint8_t  text[LOG_SIZE];
    size_t   len;
} log_t;


static void parse(log_t *log, const uint8_t *type, size_t type_len,
    const uint8_t *body, size_t size, size_t step);
static void add(log_t *log, const uint8_t *data, size_t len);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t          step;
    static log_t    whole, cut;
    const uint8_t  *body;

    body = memchr(data, '\n', size);

    if (body == NULL || body + 1 == data + size) {
        return 0;
    }

    step = 1 + body[1] % 64;

    whole.len = 0;
    cut.len = 0;

    parse(&whole, data, body - data, body + 2, data + size - body - 2, size);
    parse(&cut, data, body - data, body + 2, data + size - body - 2, step);

    FUZZ_CHECK(whole.len == cut.len);
    FUZZ_CHECK(memcmp(whole.text, cut.text, whole.len) == 0);

    return 0;
}


static void
parse(log_t *log, const uint8_t *type, size_t type_len, const uint8_t *body,
    size_t size, size_t step)
{
    size_t              n;
    const uint8_t      *p, *last;
    multipart_event_e   event;
    static multipart_t  m;

    if (multipart_init(&m, type, type_len) != 0) {
        return;
    }

    for (p = body; p < body + size; /* void */ ) {
        n = body + size - p;
        last = p + (n < step ? n : step);

        do {
            event = multipart_next(&m, &p, last);

            FUZZ_CHECK(p <= last);

            switch (event) {

            case MULTIPART_PART:
                add(log, (const uint8_t *) "P", 1);
                add(log, m.name, m.name_len);
                add(log, m.filename, m.filename_len);
                break;

            case MULTIPART_DATA:
                FUZZ_CHECK(m.data_len != 0);
                add(log, m.data, m.data_len);
                break;

            case MULTIPART_END:
                add(log, (const uint8_t *) "E", 1);
                break;

            case MULTIPART_ERROR:
                FUZZ_CHECK(m.error != NULL);
                add(log, (const uint8_t *) "!", 1);
                return;

            default:
                break;
            }

        } while (event != MULTIPART_MORE && p < last);

        if (multipart_ended(&m)) {
            return;
        }
    }
}


static void
add(log_t *log, const uint8_t *data, size_t len)
{
    len = (len < LOG_SIZE - log->len) ? len : LOG_SIZE - log->len;

    memcpy(log->text + log->len, data, len);
    log->len += len;
}
