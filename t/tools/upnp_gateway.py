#!/usr/bin/python3

"""An internet gateway that forwards nothing but says what it is asked for.

upnp_gateway.py --listen IP:PORT

Answers searches (SSDP) on the interface of that address and serves its
description and WANIPConnection:1.  Prints READY, then "add PROTOCOL PORT" and
"delete PROTOCOL PORT".  Stops when its standard input ends.
"""

import argparse
import http.server
import os
import re
import socket
import struct
import sys
import threading

SERVICE = 'urn:schemas-upnp-org:service:WANIPConnection:1'

DESCRIPTION = f'''<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<modelName>test</modelName><serviceList><service>
<serviceType>{SERVICE}</serviceType><controlURL>/control</controlURL>
</service></serviceList></device></root>'''


class Handler(http.server.BaseHTTPRequestHandler):

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header('Content-Type', 'text/xml')
        self.send_header('Content-Length', len(body))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(DESCRIPTION)

    def do_POST(self):
        text = self.rfile.read(int(self.headers['Content-Length'])).decode()
        action = re.search(r'#(\w+)', self.headers['SOAPAction']).group(1)
        port = re.search(r'<NewExternalPort[^>]*>(\d+)', text)
        protocol = re.search(r'<NewProtocol[^>]*>(\w+)', text)
        inside = ''

        if action in ('AddPortMapping', 'DeletePortMapping'):
            print(action[:-len('PortMapping')].lower(), protocol.group(1),
                  port.group(1), flush=True)

        if action == 'GetExternalIPAddress':
            inside = '<NewExternalIPAddress>192.0.2.1</NewExternalIPAddress>'

        self.answer('<s:Envelope xmlns:s='
                    '"http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
                    f'<u:{action}Response xmlns:u="{SERVICE}">{inside}'
                    f'</u:{action}Response></s:Body></s:Envelope>')

    def log_message(self, *args):
        pass


def search(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', 1900))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                 struct.pack('4s4s', socket.inet_aton('239.255.255.250'),
                             socket.inet_aton(address)))

    reply = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reply.bind((address, 0))

    while True:
        text, peer = s.recvfrom(2048)

        if text.startswith(b'M-SEARCH'):
            reply.sendto((
                'HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n'
                'USN: uuid:1::upnp:rootdevice\r\n'
                f'Location: http://{address}:{port}/description.xml\r\n'
                'Cache-Control: max-age=1800\r\n\r\n').encode(), peer)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--listen', required=True)
    a = p.parse_args()
    address, port = a.listen.rsplit(':', 1)

    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)

    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=search, args=(address, int(port)),
                     daemon=True).start()
    print('READY', flush=True)

    sys.stdin.read()
    os._exit(0)


main()
