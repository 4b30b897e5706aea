"""Cases 64 to 75: events, state, life, and what is left."""

import json
import os
import random
import re
import subprocess
import threading
import time

import torrents
import websocket
from cases_wait import state
from judge import case, like, same


@case(64, 'a WebSocket', '/events')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)
    r, ws = t.websocket('/events?ih=' + s.ih, [('Origin', 'http://other')])
    t.expect('status', r.status, '101')
    t.expect('accept', r.header('Sec-WebSocket-Accept'), websocket.ACCEPT)
    t.expect('protocol', r.header('Sec-WebSocket-Protocol'), 'none')
    r, ws = t.websocket('/events?ih=' + s.ih, [
        ('Sec-WebSocket-Protocol', 'foo')])
    t.expect('with protocol', r.status, '101')
    t.expect('protocol echoed', r.header('Sec-WebSocket-Protocol'), 'foo')


@case(65, 'events of a download', 'torrent_address /events /fileState')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)
    r, ws = t.websocket('/events?ih=' + s.ih)
    t.expect('status', r.status, '101')

    if ws is None:
        return

    with t.peer(s), t.start('/data?ih=' + s.ih) as x:
        t.expect('data', same(x.wait(20).body, s.data), 'same')

    frames = []

    while True:
        frame = ws.receive(1)
        if frame is None or frame[0] == 'end':
            break
        if frame[0] == websocket.TEXT:
            frames.append(frame[1].decode())

    wanted = ['{"PieceChanged":%d}' % i for i in range(7)]
    t.expect('form', sorted(set(frames) - set(wanted)), '[]')
    t.expect('every piece', sorted(set(wanted) - set(frames)), '[]')
    t.expect('complete', {p['Complete'] for p in state(t, s)}, '{True}')


@case(66, 'control frames', '/events')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)
    r, ws = t.websocket('/events?ih=' + s.ih)
    t.expect('status', r.status, '101')

    if ws is None:
        return

    ws.send(websocket.PING, b'hello')
    t.expect('ping', websocket.describe(ws.receive(3)), 'pong hello')
    ws.send(websocket.TEXT, b'text')
    t.expect('text', websocket.describe(ws.receive(1)), 'close 1000',
             'nothing')

    r, ws = t.websocket('/events?ih=' + s.ih)
    ws.send(websocket.CLOSE, b'\x03\xe8')
    t.expect('close', websocket.describe(ws.receive(3)), 'close 1000')
    t.expect('end', websocket.describe(ws.receive(3)), 'end')


@case(67, 'no WebSocket', '/events')
def _(t):
    ih = t.torrent('F1').ih
    r = t.get('/events?ih=' + ih)
    t.expect('GET', r.status, '400', '426')
    t.expect('GET body', r.text(), 'not websocket protocol',
             'not websocket protocol\n')
    r = t.get('/events?ih=' + ih, method='POST')
    t.expect('POST', r.status, '405')
    t.expect('POST body', r.text(), 'bad method', like('.*'))


@case(68, 'status and health')
def _(t):
    f = t.torrent('F1')
    t.get('/info?ih=' + f.ih)
    r = t.get('/status')
    t.expect('status', r.status, '200')
    t.expect('type', r.header('Content-Type'), 'text/plain; charset=utf-8')

    for name, pattern in (
            ('number', r'# Torrents: [1-9]\d*$'), ('name', '^fx1$'),
            ('port', r'^Listen port: \d+$'), ('infohash', '^Infohash: %s'
             % f.ih), ('pieces', r'^Num Pieces: 1 \(1 completed\)$')):
        t.expect(name, bool(re.search(pattern, r.text(), re.M)), True)

    for method in ('GET', 'HEAD', 'POST'):
        r = t.get('/health', method=method)
        t.expect('health ' + method, r.status, '200',
                 '405' if method == 'POST' else None)
        if r.status == '200':
            t.expect('health %s length' % method,
                     r.header('Content-Length'),
                     like('0|none') if method == 'HEAD' else '0')
            t.expect('health %s type' % method, r.header('Content-Type'),
                     'none')


def listed(t, ih):
    return ih in t.get('/status').text()


@case(69, 'grace', 'grace')
def _(t):
    grace = t.options.grace
    s = torrents.fresh()
    t.post(s.meta)
    t.expect('after a request', listed(t, s.ih), True)
    time.sleep(0.75 * grace)
    t.get('/info?ih=' + s.ih)
    time.sleep(0.75 * grace)
    t.expect('after another', listed(t, s.ih), True)
    t.expect('gone', t.until(lambda: not listed(t, s.ih), grace + 2), True)

    t.post(s.meta)

    with t.start('/data?ih=' + s.ih):
        time.sleep(1.5 * grace)
        t.expect('while a request waits', listed(t, s.ih), True)

    t.expect('gone after it', t.until(lambda: not listed(t, s.ih),
                                      grace + 2), True)


@case(70, 'a restart', 'restart_command')
def _(t):
    f = t.torrent('F1')
    subprocess.run(t.options.restart_command, shell=True, check=True)

    def up():
        try:
            return t.get('/health', wait=2).status == '200'
        except OSError:
            return False

    t.expect('up', t.until(up, 20), True)
    r = t.get('/data?ih=%s&path=hello.txt' % f.ih)
    t.expect('status', r.status, '200')
    t.expect('body', same(r.body, f.data), 'same')


@case(71, 'the limit of the cache', 'torrent_address cache_size cache_dir')
def _(t):
    limit = t.options.cache_size
    size = limit // 8
    most = 0

    for i in range(20):
        s = torrents.fresh('%d.bin' % i, size, piece=262144)
        t.post(s.meta)

        with t.peer(s):
            r = t.get('/data?ih=' + s.ih, wait=30)

        if not t.expect('read %d' % i, same(r.body, s.data), 'same'):
            break

        most = max(most, used(t.options.cache_dir))

    # what is not data may come on top
    t.expect('within', most <= limit * 1.05 or most, True)


def used(directory):
    total = 0

    for where, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except OSError:
                pass

    return total


@case(72, 'bep44', '/bep44')
def _(t):
    r = t.get('/bep44')
    t.expect('none', r.status, '400')
    t.expect('none body', r.text(), 'target has bad length\n')
    r = t.get('/bep44?target=zz')
    t.expect('hex', r.status, '400')
    t.expect('hex body', r.text(), like('encoding/hex: invalid byte.*'))
    r = t.get('/bep44?target=' + 40 * '1')
    t.expect('no dht', r.status, '500')
    t.expect('no dht body', r.text(), 'no dht servers\n')


@case(73, 'metrics and debug')
def _(t):
    debug = t.options.debug
    r = t.get('/metrics')
    t.expect('metrics', r.status, '200' if debug else '404')

    if debug:
        n = [x.split()[1] for x in r.text().split('\n')
             if x.startswith('confluence_num_torrents ')]
        t.expect('number', n and '# Torrents: %d\n' % float(n[0])
                 in t.get('/status').text(), True)

    t.expect('dht', t.get('/debug/dht').status, '200' if debug else '404')


@case(74, 'many ranges at once')
def _(t):
    f = t.torrent('F2')
    wrong = []

    def read(first, last):
        r = t.get('/data?ih=' + f.ih, [
            ('Range', 'bytes=%d-%d' % (first, last))])
        if r.status != '206' or r.body != f.data[first:last + 1]:
            wrong.append((first, last, r.status))

    threads = []

    for _ in range(50):
        first = random.randrange(len(f.data))
        last = random.randrange(first, len(f.data))
        threads.append(threading.Thread(target=read, args=(first, last)))

    for x in threads:
        x.start()
    for x in threads:
        x.join()

    t.expect('wrong', wrong, '[]')


@case(75, 'a client that leaves', 'torrent_address')
def _(t):
    s = torrents.fresh(size=8000000)
    t.post(s.meta)

    with t.peer(s, hold=True) as peer:
        with t.start('/data?ih=%s&path=movie.mp4' % s.ih):
            t.expect('asked', t.until(lambda: peer.requests, 20), True)

        left = time.monotonic()
        peer.give()
        time.sleep(2)
        late = [at for at, _ in peer.requests if at > left + 1]
        t.expect('asked no more', len(late), '0')

    if '/fileState' not in t.options.without:
        t.expect('priority', {p['Priority'] for p in state(t, s)}, '{0}')
