#!/usr/bin/perl

# Tests for the DHT as a source of peers (BEP 5): an infohash and nothing else
# is streamed; not with confluence_dht off.  Local service discovery (BEP 14),
# too, which needs multicast.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $boot = '10.99.1.1:7001';
my @torrents = map { $c->torrent("t$_.bin", size => 100000, seed => $_) }
	1 .. 5;

# nodes that know each other; the last one seeds what is asked for

my @nodes = map { $c->seed_libtorrent($torrents[$_ - 1],
	address => "10.99.$_.1:700$_", dht => $boot,
	set => [ 'dht_announce_interval=1' ]) } 1 .. 4;
my $local = $c->seed_libtorrent($torrents[4], address => '10.99.5.1:7005',
	lsd => 1);

conf(dht => 'on', dht_bootstrap => $boot);
$t->run()->plan(6);

is(get($torrents[3]), 200, 'by infohash alone');
is(get($torrents[2]), 200, 'another one');

$t->stop();
conf(dht => 'off', dht_bootstrap => $boot);
$t->run();

is(get($torrents[1]), 504, 'off');
is(get($torrents[4]), 504, 'local service discovery is off');

$t->stop();
conf(lsd => 'on');
$t->run();

is(get($torrents[4]), 200, 'local service discovery');

$t->stop();
conf(dht => 'on', dht_bootstrap => $boot);
$t->run();

is(get($torrents[1]), 200, 'on again');

sub get {
	my ($torrent) = @_;

	my $r = $c->fetch($c->url($torrent));

	return $r->{status} == 200 && $r->{body} ne $torrent->{whole}
		? 'wrong bytes' : $r->{status};
}

sub conf {
	my %o = @_;
	my $conf = $c->conf(listen => '10.99.20.1:7020', %o);
	my $wait = grep({ $_ eq 'on' } values %o) ? '20s' : '3s';

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
            confluence_wait_timeout $wait;
        }
    }
}

EOF
}
