"""nginx with the module, as benchmarks configure it."""

import os
import re
import signal
import socket

import client
import process

CONF = """
worker_processes      1;
worker_rlimit_nofile  16384;
daemon                off;
%(user)s
error_log             %(dir)s/error.log notice;
pid                   %(dir)s/nginx.pid;

load_module           %(module)s;


events {
    worker_connections  4096;
}


http {
    access_log          off;
    default_type        application/octet-stream;

    sendfile            on;
    tcp_nopush          off;
    keepalive_requests  1000000000;

    client_body_temp_path  %(dir)s/body;
    proxy_temp_path        %(dir)s/proxy;
    fastcgi_temp_path      %(dir)s/fastcgi;
    uwsgi_temp_path        %(dir)s/uwsgi;
    scgi_temp_path         %(dir)s/scgi;

    confluence_cache_path  %(dir)s/cache max_size=20g layout=%(layout)s;
    confluence_listen      %(torrent)s;
    confluence_dht         off;
    confluence_lsd         off;
    confluence_private_networks  on;
    confluence_utp         off;

    server {
        listen       127.0.0.1:%(port)d;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout  10m;
        }

        location /static/ {
            alias  %(static)s/;
        }
    }
}
"""


class Nginx:
    """One worker and the engine, with an empty cache at first.

    static: a directory that is served as /static/.
    """

    def __init__(self, bench, static=None):
        self.dir = bench.new_dir('nginx')
        self.address = ('127.0.0.1', free_port())

        with open(self.dir + '/nginx.conf', 'w') as f:
            f.write(CONF % {
                'dir': self.dir,
                'layout': bench.layout,
                'module': bench.module,
                'user': 'user root;' if os.getuid() == 0 else '',
                'torrent': '127.0.0.1:%d' % free_port(),
                'port': self.address[1],
                'static': static or self.dir,
            })

        self.master = process.Process(
            ['nginx', '-p', self.dir, '-c', self.dir + '/nginx.conf',
             '-e', self.dir + '/error.log'],
            self.dir + '/error.log', stop=signal.SIGTERM)

        try:
            process.wait_for(self.healthy, 20, 'nginx starts, see '
                             + self.dir + '/error.log')
            self.find_processes()
        except BaseException:
            self.master.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        self.master.stop()

        if not kind:
            self.look_at_log()

    def look_at_log(self):
        """A process that died and was started anew is no result."""
        with open(self.dir + '/error.log') as f:
            for line in f:
                if re.search(r'\[(alert|crit|emerg)\]', line):
                    raise RuntimeError('nginx says: ' + line.strip())

    def healthy(self):
        if self.master.ended():
            with open(self.dir + '/error.log') as f:
                last = f.read().strip().split('\n')[-1]

            raise RuntimeError('nginx did not start: ' + last)

        try:
            with client.Response(self.address, '/health', timeout=5) as r:
                return r.status == 200
        except OSError:
            return False

    def find_processes(self):
        found = process.children(self.master.pid)

        self.worker = [pid for pid in found if 'worker' in found[pid]]
        self.engine = [pid for pid in found if 'cache manager' in found[pid]]

        if len(self.worker) != 1 or len(self.engine) != 1:
            raise RuntimeError('unexpected processes: %s' % found)

    def cpu(self):
        """CPU seconds of the worker and the engine so far."""
        return process.cpu_seconds(self.worker + self.engine)

    def memory(self):
        return process.memory(self.worker + self.engine)

    def url(self, uri):
        return 'http://%s:%d%s' % (self.address + (uri,))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]
