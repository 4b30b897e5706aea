"""Cases 49 to 63: /fileState, /metainfo and /upload."""

import base64
import gzip
import hashlib
import json
import re
import time

import bencode
import torrents
from judge import case, like, quote, same

KEYS = ['Bytes', 'Priority', 'Complete', 'Ok', 'Err', 'Checking', 'Hashing',
        'QueuedForHash', 'Marking', 'Partial', 'MissingPieceLayerHash']
TEXT = 'text/plain; charset=utf-8'
JSON = 'application/json'
UNPACKED = [('Accept-Encoding', 'gzip')]


def state(t, path, headers=()):
    return t.get('/fileState?ih=%s&path=%s' % (t.torrent('F2').ih, path),
                 headers)


@case(49, 'fileState', '/fileState')
def _(t):
    t.get('/data?ih=' + t.torrent('F2').ih)
    r = state(t, 'dir/a.bin')
    t.expect('status', r.status, '200')
    t.expect('type', r.header('Content-Type'), TEXT, JSON)
    pieces = json.loads(r.text()) if r.status == '200' else []
    t.expect('bytes', [p['Bytes'] for p in pieces], '[16384, 16384, 7232]')
    t.expect('keys', all(list(p) == KEYS for p in pieces), True)
    t.expect('values', all(p['Complete'] is True and p['Ok'] is True
                           and p['Err'] is None for p in pieces), True)
    t.expect('form', r.text(), like(r'\[\{"Bytes":[^\s]*\}\]\n'))


@case(50, 'fileState of other files', '/fileState')
def _(t):
    r = state(t, 'dir/b.txt')
    t.expect('one piece', [p['Bytes'] for p in json.loads(r.text())]
             if r.status == '200' else r.status, '[10]')
    t.expect('empty', state(t, 'dir/empty.dat').text(), 'null\n', '[]\n')
    r = state(t, 'nope')
    t.expect('none', r.status, '404')
    t.expect('none body', r.text(), 'file not found\n')
    t.expect('none disposition', r.header('Content-Disposition'), 'none')


@case(51, 'fileState compressed', '/fileState')
def _(t):
    plain = state(t, 'dir/a.bin')
    r = state(t, 'dir/a.bin', UNPACKED)
    packed = r.header('Content-Encoding')

    # a server leaves this to what its operator says
    t.expect('encoding', packed, 'gzip', 'none')
    t.expect('vary', r.header('Vary'), 'Accept-Encoding', 'none')
    t.expect('body', same(gzip.decompress(r.body) if packed == 'gzip'
                          else r.body, plain.body), 'same')
    r = state(t, 'nope', UNPACKED)
    t.expect('404', r.status, '404')
    t.expect('404 encoding', r.header('Content-Encoding'), 'gzip', 'none')


@case(52, 'the .torrent')
def _(t):
    f = t.torrent('F1')
    r = t.get('/metainfo?ih=' + f.ih)
    t.expect('type', r.header('Content-Type'), 'application/x-bittorrent')
    meta, _ = bencode.decode(r.body)
    t.expect('info', hashlib.sha1(
        bencode.span(r.body, b'info')).hexdigest(), f.ih)
    t.expect('comment', meta.get(b'comment', b'none').decode(),
             'dynamic metainfo from client', like('.*'))
    t.expect('created by', meta.get(b'created by', b'none').decode(),
             'https://github.com/anacrolix/torrent', like('.*'))
    date = meta.get(b'creation date')
    t.expect('creation date', 'now' if isinstance(date, int)
             and abs(date - time.time()) < 600 else date, 'now', 'None')
    keys = [k.decode() for k in meta]
    t.expect('sorted', keys == sorted(keys), True)
    t.expect('no announce', 'announce' in keys, False)
    t.expect('no nodes', 'nodes' in keys, False, True)
    t.expect('piece layers', repr(meta.get(b'piece layers')), '{}', 'None')
    t.expect('url-list', repr(meta.get(b'url-list')), '[]', 'None')


@case(53, 'the .torrent as JSON')
def _(t):
    f = t.torrent('F1')
    r = t.json(f)
    t.expect('type', r.header('Content-Type'), JSON)
    d = json.loads(r.text())
    t.expect('keys', list(d), "['info', 'creationDate', 'comment', "
             "'createdBy']", like(r"\['info'(, 'nodes')?(, 'creationDate')?"
                                  r"(, 'comment')?(, 'createdBy')?\]"))
    t.expect('info', same(base64.b64decode(d['info']), f.info), 'same')
    t.expect('end', r.text()[-2:], '}\n')
    r = t.get('/metainfo?ih=' + f.ih, [('Accept', JSON + ', */*')])
    t.expect('list', r.header('Content-Type'), 'application/x-bittorrent',
             JSON)


@case(54, 'POST of a .torrent')
def _(t):
    s = t.fixtures['S1']
    for query in ('', '?ih=' + 40 * '2'):
        r = t.post(s.meta, query)
        t.expect('status' + query[:3], r.status, '200')
        t.expect('body' + query[:3], r.text(),
                 'cd4a15bd524f3fe027776ddb2f21937a5a78b7b0\n')


@case(55, 'POST of what is none')
def _(t):
    r = t.post(b'de')
    t.expect('de', r.status, '200', '400')
    if r.status == '200':
        t.expect('de body', r.text(),
                 'da39a3ee5e6b4b0d3255bfef95601890afd80709\n')

    for body in ('', 'hello', 'le'):
        r = t.post(body.encode())
        t.expect('"%s"' % body, r.status, '400')
        t.expect('"%s" body' % body, r.text()[:21], 'error decoding body: ')


@case(56, 'POST of an info with torn hashes')
def _(t):
    info = bencode.encode({'length': 1, 'name': 'x', 'piece length': 16384,
                           'pieces': 19 * b'x'})
    r = t.post(torrents.with_info(info))
    t.expect('status', r.status, '500', '400')
    t.expect('body', r.text(), 'error putting metainfo: bad info: pieces '
             'has invalid length\n', like('error .+'))


@case(57, 'POST with trackers')
def _(t):
    tiers = [['http://t.invalid/a'], ['http://t.invalid/b']]
    s = torrents.fresh(meta={'announce-list': tiers})
    t.post(s.meta)
    t.expect('tiers', json.loads(t.json(s).text()).get('announceList'),
             str(tiers))


@case(58, 'trackers of a magnet')
def _(t):
    f = t.torrent('F1')
    url = '/info?magnet=' + quote('magnet:?xt=urn:btih:' + f.ih
                                  + '&tr=' + quote('http://t.invalid/c'))

    for n in ('once', 'twice'):
        t.expect(n, t.get(url).status, '200')
        t.expect(n + ' tiers', json.loads(t.json(f).text()).get(
            'announceList'), "[['http://t.invalid/c']]")


@case(59, 'upload', '/upload')
def _(t):
    f = t.fixtures['F1']
    r = t.upload(f.name, f.files)
    t.expect('status', r.status, '200')

    if r.status != '200':
        return

    meta, _ = bencode.decode(r.body)
    t.expect('info', same(bencode.span(r.body, b'info'), f.info), 'same')
    t.expect('created by', meta.get(b'created by', b'none').decode(),
             'anacrolix/confluence upload', like('.+'))
    t.expect('announce-list', repr(meta.get(b'announce-list')), '[[]]',
             'None')
    t.expect('nodes', re.sub(r"([\]\d]):\d+'", r"\1:Q'",
                             repr(meta.get(b'nodes'))),
             "[b'192.0.2.1:Q', b'[2001:db8::1]:Q']",
             like(r"\[\[b'192\.0\.2\.1', \d+\], "
                  r"\[b'2001:db8::1', \d+\]\]|None"))
    t.expect('served', same(t.get('/data?ih=' + f.ih, wait=5).body, f.data),
             'same')


@case(60, 'upload without the top directory', '/upload')
def _(t):
    f = t.fixtures['F2']
    r = t.upload(f.name, f.files + [('top.txt', b'top')],
                 [('strip-top-directory', '')])
    t.expect('status', r.status, '200')

    if r.status != '200':
        return

    info = bencode.decode(r.body)[0][b'info']
    t.expect('paths', [b'/'.join(x[b'path']).decode()
                       for x in info[b'files']],
             "['a.bin', 'b.txt', 'empty.dat', 'top.txt']")
    ih = hashlib.sha1(bencode.span(r.body, b'info')).hexdigest()
    t.expect('other infohash', ih != f.ih, True)
    t.expect('served', t.get('/data?ih=%s&path=b.txt' % ih, wait=5).text(),
             '0123456789')


@case(61, 'upload of nothing', '/upload')
def _(t):
    r = t.upload('empty', [])
    t.expect('status', r.status, '200')

    if r.status != '200':
        return

    ih = hashlib.sha1(bencode.span(r.body, b'info')).hexdigest()
    t.expect('infohash', ih, '8e639dfb7106b8efce7c482b8a927a73e75f2e9e')
    r = t.get('/data?ih=' + ih, wait=5)
    t.expect('data', r.status, '200')
    t.expect('length', r.header('Content-Length'), '0')


@case(62, 'upload of what is no form', '/upload')
def _(t):
    r = t.get('/upload', [('Content-Type', 'text/plain')], 'POST', b'x')
    t.expect('not a form', r.status, '500', like('400|415'))
    t.expect('not a form body', r.text(), "parsing multipart form: request "
             "Content-Type isn't multipart/form-data\n", like('.+'))
    t.expect('no name', t.upload(None, t.fixtures['F1'].files).status,
             'closed', '400')


@case(63, 'piece lengths', 'big /upload')
def _(t):
    for size, piece in ((33554431, 16384), (33554432, 32768),
                        (67108864, 65536)):
        r = t.upload('big', [('big.bin', bytes(size))])
        t.expect(size, bencode.decode(r.body)[0][b'info'][b'piece length']
                 if r.status == '200' else r.status, piece)
