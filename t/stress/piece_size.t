#!/usr/bin/perl

# Torrents of the shortest and of the longest pieces that are usual, larger than
# the cache: seeks, all of it, the limit.

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

my $mb = 1024 * 1024;
my $limit = 64 * $mb;
my $size = 512 * $mb;
my @seeks = map { int($size * $_) } 0.5, 0.9, 0.1, 0.7, 0.3;

my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=64m');

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
        }
    }
}

EOF

$t->run()->plan(8);

for my $piece (16384, 16 * $mb) {
	my $name = $piece / 1024 . ' KiB';
	my $torrent = $c->torrent("$piece.bin", size => $size, piece => $piece);
	my $seed = $c->seed_libtorrent($torrent);
	my $url = $c->url($torrent, peers => [ $seed ]);

	my $usage = $c->usage();
	my ($right, @first) = (0);

	for my $at (@seeks) {
		my $r = $c->fetch({ url => $url,
			args => [ '-r', "$at-" . ($at + 99999) ] });

		$right += $r->{body} eq substr($torrent->{whole}, $at, 100000);
		push @first, $r->{first};
	}

	is($right, @seeks, "$name, seeks");
	diag(sprintf '%s: first bytes after %s s', $name, join ' ', @first);
	$usage = $c->tell_usage("$name, seeks", $usage);

	my $r = $c->fetch_peak({ url => $url, timeout => 120 });

	is($r->{status}, 200, "$name, status");
	ok($r->{body} eq $torrent->{whole}, "$name, every byte");
	cmp_ok($r->{peak}, '<=', $limit, "$name, the limit is kept");
	diag(sprintf '%s: %.0f MiB/s, %.1f MiB of the cache', $name,
		$size / $mb / $r->{time}, $r->{peak} / $mb);
	$c->tell_usage("$name, all", $usage);

	$seed->stop();
}
