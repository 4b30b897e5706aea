#!/usr/bin/perl

# Tests for a single process (master_process off), and for many workers.

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

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;
master_process off;

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
my $seed = $c->seed_libtorrent($torrent);

$t->run()->plan(5);

my $r = $c->fetch($c->url($torrent, peers => [ $seed ]));
ok($r->{body} eq $torrent->{whole}, 'cold');
ok($c->fetch($c->url($torrent))->{body} eq $torrent->{whole}, 'warm');
like(http_get('/status'), qr/^# Torrents: 1$/m, 'status');

$t->stop();
$seed->stop();
$t->run();

ok($c->fetch($c->url($torrent))->{body} eq $torrent->{whole},
	'after a restart');
like(http_get('/health'), qr/ 200 OK/, 'healthy');
