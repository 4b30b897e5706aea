#!/usr/bin/perl

# Tests for /metainfo, and the info it carries.

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
    }
}

EOF

my ($f1, $f2, $f3, $single) = $c->fixtures();

my $tracked = $c->torrent('tracked', content => 'tracked',
	trackers => [ 'http://127.0.0.1:1/a', 'http://127.0.0.1:1/b' ],
	webseeds => [ 'http://127.0.0.1:1/w' ],
	meta => { comment => 'a comment', nodes => [] });
my $big = $c->torrent('big', kind => 'v1', files => [ map {
	[ sprintf('file %05d with a rather long name', $_), \$_ ] } 1 .. 2000 ]);
my $v2 = $c->torrent('v2.bin', kind => 'v2', size => 300000, piece => 65536);

my $seed = $c->seed_libtorrent([ $f1 ]);

$t->run()->plan(40);

my $r;

# by magnet

like(http_get($c->url($f1, route => '/info', peers => [ $seed ])),
	qr!^Content-Type: application/octet-stream\x0d$!m, 'info type');

$r = http_get($c->url($f1, route => '/metainfo'));
like($r, qr!^Content-Type: application/x-bittorrent\x0d$!m, 'type');

my $body = http_content($r);
like($body, qr/4:info\Q$f1->{info}\E/, 'info verbatim');
unlike($body, qr/8:url-list|12:piece layers|13:announce-list|5:nodes/,
	'empty keys omitted');
like($body, qr/\Ad.*e\z/s, 'one dictionary');

my ($date) = $body =~ /13:creation datei(\d+)e/;
ok(!defined $date || abs($date - time()) < 600, 'creation date');

# as JSON

$r = json($f1);
like($r, qr!^Content-Type: application/json\x0d$!m, 'json type');
like(http_content($r), qr/\A\{"info":"[A-Za-z0-9+\/=]+".*\}\x0a\z/, 'json');

require MIME::Base64;
my ($info) = http_content($r) =~ /"info":"([^"]+)"/;
is(MIME::Base64::decode_base64($info), $f1->{info}, 'json info');

like(http("GET /metainfo?ih=$f1->{ih} HTTP/1.0\x0d\x0a"
	. "Accept: application/json, */*\x0d\x0a\x0d\x0a"),
	qr!application/x-bittorrent!, 'json is asked for exactly');

# POST

is(http_content(post($single->{bytes})), "$single->{ih}\n", 'posted');
like(post($single->{bytes}), qr!^Content-Type: text/plain!m, 'posted type');
is(http_content(post($single->{bytes}, "?ih=$f2->{ih}")), "$single->{ih}\n",
	'ih of the query does not matter');
is(http_content(http_get($c->url($single, route => '/info'))),
	$single->{info}, 'posted info');
is(http_content(post("$single->{bytes}trailing")), "$single->{ih}\n",
	'bytes after the torrent');

is(http_content(post($tracked->{bytes})), "$tracked->{ih}\n",
	'posted with trackers');
$body = http_content(http_get($c->url($tracked, route => '/metainfo')));
my $url = 'http://127.0.0.1:1';
like($body, qr{13:announce-listll20:$url/ael20:$url/bee}, 'trackers in tiers');
like($body, qr{8:url-listl20:http://127.0.0.1:1/we}, 'web seeds');
like(http_content(json($tracked)),
	qr!"announceList":\[\["$url/a"\],\["$url/b"\]\]!,
	'json trackers');
like(http_content(json($tracked)), qr!"urlList":\["$url/w"\]!,
	'json web seeds');

# trackers of a magnet, once each

my $magnet = $c->url($f1, route => '/info',
	trackers => [ 'http://127.0.0.1:1/c' ]);
like(http_get($magnet), qr/ 200 OK/, 'magnet with a tracker');
http_get($magnet);
like(http_content(json($f1)), qr!"announceList":\[\["$url/c"\]\]!,
	'tracker of a magnet');

# big ones

cmp_ok(length($big->{bytes}), '>', 100000, 'a big torrent');
is(http_content(post($big->{bytes})), "$big->{ih}\n", 'posted big');
is(http_content(http_get($c->url($big, route => '/info'))), $big->{info},
	'big info');
is(http_content(http('POST /metainfo HTTP/1.1' . "\x0d\x0aHost: localhost\x0d\x0a"
	. "Connection: close\x0d\x0aTransfer-Encoding: chunked\x0d\x0a\x0d\x0a"
	. sprintf("%x\x0d\x0a%s\x0d\x0a0\x0d\x0a\x0d\x0a",
	length($f3->{bytes}), $f3->{bytes}))), "$f3->{ih}\n", 'chunked');

# v2

is(http_content(post($v2->{bytes})), "$v2->{ih}\n", 'posted v2');
like(http_content(http_get($c->url($v2, route => '/metainfo'))),
	qr/12:piece layersd32:/, 'piece layers');

# what is not a torrent

for my $bad ('', 'hello', 'le', 'i1e', 'e', 'd4:infoi1ee',
	substr($single->{bytes}, 0, -1), 'd4:infod')
{
	like(post($bad), qr/ 400 .*\x0d\x0a\x0d\x0aerror [^\x0a]*\x0a$/s,
		'bad "' . substr($bad, 0, 12) . '"');
}

like(post('de'), qr/ 400 /, 'no info');

my $pieces = $c->torrent('p', content => 'p', info => { pieces => 'x' x 19 });
like(post($pieces->{bytes}), qr/ (?:400|500) .*error/s, 'pieces of 19 bytes');

my $zero = $c->torrent('z', content => 'z', info => {'piece length' => \0});
like(post($zero->{bytes}), qr/ (?:400|500) .*error/s, 'piece length 0');

like(http_get('/health'), qr/ 200 OK/, 'healthy');

sub post {
	my ($body, $query) = @_;

	return http('POST /metainfo' . ($query || '') . " HTTP/1.0\x0d\x0a"
		. 'Content-Length: ' . length($body) . "\x0d\x0a\x0d\x0a$body");
}

sub json {
	my ($torrent) = @_;

	return http("GET /metainfo?ih=$torrent->{ih} HTTP/1.0\x0d\x0a"
		. "Accept: application/json\x0d\x0a\x0d\x0a");
}

