"""HTTP over a socket, with nothing made nicer on the way.

http.client normalises what some cases are about, and it cannot tell a server
that sends nothing from one that closes.
"""

import select
import socket
import time


class Response:
    """status: '200' and so on; 'blocks' if nothing came within the time,
    'closed' if the connection was closed before a status line.
    complete: whether the body came as a whole."""

    def __init__(self, status='blocks'):
        self.status = status
        self.headers = []
        self.body = b''
        self.complete = False
        self.framing = ''

    def header(self, name, default='none'):
        for k, v in self.headers:
            if k.lower() == name.lower():
                return v

        return default

    def text(self):
        return self.body.decode('utf-8', 'backslashreplace')


class Exchange:
    """A request that is under way."""

    def __init__(self, address, target, method='GET', headers=(), body=None,
                 host='localhost', version='1.1'):
        self.method = method
        self.data = b''
        self.eof = False
        self.sock = socket.create_connection(address, 10)

        lines = ['%s %s HTTP/%s' % (method, target, version),
                 'Host: ' + host, 'Connection: close']
        lines += ['%s: %s' % h for h in headers]

        if body is not None:
            lines.append('Content-Length: %d' % len(body))

        head = '\r\n'.join(lines).encode('latin-1') + b'\r\n\r\n'

        try:
            self.sock.sendall(head + (body or b''))
        except OSError:
            pass                    # it may answer before it has read all

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.sock.close()

    def more(self, end):
        """Reads what comes until then; false when there is no more."""

        left = end - time.monotonic()

        if self.eof or left <= 0 \
                or not select.select([self.sock], [], [], left)[0]:
            return False

        try:
            block = self.sock.recv(262144)
        except OSError:
            block = b''

        if not block:
            self.eof = True

        self.data += block

        return bool(block)

    def wait(self, seconds):
        """The response as far as it came within so many seconds."""

        end = time.monotonic() + seconds
        r = self.parse()

        while not r.complete and self.more(end):
            r = self.parse()

        return self.parse()

    def parse(self):
        r = Response()
        head, sep, body = self.data.partition(b'\r\n\r\n')

        if not sep:
            if self.eof:
                r.status = 'closed'
                r.body = self.data
            return r

        lines = head.decode('latin-1').split('\r\n')
        r.status = (lines[0].split(' ') + ['', ''])[1]
        r.headers = [tuple(s.strip() for s in line.partition(':')[::2])
                     for line in lines[1:]]
        # names and values are bytes; what is UTF-8 is shown so
        r.headers = [(k, v.encode('latin-1').decode('utf-8', 'replace'))
                     for k, v in r.headers]
        self.parse_body(r, body)

        return r

    def parse_body(self, r, body):
        length = r.header('Content-Length', '')

        if self.method == 'HEAD' or r.status in ('204', '304', '101'):
            r.body, r.complete = body, True
        elif r.header('Transfer-Encoding', '').lower() == 'chunked':
            r.framing = 'chunked'
            r.body, r.complete = dechunk(body)
        elif length.isdigit():
            r.framing = 'length'
            r.body = body
            r.complete = len(body) >= int(length)
        else:
            r.framing = 'close'
            r.body, r.complete = body, self.eof


def dechunk(b):
    out = []

    while True:
        line, sep, b = b.partition(b'\r\n')
        if not sep:
            return b''.join(out), False

        n = int(line.split(b';')[0], 16)
        if n == 0:
            return b''.join(out), True

        out.append(b[:n])
        if len(b) < n + 2:
            return b''.join(out), False

        b = b[n + 2:]
