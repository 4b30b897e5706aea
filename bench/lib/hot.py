"""Figure 7: what is in the cache, against nginx's static handler.

The same nginx, the same worker, the same bytes; wrk asks for one and the
other in turn, and which of them comes first changes from run to run.  Many
short runs, since what else the machine does changes faster than any of them
would average it out.
"""

import os
import random
import re
import subprocess

import client
import process
import server
import swarm
from report import Bound, Row, median

SIZE = 64 * swarm.MIB
RUNS = 6        # as many as are asked for, times this
LUA = swarm.ROOT + '/bench/tools/wrk.lua'


def run(bench):
    torrent = swarm.Torrent(bench, 'hot.bin', SIZE)

    with server.Nginx(bench, static=torrent.dir) as nginx:
        ours = torrent.uri()
        static = '/static/' + torrent.name

        with swarm.Seeder(bench, torrent) as seeder:
            fill(nginx, torrent, seeder)

        forget(nginx.dir + '/cache', torrent.dir)
        compare(nginx, torrent, ours, static)

        yield measure(bench, nginx, '64 KiB ranges', 'req/s', 8, ours, static,
                      ranges=True)
        yield measure(bench, nginx, '64 MiB file', 'MiB/s', 4, ours, static,
                      ranges=False)


def fill(nginx, torrent, seeder):
    body = client.get(nginx.address, torrent.uri([seeder]))

    if body != torrent.bytes(0, SIZE):
        raise RuntimeError('wrong bytes')


def forget(*dirs):
    """The pages of all files in them, so that whoever serves reads them anew.

    How large the kernel's units of page cache are depends on how much was
    written at once, and what is sent from them on that; of what was read, both
    have the same.
    """
    for top in dirs:
        for path, _, names in os.walk(top):
            for name in map(lambda name: os.path.join(path, name), names):
                if not os.path.isfile(name):
                    continue

                fd = os.open(name, os.O_RDONLY)
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


def compare(nginx, torrent, *uris):
    """Reads all of each, and some ranges."""
    for uri in uris:
        if client.get(nginx.address, uri) != torrent.bytes(0, SIZE):
            raise RuntimeError('wrong bytes: ' + uri)

        for _ in range(20):
            first = random.randrange(SIZE - 65536)
            body = client.get(nginx.address, uri, (first, first + 65535))

            if body != torrent.bytes(first, 65536):
                raise RuntimeError('wrong bytes: ' + uri)


def measure(bench, nginx, what, unit, connections, ours, static, ranges):
    rates = {ours: [], static: []}
    spent = {ours: [], static: []}
    slow = {ours: [], static: []}

    for uri in (ours, static):
        wrk(nginx, uri, connections, 1, ranges)

    for n in range(bench.runs * RUNS):
        for uri in (ours, static) if n % 2 else (static, ours):
            used = process.cpu_seconds(nginx.worker)
            figures = wrk(nginx, uri, connections, bench.seconds, ranges)
            used = process.cpu_seconds(nginx.worker) - used

            count = figures['requests'] if ranges \
                else figures['bytes'] / swarm.MIB

            rates[uri].append(count * 1e6 / figures['us'])
            spent[uri].append(used * (1 << 30) / figures['bytes'])
            slow[uri].append(figures['p99'] / 1000)

        bench.progress('%s: %.0f against %.0f %s' % (
            what, rates[ours][-1], rates[static][-1], unit))

    ratios = [a / b for a, b in zip(rates[ours], rates[static])]

    return Row('7 hot', what, unit, rates[ours], rates[static], ratios,
               [Bound('median', median(ratios), '>=', 0.95)],
               'worker CPU s/GiB %.3f against %.3f, p99 ms %.2f against %.2f'
               % (median(spent[ours]), median(spent[static]),
                  median(slow[ours]), median(slow[static])))


def wrk(nginx, uri, connections, seconds, ranges):
    output = subprocess.run(
        ['wrk', '-t1', '-c%d' % connections, '-d%d' % seconds,
         '-s', LUA, nginx.url(uri), '--'] + ([str(SIZE)] if ranges else []),
        check=True, stdout=subprocess.PIPE).stdout.decode()

    figures = {name: int(value) for name, value
               in re.findall(r'(\w+)=(\d+)', output.split('figures', 1)[1])}

    if figures['errors'] or not figures['bytes']:
        raise RuntimeError('wrk had errors: ' + output)

    return figures
