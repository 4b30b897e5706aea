#!/usr/bin/perl

# What is evicted is told to the peers that were told we have it: lt_donthave,
# BEP 54.  No peer is lost by that, and none gets bytes that are gone.

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

my $mb = 1024 * 1024;
my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=16m');

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

my $first = $c->torrent('first.bin', size => 12 * $mb, piece => $mb);
my $second = $c->torrent('second.bin', size => 40 * $mb, piece => $mb, seed => 1);
my $seed = $c->seed_libtorrent([ $first, $second ]);

# has the last piece alone, hence wants to know what we have

my $peer = $c->seed_scripted($first, have => '11-11');

$t->run()->plan(6);

my $r = $c->fetch($c->url($first, peers => [ $seed, $peer ]));
ok($r->{body} eq $first->{whole}, 'read');
ok(eval { heard('have', 11) }, 'all is announced');

$r = $c->fetch($c->url($second, peers => [ $seed ]));
ok($r->{body} eq $second->{whole}, 'another, larger than the cache');
ok(eval { heard('donthave', 12) }, 'what is evicted is withdrawn')
	or diag($peer->output());
unlike($peer->output(), qr/^close/m, 'the connection stays');

$r = $c->fetch({ url => $c->url($first), args => [ '-r', '0-2000000' ] });
is($r->{body}, substr($first->{whole}, 0, 2000001), 'read again');

# Waits until the peer has been told that of n pieces.

sub heard {
	my ($what, $n) = @_;

	Test::Confluence::wait_for(sub {
		my %told = map { $_ => 1 } $peer->output() =~ /^$what (\d+)$/mg;

		return keys %told >= $n;
	}, 10, $what);
}
