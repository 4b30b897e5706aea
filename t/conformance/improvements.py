"""I1 to I28: where a server may, or must, do better than the reference."""

import base64
import json

import bencode
import torrents
import websocket
from cases_wait import X
from judge import case, like, quote, same
from peer import Peer
from source import Source


@case('I1', 'an info is believed only if it has the infohash',
      'torrent_address')
def _(t):
    wanted = torrents.fresh()
    forged = torrents.fresh('forged.bin')

    with t.peer(wanted, info=forged.info) as peer:
        with t.start('/info?ih=' + wanted.ih) as x:
            t.expect('asked', t.until(lambda: peer.metadata_asked, 15), True)
            r = x.wait(2)

    t.expect('forged', r.status, '200', like('blocks|50[0-9]'))


@case('I2', 'an infohash in base32 with padding')
def _(t):
    r = t.get('/info?magnet=' + quote('magnet:?xt=urn:btih:' + 26 * 'A'
                                      + 6 * '='))
    t.expect('status', r.status, 'closed', '400')
    t.expect('alive', t.alive(), '200')


@case('I5', 'an upload of many files', '/upload')
def _(t):
    files = [('%d.txt' % i, b'%d' % i) for i in range(1500)]
    r = t.upload('many', files)
    t.expect('status', r.status, '500', '200')


@case('I10', 'trackers after expiry', 'grace')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)
    t.get('/info?magnet=' + quote('magnet:?xt=urn:btih:' + s.ih + '&tr='
                                  + quote('http://t.invalid/c')))
    # what the reference writes for the first request may come last
    t.get('/info?ih=' + s.ih)
    t.expect('gone', t.until(lambda: s.ih not in t.get('/status').text(),
                             t.options.grace + 5), True)
    t.expect('tiers', json.loads(t.json(s).text()).get('announceList'),
             "[['http://t.invalid/c'], None]", "[['http://t.invalid/c']]")


@case('I11', 'trackers are overridden', 'override')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)
    t.get('/info?magnet=' + quote('magnet:?xt=urn:btih:' + s.ih + '&tr='
                                  + quote('http://t.invalid/c')))
    t.expect('magnet', json.loads(t.json(s).text()).get('announceList'),
             "[['http://t.invalid/c']]", 'None')


@case('I13', 'an info of no use', 'torrent_address')
def _(t):
    s = torrents.fresh(info={'pieces': 19 * b'x'})

    with t.peer(s) as peer:
        with t.start('/data?ih=' + s.ih) as x:
            t.expect('asked', t.until(lambda: peer.metadata_asked, 15), True)
            r = x.wait(3)

    t.expect('status', r.status, 'blocks', like('50[0-9]'))


@case('I14', 'the opening of a WebSocket', '/events')
def _(t):
    ih = t.torrent('F1').ih

    def answer(headers):
        return t.get('/events?ih=' + ih, headers,
                     version='1.1\r\nConnection: Upgrade')

    r = answer([h for h in websocket.HANDSHAKE
                if h[0] != 'Sec-WebSocket-Key'])
    t.expect('no key', r.status, '400')
    r = answer(websocket.HANDSHAKE[:2] + [('Sec-WebSocket-Version', '8')])
    t.expect('version', r.status, '400', '426')
    t.expect('version header', r.header('Sec-WebSocket-Version'), '13')
    t.expect('length', r.framing, 'close', 'length')
    r = answer(websocket.HANDSHAKE + [('Sec-WebSocket-Protocol', 'a, b')])
    t.expect('two protocols', r.status, '400', '101')

    r, ws = t.websocket('/events?ih=' + ih)
    ws.send(websocket.PING, b'x', masked=False)
    t.expect('unmasked', websocket.describe(ws.receive(3)), 'close 1002')
    t.expect('one close', websocket.describe(ws.receive(3)), 'close 1000',
             'end')


@case('I15', 'HEAD and the type wait for no data')
def _(t):
    s = torrents.fresh('film.zzz')
    t.post(s.meta)
    r = t.blocked('/data?ih=%s&path=film.zzz' % s.ih, method='HEAD')
    t.expect('HEAD', r.status, 'blocks', '200')


@case('I16', 'nowait elsewhere')
def _(t):
    for path in ('/data', '/fileState'):
        if path not in t.options.without:
            r = t.blocked('%s?ih=%s&nowait=1' % (path, X))
            t.expect(path, r.status, 'blocks', '202')

    if '/events' not in t.options.without:
        r, _ = t.websocket('/events?ih=%s&nowait=1' % X, wait=1)
        t.expect('/events', r.status, 'blocks', '202')


@case('I17', 'more of a magnet')
def _(t):
    f = t.torrent('F1')
    b32 = base64.b32encode(f.hash).decode().lower()
    r = t.get('/info?magnet=' + quote('magnet:?xt=urn:btih:' + b32))
    t.expect('base32', r.status, '400', '200')
    r = t.get('/info?magnet=' + quote('magnet:?xt=urn:btih:xyz&'
                                      'xt=urn:btih:' + f.ih))
    t.expect('second xt', r.status, '400', '200')
    r = t.blocked('/info?magnet=' + quote('magnet:?xt=urn:btmh:1220'
                                          + 64 * 'a'))
    t.expect('btmh', r.status, '400', 'blocks')
    s = torrents.fresh()

    with Peer(s) as peer:
        r = t.get('/info?magnet=' + quote(
            'magnet:?xt=urn:btih:%s&x.pe=%s' % (s.ih, peer.address)), wait=5)
    t.expect('x.pe', r.status, 'blocks', '200')

    for key in ('xs', 'as'):
        s = torrents.fresh()

        with Source(s.meta) as url:
            r = t.get('/info?magnet=' + quote('magnet:?xt=urn:btih:%s&%s=%s'
                                              % (s.ih, key, quote(url))),
                      wait=5)
        t.expect(key, r.status, 'blocks', '200')


@case('I18', 'parameters that cannot be decoded')
def _(t):
    ih = t.torrent('F1').ih
    for name in ('path', 'filename'):
        r = t.get('/data?ih=%s&%s=%%zz' % (ih, name))
        t.expect(name, r.status, '200', '400')


@case('I19', 'fileState: no compression that is refused', '/fileState')
def _(t):
    r = t.get('/fileState?ih=%s&path=hello.txt' % t.torrent('F1').ih,
              [('Accept-Encoding', 'gzip;q=0')])
    t.expect('q=0', r.header('Content-Encoding'), 'gzip', 'none')


@case('I20', 'nothing empty in a .torrent')
def _(t):
    r = t.get('/metainfo?ih=' + t.torrent('F1').ih)
    meta, _ = bencode.decode(r.body)
    t.expect('empty', sorted(k.decode() for k in meta if meta[k] in ([], {})),
             "['piece layers', 'url-list']", '[]')


@case('I21', 'POST without info')
def _(t):
    r = t.post(b'd7:comment1:xe', '?ih=' + t.torrent('F1').ih)
    t.expect('status', r.status, '200')
    t.expect('body', r.text(), 'da39a3ee5e6b4b0d3255bfef95601890afd80709\n',
             t.fixtures['F1'].ih + '\n')


@case('I22', 'a validator')
def _(t):
    url = '/data?ih=%s&path=hello.txt' % t.torrent('F1').ih
    tag = t.get(url).header('ETag')
    t.expect('etag', tag, 'none', like('"[^"]+"'))

    if tag != 'none':
        r = t.get(url, [('If-None-Match', tag)])
        t.expect('If-None-Match', r.status, '304')
        r = t.get(url, [('If-Match', tag)])
        t.expect('If-Match', r.status, '200')
        r = t.get(url, [('If-Range', tag), ('Range', 'bytes=0-4')])
        t.expect('If-Range', r.status, '206')
        t.expect('If-Range body', same(r.body, b'Hello'), 'same')


@case('I23', 'ranges as RFC 9110 says')
def _(t):
    url = '/data?ih=%s&path=hundred.bin' % t.torrent('F3').ih
    t.expect('unit', t.get(url, [('Range', 'items=0-1')]).status, '416',
             '200')
    t.expect('-0', t.get(url, [('Range', 'bytes=-0')]).status, '206', '416')


@case('I24', 'the header before the data')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)
    r = t.blocked('/data?ih=%s&path=movie.mp4' % s.ih)
    t.expect('status', r.status, 'blocks', '200')


@case('I25', 'status as JSON')
def _(t):
    r = t.get('/status', [('Accept', 'application/json')])
    t.expect('type', r.header('Content-Type'), 'text/plain; charset=utf-8',
             'application/json')

    if r.header('Content-Type') == 'application/json':
        t.expect('form', type(json.loads(r.text())).__name__, 'dict')


@case('I27', 'bep44 with a long target', '/bep44')
def _(t):
    r = t.get('/bep44?target=' + 42 * '1')
    t.expect('status', r.status, '500', '400')


@case('I28', 'no CORS unless it is asked for')
def _(t):
    r = t.get('/data?ih=' + t.torrent('F1').ih, [('Origin', 'http://x')])
    t.expect('cors', ' '.join(k for k, _ in r.headers if k.lower().startswith(
        'access-control')), '')
