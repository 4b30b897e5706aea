#!/usr/bin/perl

# Requests of all kinds with random changes, a minute of each (FUZZ_SECONDS), to
# a server that goes on as though nothing had been: the same processes, and what
# it had.  With "./test --sanitize" it says more.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx qw/ :DEFAULT http_content /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = $c->conf();

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

        client_header_timeout 1s;
        client_body_timeout   1s;

        location / {
            confluence;
            confluence_wait_timeout 100ms;
        }
    }
}

EOF

my @kinds = qw/ range query websocket metainfo upload /;
my $seconds = $ENV{FUZZ_SECONDS} || 60;
my $torrent = $c->torrent('a.bin', size => 100000);
my $seed = $c->seed_libtorrent($torrent);

$t->run()->plan(@kinds + 3);

my $r = $c->fetch($c->url($torrent, peers => [ $seed ]));
ok($r->{body} eq $torrent->{whole}, 'fetched');

my @processes = $c->processes(qr{.});

for my $kind (@kinds) {
	my $out = `$FindBin::Bin/../tools/fuzz_http.py $kind 127.0.0.1:${\port(8080)} $torrent->{ih} a.bin --seconds $seconds 2>&1`;

	is($?, 0, $kind);
	diag($out);
}

is_deeply([ $c->processes(qr{.}) ], \@processes, 'the same processes');

$r = $c->fetch($c->url($torrent));
ok($r->{body} eq $torrent->{whole}, 'what is there is served');
