#!/usr/bin/python3

"""A WebSocket client that nobody here wrote, on a leash.

ws_client.py URL [--origin ORIGIN] [--protocol NAME]...

Commands on standard input: "ping TEXT", "text TEXT", "pause" (reads nothing
any more), "resume", "close".  Prints "open PROTOCOL", "status N" if the server
refuses, "message TEXT", "pong TEXT", "closed CODE".
"""

import argparse
import asyncio
import ssl
import sys

import websockets


def say(text):
    print(text, flush=True)


async def commands(ws, gate):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    while True:
        line = (await reader.readline()).decode()

        if not line:
            await ws.close()
            return

        line = line.rstrip('\n')
        name, _, text = line.partition(' ')

        if name == 'ping':
            pong = await ws.ping(text.encode())
            await asyncio.wait_for(pong, 5)
            say('pong ' + text)
        elif name == 'text':
            await ws.send(text)
        elif name == 'pause':
            gate.clear()
            ws.transport.pause_reading()
        elif name == 'resume':
            ws.transport.resume_reading()
            gate.set()
        elif name == 'close':
            await ws.close()

        say('ok ' + line)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('url')
    parser.add_argument('--origin')
    parser.add_argument('--protocol', action='append')
    args = parser.parse_args()

    context = None

    if args.url.startswith('wss:'):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

    try:
        ws = await websockets.connect(
            args.url, origin=args.origin, subprotocols=args.protocol,
            ssl=context, ping_interval=None, max_queue=None)
    except websockets.exceptions.InvalidStatusCode as e:
        say('status %d' % e.status_code)
        return

    say('open %s' % (ws.subprotocol or ''))

    gate = asyncio.Event()
    gate.set()
    task = asyncio.create_task(commands(ws, gate))

    try:
        async for message in ws:
            await gate.wait()
            say('message ' + message)
    except websockets.exceptions.ConnectionClosedError:
        pass

    say('closed %s' % ws.close_code)
    task.cancel()


asyncio.run(main())
