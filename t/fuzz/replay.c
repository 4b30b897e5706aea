
/*
 * Runs inputs that are named on the command line, one after another: what
 * libFuzzer does without fuzzing, for compilers that have none.
 */

#include <stdio.h>

#include "fuzz.h"


#define REPLAY_MAX  (1024 * 1024)


int
main(int argc, char **argv)
{
    int       i;
    FILE     *f;
    size_t    n;
    uint8_t  *buf;

    for (i = 1; i < argc; i++) {
        f = fopen(argv[i], "rb");

        FUZZ_CHECK(f != NULL);

        buf = malloc(REPLAY_MAX);
        n = fread(buf, 1, REPLAY_MAX, f);
        fclose(f);

        /* exactly so large that a sanitizer sees what is read behind it */

        buf = realloc(buf, n ? n : 1);

        (void) LLVMFuzzerTestOneInput(buf, n);

        free(buf);
        printf("%s\n", argv[i]);
    }

    return 0;
}
