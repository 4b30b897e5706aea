#!/usr/bin/perl

# Tests with the clients that people use: each of them as the only seeder.

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

        location /seed/ {
            alias %%TESTDIR%%/data6/;
        }
    }
}

EOF

my @torrents = map {
	$c->torrent("torrent$_.bin", size => 3000000, piece => 65536, seed => $_)
} 1 .. 5;

my $web = $c->torrent('web.bin', size => 3000000, piece => 65536,
	webseeds => [ 'http://127.0.0.1:' . port(8080) . '/seed/' ]);

my $tracker = $c->tracker(@torrents) if have('opentracker');

$t->run()->plan(15);

my @clients = (
	[ 'libtorrent', 'python3' ],
	[ 'aria2', 'aria2c' ],
	[ 'qbittorrent', 'qbittorrent-nox' ],
	[ 'transmission', 'transmission-daemon' ],
);

for (@clients) {
	my ($client, $program) = @$_;
	my $torrent = shift @torrents;

SKIP: {
	skip("no $program", 3) unless have($program);

	my $method = "seed_$client";
	my $seed = $c->$method($torrent);
	my $r = $c->fetch($c->url($torrent, peers => [ $seed ]));

	is($r->{status}, 200, "$client status");
	is($r->{body}, $torrent->{whole}, "$client data");
	cmp_ok($r->{first}, '<', $client eq 'transmission' ? 20 : 3,
		"$client first byte in time");

	$seed->stop();
	}
}

# a tracker tells where the seeder is

SKIP: {
skip('no opentracker', 2) unless $tracker;

my $torrent = shift @torrents;
my $announced = $c->torrent($torrent->{name}, content => $torrent->{whole},
	piece => 65536, trackers => [ $tracker->{url} ]);
my $seed = $c->seed_libtorrent($announced);

my $r = $c->fetch($c->url($torrent, trackers => [ $tracker->{url} ]));
is($r->{body}, $torrent->{whole}, 'tracker data');
cmp_ok($r->{first}, '<', 10, 'tracker first byte in time');
}

# a web server is the only source (BEP 19)

http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: " . length($web->{bytes})
	. "\x0d\x0a\x0d\x0a$web->{bytes}");
is($c->fetch($c->url($web))->{body}, $web->{whole}, 'web seed data');

sub have {
	my ($program) = @_;

	return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}
