#!/usr/bin/perl

# Tests for readers that leave: whatever was under way for them, the pieces can
# be read afterwards.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

# a cache that is smaller than the torrent: pieces are given up, too

my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=24m');

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
            confluence_wait_timeout 10s;
        }
    }
}

EOF

my $mb = 1024 * 1024;
my $torrent = $c->torrent('big.bin', size => 48 * $mb, piece => 256 * 1024);
my $seed = $c->seed_libtorrent($torrent);

$t->run()->plan(2);

my $url = $c->url($torrent, peers => [ $seed ]);

# They leave at moments of all kinds: before a piece is asked for, in the middle
# of one, while it is hashed.  The moment is what is varied here.

srand(1);

for (1 .. 300) {
	my $start = int(rand(46 * $mb));
	my $s = http("GET $url HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a"
		. "Range: bytes=$start-" . ($start + 2 * $mb) . "\x0d\x0a\x0d\x0a",
		start => 1);

	select undef, undef, undef, rand(0.015);
	close $s;
}

my $r = $c->fetch({ url => $url, timeout => 60 });
is($r->{status}, 200, 'read after all of them, status');
ok($r->{body} eq $torrent->{whole}, 'read after all of them, data');
