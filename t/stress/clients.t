#!/usr/bin/perl

# Clients of all bad habits at once, for half a minute (CLIENTS_SECONDS), while
# what they read is evicted: those who behave get every byte, and nothing is
# left of the others.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_v2/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=32m',
	readahead => '2m');

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
    worker_connections 4000;
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080 sndbuf=64k;
        listen       127.0.0.1:8081 http2;
        server_name  localhost;

        client_header_timeout        5s;
        send_timeout                 5s;
        large_client_header_buffers  4 64k;

        location / {
            confluence;
        }
    }
}

EOF

my $seconds = $ENV{CLIENTS_SECONDS} || 30;
my $mb = 1024 * 1024;
my @torrents = map {
	$c->torrent("t$_.bin", size => 24 * $mb, piece => 262144, seed => $_)
} 0 .. 2;
my $seed = $c->seed_libtorrent(\@torrents);
my @kinds = qw/ abort storm seek loris stop h2 reset /;

$t->run()->plan(@kinds + 8);

like(http_get($c->url($_, peers => [ $seed ], route => '/info')), qr/ 200 OK/,
	"$_->{name} is there") for @torrents;

my @processes = $c->processes(qr/./);

# a slow one does not come to the end: it leaves

my $streams = $c->streams(
	(map { { torrent => $torrents[$_ % 3], peers => [ $seed ], repeat => 0,
		timeout => 120, random => [ 1, 4 * $mb ] } } 0 .. 5),
	(map { { torrent => $torrents[$_ % 3], peers => [ $seed ], repeat => 0,
		timeout => 120, rate => 1024, until => 1024 * $seconds,
		rcvbuf => 4096, random => [ 8 * $mb, 8 * $mb ] } } 0 .. 19),
);

my $file = Test::Confluence::file_of($torrents[0]);
my $target = $c->url($torrents[0], peers => [ $seed ]);
my @rude = map {
	$c->spawn([ "$FindBin::Bin/../tools/rude.py", $_,
		'127.0.0.1:' . port(/h2|reset/ ? 8081 : 8080), $target, $file,
		'--seconds', $seconds ])
} @kinds;

for my $i (0 .. $#kinds) {
	is($rude[$i]->wait(), 0, $kinds[$i]);
	diag($rude[$i]->output());
}

my $held = held();
my $r = $streams->finish(180);

is_deeply($r->{failed}, [], 'all others got all');
diag(Test::Confluence::Streams::summary($r));
diag("evicted segments that were held at the end: $held");

is_deeply([ $c->processes(qr/./) ], \@processes, 'the same processes');

ok(eval { Test::Confluence::wait_for(sub { held() == 0 }, 60, 'held') },
	'nothing that is evicted is held') or diag(held());
ok(eval { Test::Confluence::wait_for(sub { sockets() < 30 }, 60, 'closed') },
	'no connection is left') or diag(sockets());
ok(eval {
	Test::Confluence::wait_for(sub {
		http_get('/status') !~ /^Wanted Pieces: [1-9]/m
	}, 60, 'wanted')
}, 'nothing is wanted');

sub held {
	return scalar grep { m!/pieces/.* \(deleted\)$! } fds();
}

sub sockets {
	return scalar grep { /^socket:/ } fds();
}

# What the workers have open.

sub fds {
	return grep { defined } map { readlink }
		map { glob("/proc/$_/fd/*") } $c->processes(qr/worker process/);
}
