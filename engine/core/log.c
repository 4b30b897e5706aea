
#include "engine/core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/core/types.h"


void
engine_log(engine_t *engine, int level, int err, const char *fmt, ...)
{
    int      n;
    char     line[ENGINE_LOG_LEN];
    size_t   i, len;
    va_list  args;

    if (engine->conf.log == NULL) {
        return;
    }

    va_start(args, fmt);
    n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);

    len = (n < (int) sizeof(line)) ? (size_t) n : sizeof(line) - 1;

    if (err != 0) {
        n = snprintf(line + len, sizeof(line) - len, " (%d: %s)", err,
                     strerror(err));
        len += (n < (int) (sizeof(line) - len)) ? (size_t) n
                                                : sizeof(line) - len - 1;
    }

    /* names come from the network: no line of theirs is to look like ours */

    for (i = 0; i < len; i++) {
        if ((unsigned char) line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }

    engine->conf.log(engine->conf.ctx, level, line, len);
}


int64_t
engine_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
