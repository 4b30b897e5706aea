#!/usr/bin/python3

"""Downloads a torrent with libtorrent: a second opinion on seeders.

lt_leech.py SOURCE DIR --listen IP:PORT [--peer IP:PORT]... [--tracker URL]...
    [--timeout SECONDS] [--utp]

SOURCE is a magnet link or a .torrent.  Prints a line of JSON and exits with
0 if all of it arrived.
"""

import argparse
import json
import os
import time

import libtorrent as lt


def main():
    p = argparse.ArgumentParser()
    p.add_argument('source')
    p.add_argument('dir')
    p.add_argument('--listen', required=True)
    p.add_argument('--peer', action='append', default=[])
    p.add_argument('--tracker', action='append', default=[])
    p.add_argument('--timeout', type=float, default=30)
    p.add_argument('--utp', action='store_true')
    a = p.parse_args()

    session = lt.session({
        'listen_interfaces': a.listen,
        'outgoing_interfaces': a.listen.rsplit(':', 1)[0].strip('[]'),
        'enable_dht': False,
        'enable_lsd': False,
        'enable_upnp': False,
        'enable_natpmp': False,
        'enable_incoming_utp': a.utp,
        'enable_outgoing_utp': a.utp,
        'allow_multiple_connections_per_ip': True,
        'tick_interval': 100,
    })

    if a.source.startswith('magnet:'):
        params = lt.parse_magnet_uri(a.source)
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(a.source)

    params.save_path = a.dir
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags &= ~lt.torrent_flags.paused

    if a.tracker:
        params.trackers = a.tracker

    start = time.monotonic()
    handle = session.add_torrent(params)

    for peer in a.peer:
        host, port = peer.rsplit(':', 1)
        handle.connect_peer((host.strip('[]'), int(port)))

    result = {}

    while time.monotonic() - start < a.timeout:
        status = handle.status()
        now = round((time.monotonic() - start) * 1000)

        if status.has_metadata:
            result.setdefault('metadata_ms', now)
        if status.num_pieces:
            result.setdefault('piece_ms', now)
        if status.is_seeding:
            result['done_ms'] = now
            break

        time.sleep(0.01)

    result['progress'] = round(handle.status().progress, 4)
    print(json.dumps(result), flush=True)

    # the files are flushed by the clean end of the session
    del handle, session
    raise SystemExit(0 if 'done_ms' in result else 1)


main()
