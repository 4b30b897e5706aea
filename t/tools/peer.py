#!/usr/bin/python3

"""A scripted peer: seeds a v1 torrent, well or badly, as it is told.

peer.py TORRENT DIR --listen IP:PORT [--mode MODE] [--have FIRST-LAST]
    [--pex IP:PORT]

--pex names another peer to whoever takes peer exchange (BEP 11), or would if
it had told so.

Modes, some with a number after a colon:

    good            answers everything
    hold            answers requests of a piece when told to, see below
    slow:BYTES      so many bytes per second on each connection
    corrupt[:N]     every Nth block has a flipped byte
    stall[:N]       falls silent after N blocks
    spoil[:N]       falls silent after N blocks with a flipped byte
    drop[:N]        closes after N blocks
    short           blocks shorter than asked for
    long            blocks longer than asked for
    twice           every block two times
    more            with each block another that nobody asked for
    false           a bit field of a wrong length, HAVE of pieces there are not
    flap[:N]        closes after N blocks, on every connection
    wrongindex      answers with another piece's index
    huge            a message of 2 GiB is announced
    choke           never unchokes
    noise           random bytes for a handshake
    metabad         wrong metadata
    metahuge        announces metadata of 2 GiB
    nometa          has no metadata to give

Commands on standard input: "give N", "give all", "mode MODE", "kick" (closes
every connection).  Prints READY when it listens, then what happens: "connect
IP:PORT", "interested", "request PIECE OFFSET LENGTH", "cancel PIECE OFFSET
LENGTH", "have PIECE", "extended NAME...", "close".  It stops when its input
ends or on SIGTERM.
"""

import argparse
import asyncio
import hashlib
import os
import signal
import socket
import struct
import sys

BLOCK = 16384
EXT_METADATA = 3
EXT_DONTHAVE = 7


def bdecode(b, i=0, spans=None):
    """The value at i and where it ends; spans: where keys' values lie."""

    c = b[i:i + 1]

    if c == b'i':
        e = b.index(b'e', i)
        return int(b[i + 1:e]), e + 1

    if c == b'l':
        out = []
        i += 1
        while b[i:i + 1] != b'e':
            v, i = bdecode(b, i)
            out.append(v)
        return out, i + 1

    if c == b'd':
        out = {}
        i += 1
        while b[i:i + 1] != b'e':
            k, i = bdecode(b, i)
            v, e = bdecode(b, i)
            if spans is not None:
                spans[k] = (i, e)
            out[k] = v
            i = e
        return out, i + 1

    e = b.index(b':', i)
    n = int(b[i:e])
    return b[e + 1:e + 1 + n], e + 1 + n


def bencode(x):
    if isinstance(x, int):
        return b'i%de' % x
    if isinstance(x, bytes):
        return b'%d:%s' % (len(x), x)
    if isinstance(x, list):
        return b'l' + b''.join(map(bencode, x)) + b'e'
    return b'd' + b''.join(
        bencode(k) + bencode(x[k]) for k in sorted(x)) + b'e'


class Data:
    """The torrent's bytes, from its files."""

    def __init__(self, path, directory):
        with open(path, 'rb') as f:
            raw = f.read()

        spans = {}
        torrent, _ = bdecode(raw, 0, spans)
        first, last = spans[b'info']

        self.info = raw[first:last]
        self.hash = hashlib.sha1(self.info).digest()

        info = torrent[b'info']

        if b'meta version' in info and b'pieces' not in info:
            self.hash = hashlib.sha256(self.info).digest()[:20]

        self.piece_length = 0
        self.piece_n = 0
        self.files = []

        try:
            self.read_info(info, directory)
        except (AttributeError, KeyError, TypeError, ValueError):
            # absurd on purpose: there is the info to give, and nothing else
            pass

    def read_info(self, info, directory):
        self.piece_length = info[b'piece length']
        self.piece_n = len(info[b'pieces']) // 20

        root = os.path.join(os.fsencode(directory), info[b'name'])

        if b'files' in info:
            for f in info[b'files']:
                self.files.append(
                    (os.path.join(root, *f[b'path']), f[b'length']))
        else:
            self.files.append((root, info[b'length']))

    def read(self, offset, length):
        out = b''

        for path, size in self.files:
            if offset >= size:
                offset -= size
                continue

            with open(path, 'rb') as f:
                f.seek(offset)
                part = f.read(min(length, size - offset))

            out += part
            length -= len(part)
            offset = 0

            if length == 0:
                break

        return out


class State:
    """What the commands change."""

    def __init__(self, mode):
        self.given = set()
        self.all = False
        self.set_mode(mode)
        self.changed = asyncio.Event()
        self.writers = set()

    def set_mode(self, mode):
        self.mode, _, arg = mode.partition(':')
        self.arg = int(arg) if arg else 0
        self.sent = 0

    def command(self, words):
        if words[0] == 'give' and words[1] == 'all':
            self.all = True
        elif words[0] == 'give':
            self.given.add(int(words[1]))
        elif words[0] == 'mode':
            self.set_mode(words[1])
        elif words[0] == 'kick':
            for w in list(self.writers):
                w.close()

        self.changed.set()
        self.changed = asyncio.Event()

    def holds(self, piece):
        return self.mode == 'hold' and not self.all \
            and piece not in self.given


def say(*words):
    print(*words, flush=True)


class Peer:

    def __init__(self, data, state, have, pex, reader, writer):
        self.data = data
        self.state = state
        self.have = have
        self.pex = pex
        self.r = reader
        self.w = writer
        self.metadata_id = 0
        self.queue = []
        self.sent = 0
        self.wake = asyncio.Event()

    def message(self, body):
        self.w.write(struct.pack('>I', len(body)) + body)

    async def run(self):
        say('connect', '%s:%d' % self.w.get_extra_info('peername')[:2])
        self.state.writers.add(self.w)
        sender = asyncio.ensure_future(self.send_blocks())

        try:
            if await self.handshake():
                while True:
                    n = struct.unpack('>I', await self.r.readexactly(4))[0]
                    if n:
                        self.take(await self.r.readexactly(n))
                        await self.w.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            say('close')
            sender.cancel()
            self.state.writers.discard(self.w)
            self.w.close()

    async def handshake(self):
        mode = self.state.mode

        if mode == 'noise':
            self.w.write(os.urandom(4096))
            await self.w.drain()
            return False

        hello = await self.r.readexactly(68)

        if hello[1:20] != b'BitTorrent protocol' \
                or hello[28:48] != self.data.hash:
            return False

        self.w.write(b'\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04'
                     + self.data.hash + b'-SP0001-' + os.urandom(12))

        extended = {b'm': {b'lt_donthave': EXT_DONTHAVE, b'ut_pex': 1},
                    b'v': b'scripted ' + mode.encode(), b'reqq': 500}

        if mode != 'nometa':
            extended[b'm'][b'ut_metadata'] = EXT_METADATA
            extended[b'metadata_size'] = len(self.data.info)

        if mode == 'metahuge':
            extended[b'metadata_size'] = 0x7fffffff

        if hello[25] & 0x10:
            self.message(b'\x14\0' + bencode(extended))

        field = bytearray((self.data.piece_n + 7) // 8)

        if mode == 'false':
            field += b'\xff' * 100

        for i in self.have:
            field[i >> 3] |= 0x80 >> (i & 7)

        self.message(b'\x05' + bytes(field))

        if mode != 'choke':
            self.message(b'\x01')

        if mode == 'false':
            for i in (self.data.piece_n, 0x7fffffff, 0xffffffff):
                self.message(b'\x04' + struct.pack('>I', i))

        if mode == 'huge':
            self.w.write(b'\x7f\xff\xff\xff\x07' + b'x' * 65536)

        return True

    def take(self, body):
        kind = body[0]

        if kind == 2:
            say('interested')
        elif kind == 3:
            say('uninterested')
        elif kind == 4:
            say('have', struct.unpack('>I', body[1:5])[0])
        elif kind == 6:
            request = struct.unpack('>III', body[1:13])
            say('request', *request)
            self.queue.append(request)
            self.wake.set()
        elif kind == 8:
            request = struct.unpack('>III', body[1:13])
            say('cancel', *request)
            if request in self.queue:
                # BEP 6: what is taken back is rejected
                self.queue.remove(request)
                self.message(b'\x10' + body[1:13])
        elif kind == 20:
            self.extended(body)

    def extended(self, body):
        if body[1] == 0:
            names = bdecode(body, 2)[0].get(b'm', {})
            self.metadata_id = names.get(b'ut_metadata', 0)
            say('extended', *sorted(n.decode() for n in names))

            if self.pex:
                host, port = self.pex.rsplit(':', 1)
                self.message(bytes([20, names.get(b'ut_pex', 1)]) + bencode({
                    b'added': socket.inet_aton(host)
                    + struct.pack('>H', int(port)),
                    b'added.f': b'\x02'}))

        elif body[1] == EXT_DONTHAVE:
            say('donthave', struct.unpack('>I', body[2:6])[0])

        elif body[1] == EXT_METADATA and self.metadata_id:
            ask, _ = bdecode(body, 2)

            if ask.get(b'msg_type') != 0:
                return

            n = ask[b'piece']
            block = self.data.info[n * BLOCK:(n + 1) * BLOCK]

            if self.state.mode == 'metabad':
                block = bytes([block[0] ^ 1]) + block[1:]

            self.message(bytes([20, self.metadata_id]) + bencode({
                b'msg_type': 1, b'piece': n,
                b'total_size': len(self.data.info)}) + block)

    async def send_blocks(self):
        while True:
            request = next(
                (q for q in self.queue if not self.state.holds(q[0])), None)

            if request is None:
                self.wake.clear()
                waits = [asyncio.ensure_future(self.wake.wait()),
                         asyncio.ensure_future(self.state.changed.wait())]
                _, rest = await asyncio.wait(
                    waits, return_when=asyncio.FIRST_COMPLETED)
                for w in rest:
                    w.cancel()
                continue

            self.queue.remove(request)
            await self.send(*request)

    def block(self, piece, offset, data):
        self.message(b'\x07' + struct.pack('>II', piece, offset)
                     + bytes(data))

    async def send(self, piece, offset, length):
        mode, arg = self.state.mode, self.state.arg
        self.state.sent += 1
        sent = self.state.sent

        if mode in ('stall', 'spoil') and sent > arg:
            return

        if mode == 'drop' and sent > arg:
            self.w.close()
            return

        self.sent += 1

        if mode == 'flap' and self.sent > arg:
            self.w.close()
            return

        block = bytearray(self.data.read(
            piece * self.data.piece_length + offset, length))

        if mode == 'spoil' or mode == 'corrupt' and sent % max(arg, 1) == 0:
            block[len(block) // 2] ^= 0xff
        if mode == 'short':
            block = block[:-1]
        if mode == 'long':
            block += block
        if mode == 'wrongindex':
            piece = (piece + 1) % self.data.piece_n
        if mode == 'slow':
            await asyncio.sleep(len(block) / (arg or 65536))

        self.block(piece, offset, block)

        if mode == 'twice':
            self.block(piece, offset, block)
        if mode == 'more':
            self.block((piece + 3) % self.data.piece_n, offset, block)

        try:
            await self.w.drain()
        except ConnectionError:
            pass


async def commands(state):
    loop = asyncio.get_event_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    while True:
        line = await reader.readline()

        if not line:
            os._exit(0)

        words = line.decode().split()

        if words:
            state.command(words)
            say('ok', *words)


async def main():
    p = argparse.ArgumentParser()
    p.add_argument('torrent')
    p.add_argument('dir')
    p.add_argument('--listen', required=True)
    p.add_argument('--mode', default='good')
    p.add_argument('--have')
    p.add_argument('--pex')
    a = p.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    data = Data(a.torrent, a.dir)
    state = State(a.mode)
    have = range(data.piece_n)

    if a.have is not None:
        first, last = a.have.split('-')
        have = range(int(first), int(last) + 1)

    async def connected(reader, writer):
        await Peer(data, state, have, a.pex, reader, writer).run()

    host, port = a.listen.rsplit(':', 1)
    server = await asyncio.start_server(connected, host, int(port))
    say('READY', data.hash.hex())

    async with server:
        await commands(state)


asyncio.run(main())
