#!/usr/bin/perl

# Tests for giving: other clients complete from us alone.

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

my $conf = $c->conf(seed => 'on');

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

my $torrent = $c->torrent('a.bin', size => 3000000, piece => 65536);
my $part = $c->torrent('part.bin', size => 3000000, piece => 65536);
my $v2 = $c->torrent('v2.bin', kind => 'v2', size => 1000000, piece => 65536);
my $seed = $c->seed_libtorrent([ $torrent, $part, $v2 ]);

$t->run()->plan(6);

for my $x ($torrent, $v2) {
	ok($c->fetch($c->url($x, peers => [ $seed ]))->{body} eq $x->{whole},
		"$x->{name} fetched");
}

$c->fetch({ url => $c->url($part, peers => [ $seed ]),
	args => [ '-r', '1000000-1999999' ] });

$seed->stop();

my $r = $c->leech($torrent->{file}, peers => [ $c->{listen} ]);
is($r->{progress}, 1, 'all of it given');
ok(Test::Confluence::slurp("$r->{dir}/a.bin") eq $torrent->{whole},
	'what was given is right');

is($c->leech($c->magnet($v2), peers => [ $c->{listen} ])->{progress}, 1,
	'v2 given, with its metadata');

$r = $c->leech($part->{file}, peers => [ $c->{listen} ], timeout => 5);
cmp_ok($r->{progress}, '>', 0.3, 'what is there is given');
