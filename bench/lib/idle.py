"""Figure 10: what a request costs that waits for data.

The torrent's info is known, its seeder is gone.
"""

import random
import socket
import time

import client
import process
import server
import swarm
from report import Bound, Row, median

SIZE = 1024 * swarm.MIB
REQUESTS = 1000
SECONDS = 10


def run(bench):
    torrent = swarm.Torrent(bench, 'idle.bin', SIZE)

    with server.Nginx(bench) as nginx:
        with swarm.Seeder(bench, torrent) as seeder:
            client.head(nginx.address, torrent.uri([seeder]))
            client.get(nginx.address, torrent.uri(), (0, 65535))

        time.sleep(2)
        before = nginx.memory()
        cpu_before = cpu(nginx)

        with Waiting(nginx, torrent):
            after = nginx.memory()
            cpu_after = cpu(nginx)

        # those that follow have what the first ones left
        with Waiting(nginx, torrent):
            again = nginx.memory()

    kib = {name: (after[name] - before[name]) / REQUESTS / 1024
           for name in after}

    yield Row('10 idle', 'memory of a waiting request', 'KiB',
              [kib['Private']], bounds=[
                  Bound('private', kib['Private'], '<=', 16),
                  Bound('pss', kib['Pss'], '<=', 16)],
              note='%d requests; when they are gone, as many others make it '
                   '%.1f KiB each' % (
                       REQUESTS, (again['Private'] - before['Private'])
                       / REQUESTS / 1024))
    yield Row('10 idle', 'CPU of %d of them' % REQUESTS, 'ms/s',
              [cpu_after], [cpu_before],
              bounds=[Bound('more', max(0, cpu_after - cpu_before), '<=',
                            3 * 1000 / process.TICK / SECONDS)],
              note='over %d s, against the same torrent without requests; '
                   'the kernel counts in ticks of %d ms, and three of them '
                   'are no difference' % (SECONDS, 1000 / process.TICK))


def cpu(nginx):
    """CPU ms per second of worker and engine."""
    used = nginx.cpu()
    time.sleep(SECONDS)

    return (nginx.cpu() - used) * 1000 / SECONDS


class Waiting:
    """Requests for pieces that nobody has, all over the torrent."""

    def __init__(self, nginx, torrent):
        self.nginx = nginx
        self.torrent = torrent
        self.sockets = []

    def __enter__(self):
        pieces = self.torrent.size // self.torrent.piece

        for _ in range(REQUESTS):
            first = random.randrange(1, pieces) * self.torrent.piece

            s = socket.create_connection(self.nginx.address)
            self.sockets.append(s)
            s.sendall(client.request(self.torrent.uri(),
                                     (first, first + 65535)))

        # all have reached the engine when it answers a later request
        time.sleep(1)
        client.get(self.nginx.address, '/status')

        return self

    def __exit__(self, kind, *error):
        answered = 0

        for s in self.sockets:
            answered += readable(s)
            s.close()

        time.sleep(1)

        if answered and not kind:
            raise RuntimeError('%d requests do not wait' % answered)


def readable(s):
    s.setblocking(False)

    try:
        s.recv(1)
    except BlockingIOError:
        return 0

    return 1
