"""Random changes of bytes, for fuzzers that speak to running servers."""

import random

NUMBERS = [b'0', b'-1', b'1', b'255', b'65536', b'2147483647', b'4294967295',
           b'9223372036854775807', b'18446744073709551616', b'00000000001']
ODD = [b'\0', b'\r\n', b'\n', b'%00', b'%', b'%2', b'%2F', b'..', b'/../', b'//',
       b'"', b'\\', b';', b',', b'-', b'=', b'&', b'+', b'#', b'?', b'\xff',
       b'\xc3\x28', b'A' * 300, b'{', b'%0d%0a', b'%ff', b':']


def change(rng, data):
    i = rng.randrange(len(data) + 1)
    j = min(len(data), i + rng.randrange(1, 9))
    what = rng.randrange(8)

    if what == 0:
        return data[:i] + data[j:]
    if what == 1:
        return data[:j] + data[i:]
    if what == 2:
        return data[:i] + rng.choice(ODD) + data[i:]
    if what == 3:
        return data[:i] + rng.choice(NUMBERS) + data[j:]
    if what == 4:
        return data[:i] + bytes([rng.randrange(256)]) + data[i + 1:]
    if what == 5 and i < len(data):
        return data[:i] + bytes([data[i] ^ 1 << rng.randrange(8)]) \
            + data[i + 1:]
    if what == 6:
        return data[:i] + rng.randbytes(rng.randrange(1, 5)) + data[j:]

    return data[:i] + data[i:j] * rng.randrange(2, 40) + data[j:]


def mutate(rng, data):
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        data = change(rng, data)

    return data
