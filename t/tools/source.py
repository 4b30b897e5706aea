#!/usr/bin/python3

"""A web server for what magnets name as sources, good and bad.

source.py DIR --listen IP:PORT...

    /file/NAME      a file of DIR
    /zip/NAME       the same, compressed, though nobody asked for it
    /hops/N/NAME    the same, after N redirects
    /to/URL         a redirect to an escaped URL
    /loop           a redirect to itself
    /hang           no answer
    /long           a Content-Length of 1 GiB, and no more
    /endless        bytes for as long as they are taken
    /headers        header lines for as long as they are taken

Anything else is 404.  Prints READY when it listens, then what happens:
"connect", "request PATH NAME: VALUE; ..." with the headers, "close PATH". It
stops when its input ends or on SIGTERM.
"""

import argparse
import asyncio
import gzip
import os
import sys
import urllib.parse


def say(text):
    print(text, flush=True)


def reply(status, *headers, body=b''):
    return ('HTTP/1.1 %s\r\n%s\r\n' % (status, ''.join(
        h + '\r\n' for h in ('Connection: close',) + headers))).encode() + body


def redirect(url):
    return reply('302 Found', 'Location: ' + url, 'Content-Length: 0')


def read(folder, name):
    try:
        with open(os.path.join(folder, os.path.basename(name)), 'rb') as f:
            return f.read()
    except OSError:
        return None


def answer(folder, path):
    """All of it, or None."""

    _, kind, *rest = path.split('/', 3)

    if kind == 'to':
        return redirect(urllib.parse.unquote(rest[0]))

    if kind == 'loop':
        return redirect('/loop')

    if kind == 'long':
        return reply('200 OK', 'Content-Length: 1073741824')

    if kind == 'hops' and rest[0] != '0':
        return redirect('/hops/%d/%s' % (int(rest[0]) - 1, rest[1]))

    body = read(folder, path) if kind in ('file', 'zip', 'hops') else None

    if body is None:
        return reply('404 Not Found', 'Content-Length: 0')

    if kind == 'zip':
        return reply('200 OK', 'Content-Encoding: gzip',
                     body=gzip.compress(body))

    return reply('200 OK', 'Content-Length: %d' % len(body), body=body)


async def pour(writer, head, chunk):
    writer.write(head)

    while True:
        writer.write(chunk)
        await writer.drain()


async def serve(folder, reader, writer):
    path = ''
    say('connect')

    try:
        head = (await reader.readuntil(b'\r\n\r\n')).decode().split('\r\n')
        path = head[0].split()[1]
        say('request %s %s' % (path, '; '.join(h for h in head[1:] if h)))

        if path == '/endless':
            await pour(writer, reply('200 OK'), b'x' * 65536)

        if path == '/headers':
            await pour(writer, b'HTTP/1.1 200 OK\r\n',
                       b'X-Header: ' + b'x' * 8000 + b'\r\n')

        if path != '/hang':
            writer.write(answer(folder, path))
            await writer.drain()

        if path not in ('/hang', '/long'):
            writer.write_eof()

        while await reader.read(65536):
            pass

    except (OSError, asyncio.IncompleteReadError):
        pass

    say('close ' + path)
    writer.close()


async def main():
    p = argparse.ArgumentParser()
    p.add_argument('folder')
    p.add_argument('--listen', nargs='+', required=True)
    a = p.parse_args()

    for address in a.listen:
        host, port = address.rsplit(':', 1)
        await asyncio.start_server(lambda r, w: serve(a.folder, r, w),
                                   host.strip('[]'), int(port))

    say('READY')

    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


asyncio.run(main())
