"""Torrents that the cases use, and the forms that bring them to a server."""

import hashlib
import os

import bencode


class Torrent:
    """A version 1 torrent.

    files: a list of (path, content), or content for a single-file torrent
    meta: more keys of the .torrent; info: more keys of the info
    """

    def __init__(self, name, files, piece=16384, meta=None, info=None):
        self.name = name
        self.single = isinstance(files, bytes)
        self.files = [(name, files)] if self.single else files
        self.data = b''.join(content for _, content in self.files)
        self.piece = piece
        self.piece_n = (len(self.data) + piece - 1) // piece

        d = {'name': name, 'piece length': piece, 'pieces': b''.join(
            hashlib.sha1(self.data[i:i + piece]).digest()
            for i in range(0, len(self.data), piece))}

        if self.single:
            d['length'] = len(self.data)
        elif files:
            d['files'] = [{'length': len(content), 'path': path.split('/'),
                           'path.utf-8': path.split('/')}
                          for path, content in files]

        d.update(info or {})

        self.info = bencode.encode(d)
        self.hash = hashlib.sha1(self.info).digest()
        self.ih = self.hash.hex()
        self.meta = with_info(self.info, meta or {})


class Hybrid:
    """A torrent of versions 1 and 2 with one file, which is one piece."""

    def __init__(self, name, data):
        n = len(data)
        root = hashlib.sha256(data).digest()

        self.info = bencode.encode({
            'file tree': {name: {'': {'length': n, 'pieces root': root}}},
            'length': n, 'meta version': 2, 'name': name,
            'piece length': 16384, 'pieces': hashlib.sha1(data).digest()})
        self.ih = hashlib.sha1(self.info).hexdigest()
        self.v2 = hashlib.sha256(self.info).hexdigest()
        self.meta = with_info(self.info, {'piece layers': {}})


def with_info(info, meta=None):
    """A .torrent with these bytes as they are for its info."""

    mark = b'\0mark\0'
    b = bencode.encode(dict(meta or {}, info=mark))

    return b.replace(bencode.encode(mark), info)


def fixtures():
    return {
        'F1': Torrent('fx1', [('hello.txt', b'Hello, confluence!\n')]),
        'F2': Torrent('fx2', [
            ('dir/a.bin', bytes((7 * i + 3) % 256 for i in range(40000))),
            ('dir/b.txt', b'0123456789'),
            ('dir/empty.dat', b'')]),
        'F3': Torrent('fx3', [('hundred.bin', bytes(range(100)))]),
        'S1': Torrent('movie.mp4',
                      bytes((13 * i + 1) % 256 for i in range(100000))),
        'plus': Torrent('plus', [('a+b.txt', b'plus\n')]),
        'percent': Torrent('percent', [('100%.txt', b'percent\n'),
                                       ('other.txt', b'other\n')]),
        'png': Torrent('png', [('x.png', b'text\n'), ('X.PNG', b'TEXT\n')]),
    }


def fresh(name='movie.mp4', size=100000, **o):
    """A single-file torrent that no server has seen."""

    # pieces with the same content may well be shared between torrents
    return Torrent(name, os.urandom(size), **o)


def hybrid():
    return Hybrid('hybrid.bin', os.urandom(16384))


def form(fields, files):
    """The body of a multipart form, and its content type.

    fields: (name, value); files: (path, content), as "files"
    """

    boundary = '----conformance' + os.urandom(8).hex()
    out = []

    for name, value in fields:
        out.append(('--%s\r\nContent-Disposition: form-data; name="%s"'
                    '\r\n\r\n%s\r\n' % (boundary, name, value)).encode())

    for path, content in files:
        out.append(('--%s\r\nContent-Disposition: form-data; name="files"; '
                    'filename="%s"\r\nContent-Type: application/octet-stream'
                    '\r\n\r\n' % (boundary, path)).encode() + content
                   + b'\r\n')

    out.append(('--%s--\r\n' % boundary).encode())

    return b''.join(out), 'multipart/form-data; boundary=' + boundary
