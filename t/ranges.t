#!/usr/bin/perl

# Tests for ranges and conditional requests.  RFC 9110 is the judge.

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

        location /few/ {
            rewrite ^/few(.*) $1 break;
            confluence data;
            max_ranges 1;
        }

        location /none/ {
            rewrite ^/none(.*) $1 break;
            confluence data;
            max_ranges 0;
        }

        location /noetag/ {
            rewrite ^/noetag(.*) $1 break;
            confluence data;
            confluence_etag off;
        }
    }
}

EOF

my ($f1, $f2, $f3) = $c->fixtures();
my $big = $c->torrent('big.bin', size => 9000000, piece => 65536);
my $dated = $c->torrent('dated.bin', size => 100,
	meta => { 'creation date' => \1000000000 });
my $seed = $c->seed_libtorrent([ $f2, $f3, $big ]);

$t->run()->plan(76);

my $hundred = $f3->{whole};
my $url = "/data?ih=$f3->{ih}&path=hundred.bin";
my $r;

like(http_get($c->url($f3, path => 'hundred.bin', peers => [ $seed ])),
	qr/ 200 OK/, 'brought in');

# single

single('bytes=0-9', 0, 9);
single('bytes=90-', 90, 99);
single('bytes=-10', 90, 99);
single('bytes=90-1000', 90, 99);
single('bytes=99-99', 99, 99);
single('bytes=0-', 0, 99);
single('bytes=-1000', 0, 99);
single('bytes=0-4,', 0, 4);
single('bytes= 5-6', 5, 6);
single('bytes=0-1,200-300', 0, 1);
single('bytes=50-99999999999999999', 50, 99);

# unsatisfiable

for my $range ('100-', '-0', '100-200,300-') {
	$r = get("bytes=$range");
	like($r, qr/ 416 /, "$range status");
	like($r, qr!^Content-Range: bytes \*/100\x0d$!m, "$range length told");
	unlike($r, qr/^(?:ETag|Accept-Ranges|Cache-Control: public)/m,
		"$range is not the file");
}

# not a valid ranges specifier: ignored or refused, never misread

for my $range ('bytes=9-5', 'bytes=abc', 'bytes=-', 'bytes=1', 'bytes=--5',
	'bytes=1-2-3', 'bytes=99999999999999999999-')
{
	$r = get($range);
	like($r, qr/^HTTP\S+ (?:416 |200 .*\x0d\x0a\x0d\x0a\Q$hundred\E$)/s,
		"\"$range\" invalid");
}

# another unit is ignored

$r = get('items=0-1');
like($r, qr/ 200 OK/, 'unknown unit');
is(http_content($r), $hundred, 'unknown unit body');

# several

multi('bytes=0-1,10-11', [ 0, 1 ], [ 10, 11 ]);
multi('bytes=10-11,0-1', [ 10, 11 ], [ 0, 1 ]);
multi('bytes=0-49,50-99', [ 0, 49 ], [ 50, 99 ]);
multi('bytes=0-0,-1', [ 0, 0 ], [ 99, 99 ]);

$r = get('bytes=0-60,40-99');
like($r, qr/ 200 OK/, 'overlapping more than all');
is(http_content($r), $hundred, 'overlapping more than all body');

like(get('bytes=' . join(',', map { "$_-$_" } (0) x 200)), qr/ 200 OK/,
	'too many ranges');

# max_ranges

like(get('bytes=0-1', "/few$url"), qr/ 206 /, 'max_ranges 1, one');
like(get('bytes=0-1,3-4', "/few$url"), qr/ 200 /, 'max_ranges 1, two');
like(get('bytes=0-1', "/none$url"), qr/ 200 /, 'max_ranges 0');

# of a file inside the torrent, and of the whole

my $f2url = $c->url($f2, path => 'dir/b.txt', peers => [ $seed ]);
is(http_content(get('bytes=3-5', $f2url)), '345', 'file at an offset');
is(http_content(get('bytes=39998-40002', $c->url($f2))),
	substr($f2->{whole}, 39998, 5), 'across files');
like(get('bytes=0-', $c->url($f2, path => 'dir/empty.dat')),
	qr/ (?:200 OK.*^Content-Length: 0\x0d$|416 )/ms, 'of an empty file');

# cold, and over several segments

my $bigurl = $c->url($big, peers => [ $seed ]);
$r = get('bytes=8999990-8999999,10-19', $bigurl);
like($r, qr/ 206 .*\Q@{[ substr($big->{whole}, 8999990, 10) ]}\E.*\Q@{[
	substr($big->{whole}, 10, 10) ]}\E/s, 'cold, several');
is(http_content(get('bytes=4000000-4400000', $bigurl)),
	substr($big->{whole}, 4000000, 400001), 'across segments');
is(http_content(get('bytes=-100000', $bigurl)),
	substr($big->{whole}, -100000), 'tail');

# HEAD

$r = head('bytes=0-9');
like($r, qr/ 206 .*^Content-Length: 10\x0d$/ms, 'head');
like($r, qr!^Content-Range: bytes 0-9/100\x0d$!m, 'head range');
is(http_content($r), '', 'head no body');

# conditions

my ($etag) = http_get($url) =~ /^ETag: (\S+)\x0d$/m;

like(cond("If-None-Match: $etag"), qr/ 304 /, 'if-none-match');
unlike(cond("If-None-Match: $etag"), qr/^Content-(?:Length|Type):/m,
	'304 has no body');
like(cond("If-None-Match: $etag"), qr/^ETag: \Q$etag\E\x0d$/m, '304 has etag');
like(cond("If-None-Match: W/$etag"), qr/ 304 /, 'if-none-match weak');
like(cond("If-None-Match: *"), qr/ 304 /, 'if-none-match any');
like(cond("If-None-Match: \"x\""), qr/ 200 /, 'if-none-match other');
like(cond("If-None-Match: $etag", 'Range: bytes=0-1'), qr/ 304 /,
	'if-none-match before range');
like(cond("If-Match: $etag"), qr/ 200 /, 'if-match');
like(cond("If-Match: *"), qr/ 200 /, 'if-match any');
like(cond("If-Match: \"x\""), qr/ 412 /, 'if-match other');
like(cond("If-Range: $etag", 'Range: bytes=0-1'), qr/ 206 /, 'if-range');
like(cond("If-Range: \"x\"", 'Range: bytes=0-1'), qr/ 200 /, 'if-range other');
like(cond("If-Range: W/$etag", 'Range: bytes=0-1'), qr/ 200 /,
	'if-range weak');
like(cond("If-Range: $etag"), qr/ 200 /, 'if-range without range');

# by date, of a torrent that has one

http_post($dated->{bytes});
my $plain = $url;
$url = "/data?ih=$dated->{ih}";
$seed = $c->seed_libtorrent($dated);
$c->fetch($c->url($dated, peers => [ $seed ]));

for my $at ([ 'Sun, 09 Sep 2001 01:46:40 GMT', 206 ],
	[ 'Sunday, 09-Sep-01 01:46:40 GMT', 206 ],
	[ 'Sun, 09 Sep 2001 01:46:41 GMT', 200 ], [ 'yesterday', 200 ])
{
	like(cond("If-Range: $at->[0]", 'Range: bytes=0-1'), qr/ $at->[1] /,
		"if-range $at->[0]");
}

$url = $plain;

# without validators

like(http("GET /noetag$url HTTP/1.0\x0d\x0aIf-Range: \"x\"\x0d\x0a"
	. "Range: bytes=0-1\x0d\x0a\x0d\x0a"), qr/ 200 /,
	'if-range without etag');

sub get {
	my ($range, $uri) = @_;

	return http('GET ' . ($uri || $url) . " HTTP/1.1\x0d\x0a"
		. "Host: localhost\x0d\x0aConnection: close\x0d\x0a"
		. "Range: $range\x0d\x0a\x0d\x0a");
}

sub http_post {
	my ($body) = @_;

	return http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($body) . "\x0d\x0a\x0d\x0a$body");
}

sub head {
	my ($range) = @_;

	return http("HEAD $url HTTP/1.0\x0d\x0aRange: $range\x0d\x0a\x0d\x0a");
}

sub cond {
	return http("GET $url HTTP/1.0\x0d\x0a"
		. join('', map { "$_\x0d\x0a" } @_) . "\x0d\x0a");
}

sub single {
	my ($range, $first, $last) = @_;

	my $r = get($range);
	my $len = $last - $first + 1;

	ok($r =~ / 206 /
		&& $r =~ m!^Content-Range: bytes $first-$last/100\x0d$!m
		&& $r =~ /^Content-Length: $len\x0d$/m
		&& http_content($r) eq substr($hundred, $first, $len),
		"single \"$range\"");
}

sub multi {
	my ($range, @parts) = @_;

	my $r = get($range);
	my $body = http_content($r);
	my ($length) = $r =~ /^Content-Length: (\d+)\x0d$/m;

	like($r, qr!^HTTP/1.1 206 !, "\"$range\" status");
	is(length($body), $length, "\"$range\" length");

	my ($boundary) = $r =~
		m!^Content-Type: multipart/byteranges; boundary=(\S+)\x0d$!m;

	my $expected = join '', map {
		"(?:\x0d\x0a)?--$boundary\x0d\x0a(?:Content-Type:[^\x0a]*\x0a)?"
		. "Content-Range: bytes $_->[0]-$_->[1]/100\x0d\x0a"
		. "(?:Content-Type:[^\x0a]*\x0a)?\x0d\x0a"
		. quotemeta(substr($hundred, $_->[0], $_->[1] - $_->[0] + 1))
	} @parts;

	like($body, qr/\A$expected\x0d\x0a--$boundary--\x0d\x0a\z/s,
		"\"$range\" parts");
}
