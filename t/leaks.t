#!/usr/bin/perl

# Tests for leaks: descriptors, readers and memory after many requests.

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

my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=16m');

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
    }
}

EOF

my $dir = $t->testdir();
my $big = $c->torrent('big.bin', size => 40000000, piece => 262144);
my @small = map { $c->torrent("s$_.bin", size => 20000, seed => $_) } 1 .. 30;
my $seed = $c->seed_libtorrent([ $big, @small ]);

$t->run()->plan(7);

my $asked = 0;
my ($master) = $t->read_file('nginx.pid') =~ /(\d+)/;

round();
my %before = count();
round() for 1 .. 3;

# connections linger for a moment
my %after;
eval {
	Test::Confluence::wait_for(sub {
		%after = count();
		!grep { $after{$_}{fds} > $before{$_}{fds} } keys %before
	}, 20, 'descriptors');
};

for my $name (sort keys %before) {
	cmp_ok($after{$name}{fds}, '<=', $before{$name}{fds} + 1,
		"descriptors of the $name");
	cmp_ok($after{$name}{deleted}, '<=', 8,
		"files of the $name that were evicted");
	cmp_ok($after{$name}{rss}, '<=', $before{$name}{rss} + 20000,
		"memory of the $name");
}

like(http_get('/status'), qr/^Wanted Pieces: 0$/m, 'nothing is wanted');

# Data that is evicted, small torrents, requests that end early and wait, with
# a source that does not have the info.

sub round {
	my $url = $c->url($big, peers => [ $seed ]);
	my $none = 'http://127.0.0.1:' . port(8080) . '/none';

	$c->fetch({ url => $url, timeout => 60 });

	for my $torrent (@small) {
		http_get($c->url($torrent, peers => [ $seed ]));
		http_get($c->url($torrent, path => 'none'));
	}

	for (1 .. 10) {
		my $s = http_get($url, start => 1);
		sysread($s, my $buf, 100000);
		close $s;
	}

	my @waiting = map { http_get($c->url({ ih => '2' x 39 . $_ },
		sources => [ "$none/" . $asked++ ]), start => 1) } 1 .. 9;
	close $_ for @waiting;
}

sub count {
	my %count;

	for my $pid (split ' ', Test::Confluence::slurp(
		"/proc/$master/task/$master/children"))
	{
		my ($name) = Test::Confluence::slurp("/proc/$pid/cmdline")
			=~ /^nginx: (worker|cache manager)/ or next;
		my @fds = map { readlink } glob("/proc/$pid/fd/*");
		my ($rss) = Test::Confluence::slurp("/proc/$pid/status")
			=~ /^RssAnon:\s+(\d+)/m;

		$count{$name} = {
			# segments that are there may be kept open
			fds => scalar(grep { !m!/cache/pieces/[^ ]*$! }
				grep { defined } @fds),
			deleted => scalar(grep { /\(deleted\)/ }
				grep { defined } @fds),
			rss => $rss,
		};
	}

	return %count;
}
