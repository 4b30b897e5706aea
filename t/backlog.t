#!/usr/bin/perl

# More messages than the sockets between a worker and the engine take, while one
# of both stands still: all of them are delivered when it goes on.

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

my $conf = $c->conf();

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
    worker_connections  2048;
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

my $n = 900;
my $torrent = $c->torrent('a.bin', size => 200000, piece => 65536);
my $peer = $c->seed_scripted($torrent, mode => 'hold');
my $url = $c->url($torrent, peers => [ $peer ]);

$t->run()->plan(5);

like(http_get($c->url($torrent, route => '/info', peers => [ $peer ])),
	qr/ 200 OK/, 'info');

my ($engine) = $c->processes(qr/^cache manager/);
my ($worker) = $c->processes(qr/^worker process/);

# the engine stands still while all of them ask

kill 'STOP', $engine;
my @waiting = map { http_get("$url&n=$_", start => 1) } 1 .. $n;
ok(eval { Test::Confluence::wait_for(sub {
	$n < (() = glob("/proc/$worker/fd/*"))
}, 20) }, 'all have asked');
kill 'CONT', $engine;

ok(eval { Test::Confluence::wait_for(sub {
	http_get('/status') =~ /^Requests: $n reading/m
}, 20) }, 'all are heard');

# the worker stands still while all of them are answered

kill 'STOP', $worker;
$peer->tell('give all');
ok(eval { Test::Confluence::wait_for(sub { $c->used() >= 196608 }, 20) },
	'all of it is there');
kill 'CONT', $worker;

is(scalar(grep { http_content(http_end($_)) eq $torrent->{whole} } @waiting),
	$n, 'all are answered');
