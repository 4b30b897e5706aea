"""Figure 7: what is in the cache, against nginx's static handler.

The same nginx, the same worker, the same bytes; wrk asks for one and the
other in turn, and which of them comes first changes from run to run.  Many
short runs, since what else the machine does changes faster than any of them
would average it out.
"""

import random
import re
import subprocess

import client
import process
import server
import swarm
from report import Bound, Row, median

SIZE = 64 * swarm.MIB
RUNS = 3        # as many as are asked for, times this
LUA = swarm.ROOT + '/bench/tools/wrk.lua'


def run(bench):
    torrent = swarm.Torrent(bench, 'hot.bin', SIZE)

    with server.Nginx(bench, static=torrent.dir) as nginx:
        ours = torrent.uri()
        static = '/static/' + torrent.name

        with swarm.Seeder(bench, torrent) as seeder:
            fill(nginx, torrent, seeder)

        compare(nginx, torrent, ours, static)

        yield measure(bench, nginx, '64 KiB ranges', 'req/s', 8, ours, static,
                      ranges=True)
        yield measure(bench, nginx, '64 MiB file', 'MiB/s', 4, ours, static,
                      ranges=False)


def fill(nginx, torrent, seeder):
    body = client.get(nginx.address, torrent.uri([seeder]))

    if body != torrent.bytes(0, SIZE):
        raise RuntimeError('wrong bytes')


def compare(nginx, torrent, *uris):
    for uri in uris:
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
