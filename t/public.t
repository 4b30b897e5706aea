#!/usr/bin/perl

# Tests for conf/public.conf: what is listed is served, and nothing else can be
# asked for.

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

my $dir = $t->testdir();
my $listed = $c->torrent('listed', files => [ [ 'a b.bin', 100000 ] ],
	seed => 1);
my $other = $c->torrent('other', files => [ [ 'a b.bin', 100000 ] ], seed => 2);
my $seed = $c->seed_libtorrent([ $listed, $other ]);
my $site = Test::Confluence::slurp("$FindBin::Bin/../conf/public.conf");

# paths and ports of the test, and peers on the loopback

for my $change (
	[ '/var/lib/nginx/confluence', "$dir/cache" ],
	[ '/etc/nginx/torrents.list', "$dir/torrents.list" ],
	[ 'confluence.types', "$FindBin::Bin/../conf/mime.types" ],
	[ 'listen       80;', 'listen  127.0.0.1:8080;' ],
	[ 'confluence_private_networks  off;', 'confluence_private_networks  on;'
		. ' confluence_dht off; confluence_listen 127.0.0.1:'
		. Test::Confluence::free_port() . ';' ],
) {
	$site =~ s/\Q$change->[0]\E/$change->[1]/ or die "no $change->[0]\n";
}

$t->write_file('torrents.list', "$listed->{ih} 1;\n");
$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$site

    server {
        listen       127.0.0.1:8081;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

$t->run()->plan(10);

# the owner has fetched it, by another server

for my $torrent ($listed, $other) {
	ok($c->fetch('http://127.0.0.1:' . port(8081) . $c->url($torrent,
		path => 'a b.bin', peers => [ $seed ]))->{body}
		eq $torrent->{whole}, "$torrent->{name} fetched");
}

my $path = "/data/infohash/$listed->{ih}/a%20b.bin";

ok($c->fetch($path)->{body} eq $listed->{whole}, 'listed');
ok($c->fetch("$path?ih=$other->{ih}&magnet=magnet:?xt=urn:btih:$other->{ih}")
	->{body} eq $listed->{whole}, 'the query does not matter');
like(http_get("/data/infohash/$other->{ih}/a%20b.bin"), qr/ 403 /, 'other');
like(http_get("/data/infohash/$other->{ih}/a%20b.bin?ih=$listed->{ih}"),
	qr/ 403 /, 'other, listed in the query');

for my $url ("/data?ih=$listed->{ih}", "/info?ih=$listed->{ih}", '/upload',
	'/metainfo')
{
	like(http_get($url), qr/ 404 /, "no $url");
}
