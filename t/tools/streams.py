#!/usr/bin/python3

"""HTTP clients that read at the same time and check every byte.

streams.py SPEC

SPEC is a JSON file: { "clients": [ CLIENT... ] } and what is the same for all
clients.  A CLIENT has

    address   IP:PORT of the server
    url       path and query
    file      what it must be, from "offset" (0) on, "size" bytes (to its end)
    first     the range that is asked for: of all of it, unless "first" or
    last      "last" is there
    random    [ MIN, MAX ]: ranges of such lengths at random places instead,
    seed      the same ones for the same seed
    rate      bytes per second at which it reads; as fast as it can otherwise
    rcvbuf    of its socket, bytes; 65536 if there is a rate
    until     goes away after so many bytes of the body
    start     seconds to wait before the first request
    repeat    how often, 1; 0: until told to stop
    timeout   seconds without a byte after which it gives up, 60
    headers   { NAME: VALUE }, of the request

Commands, a line each, on the standard input: "status" prints the report so
far as a line of JSON, "stop" ends repetition: what runs is read to its end.
The report is printed when all clients have ended, and the program ends when
its input does.

The report has counts of requests: "complete" (the right status and length,
every byte right), "cut" (ended early or timed out), "wrong" (bytes, length or
range), "status" (another status than 200 or 206), "refused" (no connection),
"left" (as "until" says); "bytes" that were right; "stall", the longest time
without a byte of a body that was being read; "first", the longest time from
connect to the first byte of a body; the 99th percentile of that, "first_p99";
"failed", a list of what was not complete: { client, url, range, why, what,
got, status, worker (the X-Worker header), at (time of day) }; "clients", the
same counts for each, with the "running" request's { got, worker } or null.
"""

import heapq
import json
import mmap
import os
import random
import selectors
import socket
import sys
import time

COUNTS = ('complete', 'cut', 'wrong', 'status', 'refused', 'left')
FAILED_MAX = 1000


def address_of(text):
    host, port = text.rsplit(':', 1)

    return host, int(port)


class Content:
    """A file that is mapped once, however many clients compare with it."""

    files = {}

    def __init__(self, path):
        with open(path, 'rb') as f:
            self.size = os.fstat(f.fileno()).st_size
            self.map = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) \
                if self.size else b''

    @classmethod
    def of(cls, path):
        if path not in cls.files:
            cls.files[path] = cls(path)

        return cls.files[path]


class Request:
    """One request of a client, from connect to its end."""

    def __init__(self, client, first, last):
        self.client = client
        self.first = first
        self.last = last
        self.head = b''
        self.body = False
        self.got = 0
        self.status = 0
        self.headers = {}
        self.begun = self.since = time.monotonic()
        self.sent = False

        self.sock = socket.socket()
        self.sock.setblocking(False)

        if client.rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                 client.rcvbuf)

        self.sock.connect_ex(client.address)

    def whole(self):
        return self.first == 0 and self.last == self.client.size - 1 \
            and not self.client.spec.get('random')

    def text(self):
        lines = ['GET %s HTTP/1.1' % self.client.spec['url'],
                 'Host: localhost', 'Connection: close']

        if not self.whole():
            lines.append('Range: bytes=%d-%d' % (self.first, self.last))

        for name, value in self.client.spec.get('headers', {}).items():
            lines.append('%s: %s' % (name, value))

        return ('\r\n'.join(lines) + '\r\n\r\n').encode()

    def take(self, data):
        """What came; returns (category, why) if that was the end."""

        if not self.body:
            self.head += data
            end = self.head.find(b'\r\n\r\n')

            if end < 0:
                return None

            data = self.head[end + 4:]
            refusal = self.parse(self.head[:end].decode('latin-1'))

            if refusal:
                return refusal

            self.body = True

        return self.check(data) if data else None

    def parse(self, head):
        lines = head.split('\r\n')
        self.status = int(lines[0].split()[1])

        for line in lines[1:]:
            name, value = line.split(':', 1)
            self.headers[name.lower()] = value.strip()

        if self.status != (200 if self.whole() else 206):
            return 'status', lines[0]

        if self.headers.get('content-length') \
                != str(self.last - self.first + 1):
            return 'wrong', 'Content-Length: %s' \
                % self.headers.get('content-length')

        if self.status == 206 and self.headers.get('content-range') \
                != 'bytes %d-%d/%d' % (self.first, self.last,
                                       self.client.size):
            return 'wrong', 'Content-Range: %s' \
                % self.headers.get('content-range')

        return None

    def check(self, data):
        now = time.monotonic()

        if self.got == 0:
            self.client.first_byte(now - self.begun)
        else:
            self.client.stall = max(self.client.stall, now - self.since)

        start = self.client.offset + self.first + self.got
        right = self.client.content.map[start:start + len(data)]

        if self.got + len(data) > self.last - self.first + 1:
            return 'wrong', 'more than Content-Length'

        if right != data:
            n = next(i for i in range(len(data)) if right[i] != data[i])
            return 'wrong', 'byte %d: %s instead of %s' % (
                self.first + self.got + n, data[n:n + 8].hex(),
                right[n:n + 8].hex())

        self.got += len(data)
        self.client.bytes += len(data)

        if self.got == self.last - self.first + 1:
            return 'complete', ''

        if self.got >= self.client.until:
            return 'left', ''

        return None


class Client:
    def __init__(self, pool, number, spec):
        self.pool = pool
        self.number = number
        self.spec = spec
        self.address = address_of(spec['address'])
        self.content = Content.of(spec['file'])
        self.offset = spec.get('offset', 0)
        self.size = spec.get('size', self.content.size - self.offset)
        self.rate = spec.get('rate', 0)
        self.rcvbuf = spec.get('rcvbuf', 65536 if self.rate else 0)
        self.until = spec.get('until', self.size + 1)
        self.timeout = spec.get('timeout', 60)
        self.remaining = spec.get('repeat', 1) or -1
        self.random = random.Random(spec.get('seed', number))
        self.counts = dict.fromkeys(COUNTS, 0)
        self.bytes = 0
        self.stall = 0
        self.first = 0
        self.request = None
        self.chunk = 262144

        if self.rate:
            self.chunk = max(4096, min(65536, int(self.rate / 10)))

    def first_byte(self, seconds):
        self.first = max(self.first, seconds)
        self.pool.firsts.append(seconds)

    def range(self):
        if 'random' in self.spec:
            least, most = self.spec['random']
            length = min(self.random.randint(least, most), self.size)
            first = self.random.randint(0, self.size - length)

            return first, first + length - 1

        return self.spec.get('first', 0), \
            min(self.spec.get('last', self.size - 1), self.size - 1)

    def begin(self):
        if self.remaining == 0 or self.pool.stopped:
            self.pool.running -= 1
            return

        self.remaining -= 1
        self.request = Request(self, *self.range())
        self.pool.selector.register(self.request.sock,
                                    selectors.EVENT_WRITE, self)

    def end(self, category, why):
        r = self.request
        self.request = None

        if r.sock.fileno() in self.pool.selector.get_map():
            self.pool.selector.unregister(r.sock)

        r.sock.close()
        self.counts[category] += 1

        if category not in ('complete', 'left') \
                and len(self.pool.failed) < FAILED_MAX:
            self.pool.failed.append({
                'client': self.number,
                'url': self.spec['url'],
                'range': [r.first, r.last],
                'what': category,
                'why': why,
                'got': r.got,
                'status': r.status,
                'worker': r.headers.get('x-worker', ''),
                'at': time.time(),
            })

        # whoever was refused need not hurry
        self.pool.later(self.begin, 0.1 if category == 'refused' else 0)

    def ready(self):
        r = self.request

        if not r.sent:
            error = r.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

            if error:
                self.end('refused', os.strerror(error))
                return

            try:
                r.sock.send(r.text())
            except OSError as e:
                self.end('refused', str(e))
                return

            r.sent = True
            self.pool.selector.modify(r.sock, selectors.EVENT_READ, self)
            return

        try:
            data = r.sock.recv(self.chunk)
        except BlockingIOError:
            return
        except OSError as e:
            self.end('cut', str(e))
            return

        if not data:
            self.end('cut', 'end of file')
            return

        result = r.take(data)

        if result:
            self.end(*result)
            return

        r.since = time.monotonic()

        if self.rate:
            pause = r.begun + r.got / self.rate - r.since

            if pause > 0:
                self.pool.selector.unregister(r.sock)
                self.pool.later(lambda: self.resume(r), pause)

    def resume(self, r):
        if self.request is r:
            r.since = time.monotonic()
            self.pool.selector.register(r.sock, selectors.EVENT_READ, self)

    def expire(self, now):
        r = self.request

        if r and now - r.since > self.timeout \
                and r.sock.fileno() in self.pool.selector.get_map():
            self.end('cut' if r.sent else 'refused', 'timed out')

    def report(self):
        r = self.request

        return dict(self.counts, bytes=self.bytes, stall=self.stall,
                    first=self.first, running=r and {
                        'got': r.got,
                        'worker': r.headers.get('x-worker', ''),
                    })


class Pool:
    def __init__(self, spec):
        self.selector = selectors.DefaultSelector()
        self.timers = []
        self.timers_n = 0
        self.failed = []
        self.firsts = []
        self.stopped = False
        self.clients = [Client(self, n, {**spec, **c})
                        for n, c in enumerate(spec['clients'])]
        self.running = len(self.clients)

        for client in self.clients:
            self.later(client.begin, client.spec.get('start', 0))

    def later(self, function, seconds):
        self.timers_n += 1
        heapq.heappush(self.timers, (time.monotonic() + seconds,
                                     self.timers_n, function))

    def report(self):
        clients = [c.report() for c in self.clients]
        total = {name: sum(c[name] for c in clients)
                 for name in COUNTS + ('bytes',)}
        firsts = sorted(self.firsts)

        total['stall'] = max((c['stall'] for c in clients), default=0)
        total['first'] = firsts[-1] if firsts else 0
        total['first_p99'] = firsts[len(firsts) * 99 // 100] if firsts else 0
        total['failed'] = self.failed
        total['clients'] = clients

        return json.dumps(total)

    def command(self):
        text = os.read(0, 4096).decode()

        if not text:
            os._exit(0)

        for word in text.split():
            if word == 'stop':
                self.stopped = True
            elif word == 'status':
                print(self.report(), flush=True)

    def run(self):
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ)
        checked = time.monotonic()

        while self.running:
            now = time.monotonic()

            # those that are due now; what they set is for the next turn
            last = self.timers_n

            while self.timers and self.timers[0][0] <= now \
                    and self.timers[0][1] <= last:
                heapq.heappop(self.timers)[2]()

            wait = 1

            if self.timers:
                wait = max(0, min(wait, self.timers[0][0] - now))

            for key, _ in self.selector.select(wait):
                if key.data:
                    key.data.ready()
                else:
                    self.command()

            if now - checked > 1:
                checked = now

                for client in self.clients:
                    client.expire(now)

        print(self.report(), flush=True)


def main():
    with open(sys.argv[1]) as f:
        spec = json.load(f)

    Pool(spec).run()


main()
