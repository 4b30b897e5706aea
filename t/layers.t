#!/usr/bin/perl

# The hashes of a v2 torrent's pieces, which no magnet has: they come from peers
# by and by, BEP 52.  A .torrent is given out with all of them, and bytes are
# served when theirs are there.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx qw/ :DEFAULT http_content /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

# whoever has it is far away

my $wire = $c->wire(50000000, 150, 0);
my $conf = $c->conf(listen => '10.98.0.1:' . Test::Confluence::free_port());

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

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

my @torrents = map { $c->torrent("v2.$_", kind => 'v2', piece => 16384,
	size => 24000000, seed => $_) } 0, 1;
my $seed = $c->seed_libtorrent(\@torrents, by => $wire,
	address => '10.98.0.2:' . Test::Confluence::free_port());

$t->run()->plan(5);

# a .torrent, as soon as the info is there

my $torrent = $torrents[0];
my $r = $c->fetch($c->url($torrent, route => '/metainfo', peers => [ $seed ]));

is($r->{status}, 200, 'metainfo');

my ($n) = $r->{body} =~ /12:piece layersd32:.{32}(\d+):/s;
is($n, 32 * int((24000000 + 16383) / 16384), 'all hashes of pieces');

# bytes, as soon as possible

$torrent = $torrents[1];
$r = $c->fetch({ url => $c->url($torrent, peers => [ $seed ]),
	args => [ '-r', '16000000-16999999' ] });

is($r->{status}, 206, 'range');
is($r->{body}, substr($torrent->{whole}, 16000000, 1000000), 'range, bytes');

$r = $c->fetch({ url => $c->url($torrent, peers => [ $seed ]), timeout => 60 });
ok($r->{body} eq $torrent->{whole}, 'all of it');
