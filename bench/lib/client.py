"""A HTTP client that tells when the first byte came."""

import re
import socket
import time


class Response:
    """The response to one GET on a connection of its own.

    status, headers (lower case names), length (of the body as told), first
    (seconds from the request to the first byte of the body), start (when the
    request was sent, by time.monotonic()).  The connection stays open for
    read() until close().
    """

    def __init__(self, address, uri, span=None, method='GET', timeout=60):
        self.first = None
        self.received = 0
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        try:
            self.start = time.monotonic()
            self.socket.sendall(request(uri, span, method))
            self.read_head()
            if method == 'HEAD':
                self.length = 0
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.socket.close()

    def read_head(self):
        data = b''

        while b'\r\n\r\n' not in data:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise RuntimeError('closed within the header')
            data += chunk

        head, self.rest = data.split(b'\r\n\r\n', 1)
        lines = head.decode('latin-1').split('\r\n')

        self.status = int(lines[0].split()[1])
        self.headers = dict(
            (name.lower(), value.strip()) for name, _, value
            in (line.partition(':') for line in lines[1:]))
        self.length = int(self.headers.get('content-length', -1))

    def read(self, size=1 << 18):
        """Some bytes of the body, b'' at its end."""
        if self.received == self.length:
            return b''

        data = self.rest or self.socket.recv(size)
        self.rest = b''

        if not data:
            raise RuntimeError('closed after %d of %d bytes'
                               % (self.received, self.length))

        if self.first is None:
            self.first = time.monotonic() - self.start

        self.received += len(data)

        return data

    def read_all(self):
        parts = []

        while True:
            data = self.read()
            if not data:
                return b''.join(parts)
            parts.append(data)


def request(uri, span=None, method='GET'):
    """span: the first and the last byte, or None as the last."""
    fields = ''

    if span:
        last = '' if span[1] is None else span[1]
        fields = 'Range: bytes=%d-%s\r\n' % (span[0], last)

    return ('%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n'
            % (method, uri, fields)).encode('latin-1')


def get(address, uri, span=None):
    """The body; an error unless it came with 200 or 206."""
    with Response(address, uri, span) as response:
        body = response.read_all()

        if response.status != (206 if span else 200):
            raise RuntimeError('%s: status %d, "%s"' % (
                uri, response.status,
                re.sub(rb'\s+', b' ', body[:80]).decode('latin-1')))

        return body


def head(address, uri):
    with Response(address, uri, method='HEAD') as response:
        if response.status != 200:
            raise RuntimeError('%s: status %d' % (uri, response.status))

        return response.headers
