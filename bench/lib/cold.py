"""Figure 8: nothing is in the cache, against libtorrent's own download.

Both begin with a magnet link that names the only seeder, in a process of its
own, and end with the last byte: of the response at curl, and of the last
piece in libtorrent with its default disk back end.
"""

import json
import mmap
import os
import shutil
import subprocess

import client
import process
import server
import swarm
from report import Bound, Row, median

LEECH = swarm.ROOT + '/bench/tools/leech.py'


def run(bench):
    torrent = swarm.Torrent(bench, 'cold.bin', bench.cold_mib * swarm.MIB)

    ours = []
    library = []

    with swarm.Seeder(bench, torrent) as seeder:
        download(bench, torrent, seeder)    # the seeder has read its file

        for n in range(bench.runs):
            pair = [(stream, ours), (download, library)]

            for function, results in pair if n % 2 else reversed(pair):
                warm(3 * torrent.size)
                results.append(function(bench, torrent, seeder))

    mib = torrent.size / swarm.MIB
    gib = mib / 1024

    yield row('GET /data', 'MiB/s',
              [mib / r['seconds'] for r in ours],
              [mib / r['seconds'] for r in library], '>=', 0.9,
              'seeder CPU s/GiB %.2f against %.2f; curl reports the first '
              'byte after %.0f ms' % (
                  median(r['seeder'] for r in ours) / gib,
                  median(r['seeder'] for r in library) / gib,
                  median(r['first'] for r in ours) * 1000))
    yield row('CPU', 's/GiB', [r['cpu'] / gib for r in ours],
              [r['cpu'] / gib for r in library], '<=', 1.3,
              'worker %.2f, engine %.2f s/GiB' % (
                  median(r['worker'] for r in ours) / gib,
                  median(r['engine'] for r in ours) / gib))


def warm(size):
    """Writes to so much memory.  What is free in a virtual machine may be with
    its host, and come back page by page: whoever is next pays for it."""
    page = mmap.PAGESIZE

    with mmap.mmap(-1, size) as memory:
        for i in range(0, size, page):
            memory[i] = 1


def row(what, unit, ours, library, relation, limit, note):
    ratios = [a / b for a, b in zip(ours, library)]

    return Row('8 cold', what, unit, ours, library, ratios,
               [Bound('median', median(ratios), relation, limit)], note)


def stream(bench, torrent, seeder):
    with server.Nginx(bench) as nginx:
        before = [process.cpu_seconds(pids) for pids
                  in (nginx.worker, nginx.engine, [seeder.pid])]

        output = subprocess.run(
            ['curl', '-sS', '-o', '/dev/null', '--max-time', '120', '-w',
             '{"status": %{http_code}, "size": %{size_download}, '
             '"seconds": %{time_total}, "first": %{time_starttransfer}}',
             nginx.url(torrent.uri([seeder]))],
            check=True, stdout=subprocess.PIPE).stdout

        spent = [process.cpu_seconds(pids) - used for pids, used
                 in zip((nginx.worker, nginx.engine, [seeder.pid]), before)]

        result = json.loads(output)
        result.update(zip(('worker', 'engine', 'seeder'), spent))
        result['cpu'] = result['worker'] + result['engine']

        if result['status'] != 200 or result['size'] != torrent.size:
            raise RuntimeError('incomplete: %s, see %s/error.log'
                               % (output, nginx.dir))

        check(nginx, torrent)

    shutil.rmtree(nginx.dir + '/cache')
    bench.progress('GET /data: %.2f s, CPU %.2f + %.2f s' % (
        result['seconds'], result['worker'], result['engine']))

    return result


def check(nginx, torrent):
    """Reads it again, this time to see whether the bytes are right."""
    with client.Response(nginx.address, torrent.uri()) as response, \
            open(torrent.file, 'rb') as f:
        while True:
            data = response.read()

            if data != f.read(len(data)):
                raise RuntimeError('wrong bytes')
            if not data:
                break


def download(bench, torrent, seeder):
    directory = bench.new_dir('leech')
    used = process.cpu_seconds([seeder.pid])

    result = json.loads(subprocess.run(
        [LEECH, torrent.magnet([seeder]), directory,
         '--listen', '127.78.0.1:%d' % server.free_port()],
        check=True, stdout=subprocess.PIPE).stdout)

    result['seeder'] = process.cpu_seconds([seeder.pid]) - used

    if os.path.getsize('%s/%s' % (directory, torrent.name)) != torrent.size:
        raise RuntimeError('libtorrent did not fetch it')

    shutil.rmtree(directory)
    bench.progress('libtorrent: %.2f s, CPU %.2f s'
                   % (result['seconds'], result['cpu']))

    return result
