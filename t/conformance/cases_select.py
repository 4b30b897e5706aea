"""Cases 1 to 16: which torrent is meant, and routing."""

import base64
import hashlib

from judge import case, like, quote

SELECT = 'error determining requested infohash: '
NONE = SELECT + 'expected nonempty query parameter "magnet" or "ih"\n'


def error(t, name, target, body, status='400'):
    r = t.get(target)
    t.expect(name, r.status, status)
    t.expect(name + ' body', r.text(), body)

    return r


def info(t, name, target):
    r = t.get(target)
    t.expect(name, r.status, '200')
    t.expect(name + ' hash', hashlib.sha1(r.body).hexdigest(),
             t.fixtures['F1'].ih)


@case(1, '/data without a torrent')
def _(t):
    r = error(t, 'none', '/data', NONE)
    t.expect('type', r.header('Content-Type'), 'text/plain; charset=utf-8')
    t.expect('nosniff', r.header('X-Content-Type-Options'), 'nosniff')


@case(2, 'an empty ih')
def _(t):
    error(t, 'empty', '/info?ih=', NONE)


@case(3, 'a short ih')
def _(t):
    error(t, 'short', '/info?ih=abc', SELECT
          + 'hash hex string has bad length: 3\n')


@case(4, 'an ih that is not hex')
def _(t):
    error(t, 'hex', '/info?ih=' + 40 * 'z',
          like(SELECT + 'encoding/hex: invalid byte.*'))


@case(5, 'an ih in upper case')
def _(t):
    info(t, 'upper', '/info?ih=' + t.torrent('F1').ih.upper())


@case(6, 'a magnet that is not encoded')
def _(t):
    info(t, 'magnet', '/info?magnet=magnet:?xt=urn:btih:'
         + t.torrent('F1').ih)


@case(7, 'a magnet with base32')
def _(t):
    b32 = base64.b32encode(t.torrent('F1').hash).decode()
    info(t, 'base32', '/info?magnet='
         + quote('magnet:?xt=urn:btih:' + b32))


@case(8, 'a magnet of another scheme')
def _(t):
    error(t, 'scheme', '/info?magnet=http://x/&ih=' + t.torrent('F1').ih,
          SELECT + 'parsing magnet: unexpected scheme "http"\n')


@case(9, 'a magnet without a topic')
def _(t):
    error(t, 'topic', '/info?magnet=magnet:?dn=x&ih=' + t.torrent('F1').ih,
          SELECT + 'parsing magnet: missing v1 infohash\n')


@case(10, 'an empty magnet')
def _(t):
    info(t, 'empty', '/info?magnet=&ih=' + t.torrent('F1').ih)


@case(11, 'the first value counts')
def _(t):
    ih = t.torrent('F1').ih
    info(t, 'good first', '/info?ih=%s&ih=zz' % ih)
    t.expect('bad first', t.get('/info?ih=zz&ih=' + ih).status, '400')


@case(12, 'names of parameters are case-sensitive')
def _(t):
    error(t, 'IH', '/info?IH=' + t.torrent('F1').ih, NONE)


@case(13, 'no such route')
def _(t):
    for path in ('/nosuch', '/data/', '/'):
        error(t, path, path, '404 page not found\n', '404')


@case(14, '/data/infohash without the slash')
def _(t):
    r = t.get('/data/infohash?x=1')
    # which of them depends on the Go that built it
    t.expect('status', r.status, like('301|307'))
    t.expect('location', relative(t, r.header('Location')),
             '/data/infohash/?x=1')


def relative(t, location):
    """Absolute locations of this server are relative ones, too."""

    start = 'http://' + t.host

    if location.startswith(start):
        location = location[len(start):]

    return location[len(t.prefix):]


@case(15, '/data/infohash/ without an infohash')
def _(t):
    error(t, 'empty', '/data/infohash/',
          SELECT + 'hash hex string has bad length: 0\n')


@case(16, 'an infohash of zeros')
def _(t):
    t.expect('status', t.get('/info?ih=' + 40 * '0').status, 'closed', '400')
    t.expect('alive', t.alive(), '200')
