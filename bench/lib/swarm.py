"""Torrents, and processes that seed and fetch them with libtorrent."""

import os
import subprocess
import urllib.parse

import process
import server

MIB = 1 << 20

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


class Torrent:
    """A file of random bytes and its v1 torrent.

    name, size (bytes), ih, path (of the .torrent), dir and file.
    """

    def __init__(self, bench, name, size, piece=MIB):
        self.name = name
        self.size = size
        self.piece = piece
        self.dir = bench.new_dir('data')
        self.file = '%s/%s' % (self.dir, name)
        self.path = self.dir + '.torrent'

        with open(self.file, 'wb') as f:
            for at in range(0, size, MIB):
                f.write(os.urandom(min(MIB, size - at)))

        output = subprocess.run(
            [ROOT + '/t/tools/mk_torrent.py', self.path, self.file, 'v1',
             str(piece)], check=True, stdout=subprocess.PIPE).stdout.decode()

        self.ih = output.split()[1]

    def magnet(self, peers):
        return ('magnet:?xt=urn:btih:' + self.ih
                + ''.join('&x.pe=' + peer.address for peer in peers))

    def uri(self, peers=()):
        """Of the file, by magnet if there are peers to be told."""
        if peers:
            by = 'magnet=' + urllib.parse.quote(self.magnet(peers), safe='')
        else:
            by = 'ih=' + self.ih

        return '/data?%s&path=%s' % (by, self.name)

    def bytes(self, begin, size):
        with open(self.file, 'rb') as f:
            f.seek(begin)
            return f.read(size)


class Seeder(process.Process):
    """Seeds from an address of its own by TCP.

    rate: bytes/s, 0: any; more: options of the seeder.
    """

    count = 0

    def __init__(self, bench, torrent, rate=0, *more):
        Seeder.count += 1

        self.address = '127.77.0.%d:%d' % (Seeder.count % 250 + 2,
                                           server.free_port())
        super().__init__(
            [ROOT + '/t/tools/lt_seed.py', torrent.path, torrent.dir,
             '--listen', self.address, '--rate', str(rate), *more],
            bench.dir + '/seeder.log', stdout=subprocess.PIPE)

        line = self.child.stdout.readline()

        if not line.startswith(b'READY'):
            self.stop()
            raise RuntimeError('no seeder, see %s/seeder.log' % bench.dir)
