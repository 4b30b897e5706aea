"""Cases 32 to 42: ranges and conditions."""

from email.utils import formatdate

from cases_data import OCTETS
from judge import case, like, same


def ask(t, value, method='GET', more=()):
    return t.get('/data?ih=%s&path=hundred.bin' % t.torrent('F3').ih,
                 [('Range', value)] + list(more), method)


def part(t, value, first, last):
    r = ask(t, value)
    t.expect(value, r.status, '206')
    t.expect(value + ' range', r.header('Content-Range'),
             'bytes %d-%d/100' % (first, last))
    t.expect(value + ' body',
             same(r.body, t.fixtures['F3'].data[first:last + 1]), 'same')

    return r


def whole(t, value):
    r = ask(t, value)
    t.expect(value, r.status, '200')
    t.expect(value + ' body', same(r.body, t.fixtures['F3'].data), 'same')


def parts(t, value, *ranges):
    """Every part as it should be, and nothing else."""

    r = ask(t, value)
    kind, _, boundary = r.header('Content-Type').partition('; boundary=')
    data = t.fixtures['F3'].data

    t.expect(value, r.status, '206')
    t.expect(value + ' type', kind, 'multipart/byteranges')
    t.expect(value + ' range', r.header('Content-Range'), 'none')
    t.expect(value + ' length', r.header('Content-Length'), len(r.body))

    got = []
    body = b'\r\n' + r.body.removeprefix(b'\r\n')

    for piece in body.split(b'\r\n--' + boundary.encode())[1:-1]:
        head, _, content = piece.partition(b'\r\n\r\n')
        got.append((head.decode('latin-1').strip().split('\r\n'), content))

    t.expect(value + ' parts', same(
        b'|'.join(content for _, content in got),
        b'|'.join(data[a:b + 1] for a, b in ranges)), 'same')

    wanted = [['Content-Range: bytes %d-%d/100' % (a, b),
               'Content-Type: ' + OCTETS] for a, b in ranges]

    # their order says nothing
    t.expect(value + ' part headers', [h for h, _ in got], str(wanted),
             str([h[::-1] for h in wanted]))
    t.expect(value + ' end', body.endswith(
        b'\r\n--' + boundary.encode() + b'--\r\n'), True)


@case(32, 'a range')
def _(t):
    r = part(t, 'bytes=0-9', 0, 9)
    t.expect('length', r.header('Content-Length'), '10')


@case(33, 'the end')
def _(t):
    for value in ('bytes=90-', 'bytes=-10', 'bytes=90-1000'):
        part(t, value, 90, 99)


@case(34, 'all of it as a range')
def _(t):
    r = part(t, 'bytes=0-', 0, 99)
    t.expect('length', r.header('Content-Length'), '100')
    part(t, 'bytes=-1000', 0, 99)


@case(35, 'behind the end')
def _(t):
    r = ask(t, 'bytes=100-')
    t.expect('status', r.status, '416')
    t.expect('range', r.header('Content-Range'), 'bytes */100')
    t.expect('body', r.text(), 'invalid range: failed to overlap\n',
             like('.*'))
    t.expect('disposition', r.header('Content-Disposition'),
             'filename="hundred.bin"', 'none')


@case(36, 'ranges that are not')
def _(t):
    for value in ('bytes=9-5', 'bytes=abc', 'bytes=-'):
        r = ask(t, value)
        t.expect(value, r.status, '416', '200')
        t.expect(value + ' body', r.text() if r.status == '416' else '',
                 'invalid range\n', like('.*'))
        t.expect(value + ' range', r.header('Content-Range'), 'none',
                 'bytes */100')

    t.expect('unit', ask(t, 'items=0-1').status, '416', '200')


@case(37, 'empty elements')
def _(t):
    r = ask(t, 'bytes=')
    t.expect('bytes=', r.status, '200', '416')
    part(t, 'bytes=0-4,', 0, 4)


@case(38, 'two ranges')
def _(t):
    parts(t, 'bytes=0-1,10-11', (0, 1), (10, 11))


@case(39, 'order and size of ranges')
def _(t):
    parts(t, 'bytes=10-11,0-1', (10, 11), (0, 1))
    whole(t, 'bytes=0-60,40-99')
    parts(t, 'bytes=0-49,50-99', (0, 49), (50, 99))


@case(40, 'one range of two is left')
def _(t):
    part(t, 'bytes=0-1,200-300', 0, 1)


@case(41, 'conditions')
def _(t):
    def status(name, *headers, ref, alt=None, method='GET'):
        r = t.get('/data?ih=%s&path=hundred.bin' % t.torrent('F3').ih,
                  headers, method)
        t.expect(name, r.status, ref, alt)

        return r

    status('If-Range', ('Range', 'bytes=0-9'), ('If-Range', '"x"'),
           ref='200')
    r = status('If-Match', ('If-Match', '"x"'), ref='412')
    t.expect('If-Match body', same(r.body, b''), 'same', like('other.*'))
    status('If-Match *', ('If-Match', '*'), ref='200')
    status('If-None-Match *', ('If-None-Match', '*'), ref='304')
    status('If-None-Match', ('If-None-Match', '"x"'), ref='200')
    status('If-Modified-Since', ('If-Modified-Since',
                                 formatdate(usegmt=True)), ref='200',
           alt='304')


@case(42, 'HEAD with a range; a range of nothing')
def _(t):
    r = ask(t, 'bytes=0-9', 'HEAD')
    t.expect('HEAD', r.status, '206')
    t.expect('HEAD length', r.header('Content-Length'), '10')
    t.expect('HEAD body', same(r.body, b''), 'same')
    r = t.get('/data?ih=%s&path=dir/empty.dat' % t.torrent('F2').ih,
              [('Range', 'bytes=0-')])
    t.expect('empty', r.status, '200', '416')
    t.expect('empty length', r.header('Content-Length') if r.status == '200'
             else '0', '0')
