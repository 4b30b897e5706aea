"""Cases that need more than a server that answers: one that was started in
another way, that is stopped meanwhile, or whose files can be seen."""

import os
import subprocess
import time

import torrents
from judge import case, like, same

MIB = 1048576


def ending(x, r, data):
    """How a response ended: all, cut, blocks, or the status of an error."""

    if r.status == '200' and r.body == data:
        return 'all'
    if r.status in ('200', 'closed') and x.eof \
            and data.startswith(r.body):
        return 'cut'
    if r.status in ('200', 'blocks') and data.startswith(r.body):
        return 'blocks'

    return r.status if r.status != '200' else 'other bytes'


def read(t, torrent, seconds):
    """Reads all of a torrent that a peer has."""

    t.post(torrent.meta)

    with t.peer(torrent), t.start('/data?ih=' + torrent.ih) as x:
        return ending(x, x.wait(seconds), torrent.data)


@case('70a', 'files of a torrent that is dropped',
      'file_dir torrent_address grace')
def _(t):
    s = torrents.fresh()
    where = os.path.join(t.options.file_dir, s.ih)
    t.expect('data', read(t, s, 20), 'all')
    t.expect('there', os.path.exists(where), True)
    t.expect('gone', t.until(lambda: not os.path.exists(where),
                             t.options.grace + 5), True)
    t.expect('read again', t.blocked('/data?ih=' + s.ih).status, 'blocks')


@case('71a', 'a cache of 20000 bytes', 'tiny_cache torrent_address')
def _(t):
    f = t.fixtures['F2']
    t.expect('end', read(t, f, 15), like('all|blocks'))
    t.expect('alive', t.alive(), '200')


@case('I3', 'a hybrid torrent by each of its infohashes',
      'grace destructive')
def _(t):
    h = torrents.hybrid()
    t.post(h.meta)

    for name, ih in (('v1', h.ih), ('v2', h.v2[:40])):
        r = t.get('/info?ih=' + ih)
        t.expect(name, same(r.body, h.info), 'same')

    # it is released twice and should be dropped once
    t.expect('ended by that', t.until(lambda: t.alive() == 'down',
                                      t.options.grace + 2), True, False)


@case('I3a', 'handshakes are collected', 'camouflage torrent_address')
def _(t):
    s = torrents.fresh()
    end = read(t, s, 10)
    t.expect('alive', t.alive(), 'down', '200')
    t.expect('data', end, like('.*') if t.alive() == 'down' else 'all')


@case('I6', 'more than the disk holds', 'full_disk torrent_address')
def _(t):
    s = torrents.fresh(size=48 * MIB, piece=262144)
    t.expect('end', read(t, s, 20), 'blocks', like('all|cut|50[0-9]'))
    t.expect('alive', t.alive(), '200')


@case('I7', 'a cache without a limit', 'unlimited torrent_address')
def _(t):
    t.expect('end', read(t, torrents.fresh(), 10), 'blocks', 'all')


@case('I8', 'readers of more than the cache holds',
      'cache_size torrent_address')
def _(t):
    size = t.options.cache_size // 2
    films = [torrents.fresh('%d.bin' % i, size, piece=262144)
             for i in range(4)]
    peers = []
    reads = []

    for s in films:
        t.post(s.meta)
        peers.append(t.peer(s))
        reads.append(t.start('/data?ih=' + s.ih))

    end = time.monotonic() + 60

    # none of them is far ahead of the others
    while any([x.more(time.monotonic() + 0.01) for x in reads
               if not x.eof]) or time.monotonic() < end:
        if all(x.eof for x in reads):
            break

    for i, (s, x) in enumerate(zip(films, reads)):
        t.expect(i, ending(x, x.parse(), s.data), 'all')
        x.close()

    for peer in peers:
        peer.stop()


@case('I9', 'what is written of a .torrent', 'metainfo_dir')
def _(t):
    s = torrents.fresh()
    path = os.path.join(t.options.metainfo_dir, s.ih + '.torrent')

    def stat():
        st = os.stat(path)
        return st.st_ino, st.st_mtime_ns

    t.get('/info?ih=%s&nowait=1' % s.ih)
    t.expect('without info', t.until(lambda: os.path.exists(path), 1), True,
             False)

    t.post(s.meta)
    t.expect('with info', t.until(lambda: os.path.exists(path), 5), True)
    before = stat()
    t.get('/info?ih=' + s.ih)
    t.expect('written for a request', t.until(lambda: stat() != before, 1),
             True, False)

    before = stat()
    t.post(torrents.with_info(s.info, {'url-list': 'http://t.invalid/'}))
    t.expect('written for a change', t.until(lambda: stat() != before, 5),
             True)
    t.expect('in place', stat()[0] == before[0], True, False)


@case('I12', 'requests while torrents are dropped', 'grace')
def _(t):
    f = t.torrent('F1')
    films = [torrents.fresh('%d.bin' % i) for i in range(50)]
    answers = set()

    for s in films:
        t.post(s.meta)

    def gone():
        answers.add(t.get('/info?ih=' + f.ih, wait=5).status)
        text = t.get('/status', wait=5).text()

        return not any(s.ih in text for s in films)

    t.expect('gone', t.until(gone, t.options.grace + 10), True)
    t.expect('answers', answers, "{'200'}")


@case('I26', 'health of what does not move',
      'freeze_command thaw_command')
def _(t):
    subprocess.run(t.options.freeze_command, shell=True, check=True)

    try:
        t.expect('frozen', t.get('/health', wait=20).status, 'blocks', '503')
    finally:
        subprocess.run(t.options.thaw_command, shell=True, check=True)

    t.expect('thawed', t.until(lambda: t.alive() == '200', 20), True)


@case('I4', 'an orderly stop', 'stop_command torrent_address')
def _(t):
    s = torrents.fresh()
    t.post(s.meta)

    with t.peer(s, hold=True) as peer, t.start('/data?ih=' + s.ih) as x:
        t.expect('asked', t.until(lambda: peer.requests, 20), True)
        stop = subprocess.Popen(t.options.stop_command, shell=True)
        t.expect('down', t.until(lambda: t.alive() == 'down', 20), True)
        peer.give()
        t.expect('end', ending(x, x.wait(20), s.data), 'cut', 'all')

    t.expect('stopped', stop.wait(30), '0')
