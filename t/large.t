#!/usr/bin/perl

# A torrent ten times larger than the cache: every byte right, the limit kept
# while it streams, the same connection to the peer before and after, and the
# beginning again.

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
my $segment = 4 * $mb;
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

my $torrent = $c->torrent('large.bin', size => 640 * $mb, piece => $mb);
my $seed = $c->seed_libtorrent($torrent);

$t->run()->plan(8);

my $r = $c->fetch({ url => $c->url($torrent, peers => [ $seed ]),
	args => [ '-r', '0-999' ] });
my $peers = connections();

is($r->{status}, 206, 'beginning');
isnt($peers, '', 'connected');

$r = $c->fetch_peak({ url => $c->url($torrent), timeout => 120 });

is($r->{status}, 200, 'all of it, status');
ok($r->{body} eq $torrent->{whole}, 'all of it, data');
cmp_ok($r->{peak}, '<=', 64 * $mb + $segment, 'the limit holds');
cmp_ok($r->{peak}, '>', 32 * $mb, 'the cache is used');
diag(sprintf 'peak %.1f MiB, %.1f s', $r->{peak} / $mb, $r->{time});

$r = $c->fetch({ url => $c->url($torrent), args => [ '-r', '0-999999' ] });
ok($r->{body} eq substr($torrent->{whole}, 0, 1000000), 'beginning again');
is(connections(), $peers, 'by the same connections');

# The seeder's connections, as the kernel sees them: ports of both ends.

sub connections {
	my ($address, $port) = $seed->{address} =~ /^(.*):(\d+)$/;
	my $local = sprintf '%08X:%04X', unpack('L', pack('C4',
		split /\./, $address)), $port;

	return join ' ', sort map { (split)[2] } grep {
		(split)[1] eq $local && (split)[3] eq '01'
	} split /\n/, Test::Confluence::slurp('/proc/net/tcp');
}
