"""Cases, what they expect, and the verdict.

A case is a function that asks the server and says, by Judge.expect(), what
came and what should have come.  Both are text.  What the reference gives is
"ref"; what is accepted instead of it is "improved"; all else FAILs.
"""

import re
import time
import urllib.parse

import client
import torrents
import websocket
from peer import Peer

CASES = []


def case(number, title, needs=''):
    """Registers a case.  needs: options, by name, without any of which it is
    skipped."""

    def register(function):
        CASES.append(Case(str(number), title, needs.split(), function))
        return function

    return register


class Case:
    def __init__(self, number, title, needs, function):
        self.number = number
        self.title = title
        self.needs = needs
        self.function = function
        self.checks = []
        self.skipped = None
        self.error = None

    def verdict(self):
        if self.error:
            return 'FAIL'
        if self.skipped:
            return 'skip'

        all_of = [c.verdict for c in self.checks]

        for worst in ('FAIL', 'improved'):
            if worst in all_of:
                return worst

        return 'ref'


class Check:
    def __init__(self, name, got, ref, alt):
        self.name = str(name)
        self.got = shorten(str(got))
        self.ref = shown(ref)
        self.alt = shown(alt) if alt is not None else ''

        if matches(str(got), ref):
            self.verdict = 'ref'
        elif alt is not None and matches(str(got), alt):
            self.verdict = 'improved'
        else:
            self.verdict = 'FAIL'


class Skip(Exception):
    pass


def matches(got, expected):
    if isinstance(expected, re.Pattern):
        return expected.fullmatch(got) is not None

    return got == str(expected)


def shown(expected):
    if isinstance(expected, re.Pattern):
        return '/%s/' % shorten(expected.pattern)

    return shorten(str(expected))


def shorten(text):
    text = text.replace('\n', '\\n').replace('\r', '\\r')

    return text if len(text) <= 160 else text[:157] + '...'


def like(pattern):
    return re.compile(pattern, re.S)


class Judge:
    """What a case has at hand."""

    def __init__(self, options):
        url = urllib.parse.urlsplit(options.url)

        self.options = options
        self.address = (url.hostname, url.port or 80)
        self.host = url.netloc
        self.prefix = url.path.rstrip('/')
        self.fixtures = torrents.fixtures()
        self.put_already = set()
        self.current = None

    def expect(self, name, got, ref, alt=None):
        check = Check(name, got, ref, alt)
        self.current.checks.append(check)

        return check.verdict != 'FAIL'

    # Requests.

    def start(self, target, method='GET', headers=(), body=None, **o):
        return client.Exchange(self.address, self.prefix + target, method,
                               headers, body, host=self.host, **o)

    def get(self, target, headers=(), method='GET', body=None, wait=15, **o):
        with self.start(target, method, headers, body, **o) as x:
            return x.wait(wait)

    def blocked(self, target, headers=(), method='GET'):
        """As get(), for what may well block."""

        return self.get(target, headers, method, wait=1)

    def json(self, torrent):
        return self.get('/metainfo?ih=' + torrent.ih,
                        [('Accept', 'application/json')])

    def post(self, body, query=''):
        return self.get('/metainfo' + query, method='POST', body=body)

    def upload(self, name, files, fields=()):
        named = [] if name is None else [('name', name)]
        body, kind = torrents.form(named + list(fields), files)

        return self.get('/upload', [('Content-Type', kind)], 'POST', body)

    def websocket(self, target, headers=(), wait=5):
        """(the response, the socket or None)"""

        x = self.start(target, headers=websocket.HANDSHAKE + list(headers),
                       version='1.1\r\nConnection: Upgrade')
        r = x.wait(wait)

        return r, websocket.Socket(x) if r.status == '101' else None

    # Torrents.

    def torrent(self, name):
        """A fixture, with its data at the server."""

        t = self.fixtures[name]
        self.put(t)

        return t

    def put(self, t):
        if t.ih in self.put_already:
            return

        r = self.upload(t.name, t.files)

        if r.status == '404' or t.single:
            self.put_by_peer(t)
        elif r.status != '200':
            raise RuntimeError('upload: %s %s' % (r.status, r.text()[:200]))

        self.put_already.add(t.ih)

    def put_by_peer(self, t):
        """For a server without /upload."""

        if not self.options.torrent_address:
            raise Skip('needs --torrent-address')

        self.post(t.meta)

        with self.peer(t):
            r = self.get('/data?ih=' + t.ih, wait=30)

        if r.body != t.data:
            raise RuntimeError('no data from a peer: %s' % r.status)

    def peer(self, torrent, **o):
        return Peer(torrent, self.options.torrent_address, **o)

    def until(self, condition, seconds):
        """Whether it comes true within the time."""

        end = time.monotonic() + seconds

        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)

        return True

    def alive(self):
        try:
            return self.get('/health', wait=5).status
        except OSError:
            return 'down'


def quote(text):
    return urllib.parse.quote(text, safe='')


def same(got, wanted):
    """Bodies are compared here, so that tables stay readable."""

    return 'same' if got == wanted else 'other: %d bytes %r' % (
        len(got), got[:40])
