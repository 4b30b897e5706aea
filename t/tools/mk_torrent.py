#!/usr/bin/python3

"""Makes a .torrent with libtorrent: v1, v2 or hybrid.

mk_torrent.py OUT PATH v1|v2|hybrid PIECE_LENGTH [--tracker URL]...
    [--webseed URL]... [--private]

Prints the infohashes: "v1 HEX" and "v2 HEX", as far as there are.
"""

import argparse
import os

import libtorrent as lt


def main():
    p = argparse.ArgumentParser()
    p.add_argument('out')
    p.add_argument('path')
    p.add_argument('kind', choices=['v1', 'v2', 'hybrid'])
    p.add_argument('piece', type=int)
    p.add_argument('--tracker', action='append', default=[])
    p.add_argument('--webseed', action='append', default=[])
    p.add_argument('--private', action='store_true')
    a = p.parse_args()

    flags = {
        'v1': lt.create_torrent.v1_only,
        'v2': lt.create_torrent.v2_only,
        'hybrid': 0,
    }[a.kind]

    files = lt.file_storage()
    lt.add_files(files, a.path)

    torrent = lt.create_torrent(files, a.piece, flags=flags)

    for url in a.tracker:
        torrent.add_tracker(url)
    for url in a.webseed:
        torrent.add_url_seed(url)

    torrent.set_priv(a.private)

    lt.set_piece_hashes(torrent, os.path.dirname(os.path.abspath(a.path)))

    with open(a.out, 'wb') as f:
        f.write(lt.bencode(torrent.generate()))

    hashes = lt.torrent_info(a.out).info_hashes()

    if hashes.has_v1():
        print('v1', hashes.v1)
    if hashes.has_v2():
        print('v2', hashes.v2)


main()
