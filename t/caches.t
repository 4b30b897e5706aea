#!/usr/bin/perl

# Tests for several caches in one nginx: each has its own directory, limit,
# port and engine, and its own life.

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
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $mb = 1024 * 1024;
my @ports = map { $c->free_port() } 0 .. 3;
my $processes = 'worker_processes 2;';

# Caches by name, the first one first; each has a location of its name.

my $conf = sub {
	my ($first, %caches) = @_;

	my @names = ($first, grep { $_ ne $first } sort keys %caches);
	my $paths = join '', map { "    confluence_cache_path $dir/$caches{$_}"
		. " name=$_;\n" } @names;
	my $locations = join '', map { <<EOF } @names;
        location /$_/ {
            confluence;
            confluence_cache $_;
        }

EOF

	my $text = <<'EOF';

%%TEST_GLOBALS%%

daemon off;
%%PROCESSES%%

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%
%%PATHS%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

%%LOCATIONS%%
        location / {
            confluence;
        }
    }

    server {
        listen       127.0.0.1:8081;
        server_name  localhost;

        confluence_cache big;

        location / {
            confluence;
        }
    }
}

EOF

	my %o = (PROCESSES => $processes, PATHS => $paths,
		LOCATIONS => $locations,
		CONFLUENCE => $c->conf(cache_path => undef, listen => undef));

	$t->write_file_expand('nginx.conf',
		$text =~ s/%%(@{[ join '|', keys %o ]})%%/$o{$1}/gr);
};

$conf->('fast',
	fast => "fast max_size=8m listen=127.0.0.1:$ports[0]",
	big => "big max_size=64m listen=127.0.0.1:$ports[1]",
	old => "old listen=127.0.0.1:$ports[2]");

my $torrent = $c->torrent('a.bin', size => 24 * $mb, piece => 256 * 1024);
my $seed = $c->seed_libtorrent($torrent);

$t->run()->plan(50);

# the same torrent through both, at once: each keeps to its own limit

my @fetches = map {
	$c->fetch_start($c->url($torrent, route => $_, peers => [ $seed ]))
} qw! /data /big/data !;

my $peak = 0;

until ($fetches[0]->ended() && $fetches[1]->ended()) {
	my $size = $c->used("$dir/fast");
	$peak = $size if $size > $peak;
	$_->output() for @fetches;
	select undef, undef, undef, 0.02;
}

ok($c->fetch_end($_)->{body} eq $torrent->{whole}, 'the same torrent, data')
	for @fetches;
cmp_ok($peak, '<=', 8 * $mb, 'the limit of one');
cmp_ok($peak, '>', 4 * $mb, 'the one is used');
cmp_ok($c->used("$dir/big"), '>=', 24 * $mb, 'the other keeps all of it');
is($c->used("$dir/old"), 0, 'a third has nothing');

# which cache is asked

like(status('/'), qr/^Listen port: $ports[0]$/m, 'the first by default');
like(status('/fast/'), qr/^Listen port: $ports[0]$/m, 'by name, port');
like(status('/fast/'), qr/^Cache: \d+ bytes of ${\ (8 * $mb)},/m,
	'by name, limit');
like(status('/big/'), qr/^Listen port: $ports[1]$/m, 'another, port');
like(status('/big/'), qr/^Cache: ${\ (24 * $mb)} bytes of ${\ (64 * $mb)},/m,
	'another, limit');
like(status('http://127.0.0.1:' . port(8081) . '/'),
	qr/^Listen port: $ports[1]$/m, 'inherited of the server');
like(status('/old/'), qr/^# Torrents: 0$/m, 'torrents are of one cache');

# what one has is served when nobody else has it

$seed->stop();

my $r = $c->fetch($c->url($torrent, route => '/big/data'));
ok($r->{body} eq $torrent->{whole}, 'warm in one');
like($r->{headers}, qr/Cache-Status:.*hit/i, 'a hit there');

# the engines' process is killed in the middle of streams: all come back

my @streams = streams(qw! fast big old !);
my ($engine) = $c->processes(qr/cache manager/);

kill 'KILL', $engine;

Test::Confluence::wait_for(sub {
	my ($new) = $c->processes(qr/cache manager/);
	$new && $new != $engine
}, 10, 'respawned');

finish('over the death of the engines', @streams);

for (qw! /fast/ /big/ /old/ !) {
	is($c->fetch("${_}health")->{status}, 200, "$_ is healthy again");
}

# a reload in the middle of streams: one moves to another directory, one to
# another port, one goes, one comes

@streams = streams(qw! fast big old !);
($engine) = $c->processes(qr/cache manager/);

$conf->('fast',
	fast => "moved max_size=8m listen=127.0.0.1:$ports[0]",
	big => "big max_size=64m listen=127.0.0.1:$ports[3]",
	new => "new max_size=16m listen=127.0.0.1:$ports[1]");
$t->reload();

Test::Confluence::wait_for(sub {
	status('/new/') =~ /^Cache: 0 bytes of ${\ (16 * $mb)},/m
}, 15, 'a cache that came');
pass('a cache that came');
like(status('/fast/'), qr/^Cache: 0 bytes of/m, 'moved, empty');
unlike(status('/fast/'), qr/^Listen port: $ports[0]$/m,
	'moved, the old engine has the port');
like(status('/big/'), qr/^Listen port: $ports[3]$/m, 'another port');
is($c->fetch('/old/status')->{status}, 404, 'one that went');
ok($c->fetch($c->url($torrent, route => '/big/data'))->{body}
	eq $torrent->{whole}, 'still warm');

# the old worker is served by the engines that nobody takes over

finish('over the reload', @streams);

Test::Confluence::wait_for(sub {
	lines('engine in "\S+/fast" stopped') && lines('engine in "\S+/old" stopped')
	&& !$c->processes(qr/shutting down/)
}, 20, 'old engines are gone');
pass('old engines are gone');
ok(listens('/fast/', $ports[0]), 'moved, the port is free');

finish('through a cache that came', streams('new'));

# back to where it was

$conf->('big',
	fast => "fast max_size=8m listen=127.0.0.1:$ports[1]",
	big => "big max_size=64m listen=127.0.0.1:$ports[0]");
$t->reload();

Test::Confluence::wait_for(sub {
	status('/fast/') =~ /^Cache: [1-9]\d* bytes of/m
}, 15, 'moved back');
pass('moved back, with what it had');
like(status('/'), qr/^Cache: \d+ bytes of ${\ (64 * $mb)},/m,
	'another is the first');
ok(listens('/fast/', $ports[1]), 'the port of one that has gone');
ok(listens('/big/', $ports[0]), 'the port of one that has another now');

# a graceful stop lets streams of both end

@streams = streams(qw! fast big !);
kill 'QUIT', $t->read_file('nginx.pid');
finish('over a graceful stop', @streams);
$t->stop();
ok(!$c->processes(qr/./), 'nothing is left after a stop');

# a single process has them, too

$processes = 'master_process off;';
$conf->('fast',
	fast => "fast max_size=8m listen=127.0.0.1:$ports[0]",
	big => "big max_size=64m listen=127.0.0.1:$ports[1]");
$t->run();

ok($c->fetch($c->url($torrent, route => '/big/data'))->{body}
	eq $torrent->{whole}, 'single process, warm');
like(status('/fast/'), qr/^Listen port: $ports[0]$/m, 'single process, one');
like(status('/big/'), qr/^Listen port: $ports[1]$/m,
	'single process, another');

$t->stop();

my $log = $t->read_file('error.log');
unlike($log, qr/open socket #\d+ left/, 'no socket is left');
my @lines = $log =~ /\[(?:crit|emerg)\].*/g;
is("@lines", '', 'no critical messages');

# one that cannot start is no matter to others, and comes when it can

$processes = '';
$conf->('bad', bad => "bad listen=127.0.0.1:$ports[2]",
	big => "big listen=127.0.0.1:$ports[1]");
mkdir "$dir/bad";
$t->write_file('bad/pieces', 'not a directory');
$t->run();

ok($c->fetch($c->url($torrent, route => '/big/data'))->{body}
	eq $torrent->{whole}, 'beside one that cannot start');
is($c->fetch('/big/health')->{status}, 200, 'healthy beside it');
is($c->fetch('/bad/health')->{status}, 503, 'the one is not');

unlink "$dir/bad/pieces";
ok(eval {
	Test::Confluence::wait_for(sub {
		$c->fetch('/bad/health')->{status} == 200
	}, 20, 'bad');
}, 'it is tried again');
is(lines('failed to start in "\S+/big"'), 0, 'the other was not');

$c->expect_alerts(qr/exited on signal 9/);

# Streams through caches that wait for all but their first pieces.

my $n;

sub streams {
	my (@caches) = @_;

	return map {
		my $torrent = $c->torrent('s' . ++$n . '.bin', size => $mb,
			piece => 65536, seed => $n);
		my $peer = $c->seed_scripted($torrent, mode => 'hold');

		$peer->tell('give 0');
		my $fetch = $c->fetch_start($c->url($torrent, route => "/$_/data",
			peers => [ $peer ]));
		$peer->wait_line(qr/^request 1 /, 20);

		[ $_, $torrent, $peer, $fetch ];
	} @caches;
}

sub finish {
	my ($name, @streams) = @_;

	$_->[2]->tell('give all') for @streams;

	for (@streams) {
		my ($cache, $torrent, $peer, $fetch) = @$_;

		ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
			"stream $name, $cache");
		$peer->stop();
	}
}

sub listens {
	my ($base, $port) = @_;

	return eval {
		Test::Confluence::wait_for(sub {
			status($base) =~ /^Listen port: $port$/m
		}, 20, "$base listens on $port");
	};
}

sub status {
	my ($base) = @_;

	return $c->fetch("${base}status")->{body};
}

sub lines {
	my ($re) = @_;

	return scalar(() = $t->read_file('error.log') =~ /$re/g);
}
