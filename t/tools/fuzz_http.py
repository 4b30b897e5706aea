#!/usr/bin/python3

"""Says changed requests to a server and looks at what it answers.

fuzz_http.py KIND HOST:PORT IH PATH [--seconds N] [--seed N]

IH and PATH name a file that the server has.  Kinds:

    range       Range and If-Range of /data
    query       parameters of every route, and paths
    websocket   frames to /events, after its handshake
    metainfo    bodies of POST /metainfo
    upload      forms to /upload

Every answer must be one of HTTP, and none of it a 500, but where the DHT is
asked, which is off.  Prints a line of what was seen; ends with 1, and the
request, when an answer is wrong.
"""

import argparse
import collections
import random
import re
import socket
import sys
import time

from mutate import mutate

BOUNDARY = b'bound'
FORM = (b'--bound\r\nContent-Disposition: form-data; name="name"\r\n\r\nfz\r\n'
        b'--bound\r\nContent-Disposition: form-data; name="files"; '
        b'filename="d/a b.txt"\r\n\r\n0123456789\r\n'
        b'--bound\r\nContent-Disposition: form-data; '
        b'name="strip-top-directory"\r\n\r\n\r\n--bound--\r\n')
TORRENT = (b'd8:announce18:http://192.0.2.1/a13:announce-listll18:'
           b'http://192.0.2.1/aee7:comment1:c4:infod6:lengthi40000e4:name'
           b'5:a.bin12:piece lengthi16384e6:pieces60:' + b'x' * 60
           + b'e8:url-listl18:http://192.0.2.1/wee')


def head(method, target, *lines):
    return b'%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n' % (
        method, target, b''.join(x + b'\r\n' for x in lines))


def printable(value):
    """What a client could send in one line of a header."""

    return re.sub(rb'[\r\n\0]', b'', value)


def ranges(rng, ih, path):
    value = mutate(rng, rng.choice((
        b'bytes=0-9', b'bytes=-5', b'bytes=9-', b'bytes=0-1,4-5,-3',
        b'bytes=' + b','.join(b'%d-%d' % (i, i) for i in range(40)),
        b'bytes=9223372036854775806-9223372036854775807')))
    lines = [b'Range: ' + printable(value), b'Connection: close']

    if rng.random() < 0.3:
        lines.append(b'If-Range: ' + printable(mutate(rng, b'"%s"' % ih)))

    return head(rng.choice((b'GET', b'GET', b'HEAD')),
                b'/data?ih=%s&path=%s' % (ih, path), *lines)


def query(rng, ih, path):
    route = rng.choice((b'data', b'info', b'metainfo', b'fileState', b'events',
                        b'status', b'health', b'bep44', b'data/infohash/' + ih
                        + b'/' + path))
    args = rng.choice((
        b'ih=%s&path=%s&filename=x' % (ih, path),
        b'nowait=1&magnet=magnet%3A%3Fxt%3Durn%3Abtih%3A' + ih
        + b'%26tr%3Dhttp%253A%252F%252F192.0.2.1%252Fa%26x.pe%3D127.0.0.1%3A1'
        + b'&path=' + path,
        b'nowait=1&magnet=magnet:?xt=urn:btmh:1220' + ih + ih[:24],
        b'target=' + ih + b'&salt=x'))
    target = mutate(rng, b'/%s?%s' % (route, args))

    return head(b'GET', b'/' + re.sub(rb'[\0- ]', b'', target[1:]),
                b'Connection: close')


def post(target, kind, body):
    return head(b'POST', target, b'Content-Type: ' + kind,
                b'Content-Length: %d' % len(body), b'Connection: close') + body


def metainfo(rng, ih, path):
    return post(b'/metainfo?nowait=1&ih=' + ih, b'application/x-bittorrent',
                mutate(rng, TORRENT))


def upload(rng, ih, path):
    kind = b'multipart/form-data; boundary=bound'

    if rng.random() < 0.2:
        kind = printable(mutate(rng, kind))

    return post(b'/upload', kind, mutate(rng, FORM))


def frame(rng):
    opcode = rng.choice((0, 1, 2, 8, 9, 10, 3, 15))
    body = rng.randbytes(rng.choice((0, 1, 2, 125, 126, 300)))
    mask = rng.randbytes(4)
    n = len(body)
    size = bytes([0x80 | n]) if n < 126 else b'\xfe' + n.to_bytes(2, 'big')

    return bytes([0x80 | opcode]) + size + mask + bytes(
        c ^ mask[i % 4] for i, c in enumerate(body))


def websocket(rng, ih, path):
    lines = [b'Upgrade: websocket', b'Connection: Upgrade',
             b'Sec-WebSocket-Version: 13',
             b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']

    if rng.random() < 0.2:
        i = rng.randrange(len(lines))
        lines[i] = printable(mutate(rng, lines[i]))

    frames = b''.join(frame(rng) for _ in range(rng.randrange(1, 6)))

    return head(b'GET', b'/events?ih=' + ih, *lines) + mutate(rng, frames)


KINDS = {'range': ranges, 'query': query, 'metainfo': metainfo,
         'upload': upload, 'websocket': websocket}


def ask(address, request, wait):
    """
    The answer's first bytes; none if the server closed without a word.  wait:
    seconds after which one that keeps the connection has said enough.
    """

    with socket.create_connection(address, 10) as s:
        answer = b''

        try:
            s.sendall(request)

            while len(answer) < 65536:
                s.settimeout(wait if answer else 10)
                part = s.recv(65536)
                if not part:
                    break
                answer += part
        except ConnectionError:
            pass
        except TimeoutError:
            if not answer:
                raise

        return answer


def main():
    p = argparse.ArgumentParser()
    p.add_argument('kind', choices=KINDS)
    p.add_argument('address')
    p.add_argument('ih')
    p.add_argument('path')
    p.add_argument('--seconds', type=float, default=60)
    p.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    a = p.parse_args()

    host, port = a.address.split(':')
    rng = random.Random(a.seed)
    seen = collections.Counter()
    end = time.monotonic() + a.seconds

    while time.monotonic() < end:
        request = KINDS[a.kind](rng, a.ih.encode(), a.path.encode())

        try:
            answer = ask((host, int(port)), request,
                         0.02 if a.kind == 'websocket' else 10)
        except OSError as e:
            answer = repr(e).encode()

        m = re.match(rb'HTTP/1\.1 (\d\d\d) ', answer)
        status = m.group(1).decode() if m else ''

        failed = status == '500' and not answer.endswith(b'no dht servers\n')

        if (answer and not m) or failed:
            print('seed %d: %r\n%r' % (a.seed, request, answer[:400]))
            sys.exit(1)

        seen[status or 'closed'] += 1

    print(a.kind, sum(seen.values()), 'requests:', ', '.join(
        '%s %d' % x for x in sorted(seen.items())))


main()
