#!/usr/bin/perl

# Tests for confluence_max_torrents: who needs one more is refused only if all
# are in use, and what is in the cache is served in any case.

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

my $conf = $c->conf(max_torrents => 2, torrent_grace => 'off');

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

        client_max_body_size  16m;

        location / {
            confluence;
        }
    }
}

EOF

$t->run()->plan(10);

my ($cached, $partial, $posted) = map {
	$c->torrent("$_.bin", size => 300000, piece => 65536, seed => $_)
} qw/ cached partial posted /;
my $seed = $c->seed_libtorrent([ $cached, $partial ]);

ok($c->fetch($c->url($cached, peers => [ $seed ]))->{body} eq $cached->{whole},
	'fetched');
is($c->fetch({ url => $c->url($partial, peers => [ $seed ]),
	args => [ '-r', '0-9' ] })->{body}, substr($partial->{whole}, 0, 10),
	'fetched in part');

# two are idle: they make room

my @waiting = map { wait_for_info($_) } 'a' .. 'b';

is(join(' ', infohashes()), join(' ', map { $_ x 40 } 'a', 'b'),
	'idle ones were dropped');

# all are in use

like(http_get('/info?ih=' . 'c' x 40),
	qr/ 503 .*\x0d\x0a\x0d\x0atoo many torrents are in use/s, 'one more');
is($c->fetch({ url => $c->url($partial), args => [ '-r', '200000-' ] })
	->{status}, 503, 'data that is not complete');
like(post($posted), qr/ 503 .*too many torrents are in use/s, 'posted');
like(upload('content'), qr/ 503 .*too many torrents are in use/s, 'uploaded');
ok($c->fetch($c->url($cached))->{body} eq $cached->{whole}, 'complete data');
like(http_get('/info?nowait=1&ih=' . 'a' x 40), qr/ 202 /, 'one of those');

# one is left

close(shift @waiting);
Test::Confluence::wait_for(sub { post($posted) =~ / 200 / }, 10, 'room');
is(join(' ', infohashes()), join(' ', sort $posted->{ih}, 'b' x 40),
	'the one that was left makes room');

sub wait_for_info {
	my ($digit) = @_;

	my $ih = $digit x 40;
	my $s = http_get("/info?ih=$ih", start => 1);

	Test::Confluence::wait_for(sub { grep { $_ eq $ih } infohashes() }, 10,
		"waits for $ih");

	return $s;
}

sub infohashes {
	my @known = http_get('/status') =~ /Infohash: (\w{40})/g;

	return sort @known;
}

sub post {
	my ($torrent) = @_;

	return http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($torrent->{bytes}) . "\x0d\x0a\x0d\x0a$torrent->{bytes}");
}

sub upload {
	my ($content) = @_;

	my $body = "--x\x0d\x0aContent-Disposition: form-data; name=\"name\""
		. "\x0d\x0a\x0d\x0aname\x0d\x0a--x\x0d\x0aContent-Disposition: "
		. "form-data; name=\"files\"; filename=\"f\"\x0d\x0a\x0d\x0a"
		. "$content\x0d\x0a--x--\x0d\x0a";

	return http("POST /upload HTTP/1.0\x0d\x0aContent-Type: multipart/"
		. 'form-data; boundary=x' . "\x0d\x0aContent-Length: "
		. length($body) . "\x0d\x0a\x0d\x0a$body");
}
