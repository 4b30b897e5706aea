#!/usr/bin/python3

"""Nodes of a DHT that have values (BEP 44), some of them liars.

dht_nodes.py HOST:PORT COMMAND...

HOST:PORT: a node of the DHT.  Each COMMAND makes a node at an address of its
own; it runs until the standard input ends:

    put=HOST:PORT            stores values by libtorrent
    lie=HOST:PORT,TARGET,HOW answers queries by a script, each get with a lie
                             about TARGET: wrong, forged, noseq, huge, empty,
                             garbage, silent; all liars name each other

Prints a line for each value that was stored, "NAME TARGET", then READY, and
"asked HOW" whenever a liar is asked for a value.
"""

import hashlib
import os
import select
import socket
import sys
import threading
import time

import libtorrent as lt

# the key pair of BEP 44's test vectors
PRIVATE = bytes.fromhex(
    'e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d'
    'b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d')
PUBLIC = bytes.fromhex(
    '77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548')

MUTABLE = {b'': b'plain', b'foobar': b'Hello World!', b'old': b'first'}


def mutable_target(salt):
    return hashlib.sha1(PUBLIC + salt).hexdigest()


def put(address, boot):
    session = lt.session({
        'listen_interfaces': address,
        'outgoing_interfaces': address.rsplit(':', 1)[0],
        'dht_bootstrap_nodes': boot,
        'enable_dht': True,
        'dht_restrict_routing_ips': False,
        'dht_restrict_search_ips': False,
        'dht_block_ratelimit': 1000,
        'enable_lsd': False,
        'enable_upnp': False,
        'enable_natpmp': False,
        'alert_mask': lt.alert.category_t.dht_notification,
    })

    while session.status().dht_nodes < 2:
        time.sleep(0.05)

    targets = [('text', session.dht_put_immutable_item('hello')),
               ('dict', session.dht_put_immutable_item({'a': 1, 'b': [b'\0']}))]

    for salt, value in MUTABLE.items():
        session.dht_put_mutable_item(PRIVATE, PUBLIC, value, salt)

    stored = 0

    while stored < len(targets) + len(MUTABLE):
        for alert in session.pop_alerts():
            if isinstance(alert, lt.dht_put_alert):
                stored += alert.num_success > 0
        time.sleep(0.02)

    # a newer one under the same key

    session.dht_put_mutable_item(PRIVATE, PUBLIC, b'second', b'old')

    while stored < len(targets) + len(MUTABLE) + 1:
        for alert in session.pop_alerts():
            if isinstance(alert, lt.dht_put_alert):
                stored += alert.num_success > 0
        time.sleep(0.02)

    for name, target in targets:
        print(name, target)

    for salt in MUTABLE:
        print('mutable' + salt.decode(), mutable_target(salt))

    return session


def lies(how, nid, nodes):
    reply = {b'id': nid, b'nodes': nodes, b'token': b'x'}
    signed = {b'k': PUBLIC, b'sig': 64 * b's', b'seq': 1 << 60,
              b'v': b'forged'}

    if how == 'wrong':
        reply[b'v'] = b'not what was asked for'
    elif how == 'forged':
        reply.update(signed)
    elif how == 'noseq':
        reply.update(signed)
        del reply[b'seq']
    elif how == 'huge':
        reply[b'v'] = 1200 * b'v'
    elif how == 'empty':
        reply.update({b'v': b'', b'k': b'', b'sig': b'', b'seq': -1})

    return reply


def contact(address, target):
    host, port = address.split(':')

    # as near to the target as can be: it is asked first
    near = bytes.fromhex(target)
    nid = near[:19] + bytes([near[19] ^ (1 + int(host.split('.')[2]))])

    return nid + socket.inet_aton(host) + int(port).to_bytes(2, 'big')


def lie(address, target, how, nodes):
    host, port = address.split(':')
    nid = contact(address, target)[:20]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((host, int(port)))

    def run():
        while True:
            data, peer = s.recvfrom(65536)
            query = lt.bdecode(data)

            if not query or query.get(b'y') != b'q':
                continue

            if query[b'q'] == b'get':
                print('asked', how, flush=True)

            if query[b'q'] != b'get':
                reply = lies('nothing', nid, nodes)
            elif how == 'silent':
                continue
            elif how == 'garbage':
                s.sendto(b'd1:rd' + os.urandom(60), peer)
                continue
            else:
                reply = lies(how, nid, nodes)

            s.sendto(lt.bencode({b't': query[b't'], b'y': b'r', b'r': reply}),
                     peer)

    threading.Thread(target=run, daemon=True).start()


def main():
    boot = sys.argv[1]
    keep = []
    liars = [c[4:].split(',') for c in sys.argv[2:] if c.startswith('lie=')]
    nodes = b''.join(contact(*args[:2]) for args in liars)

    for command in sys.argv[2:]:
        kind, args = command.split('=', 1)

        if kind == 'put':
            keep.append(put(args, boot))
        else:
            lie(*args.split(','), nodes)

    print('READY', flush=True)

    while not select.select([sys.stdin], [], [], 1)[0] or os.read(0, 4096):
        for session in keep:
            session.pop_alerts()


main()
