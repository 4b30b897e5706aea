#!/usr/bin/perl

# A working set of ten times the limit of the cache: readers at random places of
# several torrents, for a minute (PRESSURE_SECONDS).  The limit is kept, every
# byte is right, and every reader gets on.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::Confluence;
use Time::HiRes qw/ time sleep /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $seconds = $ENV{PRESSURE_SECONDS} || 60;
my $mb = 1024 * 1024;
my $max = 32 * $mb;
my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=32m',
	readahead => '2m');

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

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
        }
    }
}

EOF

my @torrents = map {
	$c->torrent("t$_.bin", size => 64 * $mb, piece => 262144, seed => $_)
} 0 .. 4;
my $seed = $c->seed_libtorrent(\@torrents);

$t->run()->plan(8);

# some read on and on, most look here and there

my $streams = $c->streams(map { {
	torrent => $torrents[$_ % 5], peers => [ $seed ], repeat => 0,
	timeout => 120,
	random => $_ < 5 ? [ 8 * $mb, 16 * $mb ] : [ 1, $mb ],
} } 0 .. 29);

my ($most, $lost, $begin) = (0, 0, time());
my $minute = $begin;
my $before = $streams->status();
my $stuck = 0;
my @samples;

while (time() - $begin < $seconds) {
	my $used = $c->used();

	push @samples, $used;
	$most = $used if $used > $most;
	$lost++ if @samples > 50 && http_get('/status') =~ /^0 peer conns/m;

	if (time() - $minute > 30) {
		$stuck++ unless eval {
			$before = $streams->wait_progress($before, 120)
		};
		$minute = time();
	}

	sleep(0.2);
}

my $r = $streams->finish(180);

cmp_ok($r->{complete}, '>', 0, 'complete');
is_deeply($r->{failed}, [], 'none failed');
is(scalar(grep { !$_->{complete} } @{ $r->{clients} }), 0,
	'every reader has got something');
is($stuck, 0, 'none was stuck');
is($lost, 0, 'no torrent without a peer');

# the next piece of a reader may be beyond the limit

cmp_ok($most, '<=', $max + 30 * 262144, 'the limit is kept');

my ($evicted) = http_get('/status') =~ /(\d+) segments evicted/;
cmp_ok($evicted, '>', 10, 'evicted');

ok(eval { Test::Confluence::wait_for(sub { $c->used() <= $max }, 30, 'max') },
	'within the limit afterwards');

my @kb = sort { $a <=> $b } map { $_->{bytes} } @{ $r->{clients} }[5 .. 29];
my @sorted = sort { $a <=> $b } @samples;

diag(Test::Confluence::Streams::summary($r));
diag(sprintf '%d s, %.1f MiB read; slowest and fastest of those who look '
	. 'around: %.1f and %.1f MiB', $seconds, $r->{bytes} / $mb,
	map { $_ / $mb } @kb[0, -1]);
diag(sprintf 'used: median %.1f MiB, most %.1f MiB; evicted segments: %d',
	map({ $_ / $mb } $sorted[@sorted / 2], $most), $evicted);
