"""A BitTorrent peer in a thread: it connects to the server under test, which
need not be told of it.

What it is asked for is counted, and it answers or holds its blocks as it is
told.  BEP 3, BEP 9 and BEP 10.
"""

import os
import random
import socket
import struct
import threading
import time

import bencode

BLOCK = 16384
UT_METADATA = 3


class Peer:
    """torrent: what it seeds.  info: other metadata than the torrent's.
    hold: blocks wait for give().  listen: waits to be connected to instead,
    its address is in address."""

    def __init__(self, torrent, address=None, info=None, hold=False,
                 infohash=None):
        self.torrent = torrent
        self.infohash = infohash or torrent.hash
        self.info = torrent.info if info is None else info
        self.target = address
        self.requests = []          # (time, piece)
        self.metadata_asked = 0
        self.given = threading.Event()
        self.stopped = False
        self.server = None
        self.connections = 0

        if not hold:
            self.given.set()

        if address is None:
            self.server = socket.create_server(('127.0.0.1', 0))
            self.address = '127.0.0.1:%d' % self.server.getsockname()[1]

        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def give(self):
        self.given.set()

    def stop(self):
        self.stopped = True
        self.given.set()

        if self.server:
            self.server.close()

        self.thread.join(5)

    def run(self):
        while not self.stopped:
            try:
                with self.connect() as sock:
                    self.talk(sock)
            except (OSError, EOFError, ValueError):
                time.sleep(0.2)     # the torrent may not be loaded yet

    def connect(self):
        if self.server:
            self.server.settimeout(0.5)
            return self.server.accept()[0]

        # servers limit how often an address may connect
        source = None

        if self.target[0].startswith('127.'):
            source = ('127.%d.%d.%d' % tuple(
                random.randint(2, 250) for _ in range(3)), 0)

        return socket.create_connection(self.target, 5, source)

    def talk(self, sock):
        hello = (b'\x13BitTorrent protocol\0\0\0\0\0\x10\0\0'
                 + self.infohash + b'-CF0001-' + os.urandom(12))
        sock.settimeout(3)

        if not self.server:
            sock.sendall(hello)

        theirs = receive(sock, 68)

        if theirs[:20] != b'\x13BitTorrent protocol':
            raise ValueError('not plaintext')

        if self.server:
            sock.sendall(hello)

        self.connections += 1

        if theirs[25] & 0x10:
            send(sock, b'\x14\0' + bencode.encode({
                'm': {'ut_metadata': UT_METADATA},
                'metadata_size': len(self.info), 'reqq': 500}))

        n = self.torrent.piece_n
        field = bytearray((n + 7) // 8)

        for i in range(n):
            field[i >> 3] |= 0x80 >> (i & 7)

        send(sock, b'\x05' + bytes(field))
        send(sock, b'\x01')
        self.theirs = 0
        sock.settimeout(0.2)

        while not self.stopped:
            try:
                first = sock.recv(1)
            except TimeoutError:
                continue

            if not first:
                raise EOFError

            sock.settimeout(5)
            size = struct.unpack('>I', first + receive(sock, 3))[0]

            if size:
                self.take(sock, receive(sock, size))

            sock.settimeout(0.2)

    def take(self, sock, body):
        if body[0] == 6:
            piece, offset, length = struct.unpack('>III', body[1:13])
            self.requests.append((time.monotonic(), piece))
            self.given.wait()

            at = piece * self.torrent.piece + offset
            send(sock, b'\x07' + struct.pack('>II', piece, offset)
                 + self.torrent.data[at:at + length])

        elif body[0] == 20 and body[1] == 0:
            m = bencode.decode(body, 2)[0].get(b'm', {})
            self.theirs = m.get(b'ut_metadata', 0)

        elif body[0] == 20 and body[1] == UT_METADATA and self.theirs:
            ask, _ = bencode.decode(body, 2)

            if ask.get(b'msg_type') == 0:
                self.metadata_asked += 1
                n = ask[b'piece']
                send(sock, bytes([20, self.theirs]) + bencode.encode({
                    'msg_type': 1, 'piece': n,
                    'total_size': len(self.info)})
                    + self.info[n * BLOCK:(n + 1) * BLOCK])


def send(sock, body):
    sock.sendall(struct.pack('>I', len(body)) + body)


def receive(sock, n):
    out = b''

    while len(out) < n:
        block = sock.recv(n - len(out))

        if not block:
            raise EOFError

        out += block

    return out
