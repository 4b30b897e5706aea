#!/usr/bin/perl

# Tests for private torrents (BEP 27): neither the DHT nor the local network is
# asked for their peers.  For peer exchange see pex.t.

use warnings;
use strict;

use FindBin;
use IO::Select;
use IO::Socket::INET;
use Socket qw/ inet_aton IPPROTO_IP IP_ADD_MEMBERSHIP /;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $conf = $c->conf(listen => '10.99.20.1:7020', dht => 'on',
	dht_bootstrap => '10.99.1.1:7001', lsd => 'on');

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
            confluence_wait_timeout 3s;
        }
    }
}

EOF

$t->run_daemon(\&listener, "$dir/told.log");
Test::Confluence::wait_for(sub { -f "$dir/told.log" }, 10, 'listener');
$t->run()->plan(5);

my ($private, $public) = map {
	$c->torrent("p$_.bin", size => 100000, private => $_, seed => "p$_")
} 1, 0;

like(post($_), qr/ 200 /, "$_->{name} posted") for $private, $public;

# they are asked for at the same time

my @r = $c->fetch(map { $c->url($_) } $private, $public);

is(join(' ', map { $_->{status} } @r), '504 504', 'nobody has it');

my $told = sub { Test::Confluence::slurp("$dir/told.log") };

ok(eval { Test::Confluence::wait_for(sub {
	$told->() =~ /^dht $public->{ih}$/m && $told->() =~ /^lsd $public->{ih}$/m
}, 20, 'told') }, 'both are asked for the public one');

unlike($told->(), qr/$private->{ih}/, 'nobody is for the private one');

sub post {
	my ($torrent) = @_;

	return http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($torrent->{bytes})
		. "\x0d\x0a\x0d\x0a$torrent->{bytes}");
}

# Notes the infohashes that the DHT and the local network are asked for.

sub listener {
	my ($log) = @_;

	my $dht = IO::Socket::INET->new(Proto => 'udp',
		LocalAddr => '10.99.1.1:7001') or die "Can't listen: $!\n";
	my $lsd = IO::Socket::INET->new(Proto => 'udp',
		LocalAddr => '239.192.152.143:6771', ReuseAddr => 1)
		or die "Can't listen: $!\n";

	for my $interface ('127.0.0.1', '10.99.20.1') {
		setsockopt($lsd, IPPROTO_IP, IP_ADD_MEMBERSHIP,
			inet_aton('239.192.152.143') . inet_aton($interface));
	}

	open my $fh, '>', $log or die "Can't open log: $!\n";
	$fh->autoflush(1);

	my $select = IO::Select->new($dht, $lsd);

	while (1) {
		for my $s ($select->can_read()) {
			$s->recv(my $data, 65536);

			print $fh 'dht ', unpack('H*', $1), "\n"
				if $data =~ /9:info_hash20:(.{20})/s;
			print $fh 'lsd ', lc $1, "\n"
				while $data =~ /^Infohash: (\w{40})/gim;
		}
	}
}
