#!/usr/bin/perl

# Tests for the life of the processes: a stream goes on over a reload, the
# death of the engine's process, the death of another worker.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

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
    }
}

EOF

my $dir = $t->testdir();
my $piece = 65536;
my @torrents = map {
	$c->torrent("t$_.bin", size => 40 * $piece, piece => $piece, seed => $_)
} 0 .. 3;

$t->run()->plan(26);

# a reload in the middle of a stream: the old worker goes on waiting

my $torrent = $torrents[0];
my $peer = $c->seed_scripted($torrent, mode => 'hold');
my $url = $c->url($torrent, peers => [ $peer ]);

$peer->tell('give 0');
my $fetch = $c->fetch_start($url);
$peer->wait_line(qr/^request 1 /);

my ($engine) = $c->processes(qr/cache manager/);
ok($engine, 'engine process');

$t->reload();
wait_for(sub {
	my ($new) = $c->processes(qr/cache manager/);
	$new && $new != $engine && $c->processes(qr/worker process$/) >= 2
}, 10, 'reloaded');

wait_for(sub { http_get('/health') =~ / 200 / }, 10, 'health after reload');
pass('reloaded');

$peer->tell('give all');
ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
	'stream over a reload');
ok($c->fetch($url)->{body} eq $torrent->{whole}, 'again after the reload');

wait_for(sub { !$c->processes(qr/shutting down/) }, 15,
	'old processes are gone');
pass('old processes are gone');

# several reloads at once

$peer->stop();
$torrent = $torrents[1];
$peer = $c->seed_scripted($torrent, mode => 'hold');
$url = $c->url($torrent, peers => [ $peer ]);
$fetch = $c->fetch_start($url);
$peer->wait_line(qr/^request 0 /);

for (1 .. 3) {
	my ($old) = sort { $b <=> $a } $c->processes(qr/worker process$/);
	$t->reload();
	wait_for(sub {
		my ($new) = sort { $b <=> $a } $c->processes(qr/worker process$/);
		$new && $new != $old
	}, 10, 'new worker');
}

$peer->tell('give all');
ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
	'stream over several reloads');
$peer->stop();

# the engine's process is killed: what is complete is served meanwhile, what
# waits goes on when it is back

$torrent = $torrents[2];
$peer = $c->seed_scripted($torrent, mode => 'hold');
$url = $c->url($torrent, peers => [ $peer ]);
$peer->tell('give 0');

$fetch = $c->fetch_start($url);
$peer->wait_line(qr/^request 1 /);
wait_for(sub { http_get($c->url($torrent, route => '/info')) =~ / 200 / }, 10,
	'info');

($engine) = $c->processes(qr/cache manager/);
kill 'KILL', $engine;

ok($c->fetch($torrents[0] ? $c->url($torrents[0]) : '')->{body}
	eq $torrents[0]{whole}, 'complete torrent while the engine is gone');

wait_for(sub {
	my ($new) = $c->processes(qr/cache manager/);
	$new && $new != $engine
}, 10, 'respawned');
pass('the engine is respawned');

$peer->tell('give all');
ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
	'stream over the death of the engine');
wait_for(sub { http_get('/health') =~ / 200 / }, 10, 'health');
pass('healthy again');

# killed many times while something is read

$peer->stop();
$torrent = $torrents[3];
my $seed = $c->seed_scripted($torrent, mode => 'slow:400000');
$fetch = $c->fetch_start({ url => $c->url($torrent, peers => [ $seed ]),
	timeout => 60 });

for (1 .. 3) {
	$seed->wait_line(qr/^request /, 20);
	my ($pid) = $c->processes(qr/cache manager/);
	kill 'KILL', $pid if $pid;
	wait_for(sub {
		my ($new) = $c->processes(qr/cache manager/);
		$new && (!$pid || $new != $pid)
	}, 10, 'respawned');
}

ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
	'stream over three deaths of the engine');

# a worker is killed: requests of others go on

my @workers = $c->processes(qr/worker process$/);
kill 'KILL', $workers[0];
wait_for(sub {
	my @new = $c->processes(qr/worker process$/);
	@new == 2 && !grep { $_ == $workers[0] } @new
}, 10, 'worker respawned');

for my $torrent (@torrents) {
	for (1 .. 3) {
		ok($c->fetch($c->url($torrent))->{body} eq $torrent->{whole},
			"$torrent->{name} served, $_");
	}
}

# the log has what an admin needs

my $log = $t->read_file('error.log');
my @lines = $log =~ /\[(?:crit|emerg)\].*/g;
is("@lines", '', 'no critical messages');

$t->stop();

ok(!$c->processes(qr/./), 'nothing is left after a stop');

$log = $t->read_file('error.log');
unlike($log, qr/open socket #\d+ left/, 'no socket is left');

$c->expect_alerts(qr/exited on signal 9/);

sub wait_for {
	return Test::Confluence::wait_for(@_);
}
