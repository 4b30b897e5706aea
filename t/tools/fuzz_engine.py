#!/usr/bin/python3

"""An engine that says anything, and clients that ask for it.

fuzz_engine.py DIR HOST:PORT IH [--seconds N] [--seed N]

Takes the lock and the control socket of the cache directory DIR when
its engine is dead, and answers workers with messages that are well-formed at
first and then changed.  IH names a torrent that is in the cache.  Prints
WAITING, READY when workers are connected, and in the end how much was said.
"""

import argparse
import fcntl
import os
import random
import select
import socket
import struct
import tempfile
import threading
import time

from mutate import change

FORMAT = '<HHHHIIQQ20sI'
SIZE = struct.calcsize(FORMAT)

HELLO, WELCOME, HOLD, READ, RELEASE, READY, WAKE, FAIL, CALL, REPLY, EVICTED, \
    CHANGED, TAKEOVER, STAGE, STAGED = range(1, 16)


def message(kind, tag=0, status=0, flags=0, arg0=0, arg1=0, ih=bytes(20),
            body=b''):
    return struct.pack(FORMAT, kind, 0, flags, status, tag, len(body), arg0,
                       arg1, ih, 0) + body


class Engine:

    def __init__(self, directory, ih, rng):
        self.rng = rng
        self.ih = ih
        self.tags = [1]
        self.workers = []
        self.said = 0
        self.file = tempfile.TemporaryFile()
        self.file.write(b'x' * 1000)
        self.file.flush()

        self.lock = open(directory + '/lock', 'r+b')

        # who waits gets it before an engine that tries again
        print('WAITING', flush=True)
        fcntl.flock(self.lock, fcntl.LOCK_EX)

        path = directory + '/engine.sock'

        if os.path.exists(path):
            os.unlink(path)

        self.listen = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listen.bind(path)
        self.listen.listen(16)

    def answer(self):
        """A message, and whether a descriptor goes with it."""

        rng = self.rng
        tag = rng.choice(self.tags[-20:])
        ih = rng.choice((self.ih, rng.randbytes(20)))
        kind = rng.choice((READY, WAKE, FAIL, REPLY, REPLY, EVICTED, CHANGED,
                           STAGED, WELCOME))

        if kind == REPLY and rng.random() < 0.3:
            return message(REPLY, tag, 200, arg0=1000), True
        if kind in (REPLY, FAIL):
            return message(kind, tag, rng.choice((200, 202, 404, 500, 507, 0,
                                                  99, 600, 65535)),
                           body=rng.randbytes(rng.choice((0, 5, 300)))), False
        if kind == CHANGED:
            return message(kind, ih=ih, body=rng.randbytes(
                rng.choice((0, 3, 4, 400)))), False
        if kind == WELCOME:
            return message(kind, arg0=1), False

        return message(kind, rng.choice((0, tag, tag)), ih=ih,
                       arg0=rng.choice((0, 1, 1 << 32, 1 << 63))), False

    def say(self, worker):
        data, fd = self.answer()

        if not fd and self.rng.random() < 0.4:
            data = change(self.rng, data)

        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                   struct.pack('i', self.file.fileno()))] if fd else []

        worker.sendmsg([data or b'x'], rights, socket.MSG_DONTWAIT)
        self.said += 1

    def take(self, worker):
        data, rights, _, _ = worker.recvmsg(1 << 17, socket.CMSG_SPACE(64))

        for _, _, fds in rights:
            for (fd,) in struct.iter_unpack('i', fds[:len(fds) // 4 * 4]):
                os.close(fd)

        if not data:
            raise ConnectionError

        fields = struct.unpack(FORMAT, data[:SIZE])

        if fields[0] == HELLO:
            worker.send(message(WELCOME, arg0=1))
        elif fields[0] in (HOLD, CALL, STAGE):
            self.tags.append(fields[4])

    def turn(self):
        ready, _, _ = select.select([self.listen] + self.workers, [], [], 0.01)

        if self.listen in ready:
            self.workers.append(self.listen.accept()[0])
            ready.remove(self.listen)

        for worker in list(self.workers):
            try:
                if worker in ready:
                    self.take(worker)
                    self.say(worker)
                elif self.rng.random() < 0.5:
                    self.say(worker)
            except BlockingIOError:
                pass
            except OSError:
                self.workers.remove(worker)
                worker.close()


def clients(address, ih, stop, count):
    """Requests one after another, whatever comes of them."""

    hosts = ('%040x' % random.getrandbits(160) for _ in iter(int, 1))

    while not stop.is_set():
        route = random.choice(('data', 'info', 'metainfo', 'fileState',
                               'status', 'health'))
        request = 'GET /%s?ih=%s&path=a.bin HTTP/1.0\r\n\r\n' % (
            route, random.choice((ih, next(hosts))))

        try:
            with socket.create_connection(address, 20) as s:
                s.sendall(request.encode())
                if s.recv(65536):
                    count[0] += 1
        except ConnectionError:
            pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument('dir')
    p.add_argument('address')
    p.add_argument('ih')
    p.add_argument('--seconds', type=float, default=60)
    p.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    a = p.parse_args()

    host, port = a.address.split(':')
    engine = Engine(a.dir, bytes.fromhex(a.ih), random.Random(a.seed))
    stop = threading.Event()
    count = [0]

    while not engine.workers:
        engine.turn()

    print('READY', flush=True)

    threads = [threading.Thread(target=clients, args=(
        (host, int(port)), a.ih, stop, count)) for _ in range(32)]

    for t in threads:
        t.start()

    end = time.monotonic() + a.seconds

    while time.monotonic() < end:
        engine.turn()

    stop.set()

    while any(t.is_alive() for t in threads):
        engine.turn()

    print('seed %d: %d messages, %d answers' % (a.seed, engine.said, count[0]))


main()
