#!/usr/bin/perl

# Tests for the cache: its limit, what is in it after a restart.

use warnings;
use strict;

use FindBin;
use IO::Socket::UNIX;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = sub {
	my (%o) = @_;

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf(%o)/er);

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
};

my $dir = $t->testdir();
my $mb = 1024 * 1024;
my $big = $c->torrent('big.bin', size => 40 * $mb, piece => 256 * 1024);
my ($f1, $f2) = $c->fixtures();
my $seed = $c->seed_libtorrent([ $big, $f1, $f2 ]);

$conf->(cache_path => "$dir/cache max_size=16m");

$t->run()->plan(16);

# a torrent that is larger than the cache

my $r = $c->fetch_peak({ url => $c->url($big, peers => [ $seed ]),
	timeout => 60 });

is($r->{status}, 200, 'larger than the cache, status');
ok($r->{body} eq $big->{whole}, 'larger than the cache, data');
cmp_ok($r->{peak}, '<=', 16 * $mb, 'the limit holds');
cmp_ok($r->{peak}, '>', 4 * $mb, 'the cache is used');

# evicted, and back

$r = $c->fetch({ url => $c->url($big), args => [ '-r', '0-99999' ] });
is($r->{status}, 206, 'evicted, status');
ok($r->{body} eq substr($big->{whole}, 0, 100000), 'evicted, data');

# several readers in a cache that is too small for all of their windows

my @offsets = map { $_ * 5 * $mb } 0 .. 6;
my @r = $c->fetch(map { {
	url => $c->url($big),
	args => [ '-r', $_ . '-' . ($_ + 2 * $mb - 1) ],
	timeout => 60,
} } @offsets);

is(scalar(grep { $_->{status} == 206 } @r), @offsets, 'readers, status');
is(scalar(grep { $r[$_]{body} eq substr($big->{whole}, $offsets[$_], 2 * $mb) }
	0 .. $#r), @offsets, 'readers, data');
cmp_ok($c->used(), '<=', 16 * $mb, 'the limit holds with readers');

# a restart

ok($c->fetch($c->url($f2, peers => [ $seed ]))->{body} eq $f2->{whole},
	'fetched');

$t->stop();
$seed->stop();
ok(!-S "$dir/cache/engine.sock"
	|| !IO::Socket::UNIX->new(Type => Socket::SOCK_SEQPACKET(),
		Peer => "$dir/cache/engine.sock"),
	'nobody listens after a stop');

$t->run();

$r = $c->fetch($c->url($f2));
ok($r->{body} eq $f2->{whole}, 'after a restart, without peers');
is($c->fetch($c->url($f2, route => '/info'))->{body}, $f2->{info},
	'info after a restart');

# kill -9 of all of it

$c->kill_all();

$t->run();
ok($c->fetch($c->url($f2))->{body} eq $f2->{whole}, 'after kill -9');

# no limit

$t->stop();
$conf->(cache_path => "$dir/cache max_size=off");
$t->run();

$seed = $c->seed_libtorrent($big);
$r = $c->fetch({ url => $c->url($big, peers => [ $seed ]), timeout => 60 });
ok($r->{body} eq $big->{whole}, 'no limit, data');
cmp_ok($c->used(), '>=', 40 * $mb, 'no limit, all is kept');
