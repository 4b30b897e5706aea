#!/usr/bin/python3

"""Many connections at once, as commands on the standard input say.

crowd.py IP:PORT

    open N TARGET [NAME: VALUE]...   N connections that ask for TARGET; header
                                     fields are separated by tabs
    answers                          what came until now: "answers STATUS:N...",
                                     whole answers only; "open:N" are waited for
    leave [N]                        closes all, or the N that were opened last

Each command is answered by "ok COMMAND" when it is done; "open" is when all
requests were sent.  Stops when its standard input ends.
"""

import collections
import resource
import select
import socket
import sys


class Crowd:

    def __init__(self, address):
        host, port = address.rsplit(':', 1)

        self.address = (host, int(port))
        self.epoll = select.epoll()
        self.clients = {}
        self.answers = collections.Counter()

    def open(self, n, target, fields):
        request = ('GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n' % (
            target, ''.join(f + '\r\n' for f in fields))).encode()

        for i in range(n):
            s = socket.socket()
            # the ports of one address of ours do not suffice
            s.bind(('127.0.%d.%d' % (1 + len(self.clients) // 5000 % 250, 9),
                    0))
            s.connect(self.address)
            s.sendall(request)
            s.setblocking(False)
            self.clients[s.fileno()] = (s, bytearray())
            self.epoll.register(s.fileno(), select.EPOLLIN)

            if i % 64 == 0:
                self.turn(0)

    def turn(self, timeout):
        for fd, _ in self.epoll.poll(timeout):
            if fd == 0:
                return True

            self.take(fd)

        return False

    def take(self, fd):
        s, buf = self.clients[fd]

        try:
            data = s.recv(65536)
        except OSError:
            data = b''

        buf += data
        head = buf.find(b'\r\n\r\n')

        if data and not (head >= 0 and len(buf) >= head + 4 + length(buf)):
            return

        status = buf[9:12].decode() if data else 'cut'
        self.answers[status] += 1
        self.close(fd)

    def close(self, fd):
        self.epoll.unregister(fd)
        self.clients.pop(fd)[0].close()

    def leave(self, n):
        for fd in list(self.clients)[-n:]:
            self.close(fd)

    def run(self):
        self.epoll.register(0, select.EPOLLIN)

        while True:
            if not self.turn(-1):
                continue

            line = sys.stdin.readline()

            if not line:
                return

            line = line.rstrip('\n')
            words = line.split(' ', 2)

            if words[0] == 'open':
                target, *fields = words[2].split('\t')
                self.open(int(words[1]), target, fields)
            elif words[0] == 'leave':
                self.leave(int(words[1]) if words[1:] else 0)
            elif words[0] == 'answers':
                print('answers', *('%s:%d' % a for a in
                                   sorted(self.answers.items())),
                      'open:%d' % len(self.clients))

            print('ok', line, flush=True)


def length(buf):
    at = buf.lower().find(b'content-length:')

    return int(buf[at + 15:buf.find(b'\r', at)]) if at >= 0 else 0


limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
Crowd(sys.argv[1]).run()
