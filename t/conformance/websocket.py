"""The client's side of a WebSocket, frame by frame.  RFC 6455."""

import os
import struct
import time

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

HANDSHAKE = [('Upgrade', 'websocket'),
             ('Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='),
             ('Sec-WebSocket-Version', '13')]
ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='


class Socket:
    """Frames over an exchange that was answered with 101."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.buffer = exchange.data.partition(b'\r\n\r\n')[2]
        exchange.data = b''

    def send(self, opcode, payload=b'', masked=True):
        mask = os.urandom(4)
        head = bytes([0x80 | opcode, len(payload) | (0x80 if masked else 0)])

        if masked:
            payload = mask + bytes(
                b ^ mask[i & 3] for i, b in enumerate(payload))

        self.exchange.sock.sendall(head + payload)

    def receive(self, seconds):
        """(opcode, payload), or None if none came, or ('end', b'')."""

        end = time.monotonic() + seconds

        while True:
            frame = self.parse()

            if frame:
                return frame

            alive = self.exchange.more(end)
            self.buffer += self.exchange.data
            self.exchange.data = b''

            if not alive and not self.parse_ready():
                return ('end', b'') if self.exchange.eof else None

    def parse_ready(self):
        b = self.buffer

        if len(b) < 2:
            return False

        n, at = b[1] & 0x7f, 2

        if n == 126:
            if len(b) < 4:
                return False
            n, at = struct.unpack('>H', b[2:4])[0], 4

        return (at, n) if len(b) >= at + n else False

    def parse(self):
        ready = self.parse_ready()

        if not ready:
            return None

        at, n = ready
        frame = (self.buffer[0] & 15, self.buffer[at:at + n])
        self.buffer = self.buffer[at + n:]

        return frame


def describe(frame):
    """'close 1000', 'text ...', 'pong ...', 'end', 'nothing'."""

    if frame is None:
        return 'nothing'
    if frame[0] == 'end':
        return 'end'
    if frame[0] == CLOSE:
        return 'close' + (' %d' % struct.unpack('>H', frame[1][:2])
                          if len(frame[1]) >= 2 else '')

    names = {TEXT: 'text', PING: 'ping', PONG: 'pong'}

    return '%s %s' % (names.get(frame[0], frame[0]), frame[1].decode())
