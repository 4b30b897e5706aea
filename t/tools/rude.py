#!/usr/bin/python3

"""HTTP clients of one bad habit, one after another or many at once.

rude.py KIND IP:PORT TARGET FILE [--seconds N] [--seed N]

TARGET is what FILE is served as; what is read is compared with it.

    abort     asks for anything, leaves at any moment, mostly by a reset
    storm     ten to a thousand ranges, far, near or overlapping
    seek      another place ten times a second
    loris     200 connections that send a byte of the header a second
    stop      50 that read the beginning of the answer, and then nothing
    h2        HTTP/2 without TLS: 100 streams at once on a connection
    reset     the same, but streams are reset as soon as they are opened

Prints how often it did, and ends with 1 if a byte was wrong.
"""

import argparse
import random
import re
import socket
import struct
import sys
import time

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = \
    0, 1, 3, 4, 6, 7, 8


class Wrong(Exception):
    pass


def check(right, what):
    if not right:
        raise Wrong(what)


class Rude:
    def __init__(self, a):
        host, port = a.address.split(':')
        self.address = (host, int(port))
        self.target = a.target
        self.rng = random.Random(a.seed)
        self.end = time.monotonic() + a.seconds
        self.seconds = a.seconds

        with open(a.file, 'rb') as f:
            self.content = f.read()

        self.size = len(self.content)

    def going(self):
        return time.monotonic() < self.end

    def connect(self, request=b''):
        s = socket.create_connection(self.address, 30)
        s.sendall(request)

        return s

    def range(self, most):
        first = self.rng.randrange(self.size)
        last = first + self.rng.randrange(most)

        return first, min(last, self.size - 1)

    def get(self, *ranges):
        spec = ','.join('%d-%d' % r for r in ranges)

        return ('GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n'
                'Range: bytes=%s\r\n\r\n' % (self.target, spec)).encode()

    def abort(self):
        s = self.connect(self.get(self.range(self.size)))

        if self.rng.random() < 0.8:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack('ii', 1, 0))

        time.sleep(self.rng.random() * 0.02)

        for _ in range(self.rng.randrange(4)):
            s.recv(self.rng.randrange(1, 100000))

        s.close()

    def storm(self):
        around = self.rng.randrange(self.size - 3000)
        ranges = self.rng.choice((
            lambda i: self.range(200),
            lambda i: (around + 3 * i, around + 3 * i + 1),
            lambda i: (around - around % 50, self.size - 1 - i),
        ))

        n = self.rng.choice((10, 100, 1000))

        with self.connect(self.get(*map(ranges, range(n)))) as s:
            answer = s.makefile('rb').read()

        head, body = answer.split(b'\r\n\r\n', 1)
        status = head[9:12]
        check(status in (b'200', b'206', b'416'), head)

        if status == b'200':
            check(body == self.content, 'the whole')
        elif b'multipart' in head:
            self.parts(head, body)

    def parts(self, head, body):
        boundary = re.search(rb'boundary=(\S+)', head).group(1)
        parts = body.split(b'\r\n--' + boundary)
        check(parts[-1] == b'--\r\n', 'the last boundary')

        for part in parts[1:-1]:
            fields, data = part.split(b'\r\n\r\n', 1)
            first, last = map(int, re.search(
                rb'bytes (\d+)-(\d+)/', fields).groups())
            check(data == self.content[first:last + 1], fields)

    def seek(self):
        time.sleep(0.1)
        first, _ = self.range(1)

        with self.connect(self.get((first, self.size - 1))) as s:
            answer = b''

            while len(answer) < 20000:
                data = s.recv(16384)

                if not data:
                    break

                answer += data

        head, body = answer.split(b'\r\n\r\n', 1)
        check(body == self.content[first:first + len(body)], head)

    def loris(self):
        clients = [self.connect() for _ in range(200)]

        for c in self.get((0, 0)):
            if not self.going():
                break

            time.sleep(1)

            for s in clients:
                try:
                    s.send(bytes([c]))
                except OSError:
                    pass

        for s in clients:
            s.close()

    def stop(self):
        clients = [self.connect(self.get((0, self.size - 1)))
                   for _ in range(50)]

        for s in clients:
            s.recv(1000)

        time.sleep(min(10, self.seconds))

        for s in clients:
            s.close()

    def h2(self):
        with self.connect(greeting()) as s:
            want = {}

            for i in range(100):
                want[2 * i + 1] = self.range(100000)
                s.sendall(request(self.target, 2 * i + 1, want[2 * i + 1]))

            got = dict.fromkeys(want, b'')
            stream = s.makefile('rb')
            ended = 0

            while ended < len(want):
                kind, flags, number, data = frame_of(stream)

                check(kind not in (RST_STREAM, GOAWAY), (kind, data))

                if kind == DATA:
                    got[number] += data

                if kind in (DATA, HEADERS) and flags & 1:
                    ended += 1

        for number, (first, last) in want.items():
            check(got[number] == self.content[first:last + 1], first)

    def reset(self):
        with self.connect(greeting()) as s:
            try:
                for i in range(1000):
                    number = 2 * i + 1
                    s.sendall(request(self.target, number,
                                      self.range(self.size))
                              + frame(RST_STREAM, 0, number,
                                      struct.pack('>I', 8)))
            except OSError:
                pass


def frame(kind, flags, number, data):
    return struct.pack('>I', len(data))[1:] \
        + struct.pack('>BBI', kind, flags, number) + data


def frame_of(stream):
    head = stream.read(9)
    check(len(head) == 9, 'connection was closed')
    n = int.from_bytes(head[:3], 'big')
    kind, flags, number = struct.unpack('>BBI', head[3:])

    return kind, flags, number, stream.read(n)


def greeting():
    """Windows that no answer fills."""

    return PREFACE \
        + frame(SETTINGS, 0, 0, struct.pack('>HI', 4, (1 << 31) - 1)) \
        + frame(WINDOW_UPDATE, 0, 0, struct.pack('>I', (1 << 30)))


def request(target, number, first_last):
    fields = ((':method', 'GET'), (':scheme', 'http'), (':path', target),
              (':authority', 'localhost'),
              ('range', 'bytes=%d-%d' % first_last))

    return frame(HEADERS, 5, number, b''.join(
        b'\0' + text(name) + text(value) for name, value in fields))


def text(s):
    """HPACK, RFC 7541: as it is, with its length in a prefix of 7 bits."""

    n = len(s)

    if n < 127:
        return bytes([n]) + s.encode()

    n -= 127
    size = b'\x7f'

    while n >= 128:
        size += bytes([n % 128 + 128])
        n //= 128

    return size + bytes([n]) + s.encode()


def main():
    p = argparse.ArgumentParser()
    p.add_argument('kind', choices=('abort', 'storm', 'seek', 'loris', 'stop',
                                    'h2', 'reset'))
    p.add_argument('address')
    p.add_argument('target')
    p.add_argument('file')
    p.add_argument('--seconds', type=float, default=30)
    p.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    a = p.parse_args()

    rude = Rude(a)
    n = 0

    while rude.going():
        try:
            getattr(rude, a.kind)()
        except ConnectionError:
            # those who are rude are sent away
            if a.kind not in ('abort', 'loris', 'reset'):
                raise
        except Wrong as e:
            print('seed %d: %s' % (a.seed, e))
            sys.exit(1)

        n += 1

    print(a.kind, n)


main()
