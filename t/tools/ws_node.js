#!/usr/bin/node

// A WebSocket client that nobody here wrote, ws of Node, on a leash.
//
// ws_node.js URL [PROTOCOL]...
//
// Commands on standard input: "ping TEXT", "text TEXT", "binary TEXT", "long
// LENGTH", "close".
// Prints "open PROTOCOL EXTENSIONS", "status N" if the server refuses, "message
// TEXT", "ping", "pong TEXT", "closed CODE", "error TEXT", and "ok COMMAND" for
// what was sent.

'use strict';

const readline = require('readline');

// where Debian has it
const WebSocket = require('/usr/share/nodejs/ws');

const [url, ...protocols] = process.argv.slice(2);
const ws = new WebSocket(url, protocols);

ws.on('open', () => console.log(`open ${ws.protocol} ${ws.extensions}`));
ws.on('message', (data, binary) =>
    console.log(binary ? 'binary' : `message ${data}`));
ws.on('ping', () => console.log('ping'));
ws.on('pong', (data) => console.log(`pong ${data}`));
ws.on('error', (e) => console.log(`error ${e.message}`));

ws.on('unexpected-response', (request, response) => {
    console.log(`status ${response.statusCode}`);
    process.exit();
});

ws.on('close', (code) => {
    console.log(`closed ${code}`);
    process.exit();
});

readline.createInterface({ input: process.stdin })
    .on('close', () => ws.close())
    .on('line', (line) => {
        const [command, ...rest] = line.split(' ');
        const text = rest.join(' ');

        if (command === 'ping') {
            ws.ping(text);
        } else if (command === 'long') {
            ws.send('x'.repeat(text));
        } else if (command === 'close') {
            ws.close(1000);
        } else {
            ws.send(text, { binary: command === 'binary' });
        }

        console.log(`ok ${line}`);
    });
