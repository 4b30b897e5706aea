#!/usr/bin/python3

"""Plays a film in the <video> of Chromium, by WebDriver.

browser.py PAGE PROFILE

Opens the page, which has a <video id="film">, plays from its begin, then seeks
to three fourths of it and plays from there.  PROFILE: a directory for the
browser, a new one.  Prints "duration S", "width N", "played S", "seeked S",
"played S", or "error TEXT".
"""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic',
         '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--mute-audio',
         '--disable-dev-shm-usage', '--no-proxy-server',
         '--autoplay-policy=no-user-gesture-required']

# Waits in the page for a fact about its film, "v".
UNTIL = """
    const v = document.getElementById('film'), say = arguments[0];
    %s;
    const timer = setInterval(() => {
        if (v.error) {
            clearInterval(timer);
            say('error ' + v.error.code + ' ' + v.error.message);
        } else if (%s) {
            clearInterval(timer);
            say(%s);
        }
    }, 50);
"""


class Driver:
    def __init__(self, profile):
        with socket.create_server(('127.0.0.1', 0)) as s:
            port = s.getsockname()[1]

        self.base = 'http://127.0.0.1:%d' % port
        self.process = subprocess.Popen(
            ['chromedriver', '--port=%d' % port],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_ready()

        options = {'args': FLAGS + ['--user-data-dir=' + profile]}
        self.session = '/session/' + self.call('POST', '/session', {
            'capabilities': {'alwaysMatch': {
                'goog:chromeOptions': options,
                'timeouts': {'script': 30000}}}})['sessionId']

    def wait_ready(self):
        end = time.monotonic() + 20

        while True:
            try:
                if self.call('GET', '/status')['ready']:
                    return
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > end:
                    raise

            time.sleep(0.05)

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.base + path, method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={'Content-Type': 'application/json'})

        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return json.load(r)['value']
        except urllib.error.HTTPError as e:
            raise RuntimeError(json.load(e)['value']['message']) from e

    def open(self, url):
        self.call('POST', self.session + '/url', {'url': url})

    def until(self, fact, result, first=''):
        return self.call('POST', self.session + '/execute/async', {
            'script': UNTIL % (first, fact, result), 'args': []})

    def stop(self):
        try:
            if hasattr(self, 'session'):
                self.call('DELETE', self.session)
        finally:
            self.process.terminate()
            self.process.wait(10)


def play(driver, page):
    driver.open(page)
    yield driver.until('v.readyState > 0', '"duration " + v.duration')
    yield driver.until('v.videoWidth', '"width " + v.videoWidth')
    yield driver.until('v.currentTime > 1', '"played " + v.currentTime',
                       'v.play()')
    yield driver.until('!v.seeking && v.readyState >= 2',
                       '"seeked " + v.currentTime',
                       'v.currentTime = v.duration * 3 / 4')
    yield driver.until('v.currentTime > v.duration * 3 / 4 + 1',
                       '"played " + v.currentTime')


def main():
    page, profile = sys.argv[1:]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    urllib.request.install_opener(opener)
    driver = Driver(profile)

    try:
        for line in play(driver, page):
            print(line, flush=True)
    except RuntimeError as e:
        print('error', str(e).split('\n')[0], flush=True)
    finally:
        driver.stop()


main()
