#!/usr/bin/perl

# A worker hears anything from its engine, for a minute (FUZZ_SECONDS): every
# request gets some answer, what is in the cache is served, and when the engine
# proper is there again, all is as before.  The other direction is
# t/fuzz/control.c.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
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
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout 200ms;
        }
    }
}

EOF

my $seconds = $ENV{FUZZ_SECONDS} || 60;
my $torrent = $c->torrent('a.bin', size => 100000);
my $seed = $c->seed_libtorrent($torrent);

$c->expect_alerts(qr/exited on signal 9/);
$t->run()->plan(6);

my $r = $c->fetch($c->url($torrent, peers => [ $seed ]));
ok($r->{body} eq $torrent->{whole}, 'fetched');

my @workers = $c->processes(qr/worker process/);

# the lock is free when the engine is dead

my $fuzz = $c->spawn([ "$FindBin::Bin/../tools/fuzz_engine.py",
	$t->testdir() . '/cache', '127.0.0.1:' . port(8080), $torrent->{ih},
	'--seconds', $seconds ]);

$fuzz->wait_line(qr/^WAITING/);
kill 'KILL', $c->processes(qr/cache manager/);
$fuzz->wait_line(qr/^READY/);

$r = $c->fetch($c->url($torrent));
ok($r->{body} eq $torrent->{whole}, 'cached data meanwhile');

is($fuzz->wait(), 0, 'every request was answered');
diag($fuzz->output() =~ /^(seed .*)$/m);

is_deeply([ $c->processes(qr/worker process/) ], \@workers,
	'the same workers');

ok(eval {
	Test::Confluence::wait_for(sub {
		http_get('/health') =~ / 200 /
	}, 20, 'engine');
}, 'the engine is there again');

$r = $c->fetch($c->url($torrent));
ok($r->{body} eq $torrent->{whole}, 'cached data afterwards');
