#!/usr/bin/perl

# Tests for /events with ws, the WebSocket client of Node.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has(qw/ libtorrent node /);

plan(skip_all => 'no node-ws') unless -d '/usr/share/nodejs/ws';

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }

        location /pinged {
            confluence events;
            confluence_ping_interval 300ms;
        }
    }
}

EOF

my $torrent = $c->torrent('a.bin', size => 20 * 16384);
my $seed = $c->seed_libtorrent($torrent);

$t->run()->plan(17);

# it offers permessage-deflate

my $ws = client($c->url($torrent, route => '/events', peers => [ $seed ]));
is($ws->wait_line(qr/^open/), 'open  ', 'open');

is($c->fetch($c->url($torrent))->{body}, $torrent->{whole}, 'download');

for my $n (0, 7, 19) {
	ok($ws->wait_line(qr/^message \{"PieceChanged":$n\}$/), "piece $n");
}

$ws->tell('ping of a client');
ok($ws->wait_line(qr/^pong of a client$/), 'ping');

$ws->tell('text something');
$ws->tell('binary something');
$ws->tell('long 60000');
$ws->tell('ping after text');
ok($ws->wait_line(qr/^pong after text$/), 'what it says is ignored');

$ws->tell('close');
ok($ws->wait_line(qr/^closed 1000$/), 'close');

my $long = client($c->url($torrent, route => '/events'));
$long->wait_line(qr/^open/);
$long->tell('long 100000');
ok($long->wait_line(qr/^closed 1009$/), 'too long a text');

# pings of the server

my $pinged = client($c->url($torrent, route => '/pinged'));
ok($pinged->wait_line(qr/^open/), 'open to be pinged');
ok($pinged->wait_line(qr/^ping$/), 'pinged') for 1 .. 2;

# subprotocols

my $foo = client($c->url($torrent, route => '/events'), 'foo');
is($foo->wait_line(qr/^open/), 'open foo ', 'a protocol');

# ws itself fails if it offered some and none is chosen
my $bar = client($c->url($torrent, route => '/events'), 'foo', 'bar');
ok($bar->wait_line(qr/^error Server sent no subprotocol/),
	'several protocols');

is(client('/events?ih=abc')->wait_line(qr/^status/), 'status 400', 'refused');

# they are told of a reload

$t->reload();
ok($foo->wait_line(qr/^closed 1001$/), 'closed by reload');
unlike($ws->output() . $pinged->output() . $foo->output(), qr/^error/m,
	'no errors');

sub client {
	my ($path, @protocols) = @_;

	return $c->spawn([ "$FindBin::Bin/tools/ws_node.js",
		'ws://127.0.0.1:' . Test::Nginx::port(8080) . $path, @protocols ]);
}
