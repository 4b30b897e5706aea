#!/usr/bin/python3

"""Seeds torrents with libtorrent.

lt_seed.py TORRENT DIR [TORRENT DIR]... --listen IP:PORT [--rate BYTES]
    [--check] [--utp] [--lsd] [--dht IP:PORT] [--set KEY=JSON] [--while PID]

Files are believed to be right unless --check is given.  Prints READY and the
port when all of them are seeded.  Stops on SIGTERM, and when its standard
input ends or, with --while, when that process is gone.
"""

import argparse
import json
import os
import select
import signal
import sys
import time

import libtorrent as lt


def settings(a):
    s = {
        'listen_interfaces': a.listen,
        'outgoing_interfaces': a.listen.rsplit(':', 1)[0],
        'enable_dht': bool(a.dht),
        'dht_bootstrap_nodes': a.dht or '',
        'dht_restrict_routing_ips': False,
        'dht_restrict_search_ips': False,
        'enable_lsd': a.lsd,
        'enable_upnp': False,
        'enable_natpmp': False,
        'enable_incoming_utp': a.utp,
        'enable_outgoing_utp': a.utp,
        'allow_multiple_connections_per_ip': True,
        'active_seeds': -1,
        'active_limit': -1,
        'unchoke_slots_limit': -1,
        'seed_choking_algorithm': 0,
        'close_redundant_connections': False,
        'alert_mask': lt.alert.category_t.error_notification,
    }

    for item in a.set:
        key, value = item.split('=', 1)
        s[key] = json.loads(value)

    return s


def add(session, path, directory, a):
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(path)
    params.save_path = directory
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags &= ~lt.torrent_flags.paused

    if not a.check:
        params.flags |= lt.torrent_flags.seed_mode
    if a.rate:
        params.upload_limit = a.rate

    return session.add_torrent(params)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('torrents', nargs='+')
    p.add_argument('--listen', required=True)
    p.add_argument('--rate', type=int, default=0)
    p.add_argument('--check', action='store_true')
    p.add_argument('--utp', action='store_true')
    p.add_argument('--lsd', action='store_true')
    p.add_argument('--dht')
    p.add_argument('--while', dest='pid', type=int)
    p.add_argument('--set', action='append', default=[])
    a = p.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))

    session = lt.session(settings(a))

    if a.rate:
        # limits do not hold for peers of the local network by default
        session.set_peer_class_filter(lt.ip_filter())

    pairs = zip(a.torrents[::2], a.torrents[1::2])
    handles = [add(session, path, d, a) for path, d in pairs]

    # the alerts are polled: waiting for one crashes now and then in 2.0.8
    while not all(h.status().is_seeding for h in handles):
        for alert in session.pop_alerts():
            print(alert.message(), file=sys.stderr, flush=True)
        time.sleep(0.02)

    print('READY', session.listen_port(), flush=True)

    while True:
        if a.pid:
            time.sleep(1)
            if not os.path.exists('/proc/%d' % a.pid):
                os._exit(0)
        elif select.select([sys.stdin], [], [], 1)[0] \
                and not os.read(0, 4096):
            os._exit(0)

        for alert in session.pop_alerts():
            print(alert.message(), file=sys.stderr, flush=True)


main()
