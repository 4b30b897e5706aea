#!/usr/bin/perl

# Tests for /metrics: that Prometheus' own parser reads it, that the values are
# facts, and that what workers count outlives reload, death and upgrade.

use warnings;
use strict;

use FindBin;
use IPC::Open2;
use JSON::PP;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end port /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'prometheus_client');
my $dir = $t->testdir();

my $conf = $c->conf(cache_path => "$dir/cache max_size=24m", seed => 'on',
	torrent_grace => 'off');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    add_header  X-Pid $pid always;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }

        location = /numbers {
            confluence metrics;
        }

        location /soon/ {
            confluence data;
            confluence_wait_timeout 300ms;
        }
    }
}

EOF

my $piece = 65536;
my $size = 10 * $piece - 77;
my $torrent = $c->torrent('a.bin', size => $size, piece => $piece);
my $held = $c->torrent('held.bin', size => 4 * $piece, piece => $piece);
my $big = $c->torrent('big.bin', size => 20 << 20, piece => 1 << 20);
my $seed = $c->seed_libtorrent([ $torrent, $big ]);
my $peer = $c->seed_scripted($held, mode => 'hold');
my $prefix = 'confluence_';
my ($types, $last);

$t->run()->plan(71);

# form

my $r = http_get('/numbers');
like($r, qr!^Content-Type: text/plain; version=0\.0\.4; charset=utf-8\x0d$!m,
	'type');
like(http_head('/numbers'), qr/ 200 OK/, 'head');
like(http("POST /numbers HTTP/1.0\x0d\x0a\x0d\x0a"), qr/ 405 /, 'method');
like(http_get('/metrics'), qr/ 404 /, 'not where nobody said so');

my %m = metrics();

is($types->{"${prefix}requests"}, 'counter', 'type of a counter');
is($types->{"${prefix}first_byte_seconds"}, 'histogram', 'of a histogram');
is($types->{"${prefix}num_torrents"}, 'gauge', 'of a gauge');
is((grep { $_ eq 'unknown' } values %$types) + 0, 0, 'all have a type');
is($m{num_torrents}, 0, 'no torrents');
is($m{cache_limit_bytes}, 24 << 20, 'limit');
is($m{workers}, 2, 'workers');
is($m{engine_starts_total}, 1, 'one start');
is($m{client_sent_bytes_total}, 0, 'nothing sent');

# a first read, a second, some of it; all of them are counted on their way

my $url = $c->url($torrent, peers => [ $seed ]);

is($c->fetch($url)->{size}, $size, 'first read');
%m = gives(client_sent_bytes_total => $size);
is($m{'requests_total{cache="miss"}'}, 1, 'a miss');
is($m{'first_byte_seconds_count{cache="miss"}'}, 1, 'its first byte');
is($m{'first_byte_seconds_bucket{cache="miss",le="+Inf"}'}, 1, 'its bucket');
cmp_ok($m{'first_byte_seconds_sum{cache="miss"}'}, '>', 0, 'its time');
is($m{'requests_total{cache="hit"}'}, 0, 'no hit');
is($m{swarm_received_bytes_total}, $size, 'bytes of the swarm');
is($m{num_torrents}, torrents(), 'torrents as in /status');
is($m{num_torrents}, 1, 'one');
is($m{cache_torrents}, 1, 'in the cache');
is($m{cache_bytes}, $c->used(), 'bytes of the cache');
cmp_ok($m{libtorrent_net_recv_payload_bytes_total}, '>=', $size,
	'what libtorrent counts');
is($m{peers}, $m{libtorrent_peer_num_peers_connected}, 'peers');

is($c->fetch($url)->{size}, $size, 'second read');
%m = gives(client_sent_bytes_total => 2 * $size);
is($m{'requests_total{cache="hit"}'}, 1, 'a hit');
is($m{'first_byte_seconds_count{cache="hit"}'}, 1, 'its first byte');
is($m{swarm_received_bytes_total}, $size, 'the swarm was not asked');

my $sent = 2 * $size;

range('bytes=100-299');
gives(client_sent_bytes_total => $sent += 200);

range('bytes=0-9,70000-70009');
gives(client_sent_bytes_total => $sent += 20, 'not the headers of parts');

# what has no body is no read

my $etag = http_head($c->url($torrent)) =~ /^ETag: (\S+)\x0d$/m ? $1 : '';
like(http("GET " . $c->url($torrent) . " HTTP/1.0\x0d\x0a"
	. "If-None-Match: $etag\x0d\x0a\x0d\x0a"), qr/ 304 /, 'not modified');
http_get('/data?ih=' . $torrent->{ih} . '&path=none');
%m = metrics();
is($m{'requests_total{cache="hit"}'}, 3, 'reads only');
is($m{client_sent_bytes_total}, $sent, 'their bytes only');

# in part, and what waits

my $fetch = $c->fetch_start($c->url($held, peers => [ $peer ]));
$peer->wait_line(qr/^request 0 /);
%m = gives(waiting_requests => 1);
is($m{reading_requests}, 1, 'one reads');
is($m{'requests_total{cache="miss"}'}, 2, 'a miss that waits');
is($m{'first_byte_seconds_count{cache="miss"}'}, 1, 'without a byte yet');

$peer->tell('give 0');
gives(client_sent_bytes_total => $sent += $piece, 'counted on its way');

my $s = http_get($c->url($held), start => 1);
gives('requests_total{cache="partial"}' => 1);
gives(waiting_requests => 2, 'both wait');
$sent += $piece;

close $s;
gives(waiting_requests => 1, 'not who has left');

$peer->tell('give all');
$c->fetch_end($fetch);
%m = gives(client_sent_bytes_total => $sent += 3 * $piece);
is($m{waiting_requests}, 0, 'nobody waits');

# in vain

like(http_get('/soon/?ih=' . '1' x 40), qr/ 504 /, 'nothing came');
%m = gives('failed_waits_total{reason="timeout"}' => 1);
is($m{'requests_total{cache="miss"}'}, 2, 'no request for bytes');

# a client that leaves

is($c->fetch($c->url($big, peers => [ $seed ]))->{size}, 20 << 20, 'big');
gives(client_sent_bytes_total => $sent += 20 << 20);

$s = http_get($c->url($big), start => 1);
gives('requests_total{cache="hit"}' => 4);
close $s;

my $part = settled('client_sent_bytes_total') - $sent;
cmp_ok($part, '<', 20 << 20, 'not what it was not sent');
$sent += $part;

# evicted for others

my $more = $c->torrent('more.bin', size => 8 << 20, piece => 1 << 20);
my $seed2 = $c->seed_libtorrent($more);

is($c->fetch($c->url($more, peers => [ $seed2 ]))->{size}, 8 << 20, 'more');
%m = gives(client_sent_bytes_total => $sent += 8 << 20);
cmp_ok($m{cache_evictions_total}, '>', 0, 'evictions');
cmp_ok($m{cache_evicted_bytes_total}, '>=', 4 << 20, 'bytes evicted');
cmp_ok($m{cache_bytes}, '<=', $m{cache_limit_bytes}, 'limit is kept');

# to peers

$seed2->stop();
my $leech = $c->leech($more->{file}, peers => [ $c->{listen} ]);
is($leech->{progress}, 1, 'a peer has got it from us');
%m = metrics();
cmp_ok($m{swarm_sent_bytes_total}, '>=', 8 << 20, 'bytes sent to peers');

# all workers together

my $hits = $m{'requests_total{cache="hit"}'};
my %pids;

for (1 .. 1000) {
	$hits++;
	range('bytes=0-0', $more) =~ /^X-Pid: (\d+)/m and $pids{$1}++;
	last if keys %pids == 2 && $_ >= 20;
}

is(keys %pids, 2, 'both workers answer');
%m = gives('requests_total{cache="hit"}' => $hits);
is($m{'first_byte_seconds_count{cache="hit"}'}, $hits, 'sum of workers');

# over a reload

my @kept = grep { /_total/ && !/libtorrent|starts/ } sort keys %m;
my $starts = $m{engine_starts_total};
my @before = @m{@kept};

$t->reload();
%m = restarted();
is_deeply([ @m{@kept} ], \@before, 'kept over a reload');

# the death of a worker, and of the engine

my ($pid) = workers();
kill 'KILL', $pid;
Test::Confluence::wait_for(sub {
	my @now = workers();
	@now == 2 && !grep { $_ == $pid } @now
}, 10, 'killed');
%m = metrics();
is_deeply([ @m{@kept} ], \@before, 'kept over the death of a worker');

kill 'KILL', engine();
%m = restarted();
is_deeply([ @m{@kept} ], \@before, 'kept over the death of the engine');

# a restart, and an upgrade of the binary, which only a daemon does

my $daemon = $t->read_file('nginx.conf') =~ s/daemon off/daemon on/r;
$t->stop();
$t->write_file('daemon.conf', $daemon);

is(system($ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx', '-p', "$dir/",
	'-c', 'daemon.conf', '-e', 'error.log'), 0, 'started again');
%m = restarted();
is_deeply([ @m{@kept} ], \@before, 'kept over a restart');

my ($old) = master();
kill 'USR2', $old;
Test::Confluence::wait_for(sub {
	-s "$dir/nginx.pid.oldbin" && -s "$dir/nginx.pid"
}, 10, 'new binary');
kill 'QUIT', $old;
Test::Confluence::wait_for(sub { !-e "$dir/nginx.pid.oldbin" }, 10, 'gone');
%m = restarted();
is_deeply([ @m{@kept} ], \@before, 'kept over an upgrade');

# and all of them still count

range('bytes=0-0', $more) for 1 .. 20;
gives('requests_total{cache="hit"}' => $hits + 20, 'counted on');

stop_daemon();

$c->expect_alerts(qr/exited on signal 9/);

END { stop_daemon() }

# The metrics without their prefix.  No counter but libtorrent's goes back.

sub metrics {
	my ($in, $out);

	my $pid = open2($out, $in, "$FindBin::Bin/tools/prom_parse.py");
	print $in http_content(http_get('/numbers'));
	close $in;

	my $json = do { local $/; <$out> };
	waitpid($pid, 0);
	die "not understood\n" if $?;

	my $parsed = decode_json($json);
	my %now = map { s/^$prefix//r => $parsed->{values}{$_} }
		keys %{ $parsed->{values} };

	$types = $parsed->{types};

	for (grep { /_total|_bucket|_count|_sum/ && !/^libtorrent/ } keys %now) {
		die "$_ went back: $last->{$_} $now{$_}\n"
			if $last && $now{$_} < $last->{$_};
	}

	$last = \%now;

	return %now;
}

# Waits until a value is this one, and returns all.

sub gives {
	my ($name, $value, $text) = @_;

	my %now;

	eval {
		Test::Confluence::wait_for(sub {
			%now = metrics();
			$now{$name} == $value
		}, 10, $name);
	};

	is($now{$name}, $value, $text || "$name $value");

	return %now;
}

# Waits until a value does not change any more.

sub settled {
	my ($name) = @_;

	my $before = -1;
	my %now;

	return Test::Confluence::wait_for(sub {
		my $same = ($now{$name} // -1) == $before;
		$before = $now{$name} // -1;
		%now = metrics();
		$same && $before > 0 && $now{$name} == $before && $before
	}, 10, $name);
}

# Waits for the next engine.

sub restarted {
	$starts++;

	Test::Confluence::wait_for(sub {
		http_get('/numbers') =~ /^${prefix}engine_starts_total $starts$/m
	}, 15, 'restarted');

	return metrics();
}

sub range {
	my ($range, $of) = @_;

	my $r = http('GET ' . $c->url($of || $torrent) . " HTTP/1.0\x0d\x0a"
		. "Range: $range\x0d\x0a\x0d\x0a");

	die "range: $r\n" unless $r =~ / 206 /;

	return $r;
}

sub torrents {
	return http_get('/status') =~ /^# Torrents: (\d+)$/m ? $1 : -1;
}

sub stop_daemon {
	return unless $t && -f "$dir/daemon.conf";

	for my $pid (master()) {
		kill 'QUIT', $pid;
		Test::Confluence::wait_for(sub { !kill 0, $pid }, 20, 'stop');
	}
}

# The master that runs now, and children of it.

sub master {
	return unless -f "$dir/nginx.pid";

	return $t->read_file('nginx.pid') =~ /(\d+)/;
}

sub workers {
	return children(qr/worker process$/);
}

sub engine {
	return children(qr/cache manager process$/);
}

sub children {
	my ($re) = @_;

	my ($master) = master();

	return map { $_->[0] } grep { $_->[1] == $master && "@$_" =~ $re }
		map { [ split ] } `ps -eo pid=,ppid=,args=`;
}
