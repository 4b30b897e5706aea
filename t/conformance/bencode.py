"""Bencoding, BEP 3."""


def encode(x):
    if isinstance(x, int):
        return b'i%de' % x
    if isinstance(x, str):
        x = x.encode()
    if isinstance(x, bytes):
        return b'%d:%s' % (len(x), x)
    if isinstance(x, (list, tuple)):
        return b'l' + b''.join(map(encode, x)) + b'e'

    return b'd' + b''.join(encode(k) + encode(x[k]) for k in sorted(x)) + b'e'


def decode(b, i=0, spans=None):
    """The value at i, and where it ends.

    spans: a dictionary that is given, for each key of dictionaries, where its
    value lies; of a key that occurs more than once, the outermost.
    """

    c = b[i:i + 1]

    if c == b'i':
        e = b.index(b'e', i)
        return int(b[i + 1:e]), e + 1

    if c == b'l':
        out = []
        i += 1
        while b[i:i + 1] != b'e':
            v, i = decode(b, i, spans)
            out.append(v)
        return out, i + 1

    if c == b'd':
        out = {}
        i += 1
        while b[i:i + 1] != b'e':
            k, i = decode(b, i)
            v, e = decode(b, i, spans)
            if spans is not None:
                spans[k] = (i, e)
            out[k] = v
            i = e
        return out, i + 1

    e = b.index(b':', i)
    n = int(b[i:e])

    if n < 0 or e + 1 + n > len(b):
        raise ValueError('a string ends early')

    return b[e + 1:e + 1 + n], e + 1 + n


def span(b, key):
    """The raw value of a key of a dictionary."""

    spans = {}
    decode(b, 0, spans)
    first, last = spans[key]

    return b[first:last]
