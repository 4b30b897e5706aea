#!/usr/bin/perl

# Tests for the selection of a torrent by query and by path, and for routing.

use warnings;
use strict;

use Digest::SHA qw/ sha1_hex /;
use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content /;
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

        location /bound {
            confluence info;
        }

        location /files {
            confluence data;
        }
    }
}

EOF

my ($f1, $f2) = $c->fixtures();
my $hybrid = $c->torrent('hy.bin', kind => 'hybrid', size => 50000);
my $seed = $c->seed_libtorrent([ $f1, $f2, $hybrid ]);

$t->run()->plan(54);

my $error = 'error determining requested infohash: ';
my $ih = $f1->{ih};
my $r;

# the first request brings the torrent in

$r = http_get($c->url($f1, route => '/info', peers => [ $seed ]));
like($r, qr/ 200 OK/, 'magnet with a peer');
is(http_content($r), $f1->{info}, 'info as it was made');

# neither

$r = http_get('/data');
like($r, qr/ 400 /, 'no torrent');
like($r, qr{^Content-Type: text/plain; charset=utf-8\x0d?$}m, 'error type');
like($r, qr/^X-Content-Type-Options: nosniff\x0d?$/m, 'error nosniff');
is(http_content($r), $error
	. "expected nonempty query parameter \"magnet\" or \"ih\"\n",
	'no torrent text');

refused('/info?ih=', 'expected nonempty query parameter "magnet" or "ih"',
	'empty ih');
refused('/info?magnet=', 'expected nonempty query parameter "magnet" or "ih"',
	'empty magnet');
refused("/info?IH=$ih", 'expected nonempty query parameter "magnet" or "ih"',
	'names are case-sensitive');

# by infohash

refused('/info?ih=abc', 'hash hex string has bad length: 3', 'short ih');
refused('/info?ih=' . 'z' x 40, "encoding/hex: invalid byte: U+007A 'z'",
	'ih not hex');
refused('/info?ih=' . '0' x 40, 'zero infohash', 'zero ih');
refused("/info?ih=$ih%20", 'hash hex string has bad length: 41',
	'ih with a space');

found('/info?ih=' . uc $ih, 'ih in upper case');
found("/info?magnet=&ih=$ih", 'empty magnet ignored');
found("/info?ih=$ih&ih=zz", 'first ih counts');
refused("/info?ih=zz&ih=$ih", 'hash hex string has bad length: 2',
	'first ih counts, bad');
found("/info?x=1;y&ih=$ih&z", 'other parameters');
found("/info?%69h=$ih", 'escaped name');

# by magnet

found("/info?magnet=magnet:?xt=urn:btih:$ih", 'magnet not escaped');
found("/info?magnet=MAGNET:?xt=urn:btih:$ih", 'scheme in upper case');
found('/info?magnet=' . escape('magnet:?xt=urn:btih:' . base32($ih)),
	'magnet in base32');
found('/info?magnet=' . escape('magnet:?xt=urn:btih:' . lc base32($ih)),
	'magnet in lower-case base32');
found('/info?magnet=' . escape("magnet:?dn=x%26y&xt=urn:btih:$ih&so=0"),
	'magnet with more parameters');
found('/info?magnet=' . escape("magnet:?xt=urn:btih:$ih") . '&ih=zz',
	'bad ih does not matter with a magnet');

refused("/info?magnet=http://x/&ih=$ih",
	'parsing magnet: unexpected scheme "http"', 'magnet wins');
refused("/info?magnet=magnet:?dn=x&ih=$ih",
	'parsing magnet: missing v1 infohash', 'magnet without topic');
like(http_get('/info?magnet=magnet:?xt=urn:btih:xyz'),
	qr/ 400 .*\Q${error}parsing magnet: \E/s, 'magnet with bad topic');
like(http_get('/info?magnet=magnet:?xt=urn:btih:' . '0' x 40),
	qr/ 400 /, 'magnet with zero infohash');
like(http_get('/info?magnet=' . escape('magnet:?xt=urn:btih:'
	. substr(base32($ih), 0, 26) . '======')), qr/ 400 /,
	'magnet with padded base32');

# undecodable values

like(http_get("/info?ih=%zz"), qr/ 400 /, 'bad escape in ih');
like(http_get("/data?ih=$ih&path=100%.txt"), qr/ 400 /,
	'bad escape in path');
like(http_get("/data?ih=$ih&filename=100%.txt"), qr/ 400 /,
	'bad escape in filename');

# a hybrid torrent by each of its names

like(http_get($c->url($hybrid, route => '/info', peers => [ $seed ])),
	qr/ 200 OK/, 'hybrid by magnet');
like(http_get("/info?ih=$hybrid->{v1}"), qr/ 200 OK/, 'hybrid by v1');
like(http_get("/info?ih=$hybrid->{v2}"), qr/ 200 OK/, 'hybrid by v2');
like(http_get("/info?magnet=magnet:?xt=urn:btmh:1220$hybrid->{v2}"),
	qr/ 200 OK/, 'hybrid by v2 magnet');
is(http_content(http_get("/data?ih=$hybrid->{v2}")), $hybrid->{whole},
	'hybrid data by v2');

# by path

like(http_get("/data/infohash/$ih/hello.txt"), qr/ 200 OK.*Hello/s,
	'infohash in the path');
refused('/data/infohash/', 'hash hex string has bad length: 0',
	'no infohash in the path');
refused('/data/infohash/abc/x', 'hash hex string has bad length: 3',
	'short infohash in the path');
like(http_get("/data/infohash/$ih/hello.txt?ih=zz&path=x"), qr/ 200 OK/,
	'query ignored with a path');

# routes

$r = http_get('/nosuch');
like($r, qr/ 404 /, 'unknown route');
is(http_content($r), "404 page not found\n", 'unknown route text');
like(http_get('/'), qr/ 404 /, 'root');
like(http_get("/data/?ih=$ih"), qr/ 404 /, 'data with a slash');
like(http_get("/Data?ih=$ih"), qr/ 404 /, 'case of a route');
like(http_get('/data/infohash?x=1'),
	qr!30[18] .*^Location: \S*/data/infohash/\?x=1\x0d?$!ms, 'redirect');
like(http_get("/bound?ih=$ih"), qr/ 200 OK/, 'route bound to a location');
is(http_content(http_get("/files/infohash/$ih/hello.txt")),
	"Hello, confluence!\n", 'data bound to a location');

# methods

like(http("DELETE /data?ih=$ih HTTP/1.0" . "\x0d\x0a\x0d\x0a"),
	qr/ 405 .*^Allow: .*GET/ms, 'method not allowed');
like(http("POST /info?ih=$ih HTTP/1.0" . "\x0d\x0a\x0d\x0a"),
	qr/ 405 /, 'POST not allowed');

# and the server is well

$r = http_get('/health');
like($r, qr/ 200 OK/, 'health');
is(http_content($r), '', 'health has no body');

sub found {
	my ($url, $name) = @_;

	is(sha1_hex(http_content(http_get($url))), $ih, $name);
}

sub refused {
	my ($url, $text, $name) = @_;

	like(http_get($url), qr/ 400 .*\x0a\Q$error$text\E/s, $name);
}

sub escape {
	return Test::Confluence::escape(@_);
}

sub base32 {
	my ($hex) = @_;

	my $bits = unpack('B*', pack('H*', $hex));
	my @alphabet = ('A' .. 'Z', 2 .. 7);

	return join '', map { $alphabet[oct "0b$_"] } $bits =~ /(.{5})/g;
}
