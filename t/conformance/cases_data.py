"""Cases 17 to 31: bodies and headers of /data."""

from cases_select import relative
from judge import case, like, quote, same

OCTETS = 'application/octet-stream'
TEXT = 'text/plain; charset=utf-8'
ANY = like('.*')


def content(t, name, target, data, **o):
    r = t.get(target, **o)
    t.expect(name, r.status, '200')
    t.expect(name + ' body', same(r.body, data), 'same')

    return r


@case(17, 'a file')
def _(t):
    f = t.torrent('F1')
    r = content(t, 'status', '/data?ih=%s&path=hello.txt' % f.ih, f.data)
    t.expect('length', r.header('Content-Length'), '19')
    t.expect('type', r.header('Content-Type'), TEXT, 'text/plain')
    t.expect('ranges', r.header('Accept-Ranges'), 'bytes')
    t.expect('disposition', r.header('Content-Disposition'),
             'filename="hello.txt"', like(r'inline; filename="hello\.txt".*'))

    for name in ('Server', 'ETag', 'Last-Modified', 'Cache-Control',
                 'Cache-Status'):
        t.expect(name.lower(), r.header(name), 'none', like('.+'))

    t.expect('cors', ' '.join(k for k, _ in r.headers if k.lower().startswith(
        'access-control')), '')


@case(18, 'a whole torrent of one file')
def _(t):
    f = t.torrent('F1')
    r = content(t, 'status', '/data?ih=' + f.ih, f.data)
    t.expect('disposition', r.header('Content-Disposition'), 'none')


@case(19, 'the name of the torrent is not a file')
def _(t):
    r = t.get('/data?ih=%s&path=fx1' % t.torrent('F1').ih)
    t.expect('status', r.status, '404')
    t.expect('body', r.text(), 'file not found\n')
    t.expect('disposition', r.header('Content-Disposition'),
             'filename="fx1"', 'none')


@case(20, 'an empty path')
def _(t):
    r = t.get('/data?ih=%s&path=' % t.torrent('F1').ih)
    t.expect('status', r.status, '404')
    t.expect('disposition', r.header('Content-Disposition'),
             'filename=""', 'none')


@case(21, 'a file in a directory')
def _(t):
    ih = t.torrent('F2').ih
    content(t, 'slash', '/data?ih=%s&path=dir/b.txt' % ih, b'0123456789')
    r = content(t, 'escaped', '/data?ih=%s&path=dir%%2Fb.txt' % ih,
                b'0123456789')
    t.expect('disposition', r.header('Content-Disposition'),
             'filename="dir/b.txt"', like(r'inline; filename="b\.txt".*'))


@case(22, 'what is not a file')
def _(t):
    for path in ('dir', 'dir/', '/dir/b.txt', 'dir/B.TXT'):
        r = t.get('/data?ih=%s&path=%s' % (t.torrent('F2').ih, path))
        t.expect(path, r.status, '404')


@case(23, 'a whole torrent')
def _(t):
    f = t.torrent('F2')
    r = content(t, 'status', '/data?ih=' + f.ih, f.data)
    t.expect('type', r.header('Content-Type'), OCTETS)


@case(24, 'an empty file')
def _(t):
    r = content(t, 'status',
                '/data?ih=%s&path=dir/empty.dat' % t.torrent('F2').ih, b'')
    t.expect('length', r.header('Content-Length'), '0')
    t.expect('type', r.header('Content-Type'), TEXT, OCTETS)


@case(25, 'by path')
def _(t):
    f = t.torrent('F2')
    base = '/data/infohash/' + f.ih
    content(t, 'slash', base + '/dir/b.txt', b'0123456789')
    content(t, 'escaped', base + '/dir%2Fb.txt', b'0123456789')
    content(t, 'whole', base, f.data)
    content(t, 'whole, slash', base + '/', f.data)


@case(26, 'paths that are not clean')
def _(t):
    base = '/data/infohash/' + t.torrent('F2').ih
    r = t.get(base + '/dir//b.txt')
    t.expect('status', r.status, like('301|307'))
    t.expect('location', relative(t, r.header('Location')),
             base + '/dir/b.txt')
    r = t.get(base + '/dir/b.txt/')
    t.expect('trailing slash', r.status, '404')
    t.expect('trailing slash body', r.text(), 'file not found\n')


@case(27, 'filename')
def _(t):
    ih = t.torrent('F1').ih
    r = t.get('/data?ih=%s&path=hello.txt&filename=x%%22y.txt' % ih)
    t.expect('quoted', r.header('Content-Disposition'),
             r'filename="x\"y.txt"', like(r'inline; filename="x\\"y\.txt".*'))
    r = t.get('/data?ih=%s&path=hello.txt&filename=' % ih)
    t.expect('empty', r.header('Content-Disposition'), 'filename=""',
             like('inline.*'))
    r = t.get('/data?ih=%s&filename=z' % ih)
    t.expect('whole', r.header('Content-Disposition'), 'filename="z"',
             like('inline; filename="z".*'))


@case(28, 'methods')
def _(t):
    f = t.torrent('F1')
    url = '/data?ih=%s&path=hello.txt' % f.ih
    r = t.get(url, method='HEAD')
    t.expect('HEAD', r.status, '200')
    t.expect('HEAD length', r.header('Content-Length'), '19')
    t.expect('HEAD type', r.header('Content-Type'), TEXT, 'text/plain')
    t.expect('HEAD body', same(r.body, b''), 'same')

    for method in ('POST', 'PUT', 'DELETE'):
        r = t.get(url, method=method)
        t.expect(method, r.status, '200', '405')
        if r.status == '200':
            t.expect(method + ' body', same(r.body, f.data), 'same')


@case(29, 'a plus in a name')
def _(t):
    f = t.torrent('plus')
    content(t, 'escaped', '/data?ih=%s&path=a%%2Bb.txt' % f.ih, f.data)
    r = t.get('/data?ih=%s&path=a+b.txt' % f.ih)
    t.expect('plus', r.status, '404')
    content(t, 'by path', '/data/infohash/%s/a+b.txt' % f.ih, f.data)


@case(30, 'a percent sign in a name')
def _(t):
    f = t.torrent('percent')
    content(t, 'escaped', '/data?ih=%s&path=100%%25.txt' % f.ih, b'percent\n')
    r = t.get('/data?ih=%s&path=100%%.txt' % f.ih)
    t.expect('raw', r.status, '200', '400')
    if r.status == '200':
        t.expect('raw body', same(r.body, f.data), 'same')


@case(31, 'the extension decides the type')
def _(t):
    f = t.torrent('png')
    for path, data in f.files:
        r = content(t, path, '/data?ih=%s&path=%s' % (f.ih, quote(path)),
                    data)
        t.expect(path + ' type', r.header('Content-Type'), 'image/png')
