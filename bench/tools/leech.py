#!/usr/bin/python3

"""Downloads a torrent with libtorrent as it is, by TCP only.

leech.py MAGNET DIR --listen IP:PORT

Prints a line of JSON: seconds from adding the magnet link to its last piece,
and the CPU seconds of this process in between.
"""

import argparse
import json
import os
import time

import libtorrent as lt


def cpu():
    t = os.times()

    return t.user + t.system


def main():
    p = argparse.ArgumentParser()
    p.add_argument('magnet')
    p.add_argument('dir')
    p.add_argument('--listen', required=True)
    p.add_argument('--timeout', type=float, default=120)
    a = p.parse_args()

    # a tick of 100 ms: libtorrent dials a peer of a magnet link at the next
    # tick, which is after 500 ms by default
    session = lt.session({
        'listen_interfaces': a.listen,
        'outgoing_interfaces': a.listen.rsplit(':', 1)[0],
        'enable_dht': False,
        'enable_lsd': False,
        'enable_upnp': False,
        'enable_natpmp': False,
        'enable_incoming_utp': False,
        'enable_outgoing_utp': False,
        'tick_interval': 100,
    })

    params = lt.parse_magnet_uri(a.magnet)
    params.save_path = a.dir
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags &= ~lt.torrent_flags.paused

    time.sleep(0.3)     # the session has its sockets by now

    used = cpu()
    start = time.monotonic()
    handle = session.add_torrent(params)

    while not handle.status().is_seeding:
        if time.monotonic() - start > a.timeout:
            raise SystemExit('not done in %gs' % a.timeout)
        time.sleep(0.01)

    print(json.dumps({'seconds': time.monotonic() - start,
                      'cpu': cpu() - used}), flush=True)

    # what is being written to the disk yet is of no use to anybody
    os._exit(0)


main()
