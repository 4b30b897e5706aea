#!/usr/bin/perl

# Tests for ways to reach peers: uTP, TCP, local discovery.

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

sub conf {
	my ($t, %o) = @_;

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s{%%CONFLUENCE%%}{$c->conf(%o)}er);

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

}

my @torrents = map { $c->torrent("t$_.bin", size => 500000, piece => 65536,
	seed => $_) } 0 .. 3;

conf($t, utp => 'on', tcp => 'off');
$t->run()->plan(8);

# uTP alone

my $seed = $c->seed_libtorrent($torrents[0], utp => 1,
	set => [ 'enable_incoming_tcp=false' ]);
my $r = $c->fetch($c->url($torrents[0], peers => [ $seed ]));
is($r->{status}, 200, 'uTP status');
ok($r->{body} eq $torrents[0]{whole}, 'uTP data');
$seed->stop();
$t->stop();

# TCP alone, of a peer that could do both

conf($t, utp => 'off');
$t->run();

$seed = $c->seed_libtorrent($torrents[1], utp => 1);
$r = $c->fetch($c->url($torrents[1], peers => [ $seed ]));
ok($r->{body} eq $torrents[1]{whole}, 'TCP data');
$seed->stop();
$t->stop();

# both are tried: a peer that knows TCP only does not cost a time-out

conf($t, utp => 'on');
$t->run();

$seed = $c->seed_libtorrent($torrents[2]);
$r = $c->fetch($c->url($torrents[2], peers => [ $seed ]));
ok($r->{body} eq $torrents[2]{whole}, 'both, peer with TCP, data');
cmp_ok($r->{first}, '<', 2.5, 'both, peer with TCP, first byte');
$seed->stop();

$seed = $c->seed_libtorrent($torrents[3], utp => 1);
$r = $c->fetch($c->url($torrents[3], peers => [ $seed ]));
ok($r->{body} eq $torrents[3]{whole}, 'both, peer with both, data');

# a peer that is not there yet

my $late = $c->torrent('late.bin', size => 100000);
my $address = $c->free_address();
my $fetch = $c->fetch_start($c->url($late, peers => [ $address ]));

Test::Confluence::wait_for(sub {
	http_get('/status') =~ /$late->{ih}/
}, 20, 'the torrent is there');

$seed = $c->seed_libtorrent($late, address => $address);

# the user tries again, which says the address again
$r = $c->fetch($c->url($late, peers => [ $address ]));
ok($r->{body} eq $late->{whole}, 'a peer that comes later');
ok($c->fetch_end($fetch)->{body} eq $late->{whole},
	'the first request has it, too');
