#!/usr/bin/perl

# Tests for /debug/: the DHT, the cache and the order in which it evicts,
# peers; and that neither they nor /metrics are served where nobody said so.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx qw/ :DEFAULT http_content /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

# libtorrent has no DHT on the loopback

my $node = '10.99.1.1:7001';
my $listen = '10.99.20.1:7020';
my $conf = $c->conf(listen => $listen, dht => 'on', dht_bootstrap => $node,
	cache_path => $t->testdir() . '/cache max_size=20m');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

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

        location = /bt/metrics {
            confluence;
        }

        location /bt/debug/ {
            confluence;
        }

        location /private/ {
            confluence debug;
        }
    }
}

EOF

my $piece = 65536;
my $old = $c->torrent('old.bin', size => 3 * $piece, piece => $piece);
my $new = $c->torrent('new.bin', size => 100 * $piece, piece => $piece);
my $seed = $c->seed_libtorrent([ $old, $new ], address => $node,
	dht => $node);

# a node that is told of by the first one, which itself is not in the table

my $other = $c->seed_libtorrent($c->torrent('x.bin', size => 1),
	address => '10.99.2.1:7002', dht => $node);

$t->run()->plan(32);

# not unless it is configured

for my $uri (qw! /metrics /debug /debug/ /debug/dht /debug/filecache/status
	/debug/peers /bt/metrics /bt/debug/ /bt/debug/dht !)
{
	like(http_get($uri), qr/ 404 .*^404 page not found$/ms, "no $uri");
}

# what there is

my $r = http_get('/private/');
like($r, qr!^Content-Type: text/plain; charset=utf-8\x0d$!m, 'type');
is(http_content($r), "dht\nfilecache/lru\nfilecache/status\npeers\n", 'pages');
like(http_get("/private/$_"), qr/ 404 /, "no page $_")
	for qw! none dht/ dhtx filecache !;
like(http("POST /private/dht HTTP/1.0\x0d\x0a\x0d\x0a"), qr/ 405 /, 'method');

# an empty cache

is(content('filecache/status'), "Capacity: 20971520\nCurrent Size: 0\n"
	. "Item Count: 0\n", 'empty cache');
is(content('filecache/lru'), '', 'nothing to evict');
is(content('peers'), '', 'no peers');

# what was read longest ago comes first

is($c->fetch($c->url($old, peers => [ $seed ]))->{status}, 200, 'old');
my $time = time();
Test::Confluence::wait_for(sub { time() > $time + 1 }, 5, 'a second');
is($c->fetch($c->url($new, peers => [ $seed ]))->{status}, 200, 'new');

is(content('filecache/status'), "Capacity: 20971520\nCurrent Size: "
	. $c->used() . "\nItem Count: 3\n", 'cache');

my @lines = split /\n/, content('filecache/lru');
is(scalar @lines, 3, 'items');
like($lines[0], qr!^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t196608\tpieces/
	$old->{ih}/0\.\d+$!x, 'first to go');
like($lines[1], qr!^\S+\t4194304\tpieces/$new->{ih}/0\.\d+$!, 'then');

$time = time();
Test::Confluence::wait_for(sub { time() > $time + 1 }, 5, 'a second');
is($c->fetch($c->url($old))->{status}, 200, 'read again');
like(content('filecache/lru'), qr!^\S+\t196608\tpieces/$old->{ih}/0\.\d+\n\z!m,
	'last to go now');

# peers of all torrents

$r = content('peers');
like($r, qr!^$old->{ih} old\.bin: 1 peers\n  - \Q$node\E .*, 3 pieces, !m,
	'a peer');
like($r, qr!^$new->{ih} new\.bin: 1 peers$!m, 'peers of another');

# the DHT, once it has found the node

$r = Test::Confluence::wait_for(sub {
	my $x = content('dht');
	$x =~ /^Nodes in table: [1-9]/m && $x
}, 20, "a node") || 
like($r, qr/^Listening on \Q$listen\E$/m, 'DHT listens');
like($r, qr/^Nodes in table: [1-9] good, [1-9] total$/m, 'DHT nodes');
like($r, qr/^Ongoing transactions: \d+$/m, 'DHT transactions');
like($r, qr/^Server node ID: [0-9a-f]{40}$/m, 'DHT id');

sub content {
	my ($page) = @_;

	my $r = http_get("/private/$page");

	die "$page: $r\n" unless $r =~ / 200 OK/;

	return http_content($r);
}
