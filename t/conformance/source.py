"""A web server in a thread that has one .torrent."""

import http.server
import threading


class Source:
    """As a context it is the URL."""

    def __init__(self, meta):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header('Content-Length', str(len(meta)))
                self.end_headers()
                self.wfile.write(meta)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0),
                                                      Handler)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def __enter__(self):
        return 'http://127.0.0.1:%d/a.torrent' % self.server.server_port

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
