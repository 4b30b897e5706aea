#!/usr/bin/perl

# Tests for the life of torrents: added by a request, held while it runs,
# dropped after the grace period, seen in /status.

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

my $conf = $c->conf(torrent_grace => '1s');

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

my ($f1, $f2) = $c->fixtures();
my $held = $c->torrent('held.bin', size => 200000, piece => 65536);
my $seed = $c->seed_libtorrent([ $f1, $f2 ]);
my $peer = $c->seed_scripted($held, mode => 'hold');

$t->run()->plan(18);

my $r = http_get('/status');
like($r, qr/ 200 OK/, 'status');
like($r, qr!^Content-Type: text/plain; charset=utf-8\x0d$!m, 'status type');
like($r, qr/^# Torrents: 0$/m, 'no torrents');
like($r, qr/^Listen port: \d+$/m, 'listen port');

like(http_get($c->url($f1, peers => [ $seed ])), qr/ 200 OK/, 'a request');

$r = http_get('/status');
like($r, qr/^# Torrents: 1$/m, 'one torrent');
like($r, qr/^Infohash: $f1->{ih}$/m, 'its infohash');
like($r, qr/^fx1$/m, 'its name');
like($r, qr/^Num Pieces: 1 \(1 completed\)$/m, 'its pieces');

ok(gone($f1), 'dropped after the grace period');
like(http_get($c->url($f1)), qr/ 200 OK.*Hello/s, 'data stays');

# a torrent whose info is not known

my $s = http_get('/data?ih=' . '1' x 40, start => 1);
ok(seen(qr/<missing metainfo>/), 'missing metainfo');
ok(seen(qr/^Infohash: 1{40}$/m), 'infohash without info');

# a request that runs holds its torrent

my $url = $c->url($held, peers => [ $peer ]);
my $s2 = http_get($url, start => 1);
$peer->wait_line(qr/^request 0 /);

ok(gone($f1), 'another one is dropped');
like(http_get('/status'), qr/^Infohash: 1{40}$/m, 'waiting request holds');
like(http_get('/status'), qr/^Infohash: $held->{ih}$/m,
	'reading request holds');

# and lets it go

close $s;
close $s2;

ok(gone({ ih => '1' x 40 }), 'dropped when the client has gone');
ok(gone($held), 'dropped when the reader has gone');

sub seen {
	my ($re) = @_;

	return eval {
		Test::Confluence::wait_for(sub { http_get('/status') =~ $re },
			5, 'seen');
	};
}

sub gone {
	my ($torrent) = @_;

	return eval {
		Test::Confluence::wait_for(sub {
			http_get('/status') !~ /^Infohash: $torrent->{ih}$/m
		}, 20, 'gone');
	};
}
