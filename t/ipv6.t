#!/usr/bin/perl

# Tests for peers by IPv6.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'no IPv6') unless -e '/proc/net/if_inet6'
	&& Test::Confluence::slurp('/proc/net/if_inet6') =~ /^0{31}1 /m;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $torrent = $c->torrent('a.bin', size => 300000);
my $port = Test::Confluence::free_port();
my $seed = $c->seed_scripted($torrent, address => '::1:'
	. Test::Confluence::free_port());
my ($seed_port) = $seed->{address} =~ /:(\d+)$/;
my $conf = $c->conf(listen => "[::1]:$port", seed => 'on');

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

$t->run()->plan(3);

my $r = $c->fetch($c->url($torrent, peers => [ "[::1]:$seed_port" ]));

ok($r->{status} == 200 && $r->{body} eq $torrent->{whole}, 'from a peer');
like($seed->output(), qr/^connect ::1:/m, 'by IPv6');

$r = $c->leech($torrent->{file}, peers => [ "[::1]:$port" ],
	listen => '[::1]:' . Test::Confluence::free_port());
is($r->{progress}, 1, 'to a peer');
