"""Cases 43 to 48: what is not there yet."""

import json

import torrents
from judge import case, same
from websocket import HANDSHAKE

X = 40 * '1'


def state(t, torrent, path='movie.mp4'):
    r = t.get('/fileState?ih=%s&path=%s' % (torrent.ih, path))

    return json.loads(r.text()) if r.status == '200' else []


@case(43, 'without info everything blocks')
def _(t):
    for path in ('/data', '/info', '/metainfo'):
        t.expect(path, t.blocked(path + '?ih=' + X).status, 'blocks')

    t.expect('freed', t.alive(), '200')
    t.expect('status', 'listed' if X in t.get('/status').text() else 'absent',
             'listed')


@case('43a', 'without info fileState and events block', '/fileState /events')
def _(t):
    t.expect('/fileState', t.blocked('/fileState?ih=' + X).status, 'blocks')

    with t.start('/events?ih=' + X, headers=HANDSHAKE,
                 version='1.1\r\nConnection: Upgrade') as x:
        t.expect('/events', x.wait(1).status, 'blocks')


@case(44, 'nowait')
def _(t):
    for value in ('=1', '=true', '=T'):
        r = t.get('/info?ih=%s&nowait%s' % (X, value))
        t.expect('nowait' + value, r.status, '202')
        t.expect('nowait%s body' % value, r.text(), 'info not ready\n')

    for value in ('=yes', '=0', ''):
        r = t.blocked('/info?ih=%s&nowait%s' % (X, value))
        t.expect('nowait' + value, r.status, 'blocks')

    t.expect('/data', t.blocked('/data?ih=%s&nowait=1' % X).status,
             'blocks', '202')


@case(45, 'a POST ends a wait for info')
def _(t):
    s = torrents.fresh()

    with t.start('/info?ih=' + s.ih) as x:
        t.expect('before', x.wait(0.5).status, 'blocks')
        t.expect('POST', t.post(s.meta).status, '200')
        r = x.wait(5)

    t.expect('after', r.status, '200')
    t.expect('after body', same(r.body, s.info), 'same')


@case(46, 'a peer ends a wait for data', 'torrent_address')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)

    with t.start('/data?ih=%s&path=movie.mp4' % s.ih) as x:
        r = x.wait(1)
        t.expect('before', r.status, 'blocks', '200')
        t.expect('before body', same(r.body, b''), 'same')

        with t.peer(s):
            r = x.wait(20)

    t.expect('after', r.status, '200')
    t.expect('after body', same(r.body, s.data), 'same')


@case(47, 'fileState of what is missing', '/fileState')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)
    pieces = state(t, s)
    t.expect('bytes', [p['Bytes'] for p in pieces],
             str([16384] * 6 + [1696]))
    t.expect('complete', {p['Complete'] for p in pieces}, '{False}')
    t.expect('priority', {p['Priority'] for p in pieces}, '{0}')

    with t.start('/data?ih=%s&path=movie.mp4' % s.ih):
        came = t.until(lambda: state(t, s)[:1]
                       and state(t, s)[0]['Priority'] == 5, 2)
        t.expect('priority while it is read', 5 if came else
                 [p['Priority'] for p in state(t, s)], '5')


@case(48, 'HEAD without data')
def _(t):
    s = torrents.fresh('pic.png')
    t.post(s.meta)
    r = t.blocked('/data?ih=%s&path=pic.png' % s.ih, method='HEAD')
    t.expect('png', r.status, '200')
    t.expect('png length', r.header('Content-Length'), '100000')
    t.expect('png type', r.header('Content-Type'), 'image/png')

    # a name that no table of types has
    s = torrents.fresh('movie.zzz')
    t.post(s.meta)
    r = t.blocked('/data?ih=%s&path=movie.zzz' % s.ih, method='HEAD')
    t.expect('zzz', r.status, 'blocks', '200')
    t.expect('zzz type', r.header('Content-Type'), 'none',
             'application/octet-stream')
