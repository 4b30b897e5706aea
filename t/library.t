#!/usr/bin/perl

# Tests for the test library itself: torrents made by it are what they must be.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new();
my $c = Test::Confluence->new($t)->has('libtorrent');

$t->plan(11);

my ($f1, $f2, $f3, $s1) = $c->fixtures();

is($f1->{ih}, '018fa960a3c86270661fe27cb2dc21102fa3bc59', 'one file');
is($f2->{ih}, '291cc7961b7cc3b5595d9103fb9652c11519c01e', 'several files');
is($f3->{ih}, '7cb17d3a5ca8f4237bda1431680918da6e4c57c0', 'hundred bytes');
is($s1->{ih}, 'cd4a15bd524f3fe027776ddb2f21937a5a78b7b0', 'single file');

my $torrent = $c->torrent('a.bin', size => 1000000, piece => 65536);

is(length($torrent->{whole}), 1000000, 'content length');
isnt(substr($torrent->{whole}, 0, 65536), substr($torrent->{whole}, 65536,
	65536), 'content does not repeat');

my $hybrid = $c->torrent('dir', kind => 'hybrid',
	files => [ [ 'a.bin', 100000 ], [ 'b/c.bin', 50000 ] ]);

like($hybrid->{v2}, qr/^[0-9a-f]{64}$/, 'hybrid');

my $seed = $c->seed_libtorrent([ $torrent, $hybrid ]);
my $scripted = $c->seed_scripted($torrent);

my $r = $c->leech($c->magnet($torrent), peers => [ $seed ]);
is($r->{progress}, 1, 'seeded by libtorrent');
is(Test::Confluence::slurp("$r->{dir}/a.bin"), $torrent->{whole},
	'content arrives');

is($c->leech($c->magnet($hybrid), peers => [ $seed ])->{progress}, 1,
	'hybrid seeded');
is($c->leech($torrent->{file}, peers => [ $scripted ])->{progress}, 1,
	'seeded by scripted peer');
