#!/usr/bin/perl

# Tests for ports that are in use: another one is taken, and left again for the
# right one when that is free.

use warnings;
use strict;

use FindBin;
use IO::Socket::INET;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my @ports = map { $c->free_port() } 0 .. 1;
my $conf = $c->conf(cache_path => undef, listen => undef, utp => 'on');

$t->write_file_expand('nginx.conf', <<EOF);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    # of all addresses, and of one
    confluence_cache_path $dir/tcp listen=$ports[0];
    confluence_cache_path $dir/udp listen=127.0.0.1:$ports[1] name=udp;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }

        location /udp/ {
            confluence;
            confluence_cache udp;
        }
    }
}

EOF

my $torrent = $c->torrent('a.bin', size => 1000000);
my $seed = $c->seed_libtorrent($torrent);

my $tcp = IO::Socket::INET->new(Proto => 'tcp', Listen => 1, ReuseAddr => 1,
	LocalAddr => "0.0.0.0:$ports[0]") or die "Can't listen: $!\n";
my $udp = IO::Socket::INET->new(Proto => 'udp',
	LocalAddr => "127.0.0.1:$ports[1]") or die "Can't bind: $!\n";

$t->run()->plan(10);

my $r = $c->fetch($c->url($torrent, peers => [ $seed ]));
ok($r->{body} eq $torrent->{whole}, 'works without its port');

my $other = port_of('/');
isnt($other, $ports[0], 'another port');
isnt($other, $ports[0] + 1, 'not the next, which may be a neighbour\'s');
ok(connects($other), 'peers can connect there');
ok(eventually(sub {
	$t->read_file('error.log') =~ /\[warn\].* 127\.0\.0\.1 port $other until/
}), 'the log tells of it');

close $tcp;
close $udp;

ok(eventually(sub { port_of('/') eq $ports[0] }), 'its port when it is free');
ok(eventually(sub { connects($ports[0]) }), 'peers can connect there');
ok(!connects($other), 'and not to the other port');

ok(eventually(sub {
	!IO::Socket::INET->new(Proto => 'udp',
		LocalAddr => "127.0.0.1:$ports[1]")
}), 'the same by UDP');
is(port_of('/udp/'), $ports[1], 'the same by UDP, status');

sub port_of {
	my ($base) = @_;

	my ($port) = $c->fetch("${base}status")->{body} =~ /^Listen port: (\d+)$/m;

	return $port || 0;
}

sub connects {
	my ($port) = @_;

	return !!IO::Socket::INET->new(Proto => 'tcp',
		PeerAddr => "127.0.0.1:$port");
}

sub eventually {
	my ($code) = @_;

	return eval { Test::Confluence::wait_for($code, 20, 'port') };
}
