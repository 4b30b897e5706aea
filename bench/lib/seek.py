"""Figure 9: the first byte at a place that is not in the cache.

First of an idle torrent whose only peer is connected; then while a reader
streams from three seeders of limited rate as fast as they give: it goes away
and asks for a place far off, of which nothing is there.

libtorrent's limit on uploads is a sum that is handed out at each tick, twice a
second by default: a peer sends nothing for half a second, then two megabytes
at once.  Links are not like that, so these seeders tick more often.
"""

import random
import re
import time

import client
import server
import swarm
from report import Bound, Row, median, percentile

SIZE = 1536 * swarm.MIB
RANGE = 65536
SEEDERS = 3
RATE = 4 * swarm.MIB            # bytes/s of each
SMOOTH = 'tick_interval=20'     # ms, of each
SLOT = 32 * swarm.MIB           # one seek leads to each of these


def run(bench):
    torrent = swarm.Torrent(bench, 'seek.bin', SIZE)

    yield idle(bench, torrent)
    yield from load(bench, torrent)


def idle(bench, torrent):
    with swarm.Seeder(bench, torrent) as seeder, server.Nginx(bench) as nginx:
        pieces = random.sample(range(SIZE // torrent.piece), bench.seeks + 1)

        # the torrent is loaded, and its peer is connected, with the first
        uri = torrent.uri([seeder])
        client.get(nginx.address, uri, span(torrent, pieces.pop()))

        times = []
        uri = torrent.uri()

        for piece in pieces:
            time.sleep(random.uniform(0.05, 0.5))
            times.append(one(nginx, torrent, uri, span(torrent, piece)))

    bench.progress('first byte: %.0f ms' % median(times))

    return Row('9 seek', 'first byte, idle peer', 'ms', times, bounds=[
        Bound('median', median(times), '<=', 60)],
        note='p90 %.1f ms of %d' % (percentile(times, 0.9), len(times)))


def span(torrent, piece):
    """A place within one piece."""
    first = piece * torrent.piece + random.randrange(torrent.piece - RANGE)

    return (first, first + RANGE - 1)


def one(nginx, torrent, uri, place):
    with client.Response(nginx.address, uri, place) as response:
        body = response.read_all()

        if body != torrent.bytes(place[0], RANGE):
            raise RuntimeError('wrong bytes')
        if 'miss' not in response.headers['cache-status']:
            raise RuntimeError('it was in the cache')

        return response.first * 1000


def load(bench, torrent):
    slots = list(range(SIZE // SLOT))
    random.shuffle(slots)

    seeders = []
    times = []
    amount = 0          # bytes that the reader got

    try:
        for _ in range(SEEDERS):
            seeders.append(swarm.Seeder(bench, torrent, RATE,
                                            '--set', SMOOTH))

        with server.Nginx(bench) as nginx:
            uri = torrent.uri(seeders)
            begin = time.monotonic()

            for slot in slots:
                first, size = stream(nginx, torrent, uri, slot)
                times.append(first)
                amount += size

            seconds = time.monotonic() - begin
            fetched = downloaded(nginx)

    finally:
        for seeder in seeders:
            seeder.stop()

    times.pop(0)    # nobody was reading before

    bench.progress('seek: %.0f ms' % median(times))

    yield Row('9 seek', 'first byte after a seek under load', 'ms', times,
              bounds=[
                  Bound('median', median(times), '<=', 500),
                  Bound('p90', percentile(times, 0.9), '<=', 1000),
                  Bound('seeks', len(times), '>=', 30)],
              note='%d seeks; MiB/s: seeders may give %.1f and gave %.1f, '
                   'the reader got %.1f' % (
                       len(times), SEEDERS * RATE / swarm.MIB,
                       fetched / seconds / swarm.MIB,
                       amount / seconds / swarm.MIB))


def downloaded(nginx):
    """Payload bytes that peers have sent so far."""
    status = client.get(nginx.address, '/status').decode()

    return int(re.search(r'Downloaded: (\d+)', status).group(1))


def stream(nginx, torrent, uri, slot):
    """Reads from a slot for a while and goes away.

    Returns the ms to the first byte, and how many bytes came.
    """
    place = slot * SLOT + random.randrange(swarm.MIB)
    last = (slot + 1) * SLOT - 1    # the next slot is to stay unknown
    parts = []

    with client.Response(nginx.address, uri, (place, last)) as response:
        if 'miss' not in response.headers['cache-status']:
            raise RuntimeError('it was in the cache')

        end = time.monotonic() + random.uniform(1.2, 1.7)

        while response.first is None or time.monotonic() < end:
            parts.append(response.read())

    body = b''.join(parts)

    if body != torrent.bytes(place, len(body)):
        raise RuntimeError('wrong bytes')
    if place + len(body) > last:
        raise RuntimeError('seeders are faster than they should be')

    return response.first * 1000, len(body)
