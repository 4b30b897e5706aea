
/*
 * What fuzzers share.  Each is a program of libFuzzer; t/stress/fuzz.t builds
 * and runs them, with what t/fuzz/seeds has of the same name.
 */

#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>


#define FUZZ_CHECK(x)  do { if (!(x)) { abort(); } } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


#endif /* _FUZZ_H_INCLUDED_ */
